"""`overhead`: what the mechanisms add, swept, as tables and as a picture."""

import csv
import io
import itertools
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.counting.overheads import overhead_rows
from ulsam_cost.errors import CostError, SizeError
from ulsam_cost.formulas.attention import REGISTERED, get_mechanism, mechanisms
from ulsam_cost.formulas.attention.mechanism import GROUPS
from ulsam_cost.report.views.overhead import swept_lines


def run(*args):
    return CliRunner().invoke(main, ["overhead", *map(str, args)])


def rows_of(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_range_ends_with_its_stop_and_goes_by_its_step():
    rows = rows_of("--m", "64:1024:64", "--mechanisms", "se")
    assert [row["m"] for row in rows] == list(range(64, 1025, 64))
    assert [row["params"] for row in rows] == [2 * m * (m // 16) for m in range(64, 1025, 64)]


def test_values_and_ranges_may_stand_side_by_side_and_each_counts_once():
    assert [row["m"] for row in rows_of("--m", "96, 64:66,65", "--mechanisms", "ulsam")] == [96, 64, 65, 66]
    sizes = [(row["h"], row["w"]) for row in rows_of("--hw", "7,14x5,28:42:14", "--mechanisms", "ulsam")]
    assert sizes == [(7, 7), (14, 5), (28, 28), (42, 42)]


def test_every_mechanism_at_every_point():
    rows = rows_of("--m", "64,96", "--hw", "7,14", "--mechanisms", "all")
    points = [(row["m"], row["h"], row["mechanism"]) for row in rows]
    assert points == [(m, h, name) for m in (64, 96) for h in (7, 14) for name in REGISTERED]
    assert {row["mechanism"] for row in rows_of()} == {"non_local", "a2", "se", "bam", "cbam", "ulsam"}


def test_groups_pick_their_mechanisms():
    picked = {row["mechanism"] for row in rows_of("--mechanisms", "channel, replacing,se,ulsam")}
    groups = {mechanism.name: mechanism.group for mechanism in mechanisms()}
    assert picked == {name for name, group in groups.items() if group in ("channel", "replacing")} | {"ulsam"}
    assert {"se", "eca", "gct"} < picked
    assert all(row["group"] == groups[row["mechanism"]] for row in rows_of("--mechanisms", "all"))
    assert set(groups.values()) == set(GROUPS)


def test_a_mechanism_that_cannot_take_a_map_leaves_the_others_theirs():
    args = ("--m", "64,96", "--mechanisms", "sge,eca")
    rows = {(row["m"], row["mechanism"]): row for row in rows_of(*args)}
    assert (rows[64, "sge"]["params"], rows[96, "eca"]["macs"]) == (2 * 64, 3 * 96)
    assert [rows[96, "sge"][unit] for unit in ("params", "macs", "whole_params", "whole_macs")] == [None] * 4
    assert "groups = 64 does not divide channels = 96" in rows[96, "sge"]["refused"]
    assert "sge on 96 x 14 x 14: groups = 64 does not divide" in run(*args).stdout
    alone = run("--m", "96", "--mechanisms", "sge")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert "sge on 96 x 14 x 14: groups = 64 does not divide channels = 96" in alone.stderr


def test_all_mechanisms_fit_a_hundred_columns():
    for lines in (run("--mechanisms", "all").stdout, run("--mechanisms", "all", "--m", "1024", "--hw", "56").stdout):
        assert max(map(len, lines.splitlines())) <= 100


def test_the_papers_setting():
    """M = 512, r = 16, t = m / 8, 14 x 14, by hand."""
    rows = {row["mechanism"]: row for row in rows_of("--mechanisms", "all")}
    assert (rows["ulsam"]["params"], rows["ulsam"]["macs"]) == (2 * 512, 2 * 512 * 196)
    assert (rows["a2"]["params"], rows["a2"]["macs"]) == (
        2 * 512 * (128 + 64),
        196 * (2 * 512 * (128 + 64) + 2 * 128 * 64),
    )
    assert rows["gc"]["macs"] == 2 * 512 * 196 + 2 * 512 * 32


def test_what_stands_in_place_of_a_convolution_is_counted_over_it():
    rows = {row["mechanism"]: row for row in rows_of("--m", 256, "--hw", 7, "--mechanisms", "aw,sk,se")}
    assert rows["aw"]["params"] == 16 * (256 + 256) + 2 * (16 + 256)
    assert rows["aw"]["whole_params"] == 9 * 256 * 256 + rows["aw"]["params"]
    assert rows["aw"]["macs"] == 16 * (256 + 256) * 9
    assert rows["sk"]["params"] == 9 * 256 * 256 + 2 * 256 + 3 * 256 * 16 + 2 * 16
    assert rows["sk"]["macs"] == 9 * 256 * 256 * 49 + 3 * 256 * 16
    assert rows["sk"]["whole_macs"] == 2 * (9 * 256 * 256 * 49) + 3 * 256 * 16
    assert (rows["se"]["params"], rows["se"]["macs"]) == (rows["se"]["whole_params"], rows["se"]["whole_macs"])


def test_the_letters_reach_the_mechanisms():
    base = ("--m", 96, "--mechanisms")
    assert rows_of(*base, "se", "--r", 8)[0]["params"] == 2 * 96 * 12
    assert rows_of(*base, "a2", "--t", 5)[0]["params"] == 2 * 96 * (24 + 5)
    assert rows_of(*base, "ulsam", "--style", "release", "--g", 3)[0]["params"] == 5 * 96 + 3 * 3


def test_the_formats_show_the_same_numbers():
    args = ("--m", "64,96", "--mechanisms", "se,sk")
    rows = rows_of(*args)
    assert list(rows[0]) == [
        "mechanism",
        "group",
        "m",
        "h",
        "w",
        "params",
        "macs",
        "whole_params",
        "whole_macs",
        "replaces_convolution",
        "refused",
    ]
    read = list(csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)))
    assert [(int(row["m"]), row["mechanism"], int(row["macs"])) for row in read] == [
        (row["m"], row["mechanism"], row["macs"]) for row in rows
    ]
    for style in ("table", "markdown", "latex"):
        shown = run(*args, "--format", style).stdout
        assert all(f"{row['macs']:,}" in shown for row in rows)
    assert "sk: what is added to the plain convolution that it replaces" in run(*args).stdout
    assert "over the plain" not in run("--m", 64).stdout


class TestPicture:
    def test_it_is_a_png_with_one_line_a_mechanism_on_log_axes(self, tmp_path, monkeypatch):
        from ulsam_cost.report.figures import overhead as figures_sweep
        from ulsam_cost.report.figures.style import GROUP_COLOURS

        drawn = []
        monkeypatch.setattr(figures_sweep, "to_png", lambda figure: drawn.append(figure) or b"png")
        assert run("--m", "64:256:64", "--mechanisms", "all", "--picture", tmp_path / "new" / "a.png").exit_code == 0
        assert (tmp_path / "new" / "a.png").read_bytes() == b"png"
        params, macs = drawn[0].axes
        for axis, unit in ((params, "params"), (macs, "macs")):
            assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
            assert [line.get_label() for line in axis.lines] == list(REGISTERED)
            groups = [GROUP_COLOURS[get_mechanism(name).group] for name in REGISTERED]
            assert [line.get_color() for line in axis.lines] == groups
            rows = rows_of("--m", "64:256:64", "--mechanisms", "all")
            for line in axis.lines:
                assert list(line.get_ydata()) == [
                    row[unit] for row in rows if row["mechanism"] == line.get_label() and not row["refused"]
                ]

    def test_lines_are_named_at_their_ends_and_a_legend_has_groups_alone(self, tmp_path, monkeypatch):
        from ulsam_cost.report.figures import overhead as figures_sweep

        drawn = []
        monkeypatch.setattr(figures_sweep, "to_png", lambda figure: drawn.append(figure) or b"png")
        assert run("--m", "128:512:128", "--mechanisms", "all", "--picture", tmp_path / "a.png").exit_code == 0
        assert run("--m", "128:512:128", "--mechanisms", "se,ulsam", "--picture", tmp_path / "b.png").exit_code == 0
        many, few = drawn
        assert [text.get_text() for text in many.legends[0].get_texts()] == list(GROUPS)
        assert not few.legends
        for axis in many.axes:
            *named, left = (text for text in axis.texts)
            undrawn = left.get_text().partition(": ")[2].split(", ")
            assert sorted([*undrawn, *(text.get_text() for text in named)]) == sorted(REGISTERED)
            assert {"simam", "psa"} <= set(undrawn)  # no parameters, and fewer than the convolution
            heights = sorted(text.xyann[1] for text in named)
            assert min(b - a for a, b in itertools.pairwise(heights)) > 0.03

    def test_names_are_spread_as_near_as_the_gap_allows(self):
        from ulsam_cost.report.figures.overhead import spread

        assert spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
        assert spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.5, 0.6, 0.7])
        assert spread([0.5, 0.95, 0.95], 0.1) == pytest.approx([0.5, 0.9, 1.0])
        assert spread([0.0, 0.0, 0.0], 0.6) == pytest.approx([0.0, 0.6, 1.2])

    def test_the_same_bytes_on_every_run(self, tmp_path):
        for name in ("a.png", "b.png"):
            assert run("--hw", "7,14,28,56", "--picture", tmp_path / name).exit_code == 0
        one, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
        assert one == other
        assert one.startswith(b"\x89PNG")

    def test_a_row_for_each_map_size_when_both_are_swept(self, tmp_path):
        assert run("--m", "64,128", "--hw", "7,14x5", "--picture", tmp_path / "a.png").exit_code == 0
        result = run("--m", "64,128", "--hw", "7:13", "--picture", tmp_path / "b.png")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "7 map sizes over channels: 6 or fewer are accepted" in result.stderr
        assert not (tmp_path / "b.png").exists()

    def test_one_line_over_positions_when_the_channels_are_one(self):
        records = overhead_rows([get_mechanism("ulsam")], [64], [(7, 7), (2, 5)])
        assert list(swept_lines(records, "macs")) == [("ulsam", [10, 49], [2 * 64 * 10, 2 * 64 * 49])]

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        result = run("--picture", tmp_path / "file" / "a.png")
        assert result.exit_code == 1
        assert "cannot write into" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--m", "64,8", "--r", "16"), "reduction r = 16 leaves no channel of m = 8: 1 to 8"),
        (("--m", "0"), "'0' is not a positive whole number"),
        (("--m", "64.5"), "'64.5' is not a positive whole number"),
        (("--m", "64:32"), "'64:32' is not a range: START:STOP:STEP, as in 64:1024:64, is accepted"),
        (("--m", "64:128:0"), "'64:128:0' is not a range"),
        (("--m", "1:2:3:4"), "'1:2:3:4' is not a range"),
        (("--m", ""), "'' is not a positive whole number"),
        (("--m", "1:999999999"), "has more than 20,000 values: a larger step is accepted"),
        (("--m", "16:5000", "--hw", "7,14,28,56"), "a sweep of 119,640 rows: at most 20,000 are accepted"),
        (("--hw", "14x"), "'14x' is not a size"),
        (("--hw", "4", "--mechanisms", "ge"), "ge on 512 x 4 x 4: extent = 8 on a map of 4 x 4"),
        (("--mechanisms", "cbm"), "unknown attention mechanism 'cbm': did you mean 'cbam'?"),
        (("--mechanisms", ""), "unknown attention mechanism ''"),
        (("--g", "3"), "g = 3 does not divide m = 512"),
        (("--r", "0"), "'0' is not a positive whole number"),
        (("--t", "0"), "'0' is not a positive whole number"),
    ],
)
def test_bad_input_is_one_sentence(args, message):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_on_few_channels_the_reduction_leaves_one():
    # SE's two layers, [8, 1] and [1, 8]
    assert rows_of("--m", "8", "--hw", "14", "--mechanisms", "se")[0]["params"] == 8 * 1 + 1 * 8


def test_in_python_the_error_is_the_projects_own():
    with pytest.raises(CostError, match="reduction r = 16 leaves no channel of m = 8"):
        overhead_rows([get_mechanism("bam")], [8], [(7, 7)], r=16)
    with pytest.raises(SizeError, match="at most 20,000"):
        overhead_rows(mechanisms(), range(16, 10_000), [(7, 7)])


def test_a_mechanism_that_replaces_nothing_adds_its_own_cost():
    mechanism = replace(get_mechanism("sk"), replaces=None)
    (row,) = overhead_rows([mechanism], [64], [(7, 7)])
    assert row.params == row.whole_params
