"""Design files that are wrong: one sentence with the file and its line, status 2, nothing written."""

import pytest
from click.testing import CliRunner
from designs import DESIGN, write

from ulsam_cost.cli import main
from ulsam_cost.reviewing.toml_file import key_lines

pytestmark = pytest.mark.usefixtures("undrawn")

NARROW = "slim: attention at '1': net.py:Narrow gives 1x2x16x16 for 1x8x16x16: one tensor of the same shape"
RESTS = "net.py:raises() does not give a model: RuntimeError: see the log"


def run(*args):
    return CliRunner().invoke(main, ["review", *map(str, args)])


CASES = [
    ('macs = "71.73K"', 'mac = "1M"', 7, "unknown metric of a budget 'mac': did you mean 'macs'?"),
    ('macs = "71.73K"', "macs = 150", 7, "macs = 150 has no unit: a number with K, M, G or T such as '150M'"),
    ('macs = "71.73K"', 'macs = "150"', 7, "macs = '150' has no unit"),
    ('macs = "71.73K"', 'macs = "150 ms"', 7, "macs = '150 ms': a number with K, M, G or T such as '150M' is accepted"),
    ('macs = "71.73K"', 'macs = "1.5555K"', 7, "macs = '1.5555K': a number with K, M, G or T"),
    ('macs = "71.73K"', 'macs = "0M"', 7, "macs = '0M': a limit above 0 is accepted"),
    ('macs = "71.73K"', 'latency = "12 ms"', 7, "latency has a budget, and nothing is measured: add a table [measure]"),
    ('macs = "71.73K"', 'latency = "12"', 7, "latency = '12': a time such as '12 ms' is accepted"),
    ("uncounted = 0", "uncounted = '0'", 8, "uncounted = '0': a whole number from 0 on is accepted"),
    ("uncounted = 0", "uncounted = -1", 8, "uncounted = -1: a whole number from 0 on"),
    ('baseline = "net.py:net"', 'baseline = "net.py:net"\nbasline = "x"', 3, "unknown key 'basline': did you mean"),
    ('title = "A doorbell"', "title = 3", 1, "title = 3: a text of one line is accepted"),
    ('title = "A doorbell"', r'title = "A \u001b[31m"', 1, r"title = 'A \x1b[31m': a text of one line is accepted"),
    ('["macs", "fvcore"]', '["fvcor"]', 4, "unknown convention 'fvcor': did you mean 'fvcore'?"),
    ("[budget]", "[measure]\nbatch = 0\n[budget]", 7, "batch = 0: a positive whole number or a list of them"),
    ("[budget]", "[measure]\nbatches = 1\n[budget]", 7, "unknown key 'batches': did you mean 'batch'?"),
    ("accuracy = 71.9", "accuracy = '71.9'", 13, "accuracy = '71.9': a number is accepted"),
    ("accuracy = 71.9", "accuracy = nan", 13, "accuracy = nan: a number is accepted"),
    ("accuracy = 71.9", "acuracy = 71.9", 13, "unknown key 'acuracy': did you mean 'accuracy'?"),
    ('name = "slim"', 'name = "gated"', 16, "two candidates are called 'gated': a name of its own is accepted"),
    ('name = "slim"', 'name = "baseline"', 16, "two candidates are called 'baseline'"),
    ('name = "slim"\n', "", 15, "name is missing: a text of one line is accepted"),
    ('params = "1K"', "params = 1000", 18, "params = 1000 has no unit"),
    ("net.py:slim", "net.py:slime", 17, "slim: unknown name of net.py 'slime': did you mean 'slim'?"),
    ("net.py:slim", "nett.py:slim", 17, "slim: there is no file nett.py"),
    ("net.py:slim", "net.py:raises", 17, f"slim: {RESTS}"),
    ("net.py:slim", "net.py:fails", 17, "slim: net.py:fails does not run on these inputs: RuntimeError: "),
    ("net.py:slim", "net.py:wide", 17, "slim: the model gives 1x5: 1x4, as the baseline, is accepted"),
    ("net.py:slim", "net.py:net --attention se --after 7.*", 17, "slim: '7.*' matches no submodule"),
    ("net.py:slim", "net.py:net --attention sa --after 1", 17, "slim: unknown attention mechanism 'sa'"),
    ("net.py:slim", "net.py:net --attention net.py:Narrow --after 1", 17, NARROW),
    ("net.py:slim", "net.py:net --after 1", 17, "slim: 'net.py:net --after"),
    ("net.py:net", "net.py:raises", 2, f"baseline: {RESTS}"),
    ('input = "1x3x16x16"\n', "", 2, "baseline: net.py:net gives no example inputs"),
    ('input = "1x3x16x16"', 'input = "1,3"', 2, "baseline: input '1,3': a shape such as 1x3x224x224"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said"), CASES, ids=[case[1] or case[0] for case in CASES])
def test_an_error_names_the_line(tmp_path, old, new, line, said):
    path = write(tmp_path, DESIGN.replace(old, new, 1))
    result = run(path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    assert result.stderr.startswith(f"Error: {path}, line {line}: {said}")
    assert not (tmp_path / "design_review").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"title = ", "is not TOML: Invalid value"),
        (b"\xff", "is not text in UTF-8"),
        (b"", "baseline is missing"),
        (b'title = "a"\nbaseline = "b"', "no candidate: one table [[candidate]] or more"),
        (b'title = "a"\nbaseline = "b"\n[candidate]\n', "candidate is not a list of tables: [[candidate]] is accepted"),
        (b'title = "a"\nbaseline = "b"\nbudget = 3', "budget = 3: a table is accepted"),
    ],
)
def test_what_is_no_design_is_refused(tmp_path, content, said):
    path = tmp_path / "design.toml"
    path.write_bytes(content)
    result = run(path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert str(path) in result.stderr
    assert said in result.stderr


def test_lines_may_end_as_windows_ends_them(tmp_path):
    path = write(tmp_path, DESIGN.replace("net.py:slim", "net.py:slime"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert f"{path}, line 17: slim: unknown name" in run(path).stderr


def test_a_file_that_is_not_there(tmp_path):
    result = run(tmp_path / "none.toml")
    assert result.exit_code == 2
    assert result.stderr == f"Error: cannot read {tmp_path / 'none.toml'}: No such file or directory\n"


@pytest.mark.parametrize("case", [case for case in CASES if case[2] > 12], ids=lambda case: case[1] or case[0])
def test_keep_going_reviews_the_candidates_that_work(tmp_path, case):
    old, new, line, said = case
    path = write(tmp_path, DESIGN.replace(old, new, 1))
    result = run(path, "--keep-going")
    assert result.exit_code == 1
    working = "slim" if line < 15 else "gated"
    assert working in result.stdout
    page = (tmp_path / "design_review" / "README.md").read_text().replace("\\", "")
    assert f"line {line}: {said[:20]}" in page
    assert f"| {working} " in page


def test_keep_going_needs_a_baseline(tmp_path):
    result = run(write(tmp_path, DESIGN.replace("net.py:net", "net.py:raises")), "--keep-going")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_folder_that_cannot_be_written_is_said_first(tmp_path):
    path = write(tmp_path)
    (tmp_path / "design_review").write_text("a file")
    result = run(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot write into" in result.stderr


def test_the_line_of_every_key():
    text = '''a = 1
# b = 2
"c.d" = """
x = 3
"""
e.f = [
  1,
]

[g]
h = { i = 1, j = [{ k = 2 }] }
[[l]]
m = 1
[l.n]
o = 1
[[l]]
m = 2
[[l.p]]
q = 1
[[l.p]]
q = 2'''
    lines = key_lines(text.replace("\n", "\n"))
    assert lines == {
        ("a",): 1,
        ("c.d",): 3,
        ("e",): 6,
        ("e", "f"): 6,
        ("g",): 10,
        ("g", "h"): 11,
        ("g", "h", "i"): 11,
        ("g", "h", "j"): 11,
        ("g", "h", "j", 0): 11,
        ("g", "h", "j", 0, "k"): 11,
        ("l", 0): 12,
        ("l", 0, "m"): 13,
        ("l", 0, "n"): 14,
        ("l", 0, "n", "o"): 15,
        ("l", 1): 16,
        ("l", 1, "m"): 17,
        ("l", 1, "p", 0): 18,
        ("l", 1, "p", 0, "q"): 19,
        ("l", 1, "p", 1): 20,
        ("l", 1, "p", 1, "q"): 21,
    }
