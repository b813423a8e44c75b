"""The difference of two models, module by module: told apart by hand, and adding up on models made at random."""

import csv
import io
import json
import random
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.counting import matching
from ulsam_cost.counting.matching import Labels, Matching, aligned

X = torch.empty(2, 8, 6, 5, device="meta")


class Residual(nn.Module):
    """A body beside a shortcut, which two additions more or less tell from another."""

    def __init__(self, body, additions=1):
        super().__init__()
        self.body, self.additions = body, additions

    def forward(self, x):
        y = self.body(x)
        for _ in range(self.additions):
            y = y + x
        return y


def conv(kernel=3, groups=1, width=8):
    return nn.Conv2d(8, width, kernel, padding=kernel // 2, groups=groups, bias=False)


def block(kernel=3):
    return nn.Sequential(conv(kernel), nn.BatchNorm2d(8), nn.ReLU())


def halving(*widths):
    """Convolutions that halve a map of 6 x 5 to 3 x 3, 2 x 2 and 1 x 1."""
    return nn.Sequential(*(nn.Sequential(nn.Conv2d(*pair, 1, stride=2, bias=False)) for pair in widths))


def rows(before, after, inputs=X):
    """What differs: fate, paths and MACs; the whole is held against the totals on the way."""
    network = uc.compare({"before": before, "after": after}, inputs).networks[1]
    require_sum(network.modules, before, after, inputs)
    return [(str(row.fate), *row.paths, row.delta.macs) for row in network.modules]


def require_sum(modules, before, after, inputs):
    then, now = uc.count(before, inputs), uc.count(after, inputs)
    for unit in ("params", "macs", "activations"):
        assert sum(getattr(row.delta, unit) for row in modules) == getattr(now, unit) - getattr(then, unit)
    for name in uc.CONVENTIONS:
        assert sum(row.number(name) for row in modules) == now.number(name) - then.number(name)
    operators = Counter(op.operator for op in now.cost if op.operator)
    operators.subtract(op.operator for op in then.cost if op.operator)
    added = Counter()
    for row in modules:
        added.update(row.operators)
    assert {name: more for name, more in added.items() if more} == {name: m for name, m in operators.items() if m}


MAP = 2 * 6 * 5  # positions of a map, over the batch
FULL, POINT = MAP * 8 * 8 * 9, MAP * 8 * 8  # MACs of a 3 x 3 and of a 1 x 1 convolution of 8 channels

CASES = {
    "nothing": (block, block, []),
    "inserted, and the rest shifted": (
        lambda: nn.Sequential(block(), block(1), block(5)),
        lambda: nn.Sequential(block(), conv(1), block(1), block(5)),
        [("inserted", None, "1", POINT), ("moved", "1", "2", 0), ("moved", "2", "3", 0)],
    ),
    "inserted among modules that are all alike": (
        lambda: nn.Sequential(*(block() for _ in range(4))),
        lambda: nn.Sequential(conv(1), *(block() for _ in range(4))),
        [("inserted", None, "0", POINT), *(("moved", str(i), str(i + 1), 0) for i in range(4))],
    ),
    "removed": (
        lambda: nn.Sequential(block(), conv(1), block(5)),
        lambda: nn.Sequential(block(), block(5)),
        [("removed", "1", None, -POINT), ("moved", "2", "1", 0)],
    ),
    "wrapped, with something after it": (
        lambda: nn.Sequential(block(), block(1), block()),
        lambda: nn.Sequential(block(), nn.Sequential(block(1), conv(1)), block()),
        [("inserted", None, "1", 0), ("moved", "1", "1.0", 0), ("inserted", None, "1.1", POINT)],
    ),
    "taken out": (
        lambda: nn.Sequential(block(), nn.Sequential(block(1), conv(1)), block()),
        lambda: nn.Sequential(block(), block(1), block()),
        [("removed", "1", None, 0), ("moved", "1.0", "1", 0), ("removed", "1.1", None, -POINT)],
    ),
    "the whole wrapped": (
        lambda: nn.Sequential(block(), block(1)),
        lambda: nn.Sequential(nn.Sequential(block(), block(1)), conv(1)),
        [("inserted", None, "", 0), ("moved", "", "0", 0), ("inserted", None, "1", POINT)],
    ),
    "renamed": (
        lambda: nn.Sequential(nn.ModuleDict({"stem": conv(), "head": conv(1)})["stem"], conv(1)),
        lambda: Named(first=conv(), second=conv(1)),
        [("changed", "", "", 0), ("moved", "0", "first", 0), ("moved", "1", "second", 0)],
    ),
    "changed in place": (
        lambda: nn.Sequential(block(), block(), block()),
        lambda: nn.Sequential(block(), block(1), block()),
        [("changed", "1.0", "1.0", POINT - FULL)],
    ),
    "replaced by another class": (
        lambda: nn.Sequential(block(), nn.ReLU(), block(1)),
        lambda: nn.Sequential(block(), nn.Hardswish(), block(1)),
        [("changed", "1", "1", 0)],
    ),
    "replaced by several": (
        lambda: nn.Sequential(conv(5), conv(), nn.ReLU()),
        lambda: nn.Sequential(conv(5), nn.Sequential(conv(groups=8), conv(1)), nn.ReLU()),
        [("changed", "1", "1", MAP * 8 * 9 + POINT - FULL)],
    ),
    "several replaced by one": (
        lambda: nn.Sequential(conv(5), nn.Sequential(conv(groups=8), conv(1)), nn.ReLU()),
        lambda: nn.Sequential(conv(5), nn.Sigmoid(), nn.ReLU()),
        [("changed", "1", "1", -MAP * 8 * 9 - POINT)],
    ),
    "a flat list folded into blocks": (
        lambda: nn.Sequential(conv(), nn.ReLU(), conv(), nn.ReLU()),
        lambda: nn.Sequential(nn.Sequential(conv(), nn.ReLU()), nn.Sequential(conv(), nn.ReLU())),
        [
            ("inserted", None, "0", 0),
            ("moved", "0", "0.0", 0),
            ("moved", "1", "0.1", 0),
            ("inserted", None, "1", 0),
            ("moved", "2", "1.0", 0),
            ("moved", "3", "1.1", 0),
        ],
    ),
    "a layer wrapped": (
        conv,
        lambda: nn.Sequential(conv(), conv(1)),
        [("inserted", None, "", 0), ("moved", "", "0", 0), ("inserted", None, "1", POINT)],
    ),
    "another width": (  # one of the three has the parameters of another
        lambda: halving((8, 16), (16, 32), (32, 32)),
        lambda: halving((8, 8), (8, 16), (16, 16)),
        [
            ("changed", "0.0", "0.0", 2 * 3 * 3 * (8 * 8 - 8 * 16)),
            ("changed", "1.0", "1.0", 2 * 2 * 2 * (8 * 16 - 16 * 32)),
            ("changed", "2.0", "2.0", 2 * 1 * 1 * (16 * 16 - 32 * 32)),
        ],
    ),
    "gathered into stages": (
        lambda: nn.Sequential(block(), block(1), block(), block(5)),
        lambda: nn.Sequential(nn.Sequential(block(), block(1)), nn.Sequential(block(), block(5))),
        [
            ("inserted", None, "0", 0),
            ("moved", "0", "0.0", 0),
            ("moved", "1", "0.1", 0),
            ("inserted", None, "1", 0),
            ("moved", "2", "1.0", 0),
            ("moved", "3", "1.1", 0),
        ],
    ),
    "a layer's own operation": (
        lambda: nn.Sequential(block(), Residual(block(1))),
        lambda: nn.Sequential(block(), Residual(block(1), additions=2)),
        [("changed", "1", "1", 0)],
    ),
    "a name stays where names say more than the order": (
        lambda: Named(a=conv(), b=conv(), c=conv()),
        lambda: Named(b=conv(), c=conv()),
        [("removed", "a", None, -FULL)],
    ),
    "two names exchanged": (
        lambda: Named(a=conv(), b=conv(1)),
        lambda: Named(b=conv(1), a=conv()),
        [],
    ),
}


class Named(nn.Module):
    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


@pytest.mark.parametrize(("before", "after", "expected"), CASES.values(), ids=CASES)
def test_what_became_of_each_module(before, after, expected):
    with torch.device("meta"):
        assert rows(before(), after()) == expected


def test_an_added_operation_is_named_with_its_layer():
    with torch.device("meta"):
        before, after = (nn.Sequential(block(), Residual(block(1), additions)) for additions in (1, 2))
    [row] = uc.compare([before, after], X).networks[1].modules
    assert (row.paths, row.operators, row.delta) == (("1", "1"), {"add": 1}, (0, 0, 0))
    assert row.number("strict") == MAP * 8


def test_the_same_model_is_like_itself_and_one_way_is_the_other_reversed():
    for name in ("mv2", "resnet50 --attention se"):
        assert uc.compare([name, name]).networks[1].modules == ()
    there, back = (
        uc.compare(pair).networks[1].modules
        for pair in (["mv2", "mv2 --positions 13,14:1"], ["mv2 --positions 13,14:1", "mv2"])
    )
    said = sorted((row.paths, tuple(row.delta)) for row in there if row.before is None)
    assert said == sorted((row.paths[::-1], tuple(-n for n in row.delta)) for row in back if row.after is None)
    assert [str(row.fate) for row in there] == ["removed", "inserted", "inserted"]


def test_another_resolution_with_a_block_before_it_is_matched_by_the_parameters():
    """All that is done differs, so that only the shapes of parameters tell which block is which."""
    with torch.device("meta"):
        before = nn.Sequential(*(nn.Sequential(nn.Conv2d(n, n + 1, 1)) for n in range(8, 14)))
        after = nn.Sequential(nn.AvgPool2d(2), *before)
    changed = [row for row in uc.compare([before, after], X).networks[1].modules if str(row.fate) == "changed"]
    assert [row.paths for row in changed] == [(f"{i}.0", f"{i + 1}.0") for i in range(6)]


def test_parts_that_leave_products_out_have_no_difference_and_others_have():
    class Exponential(nn.Linear):
        def forward(self, x):
            return super().forward(torch.linalg.matrix_exp(x))

    plain = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    other = nn.Sequential(nn.Linear(6, 6), Exponential(6, 6), nn.Linear(6, 4))
    changed, wider = uc.compare([plain, other], torch.empty(6, 6)).networks[1].modules
    assert (changed.paths, changed.delta, changed.number("macs")) == (("1", "1"), (0, None, None), None)
    assert (wider.paths, wider.delta, wider.number("macs")) == (("2", "2"), (6 + 1, 6 * 6, 6), 6 * 6)


def made(chance, depth=0):
    """A module at random that keeps [n, 8, h, w]."""
    kind = chance.randrange(9 if depth < 3 else 5)
    if kind >= 5:
        inner = [made(chance, depth + 1) for _ in range(chance.randrange(1, 6))]
        names = chance.sample(["a", "b", "c", "d", "e", "f", "0", "1"], len(inner))
        body = nn.Sequential(*inner) if kind != 6 else Named(**dict(zip(names, inner, strict=True)))
        return body if kind < 7 else Residual(body, chance.randrange(3))
    return (
        conv(chance.choice([1, 3]), chance.choice([1, 8]))
        if kind < 2
        else [nn.BatchNorm2d(8), nn.ReLU(), nn.Sigmoid()][kind - 2]
    )


def edited(chance, module):
    """The same with something inserted, removed, replaced, wrapped or exchanged at random, and again further in."""
    if isinstance(module, nn.Sequential):
        inner = [edited(chance, child) for child in module]
        at = chance.randrange(len(inner) + 1)
        action = chance.randrange(7)
        if action == 0:
            inner.insert(at, made(chance))
        elif action == 1 and len(inner) > 1:
            del inner[at % len(inner)]
        elif action == 2:
            inner[at % len(inner)] = nn.Sequential(inner[at % len(inner)], made(chance, 2))
        elif action == 3:
            chance.shuffle(inner)
        elif action == 4:
            inner.append(inner[at % len(inner)])  # one module twice
        return nn.Sequential(*inner)
    if isinstance(module, Residual):
        return Residual(edited(chance, module.body), chance.choice([module.additions, 2]))
    return module if chance.random() < 0.8 else made(chance, 2)


@pytest.mark.parametrize("seed", range(30))
def test_the_differences_add_up_on_models_made_at_random(seed):
    chance = random.Random(seed)
    with torch.device("meta"):
        before = nn.Sequential(*(made(chance) for _ in range(4)))
        after = edited(chance, before) if seed % 3 else nn.Sequential(*(made(chance) for _ in range(4)))
    rows(before, after)


@pytest.mark.parametrize("seed", range(40))
def test_no_module_is_matched_twice_and_orders_rise(seed):
    chance = random.Random(seed)
    before, after = ([chance.randrange(chance.choice([2, 5, 40])) for _ in range(chance.randrange(40))] for _ in "ab")
    pairs = aligned(before, after)
    assert all(before[i] == after[j] for i, j in pairs)
    assert all(i < k and j < end for (i, j), (k, end) in pairwise(pairs))
    assert aligned(before, before) == [(i, i) for i in range(len(before))]


MOST_LINES = 1600  # a module: at 100 modules they are 1,400 at most; one loop over all for each module would add 800


def lines_run(before, after):
    """How many lines of the matching are run: the same on every machine."""
    run = 0

    def trace(frame, event, _):
        nonlocal run
        run += event == "line"
        return trace if frame.f_code.co_filename == matching.__file__ else None

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        Matching(before, after)
    finally:
        sys.settrace(outer)
    return run


def flat(size, kinds, start=0):
    return {str(i): Labels(kind="K", shapes=((kinds(i + start),),), work=(kinds(i + start),)) for i in range(size)}


@pytest.mark.parametrize(
    "kinds",
    [lambda i: 0, lambda i: i, lambda i: i % 7, lambda i: i * 7919 % 1009],
    ids=["one", "all", "seven", "mixed"],
)
@pytest.mark.parametrize("start", [0, 3, 10**6])
def test_the_work_grows_with_the_number_of_modules_and_not_with_its_square(kinds, start):
    assert lines_run(flat(800, kinds), flat(800, kinds, start)) < MOST_LINES * 800


def test_a_reversed_list_takes_no_longer():
    labels = flat(800, lambda i: i)
    assert lines_run(labels, dict(zip(labels, reversed(labels.values()), strict=True))) < MOST_LINES * 800


def test_a_chain_of_modules_as_deep_as_python_runs_them():
    path, chain = "", {}
    for _ in range(3000):
        path = f"{path}.a" if path else "a"
        chain[path] = Labels(kind="K", work=(1,))
    found = Matching(chain, chain | {f"{path}.b": Labels(kind="K", work=(2,))})
    assert found.after_of == list(range(3001))


def run(*args):
    return CliRunner().invoke(main, ["compare", *map(str, args)])


def test_the_command_says_what_differs_by_module_and_the_sum():
    lines = run("mv2", "mv2 --positions 13,14:1").stdout.splitlines()
    at = lines.index("B mv2 --positions 13,14:1 minus A mv2, by module:")
    said = [line.split() for line in lines[at + 4 : at + 8]]
    # the convolutions and norms of a block of 96 channels, widened to 576
    params = 96 * 576 + 576 * 9 + 576 * 96 + 2 * (576 + 576 + 96)
    macs = 14 * 14 * (96 * 576 + 576 * 9 + 576 * 96)
    assert said[0] == ["removed", "features.12", "ResidualBlock", f"{-params:,}", f"{-macs:,}", f"{-1248 * 196:,}"]
    assert [row[:3] for row in said[1:3]] == [["inserted", f"features.ulsam{n}", "ULSAM"] for n in ("13", "14_1")]
    assert said[3] == ["all", "-117,888", "-22,616,832", "-205,408"]


def test_many_differences_are_cut_in_the_terminal_and_nowhere_else():
    texts = ("mv1", "mv1 --width 0.5")
    lines = run(*texts).stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert any("others with smaller differences" in line for line in lines)
    assert any(
        line.startswith("Changes that leave these costs as they are: 28 changed (features.0.2 ReLU, ") for line in lines
    )
    markdown = run(*texts, "--format", "markdown").stdout
    assert "others with smaller differences" not in markdown
    assert markdown.count("| changed") > 50


def test_programs_get_every_difference_of_every_network():
    texts = ("mv1", "mv1 --positions 8:1", "mv1 --positions 8:2,11")
    record = json.loads(run(*texts, "--format", "json").stdout)
    table = list(csv.DictReader(io.StringIO(run(*texts, "--format", "csv", "--modules").stdout)))
    for network in record["networks"]:
        for unit in ("params", "macs", "activations"):
            assert sum(row[unit] for row in network["modules"]) == network["delta"][unit]
            mine = [row for row in table if row["letter"] == network["letter"]]
            assert sum(int(row[unit]) for row in mine) == network["delta"][unit]
    inserted = record["networks"][1]["modules"][0]
    assert (inserted["fate"], inserted["before"], inserted["after_class"]) == ("inserted", None, "ULSAM")


def test_models_of_files(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "import torch\nfrom torch import nn\n\n\ndef net(wide=8):\n"
        "    layers = nn.Conv2d(3, wide, 3), nn.ReLU(), nn.Conv2d(wide, 2, 1)\n"
        "    return nn.Sequential(*layers), torch.zeros(1, 3, 6, 6)\n\n\n"
        "def wide():\n    return net(16)\n",
        encoding="utf-8",
    )
    said = " ".join(run(f"{file}:net", f"{file}:wide").stdout.split())
    assert f"changed 0 Conv2d +{8 * 27 + 8} +{16 * 8 * 27:,} +{16 * 8}" in said
    assert "Changes that leave these costs as they are: 1 changed (1 ReLU)" in said


@pytest.mark.parametrize("models", ["mv1", nn.Sequential(nn.Linear(4, 4))])
def test_a_model_in_place_of_the_list_is_refused_with_what_is_accepted(models):
    with pytest.raises(uc.CostError, match=r"alone: models in one list or dict are accepted, as in compare\(\['mv1'"):
        uc.compare(models, "mv2")


def test_layers_and_modules_are_not_printed_in_one_csv():
    result = run("mv1", "mv2", "--format", "csv", "--layers", "--modules")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--layers or --modules is accepted, not both" in result.stderr
