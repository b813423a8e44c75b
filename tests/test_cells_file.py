"""Anyone's table: read as CSV and nothing else, refused in one sentence with its line, costed once a model."""

import csv
import io
import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from ulsam_cost import conventions
from ulsam_cost.audit import Verdict, cells_file
from ulsam_cost.audit.cells_file import check_cells, read_cells
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError

HEADER = "source,table,row,metric,printed,MODEL\n"
NUMBERED = "source,table,row,metric,printed,value,resolution,MODEL\n"


@pytest.fixture
def written(tmp_path):
    """Write a cells file as it stands, to the last byte."""

    def write(text):
        path = tmp_path / "cells.csv"
        path.write_bytes(text.encode())
        return path

    return write


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def as_csv(*rows):
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85", "\n", "\r\n", '"', ","])
def test_a_field_may_hold_whatever_csv_may(written, mark):
    table = f"Table{mark}7"
    cells = read_cells(written(HEADER + as_csv(["a", table, "1", "macs", "569M", "mv1"])))
    assert [cell.cell.table for cell in cells] == [table]


def test_a_short_row_and_empty_fields_too_many_are_no_fault(written):
    text = "source,table,row,metric,printed,MODEL,note,value\na,T,1,macs,569M,mv1\na,T,2,macs,569M,mv1,as printed, ,,\n"
    assert [(user.cell.row, user.cell.note) for user in read_cells(written(text))] == [("1", ""), ("2", "as printed")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_is_that_on_which_the_row_begins(written, end):
    rows = ['"a\nb",T,1,macs,569M,mv1', "", "a\u2028,T,2,macs,569M,mv1", '"a\n\nb",T,3,flops,569M,mv1']
    path = written((HEADER.rstrip() + "\n" + "\n".join(rows)).replace("\n", end))
    # the header, a row of two lines, an empty line, a row of one line: the row of three begins on line 6
    with pytest.raises(CostError, match=r"cells\.csv line 6: metric 'flops': accepted values are params, macs$"):
        read_cells(path)


def test_a_row_and_one_like_it_are_named_by_their_lines(written):
    row = '"a\nb",T,1,macs,569M,mv1\n'
    with pytest.raises(CostError, match="line 5: T row 1 macs stands in line 2 too"):
        read_cells(written(HEADER + row + "\n" + row))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"{'x' * 131_073},T,1,macs,4M,mv1\n", "line 2: the row that begins here cannot be read as CSV: field larger"),
        ('a,T,1,macs,4M,mv1\na,"T,2,macs,4M,mv1\n', "line 3: the row that begins here cannot be read as CSV: unexp"),
        ('"a" b,T,1,macs,4M,mv1\n', "line 2: the row that begins here cannot be read as CSV: ',' expected"),
        ("a,T,1\n", "line 2: metric '': accepted values are params, macs"),
        ("a,T,1,macs,4,200,000,mv1\n", "line 2: 8 fields: the header names 6; quote a field that holds a comma"),
        (f"a,T,1,macs,{'9' * 100_000},mv1\n", "line 2: '999999999999...9999999999999' is not a number"),
        (f"a,T,1,{'m' * 100_000},4M,mv1\n", "line 2: metric 'mmmmmmmmmmmm...mmmmmmmmmmmmm': accepted values are"),
        ("a,T,1,macs,1e99999999,mv1\n", "line 2: '1e99999999' is not a number"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_sentence(written, rows, said):
    result = run("crosscheck", "--cells", written(HEADER + rows))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said in result.stderr
    assert len(result.stderr) < 400


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "line 1: no column source, table, row, metric, printed, MODEL"),
        ("\n\nsource,table,row,metric,printed\n", "line 3: no column MODEL"),
        ("source,table,row,metric,printed,MODEL,printed\n", "line 1: column printed is given twice"),
        (f"{'x' * 131_073},{HEADER}", "line 1: the row that begins here cannot be read as CSV"),
    ],
)
def test_a_header_that_cannot_be_read_is_one_sentence(written, header, said):
    with pytest.raises(CostError, match=said):
        read_cells(written(header))


