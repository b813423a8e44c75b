"""Which module of one model is which of another: by path, and by structure where paths moved.

Each pass takes time in proportion to the number of modules, but for a logarithm:

1. Both trees are walked from the top, side by side. Containers that are alike in everything are matched in the order
   in which they stand; those that are left with those that are alike elsewhere, as where one was wrapped or moved.
2. So are those that hold no others, in their place.
3. What is left is matched with the nearest of its siblings: of the same name and class, of the same shapes of
   parameters, of the same classes inside, of the same class.
4. What is left goes elsewhere: what holds no others with what is alike, where the order stays; containers with those
   of the same shapes of parameters, or with the one that holds most of their modules; in the end a module with the
   one that stands in its place.
"""

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

MOST_ROUNDS = 8  # of aligning what stands between anchors; the rest is aligned by its order


class Labels(NamedTuple):
    """A module, apart from the modules in it: its class, the shapes of its parameters, and all that it does."""

    kind: str = ""
    shapes: tuple[Hashable, ...] = ()
    work: tuple[Hashable, ...] = ()


class Tree:
    """Modules in the order of their tree, by number: what stands in module `i` are those from `i + 1` to `ends[i]`.

    A module with all that stands in it has three keys, equal to those of another where the two are `alike` in
    everything, `shaped` alike (classes and shapes of parameters), or `built` alike (classes).
    """

    def __init__(self, modules: Mapping[str, Labels], numbers: dict[Hashable, int]) -> None:
        labels = {"": Labels(), **modules}
        for path in modules:
            around = _above(path)
            while around not in labels:
                labels[around] = Labels()
                around = _above(around)
        inner: dict[str, list[str]] = {path: [] for path in labels}
        for path in labels:
            if path:
                inner[_above(path)].append(path)
        self.paths: list[str] = []
        stack = [""]
        while stack:
            self.paths.append(path := stack.pop())
            stack += reversed(inner[path])
        at = {path: index for index, path in enumerate(self.paths)}
        self.labels = [labels[path] for path in self.paths]
        self.names = [path.rpartition(".")[2] for path in self.paths]
        self.inner = [[at[child] for child in inner[path]] for path in self.paths]
        self.parents = [at[_above(path)] if path else -1 for path in self.paths]
        self.ends = list(range(1, len(self.paths) + 1))
        self.alike, self.shaped, self.built = ([0] * len(self.paths) for _ in range(3))
        self.learned = [bool(label.shapes) for label in self.labels]
        for index in reversed(range(len(self.paths))):
            label, children = self.labels[index], self.inner[index]
            for child in children:
                self.ends[index] = max(self.ends[index], self.ends[child])
                self.learned[index] |= self.learned[child]
            for keys, own in ((self.alike, label), (self.shaped, label[:2]), (self.built, label[:1])):
                keys[index] = numbers.setdefault((own, *(keys[child] for child in children)), len(numbers))

    def __len__(self) -> int:
        return len(self.paths)

    def within(self, index: int) -> range:
        """What stands in a module."""
        return range(index + 1, self.ends[index])


