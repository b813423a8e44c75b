"""`review --check`: the accepted costs beside those of now, to the last operation and by layer."""

import json

import pytest
from click.testing import CliRunner
from designs import DESIGN, NET, write

from ulsam_cost.cli import main
from ulsam_cost.reviewing.costs import LayerCosts, Numbers
from ulsam_cost.reviewing.differences import layer_differences

pytestmark = pytest.mark.usefixtures("undrawn")

ROOMY = DESIGN.replace("71.73K", "80K")


def run(*args):
    return CliRunner().invoke(main, ["review", *map(str, args)])


@pytest.fixture
def design(tmp_path):
    path = write(tmp_path, ROOMY)
    assert run(path).exit_code == 0
    return path


def changes(design):
    result = run(design, "--check", "--format", "json")
    assert result.exit_code == 1, result.output
    return {change["name"]: change for change in json.loads(result.stdout)["changes"]}


def test_what_did_not_change_passes_and_writes_nothing(design):
    before = {path: path.read_bytes() for path in design.parent.rglob("*") if path.is_file()}
    result = run(design, "--check")
    assert result.exit_code == 0
    assert result.stdout == "A doorbell: unchanged, and nothing is over budget.\n"
    assert {path: path.read_bytes() for path in design.parent.rglob("*") if path.is_file()} == before


def test_one_added_operation_is_found_with_its_layer(design):
    write(design.parent, ROOMY, NET.replace("Gate(8)", "Gate(8, extra=True)"))
    found = changes(design)
    assert {name: change["status"] for name, change in found.items()} == {
        "baseline": "unchanged",
        "gated": "changed",
        "slim": "unchanged",
    }
    # a ReLU on [1, 2, 1, 1] reads 2 elements and writes 2
    assert found["gated"]["numbers"] == {"macs": 0, "params": 0, "activations": 0, "traffic": 4, "operations": 2}
    assert [(layer["path"], layer["fate"]) for layer in found["gated"]["layers"]] == [("1.1.extra", "inserted")]
    said = run(design, "--check").stdout
    assert said.startswith("A doorbell: 1 changed, 2 unchanged.\ngated changed in 1.1.extra: +4 elements moved")
    assert "slim" not in said


def test_an_operation_that_another_replaces_is_found(design):
    write(design.parent, ROOMY, NET.replace(".sigmoid()", ".tanh()"))
    [layer] = changes(design)["gated"]["layers"]
    assert (layer["path"], layer["fate"], layer["what"]) == ("1.1", "changed", "+1 tanh, -1 sigmoid")


def test_an_operation_of_the_same_cost_in_its_place_is_found(design):
    run(write(design.parent, ROOMY, NET.replace(".sigmoid()", ".tanh()")))
    write(design.parent, ROOMY, NET.replace(".sigmoid()", ".exp()"))
    change = changes(design)["gated"]
    assert not any(change["numbers"].values())
    assert [layer["what"] for layer in change["layers"]] == ["+1 exp, -1 tanh"]


def test_a_gain_fails_until_it_is_accepted(design):
    write(design.parent, ROOMY, NET.replace("build(Gate(8))", "build()"))
    assert changes(design)["gated"]["numbers"]["macs"] == -32
    result = run(design, "--accept")
    assert (result.exit_code, result.stdout.count("gated changed in 1.1: -32 MACs")) == (0, 1)
    assert run(design, "--check").exit_code == 0


def test_a_broken_budget_fails_and_is_not_accepted_away(design):
    write(design.parent, DESIGN)
    for option in ("--check", "--accept", "--check"):
        result = run(design, option)
        assert result.exit_code == 1
        assert "gated has 71,744 MACs, 14 (+0.02%) over 71,730; 1.1 adds the most, +32." in result.stdout
    assert result.stdout.startswith("A doorbell: 1 over budget, 3 unchanged.")


def test_another_model_budget_or_accuracy_is_a_change(design):
    given = {"net.py:slim": "net.py:net", "1K": "2K", "71.9": "72", '"fvcore"': '"torch"'}
    for old, new in given.items():
        write(design.parent, ROOMY.replace(old, new))
        names = {name: change["given"] for name, change in changes(design).items() if change["given"]}
        wanted = {
            "net.py:slim": {"slim": ["model"]},
            "1K": {"slim": ["budget"]},
            "71.9": {"gated": ["accuracy"]},
            '"fvcore"': {name: ["conventions"] for name in ("baseline", "gated", "slim")},
        }
        assert names == wanted[old]


