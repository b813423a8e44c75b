"""The report: written whole, the same on every run, checked against what stands."""

import os
import re

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.report.files import write_files


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new" / "reports"
    result = CliRunner().invoke(main, ["report", "--out", str(folder), "--repeats", "2"])
    assert result.exit_code == 0, result.output
    return folder


def check(folder):
    return CliRunner().invoke(main, ["report", "--check", "--out", str(folder)])


def test_what_was_written_passes_the_check_and_a_change_does_not(written):
    assert check(written).exit_code == 0
    page = written / "ulsam.md"
    kept = page.read_bytes()
    page.write_bytes(kept.replace(b"4,231,976", b"4,231,977", 1))
    try:
        result = check(written)
        assert (result.exit_code, "ulsam.md is not what would be written now" in result.stderr) == (1, True)
    finally:
        page.write_bytes(kept)


def test_a_missing_or_changed_picture_fails_the_check(written):
    picture = written / "overheads.png"
    kept = picture.read_bytes()
    picture.write_bytes((written / "layers_mv1.png").read_bytes())
    try:
        assert check(written).exit_code == 1
        picture.unlink()
        assert check(written).exit_code == 1
    finally:
        picture.write_bytes(kept)


def test_every_link_and_picture_is_there(written):
    for page in written.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (written / target).is_file(), f"{page.name} links to {target}"


def test_no_cell_of_the_tables_is_left_out(written):
    page = (written / "ulsam.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"## (Table \d+)\n\n(.*?)(?=\n## |\Z)", page, flags=re.S))
    rows = {name: text.count("\n|") - 1 for name, text in sections.items()}
    assert rows == {
        "Table 6": 2 * 6,
        "Table 7": 2 * 12,
        "Table 8": 2 * 4,
        "Table 9": 2 * 5,
        "Table 10": 2 * 7,
        "Table 11": 2 * 7,
        "Table 12": 2 * 7,
    }


def test_a_folder_that_cannot_be_written_is_one_sentence_and_exit_1(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    result = CliRunner().invoke(main, ["report", "--out", str(tmp_path / "file" / "reports")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot write into")
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def test_files_are_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "b.md").mkdir()  # moving the second file onto a folder fails
    with pytest.raises(Exception, match="cannot write into"):
        write_files(tmp_path, {"b.md": b"new", "c.md": b"new"})
    assert not (tmp_path / "c.md").exists()
    assert not list(tmp_path.glob(".writing-*"))