class Matching:
    """Two trees, and for each module of one its number in the other, None where it has none there."""

    def __init__(self, before: Mapping[str, Labels], after: Mapping[str, Labels]) -> None:
        numbers: dict[Hashable, int] = {}
        self.before, self.after = Tree(before, numbers), Tree(after, numbers)
        self.after_of: list[int | None] = [None] * len(self.before)
        self.before_of: list[int | None] = [None] * len(self.after)
        self._match_in_place(leaves=False)
        self._match_containers(self.before.alike, self.after.alike)
        self._match_in_place(leaves=True)
        if self.before.inner[0] and self.after.inner[0]:
            self._match_roots()
        self._match_siblings(to_the_last=False)
        self._match_leaves()
        self._match_containers(self.before.shaped, self.after.shaped)
        self._match_holders()
        self._match_roots()
        self._match_siblings(to_the_last=True)

    def _match(self, old: int, new: int) -> None:
        self.after_of[old], self.before_of[new] = new, old

    def _match_whole(self, old: int, new: int) -> None:
        """Match two modules of one structure, and what stands in them."""
        for inner_old, inner_new in zip(
            range(old, self.before.ends[old]), range(new, self.after.ends[new]), strict=True
        ):
            if self.after_of[inner_old] is None and self.before_of[inner_new] is None:
                self._match(inner_old, inner_new)

    def _match_in_place(self, *, leaves: bool) -> None:
        """Match what is alike and stands in modules at one place; what holds nothing only with `leaves`."""
        pairs = [(0, 0)]
        while pairs:
            old, new = pairs.pop()
            if self.before.alike[old] != self.after.alike[new]:
                pairs += self._siblings(old, new)
            elif leaves or self.before.inner[old]:
                self._match_whole(old, new)

    def _match_containers(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Match containers of one key anywhere, the first of each with the first."""
        waiting: defaultdict[int, deque[int]] = defaultdict(deque)
        for new in _containers(self.after, self.before_of):
            waiting[after[new]].append(new)
        for old in _containers(self.before, self.after_of):
            candidates = waiting[before[old]]
            while self.after_of[old] is None and candidates:
                new = candidates.popleft()
                if self.before_of[new] is None:
                    self._match_whole(old, new)

    def _match_leaves(self) -> None:
        """Match what holds nothing and is alike anywhere, where the order stays."""
        olds, news = _leaves(self.before, self.after_of), _leaves(self.after, self.before_of)
        keys, others = [self.before.alike[old] for old in olds], [self.after.alike[new] for new in news]
        for i, j in aligned(keys, others):
            self._match(olds[i], news[j])

    def _match_roots(self) -> None:
        if self.after_of[0] is None and self.before_of[0] is None:
            self._match(0, 0)

    def _match_siblings(self, *, to_the_last: bool) -> None:
        """Match what is left in modules that are matched, and go on in these."""
        pairs = [(old, new) for old, new in enumerate(self.after_of) if new is not None]
        while pairs:
            for old, new in self._siblings(*pairs.pop(), to_the_last=to_the_last):
                self._match(old, new)
                pairs.append((old, new))

    def _match_holders(self) -> None:
        """Match a container with the one that holds most of its modules, if those are most of that one's."""
        for old in reversed(range(len(self.before))):
            inner = [self.after_of[child] for child in self.before.inner[old]]
            holders = Counter(self.after.parents[new] for new in inner if new is not None)
            if self.after_of[old] is None and holders:
                new, held = holders.most_common(1)[0]
                if new >= 0 and self.before_of[new] is None and 2 * held > max(len(inner), len(self.after.inner[new])):
                    self._match(old, new)

    def _siblings(self, old: int, new: int, *, to_the_last: bool = True) -> list[tuple[int, int]]:
        """Pairs of what is not matched and stands directly in two modules: level by level, in order, then by name."""
        olds, news = self.before.inner[old], self.after.inner[new]
        place = {child: index for index, child in enumerate(news)}
        fixed = _rising([(i, place[j]) for i, child in enumerate(olds) if (j := self.after_of[child]) in place])
        free_olds = {i for i, child in enumerate(olds) if self.after_of[child] is None}
        free_news = {j for j, child in enumerate(news) if self.before_of[child] is None}
        levels = IN_LISTS if _is_list(self.before, olds) and _is_list(self.after, news) else BY_NAME
        found: list[tuple[int, int]] = []
        for level in levels if to_the_last else levels[:-1]:
            if not free_olds or not free_news:
                break
            added: list[tuple[int, int]] = []
            for (i, j), (k, end) in pairwise([(-1, -1), *sorted(fixed), (len(olds), len(news))]):
                left = {i: level.key(self.before, olds[i]) for i in range(i + 1, k) if i in free_olds}
                right = {j: level.key(self.after, news[j]) for j in range(j + 1, end) if j in free_news}
                added += _level_pairs(left, right, equally=level.equally)
            if not level.mostly or 2 * len(added) > min(len(free_olds), len(free_news)):
                fixed += added
                found += added
                free_olds -= {i for i, _ in added}
                free_news -= {j for _, j in added}
        by_name = {NAMED.key(self.after, news[j]): j for j in free_news}
        found += ((i, by_name[key]) for i in sorted(free_olds) if (key := NAMED.key(self.before, olds[i])) in by_name)
        return [(olds[i], news[j]) for i, j in found]


class Level(NamedTuple):
    """By what siblings are paired: `equally` if only where as many have it on both sides, `mostly` if it fits most."""

    key: Callable[[Tree, int], Hashable]
    equally: bool = False
    mostly: bool = False


ALIKE = Level(lambda tree, index: tree.alike[index])
ALIKE_NAMED = Level(lambda tree, index: (tree.names[index], tree.alike[index]))
SHAPED = Level(lambda tree, index: tree.shaped[index], mostly=True)
NAMED = Level(lambda tree, index: (tree.names[index], tree.labels[index].kind))
BUILT = Level(lambda tree, index: tree.built[index], equally=True)
KIND = Level(lambda tree, index: tree.labels[index].kind, equally=True)
# The names of a list are its numbers, which say no more than the order.
IN_LISTS = (ALIKE, SHAPED, NAMED, BUILT, KIND, Level(lambda tree, index: None, equally=True))
BY_NAME = (ALIKE_NAMED, ALIKE, NAMED, SHAPED, BUILT, KIND, Level(lambda tree, index: tree.names[index]))


def _level_pairs(
    left: Mapping[int, Hashable], right: Mapping[int, Hashable], *, equally: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of equal keys in rising order; with `equally`, of keys that are as many on both sides."""
    if equally:
        counts, others = Counter(left.values()), Counter(right.values())
        left = {i: key for i, key in left.items() if counts[key] == others[key]}
        right = {j: key for j, key in right.items() if counts[key] == others[key]}
    olds, news = list(left), list(right)
    return ((olds[i], news[j]) for i, j in aligned(list(left.values()), list(right.values())))


def _is_list(tree: Tree, modules: Sequence[int]) -> bool:
    """Whether the names of modules are the numbers from 0 on, as in a Sequential or a ModuleList."""
    return all(tree.names[index] == str(number) for number, index in enumerate(modules))


def _containers(tree: Tree, partners: Sequence[int | None]) -> list[int]:
    """The modules that are not matched, hold others, and have parameters: by which those of one structure are told."""
    return [i for i in range(len(tree)) if partners[i] is None and tree.learned[i] and tree.inner[i]]


def _leaves(tree: Tree, partners: Sequence[int | None]) -> list[int]:
    """The modules that are not matched, hold no others, and do something or have parameters."""
    return [i for i, own in enumerate(tree.labels) if partners[i] is None and not tree.inner[i] and any(own[1:])]


def aligned(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Places of equal keys, in rising order in both: many, but not always the most, which would take quadratic time.

    What begins and ends alike is aligned, then the longest row of keys that stand once on either side, and the same
    between these; where no key stands once, the first of a key goes with the first, the second with the second.
    """
    found: list[tuple[int, int]] = []
    windows = [(0, len(before), 0, len(after), 0)]
    while windows:
        low, high, start, stop, rounds = windows.pop()
        while low < high and start < stop and before[low] == after[start]:
            found.append((low, start))
            low, start = low + 1, start + 1
        while low < high and start < stop and before[high - 1] == after[stop - 1]:
            high, stop = high - 1, stop - 1
            found.append((high, stop))
        olds, news = _by_key(before, low, high), _by_key(after, start, stop)
        both = [(olds[key], news[key]) for key in olds if key in news]
        anchors = _rising(sorted((i, j) for (i, *more), (j, *others) in both if not more and not others))
        if anchors and rounds < MOST_ROUNDS:
            found += anchors
            edges = pairwise([(low - 1, start - 1), *anchors, (high, stop)])
            windows += [(i + 1, k, j + 1, end, rounds + 1) for (i, j), (k, end) in edges]
        else:
            found += _rising(sorted(pair for some, others in both for pair in zip(some, others, strict=False)))
    return sorted(found)


def _by_key(keys: Sequence[Hashable], start: int, stop: int) -> dict[Hashable, list[int]]:
    places: dict[Hashable, list[int]] = {}
    for index in range(start, stop):
        places.setdefault(keys[index], []).append(index)
    return places


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest row of these pairs, whose first numbers rise, in which the second ones rise, too."""
    ends: list[int] = []  # of the rows of each length, the least last number ...
    last: list[int] = []  # ... and the pair that has it
    previous: list[int] = []
    for index, (_, number) in enumerate(pairs):
        length = bisect_left(ends, number)
        previous.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(number)
            last.append(index)
        else:
            ends[length], last[length] = number, index
    row = []
    index = last[-1] if last else -1
    while index >= 0:
        row.append(pairs[index])
        index = previous[index]
    return row[::-1]


def _above(path: str) -> str:
    return path.rpartition(".")[0]