def test_new_gone_and_failed_candidates(design):
    write(design.parent, ROOMY.replace('"slim"', '"thin"'))
    found = changes(design)
    assert [(name, change["status"]) for name, change in found.items()] == [
        ("baseline", "unchanged"),
        ("gated", "unchanged"),
        ("thin", "new"),
        ("slim", "gone"),
    ]
    write(design.parent, ROOMY.replace("net.py:slim", "net.py:raises"))
    result = run(design, "--check", "--keep-going")
    assert result.exit_code == 1
    assert "slim failed: " in result.stdout
    assert "total" not in result.stdout  # there are no costs to show
    assert run(design, "--check").exit_code == 2


def test_markdown_says_the_verdict_first_and_nothing_that_did_not_change(design):
    run(write(design.parent, DESIGN))
    write(design.parent, DESIGN, NET.replace("Gate(8)", "Gate(8, extra=True)"))
    said = run(design, "--check", "--format", "markdown").stdout
    first, _, second, *_ = said.splitlines()
    assert first == "**A doorbell: 1 over budget, 1 changed, 2 unchanged.**"
    assert second.startswith("- gated has 71,744 MACs")
    assert "| gated" in said
    assert "slim" not in said
    assert "MACs |" not in said  # a column in which nothing differs


def test_accepted_times_stay_with_costs_that_did_not_change(tmp_path):
    measured = ROOMY.replace("[budget]", '[measure]\ndevice = "cpu"\nrepeats = 6\n[budget]')
    path = write(tmp_path, measured)
    run(path)
    file = tmp_path / "design_review" / "costs.json"
    before = json.loads(file.read_text())
    write(tmp_path, measured, NET.replace("Gate(8)", "Gate(8, extra=True)"))
    assert run(path, "--accept").exit_code == 0
    gated, slim = json.loads(file.read_text())["candidates"]
    assert gated["latency"] is None
    assert slim["latency"] == before["candidates"][1]["latency"] is not None
    write(tmp_path, measured, NET.replace("def net(): return build()", "def net(): return build(nn.ReLU())"))
    run(path, "--accept")
    after = json.loads(file.read_text())
    assert [each["latency"] for each in after["candidates"]] == [None, None]
    assert after["machine"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read {}: No such file or directory; ulsam-cost review without --check writes it"),
        ("[]", "{} is not what ulsam-cost review writes"),
        ("{", "{} is not what ulsam-cost review writes"),
        ('{"schema": 2}', "{} has the schema 2: 1 is accepted"),
        ('{"schema": 1, "versions": {}, "machine": null, "baseline": 3}', "{} is not what ulsam-cost review writes"),
    ],
)
def test_costs_that_cannot_be_read_are_one_sentence(design, content, said):
    file = design.parent / "design_review" / "costs.json"
    file.unlink() if content is None else file.write_text(content)
    result = run(design, "--check")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said.format(file) in result.stderr


def layers(*rows):
    return [
        LayerCosts(path=path, module_class="M", operators=(operator,), numbers=Numbers(macs))
        for path, operator, macs in rows
    ]


def test_a_layer_that_moved_is_matched_by_what_it_is():
    before = layers(("a", "conv2d", 10), ("b.0", "linear", 7), ("b.1", "linear", 9))
    now = layers(("a", "conv2d", 10), ("b.0", "relu", 0), ("b.1", "linear", 7), ("b.2", "linear", 9))
    found = [(each.path, each.fate, each.what, each.numbers.macs) for each in layer_differences(before, now)]
    assert found == [("b.0", "inserted", "", 0), ("b.1", "moved", "from b.0", 0), ("b.2", "moved", "from b.1", 0)]


def test_what_was_inserted_or_removed_is_one_row_a_module():
    before = layers(("a.0", "conv2d", 10), ("c.x", "linear", 3), ("c.y", "linear", 4))
    now = layers(("a.0", "conv2d", 11), ("a.1.down", "matmul", 1), ("a.1.up", "matmul", 2))
    found = {(each.path, each.fate.value): each.numbers.macs for each in layer_differences(before, now)}
    assert found == {("a.0", "changed"): 1, ("a.1", "inserted"): 3, ("c", "removed"): -7}
    assert layer_differences(before, before) == ()