def test_value_and_resolution_are_taken_instead_of_the_printed_text(written):
    """As in a table whose column's heading holds the unit: 568.74 [M] of the 568,740,352 MACs of MobileNetV1."""
    rows = "a,T,1,macs,568.74,568740000,10000,mv1\na,T,2,macs,569,5.69E+8,1e6,mv1\na,T,3,macs,569M,,,mv1\n"
    path = written(NUMBERED + rows)
    numbers = [(user.cell.printed, user.cell.value, user.cell.resolution) for user in read_cells(path)]
    assert numbers == [
        ("568.74", Decimal(568_740_000), Decimal(10_000)),
        ("569", Decimal(569_000_000), Decimal(1_000_000)),
        ("569M", Decimal(569_000_000), Decimal(1_000_000)),
    ]
    assert [finding.verdict for finding in check_cells(path)] == [Verdict.MATCH] * 3


def test_the_unit_column_holds_the_prefix_of_the_printed_numbers(written):
    """ECA-Net's tables divide by powers of 1024: 25,557,032 / 1024 ** 2 = 24.3731, and not 24.37 million."""
    header = "source,table,row,metric,printed,unit,MODEL\n"
    rows = "a,T,1,params,24.37,Mi,resnet50\na,T,2,params,24.37,M,resnet50\na,T,3,macs,3.808, Gi,resnet50\n"
    rows += "a,T,4,params,25.56M,params,resnet50\na,T,5,params,25557032,1,resnet50\na,T,6,macs,4.089,G,resnet50\n"
    found = check_cells(written(header + rows))
    assert [finding.subject.printed for finding in found[:4]] == ["24.37Mi", "24.37M", "3.808Gi", "25.56M"]
    verdicts = [finding.verdict for finding in found]
    # 4,089,184,256 / 1024 ** 3 = 3.80835
    assert verdicts == [Verdict.MATCH, Verdict.UNEXPLAINED, *[Verdict.MATCH] * 4]


