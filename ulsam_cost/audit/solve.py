"""Which counting rule gives a printed number: a known convention, or a sum of kinds, simplest first.

A rule is one choice from each group of `CHOICES`: how a MAC counts, whether biases, norms, activations, pools and
the rest count, and by what; or the number of parameters. K, M and G are powers of 1000, or of 1024. The search tries
every combination, so it finds a paper's rule without being told it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from ulsam_cost.audit.finding import Verdict
from ulsam_cost.audit.judging import meets
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.units import FACTORS, Printed

POOLS = (OpKind.POOL_MAX, OpKind.POOL_AVG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A way to count some operations, in words, and how plain it is: 0 for leaving them out."""

    words: str
    weigh: Callable[[OpCost], int]
    effort: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingRule:
    """A counting rule, its number for each network, and how each meets the printed one, None where it does not.

    `units` says what K, M and G stand for where they are powers of 1024, as in `M=2^20, G=2^30`; else it is empty.
    """

    words: str
    units: str
    numbers: tuple[int, ...]
    verdicts: tuple[Verdict | None, ...]
    effort: int
    convention: str = ""

    @property
    def hits(self) -> int:
        """How many of the printed numbers are reproduced, rounded or truncated."""
        return sum(verdict in (Verdict.MATCH, Verdict.TRUNCATED) for verdict in self.verdicts)


def _elements(*kinds: OpKind, times: int = 1, modules: bool = False) -> Callable[[OpCost], int]:
    """So many for each element that is put out; of torch.nn modules alone, if `modules`."""
    return lambda op: times * op.elements if op.kind in kinds and (op.leaf or not modules) else 0


def _inputs(*kinds: OpKind, modules: bool = False) -> Callable[[OpCost], int]:
    """One for each element that is read."""
    return lambda op: op.reads if op.kind in kinds and (op.leaf or not modules) else 0


def _operators(kind: OpKind, *operators: str, times: int = 1) -> Callable[[OpCost], int]:
    """So many for each element that these operators put out."""
    return lambda op: times * op.elements if op.kind is kind and op.operator in operators else 0


def _rectified(op: OpCost) -> int:
    return op.elements if op.kind is OpKind.ACTIVATION and op.leaf and op.operator != "sigmoid" else 0


CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
NOTHING = Choice(words="", weigh=lambda op: 0, effort=0)
CHOICES: tuple[tuple[Choice, ...], ...] = (
    (
        Choice(words="1 per MAC", weigh=lambda op: op.macs, effort=0),
        Choice(words="1 per MAC of modules", weigh=lambda op: op.macs if op.leaf else 0),
        Choice(words="2 per MAC", weigh=lambda op: 2 * op.macs),
    ),
    (
        NOTHING,
        Choice(words="biases of convolutions 1 per element", weigh=_operators(OpKind.BIAS, *CONVOLUTIONS)),
        Choice(words="biases 1 per element", weigh=_elements(OpKind.BIAS)),
    ),
    (
        NOTHING,
        Choice(words="batch norm 1 per element", weigh=_operators(OpKind.NORM, "batch_norm")),
        Choice(words="batch norm 2 per element", weigh=_operators(OpKind.NORM, "batch_norm", times=2)),
        Choice(words="batch norm 4 per element", weigh=_operators(OpKind.NORM, "batch_norm", times=4)),
    ),
    (
        NOTHING,
        Choice(words="activation modules except sigmoid 1 per element", weigh=_rectified),
        Choice(words="activation modules 1 per element", weigh=_elements(OpKind.ACTIVATION, modules=True)),
        Choice(words="activations 1 per element", weigh=_elements(OpKind.ACTIVATION)),
    ),
    (
        NOTHING,
        Choice(words="pooling modules 1 per element read", weigh=_inputs(*POOLS, modules=True)),
        Choice(words="pools 1 per element read", weigh=_inputs(*POOLS)),
        Choice(words="pools 1 per element written", weigh=_elements(*POOLS)),
    ),
    (NOTHING, Choice(words="elementwise products 1 per element", weigh=_elements(OpKind.MULTIPLY))),
    (NOTHING, Choice(words="elementwise sums 1 per element", weigh=_elements(OpKind.ADD))),
    (NOTHING, Choice(words="softmax 1 per element", weigh=_elements(OpKind.SOFTMAX))),
)


def solve(costs: Sequence[Cost], printed: Sequence[Printed], *, products_only: bool = False) -> list[CountingRule]:
    """The rules that give the printed numbers: known conventions first, then the plainest.

    Choices that come to the same for all of the networks are one, the plainest. K, M and G are powers of 1000 in all of
    the numbers, or of 1024 in all.

    Args:
        costs: of one network or several.
        printed: the number that stands for each.
        products_only: whether rules that count anything but products are left out, because a cost lacks operations.

    Returns:
        The rules that give as many of the numbers as any does; none if none gives any.
    """
    tried = list(_candidates(costs, products_only))
    rules = [_judged(candidate, printed) for candidate in tried]
    binary = [number.as_binary() for number in printed]
    if binary != list(printed):
        rules += (_judged(candidate, binary, units=_powers(binary)) for candidate in tried)
    most = max(rule.hits for rule in rules)
    best = [rule for rule in rules if rule.hits == most and most]
    return sorted(best, key=lambda rule: (rule.effort, rule.verdicts.count(Verdict.TRUNCATED)))


class _Candidate(NamedTuple):
    words: str
    numbers: tuple[int, ...]
    effort: int
    convention: str = ""


def _candidates(costs: Sequence[Cost], products_only: bool) -> Iterator[_Candidate]:
    """Everything that is counted, and its number for each network."""
    for convention in CONVENTIONS.values():
        if convention.counts_operations and (convention.products_only or not products_only):
            yield _Candidate(convention.counts, tuple(map(convention.number, costs)), 0, convention.name)
    yield _Candidate("1 per parameter", tuple(cost.params for cost in costs), 1)
    groups = [_distinct(group, costs) for group in (CHOICES[:1] if products_only else CHOICES)]
    for chosen in product(*groups):
        words = ", ".join(choice.words for choice, _ in chosen if choice.words)
        numbers = tuple(sum(column) for column in zip(*(totals for _, totals in chosen), strict=True))
        yield _Candidate(words, numbers, 1 + sum(choice.effort for choice, _ in chosen))


def _judged(candidate: _Candidate, printed: Sequence[Printed], *, units: str = "") -> CountingRule:
    """A rule of a candidate: powers of 1024 are less plain than those of 1000."""
    verdicts = tuple(
        meets(Fraction(target.value), Fraction(target.resolution), Fraction(number))
        for number, target in zip(candidate.numbers, printed, strict=True)
    )
    effort = candidate.effort + bool(units)
    return CountingRule(**candidate._asdict() | {"effort": effort}, units=units, verdicts=verdicts)


def _powers(binary: Sequence[Printed]) -> str:
    """What the prefixes stand for: `M=2^20, G=2^30`."""
    prefixes = sorted({number.prefix for number in binary}, key=list(FACTORS).index)
    return ", ".join(f"{prefix[0]}=2^{FACTORS[prefix].bit_length() - 1}" for prefix in prefixes if prefix)


def _distinct(group: Sequence[Choice], costs: Sequence[Cost]) -> list[tuple[Choice, tuple[int, ...]]]:
    """The choices with their totals in each network, the first of those that come to the same."""
    found: dict[tuple[int, ...], Choice] = {}
    for choice in group:
        found.setdefault(tuple(sum(map(choice.weigh, cost)) for cost in costs), choice)
    return [(choice, totals) for totals, choice in found.items()]