@pytest.mark.parametrize(
    ("printed", "unit", "said"),
    [
        (
            "4.1",
            "GMACs",
            "unit 'GMACs': accepted values are K, M, G, T, Ki, Mi, Gi, Ti, and for numbers as they are 1,",
        ),
        ("4.1", "k", "unit 'k': accepted values are K, M, G, T, Ki,"),
        ("4.1G", "G", "'4.1GG' is not a number: digits with at most one of K, M, G, T, Ki, Mi, Gi, Ti"),
    ],
)
def test_a_unit_that_cannot_be_read_is_one_sentence(written, printed, unit, said):
    path = written(f"source,table,row,metric,printed,unit,MODEL\na,T,1,macs,{printed},{unit},mv1\n")
    result = run("crosscheck", "--cells", path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"line 2: {said}" in result.stderr


def test_the_resolution_decides_and_not_the_printed_text(written):
    """568,740,352 MACs are 569M, and not 569,000 K."""
    rows = "a,T,1,macs,569M,569000000,1000000,mv1\na,T,2,macs,569M,569000000,1000,mv1\n"
    verdicts = [finding.verdict for finding in check_cells(written(NUMBERED + rows))]
    assert verdicts == [Verdict.MATCH, Verdict.UNEXPLAINED]


@pytest.mark.parametrize(
    ("value", "resolution", "said"),
    [
        ("1e99999999", "1", "value '1e99999999': a number of at most 30 digits"),
        ("1e-99999999", "1", "value '1e-99999999': a number of at most 30 digits"),
        ("0e99999999", "1", "value '0e99999999': a number of at most 30 digits"),
        ("569000000", "1e99999999", "resolution '1e99999999': a number of at most 30 digits"),
        ("1" * 31, "1", "a number of at most 30 digits"),
        ("NaN", "1", "value 'NaN': a number"),
        ("Infinity", "1", "value 'Infinity': a number"),
        ("569000000", "", "resolution '': a number"),
        ("569000000", "0", "resolution 0: a positive number is accepted"),
        ("569000000", "-1", "resolution -1: a positive number is accepted"),
        ("569500000", "1e6", "value 569500000 is not a multiple of resolution 1E+6"),
    ],
)
def test_a_bad_value_or_resolution_is_one_sentence(written, value, resolution, said):
    result = run("crosscheck", "--cells", written(f"{NUMBERED}a,T,1,macs,569M,{value},{resolution},mv1\n"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"line 2: {said}" in result.stderr or said in result.stderr


def test_a_model_is_costed_and_read_by_each_convention_once(written, monkeypatch):
    costed, read = [], []
    model_cost, (name, macs) = cells_file._model_cost, next(iter(conventions.CONVENTIONS.items()))
    monkeypatch.setattr(cells_file, "_model_cost", lambda user, **options: _noted(costed, model_cost(user, **options)))

    class Watched:
        counts_operations = True

        def number(self, cost):
            return _noted(read, macs.number(cost))

    monkeypatch.setitem(conventions.CONVENTIONS, name, Watched())
    rows = [f"a,T,{row},{metric},569M,mv1\n" for row in range(20) for metric in ("macs", "params")]
    assert len(check_cells(written(HEADER + "".join(rows) + "a,T,99,macs,300M,mv2\n"))) == 41
    assert (len(costed), len(read)) == (2, 2)


def _noted(notes, value):
    notes.append(value)
    return value


def test_code_is_refused_before_it_is_imported(written, tmp_path):
    model = tmp_path / "mine.py"
    model.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n", encoding="utf-8")
    rows = f"a,T,1,macs,569M,mv1\na,T,2,macs,300M,mv2 --resolution 224\na,T,3,macs,1M,{model}:net\n"
    path = written(HEADER + rows)
    result = run("crosscheck", "--cells", path, "--no-code")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "line 4: MODEL" in result.stderr
    assert "would import code" in result.stderr
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CostError, match="unknown name of"):
        check_cells(path)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["torchvision.models:resnet18", "mine:net"])
def test_a_module_is_code_as_a_file_is(written, name):
    with pytest.raises(CostError, match=r"line 2: .*would import code"):
        check_cells(written(f"{HEADER}a,T,1,macs,1M,{name}\n"), allow_code=False)


def test_networks_are_checked_without_code(written):
    path = written(
        "source,table,row,metric,printed,MODEL,input\na,T,1,macs,569M,mv1,\na,T,2,macs,569M,mv1,1x3x224x224\n"
    )
    result = run("crosscheck", "--cells", path, "--no-code", "--format", "json")
    assert [record["verdict"] for record in json.loads(result.stdout)] == ["match", "match"]


def test_a_name_that_no_file_can_have_is_a_file_that_is_not_there(written):
    result = run("crosscheck", "--cells", written(f"{HEADER}a,T,1,macs,1M,{'x' * 300}.py:net\n"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"line 2: there is no file {'x' * 300}.py" in result.stderr


def test_the_help_says_that_a_model_runs_code():
    said = " ".join(run("crosscheck", "--help").stdout.split())
    assert "imports that code and runs it" in said
    assert "--no-code" in said


def test_a_model_that_does_not_run_is_one_sentence_in_every_command_that_counts_it(written, tmp_path):
    model = tmp_path / "narrow.py"
    model.write_text(
        "import torch\nfrom torch import nn\ndef net():\n    return nn.Linear(3, 4), torch.zeros(2, 5)\n",
        encoding="utf-8",
    )
    name = f"{model}:net"
    for args in (
        ("crosscheck", "--cells", written(f"{HEADER}a,T,1,macs,1M,{name}\n")),
        ("explain", "--model", name, "--printed", "1M"),
        ("compare", "mv1", name),
        ("count", name),
    ):
        result = run(*args)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert f"{name} does not run on these inputs: RuntimeError" in result.stderr
    assert "line 2: " in run("crosscheck", "--cells", tmp_path / "cells.csv").stderr
