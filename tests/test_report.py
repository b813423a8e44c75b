"""The report: written whole, the same on every run, checked against what stands."""

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib import pyplot as plt

from ulsam_cost.audit.evidence import run_audit
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError
from ulsam_cost.report.document.model import slug
from ulsam_cost.report.site.build import report_files, stale_files, timed_findings

pytestmark = pytest.mark.usefixtures("drawn_once")  # the second run draws in its own process

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "ulsam_cost" / "published"
CHECKED = (
    "README.md",
    "ulsam.md",
    "ulsam_poster.md",
    "aw.md",
    "dca.md",
    "field.md",
    "table1.md",
    "catalogue.md",
    "published_times.md",
    "timm_exam.md",
    "networks.md",
    "conventions.md",
    "every_number.md",
    "index.html",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new" / "reports"
    result = CliRunner().invoke(main, ["report", "--out", str(folder), "--repeats", "2"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def contents(written):
    """The files of the report that are compared, as they were written."""
    return {path.name: path.read_bytes() for path in written.iterdir() if not path.name.startswith("measured")}


@pytest.fixture
def changed(written):
    """A function that changes a file of the report until the test is over."""
    kept = {}

    def change(name, content):
        path = written / name
        kept.setdefault(path, path.read_bytes())
        path.write_bytes(content)
        return path

    yield change
    for path, content in kept.items():
        path.write_bytes(content)


def check(folder):
    result = CliRunner().invoke(main, ["report", "--check", "--out", str(folder)])
    return result.exit_code, [Path(line.split(" is not ")[0]).name for line in result.stderr.splitlines()]


def printed(name):
    with (PUBLISHED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cost_cells():
    return [row for row in printed("cells.csv") if row["metric"] in ("params", "macs", "params_norm", "macs_norm")]


def table_rows(text):
    """The rows of each Markdown table below each heading."""
    parts = re.split(r"^## (.*)\n", text, flags=re.M)
    return {
        title: len(re.findall(r"^\|", body, flags=re.M)) - 2
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_what_was_written_passes_the_check(written):
    assert check(written) == (0, [])
    assert {path.name for path in written.iterdir()} >= {*CHECKED, "measured.md", "measured.html", "overheads.png"}


def test_one_changed_digit_of_any_page_fails_the_check(written, changed):
    for name in CHECKED:
        content = (written / name).read_bytes()
        place = max(content.rindex(digit) for digit in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"))
        changed(name, content[:place] + (b"0" if content[place] != ord("0") else b"1") + content[place + 1 :])
    changed("measured.md", b"other timings, which are not compared")
    assert check(written) == (1, list(CHECKED))


def test_a_changed_missing_or_broken_picture_is_stale(written, contents, changed):
    for content in (contents["layers_mv1.png"], b"no picture", b"", contents["overheads.png"][:5000]):
        changed("overheads.png", content)
        assert stale_files(written, contents) == ["overheads.png"]
    (written / "overheads.png").unlink()
    assert stale_files(written, contents) == ["overheads.png"]


def test_another_picture_within_the_page_is_stale(written, contents, changed):
    one, other = (b64encode(contents[name]) for name in ("overheads.png", "verdicts.png"))
    assert contents["index.html"].count(one) == 1
    changed("index.html", contents["index.html"].replace(one, other))
    assert stale_files(written, contents) == ["index.html"]
    changed("index.html", contents["index.html"].replace(one, one[:4000]))
    assert stale_files(written, contents) == ["index.html"]


def test_pictures_that_differ_by_a_rounding_are_the_same(written, contents, changed):
    pixels = plt.imread(BytesIO(contents["overheads.png"]))
    pixels[10, 10, :3] = 254 / 255
    file = BytesIO()
    plt.imsave(file, pixels, format="png")
    changed("overheads.png", file.getvalue())
    page = contents["index.html"].replace(b64encode(contents["overheads.png"]), b64encode(file.getvalue()))
    changed("index.html", page)
    assert page != contents["index.html"]
    assert stale_files(written, contents) == []


def test_missing_timings_are_stale(written, contents, changed):
    changed("measured.html", b"").unlink()
    assert stale_files(written, contents) == ["measured.html"]


def test_a_report_without_timings_links_none_and_passes_the_check(tmp_path):
    assert CliRunner().invoke(main, ["report", "--no-latency", "--out", str(tmp_path)]).exit_code == 0
    test_every_link_and_picture_is_there(tmp_path)
    assert "measured.md" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert check(tmp_path) == (0, [])


def test_what_is_no_longer_written_is_noticed(written, tmp_path):
    for path in written.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("layers_gone.png", "gone.md", "counters.png", "latency_cpu_roofline.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    result = CliRunner().invoke(main, ["report", "--check", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{tmp_path / name} is no longer written: it can be removed" for name in ("gone.md", "layers_gone.png")
    ]


def test_timings_stand_in_their_own_pages_alone(written):
    ratio = re.search(r"\| *([0-9.]+) \| *[0-9.]+ \| *[0-9.]+ \|\n", (written / "measured.md").read_text())[1]
    assert ratio in (written / "measured.html").read_text(encoding="utf-8")
    assert "with ULSAM, ms" in (written / "measured.md").read_text(encoding="utf-8")
    for name in CHECKED:
        assert "with ULSAM, ms" not in (written / name).read_text(encoding="utf-8")


def test_a_second_run_in_another_place_writes_the_same_bytes(written, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("measured.md", "measured.html"):
        (tmp_path / "elsewhere" / name).write_bytes((written / name).read_bytes())
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Kathmandu"}
    command = [sys.executable, "-m", "ulsam_cost", "report", "--no-latency", "--out", "elsewhere"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    again = {path.name: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()}
    assert again.keys() == {path.name for path in written.iterdir()}
    assert [name for name, content in again.items() if content != (written / name).read_bytes()] == []


def test_no_dates_and_no_paths_of_this_machine(written):
    for path in written.glob("*.[mh]*"):
        text = re.sub(r"base64,[^\"]+|<script>.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b", text), path.name
        for place in (str(ROOT), str(Path.home()), str(written)):
            assert place not in text, path.name


def test_every_link_and_picture_is_there(written):
    targets = 0
    for page in written.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for file, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", text):
            there = written / file if file else page
            assert there.is_file(), f"{page.name} links to {file}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.M)
                assert anchor in map(slug, headings), f"{page.name} links to {file}#{anchor}"
            targets += 1
    assert targets > 50


def test_a_page_of_another_command_is_linked_where_it_stands(tmp_path, contents):
    (tmp_path / "counters.md").write_text("# Counters\n", encoding="utf-8")
    files = report_files(tmp_path, run_audit(), measured=True)
    linking = [name for name, content in files.items() if content != contents[name]]
    assert linking == ["README.md", "index.html"]
    assert b"[Counters](counters.md)" in files["README.md"]
    assert b'href="counters.md"' in files["index.html"]


def timed_placement(batch, macs_pct, verdict, mode="eager", section="placement"):
    facts = {"section": section, "network": "mv1", "width": 1.0, "batch": batch, "mode": mode}
    timed = {"network": {"median_ms": 1.0}, "baseline": {"median_ms": 1.0}, "verdict": verdict}
    return {"facts": facts, "macs_pct": macs_pct, "latency": timed}


def test_placements_that_cost_time_are_among_the_first_three_findings(tmp_path):
    rows = [
        *[timed_placement(1, -9.0, verdict) for verdict in ("slower", "slower", "faster", "no difference shown")],
        *[timed_placement(64, -9.0, verdict) for verdict in ("slower", "faster")],
        timed_placement(1, 0.04, "slower"),
        timed_placement(1, -9.0, "slower", mode="compile"),
        timed_placement(1, -9.0, "slower", section="network"),
        {"facts": {"section": "placement", "batch": 1, "mode": "eager"}, "macs_pct": -9.0, "error": "no memory"},
    ]
    record = {"machine": {"name": "Toaster"}, "rows": rows}
    (tmp_path / "latency_cpu.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "latency_cpu.md").write_text("# Measured\n", encoding="utf-8")
    page = report_files(tmp_path, run_audit())["README.md"].decode()
    first_three = [paragraph.rstrip() for paragraph in page.split("\n\n")[2].split("- ")[1:4]]
    wanted = (
        "**2 of 4 placements of ULSAM that save MACs take more time** than the plain network on Toaster at batch 1, "
        "1 of 2 at batch 64 ([measured](latency_cpu.md))."
    )
    assert wanted in first_three


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}, "rows": [{}]}', '{"machine": {}, "rows": 7}'])
def test_a_file_that_is_no_record_of_timings_is_one_sentence(tmp_path, content):
    (tmp_path / "latency_cpu.json").write_text(content, encoding="utf-8")
    with pytest.raises(
        CostError, match=r"latency_cpu.json is not a record of python -m analyses.latency: run it again"
    ) as error:
        timed_findings(tmp_path)
    assert "\n" not in str(error.value)


def test_the_committed_study_is_told_as_it_stands_and_the_readme_says_the_same():
    rows = json.loads((ROOT / "reports" / "latency_cpu.json").read_text(encoding="utf-8"))["rows"]
    saving = [row for row in rows if row["facts"]["section"] == "placement" and row["macs_pct"] < 0]
    verdicts = Counter((row["facts"]["batch"], row["latency"]["verdict"]) for row in saving)
    told = f"{verdicts[1, 'slower']} of {sum(row['facts']['batch'] == 1 for row in saving)} placements"
    assert f"{told} of ULSAM that save MACs take more time" in str(timed_findings(ROOT / "reports"))
    assert f"{told} that save MACs take more time" in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_readme_says_what_the_study_of_the_runtimes_found():
    rows = json.loads((ROOT / "reports" / "runtimes_cpu.json").read_text(encoding="utf-8"))["rows"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for wanted, told in (
        (
            "8:1,9:1,11",
            "{} times the plain network's time in PyTorch, {} times in ONNX Runtime, {} times in OpenVINO and {}",
        ),
        ("13,14,16,17", "the same MobileNetV2 {}, {}, {} and {} times"),
    ):
        facts = {"positions": wanted, "width": 1.0, "groups": 4, "dtype": "float32", "threads": 1}
        own = [row for row in rows if facts.items() <= row["facts"].items()]
        assert [row["facts"]["runtime"] for row in own] == ["torch", "onnxruntime", "openvino", "executorch"]
        assert told.format(*(f"{row['latency']['ratio']['median']:.3f}" for row in own)) in readme
    alike = {"section": "placement", "dtype": "float32", "threads": 1}
    saving = [row for row in rows if alike.items() <= row["facts"].items() and row["macs_pct"] < 0]
    total, faster = (
        Counter(row["facts"]["runtime"] for row in saving if row["latency"]["verdict"] in verdicts)
        for verdicts in (("faster", "slower", "no difference shown"), ("faster",))
    )
    assert set(total.values()) == {27}
    told = "Of 27 placements that save MACs, {torch} takes less time in PyTorch, {onnxruntime} in ONNX Runtime, "
    assert (told + "{openvino} in OpenVINO and {executorch} in ExecuTorch").format(**faster) in readme


def test_no_cell_of_the_tables_is_left_out(written):
    wanted = Counter((row["source"], row["table"].lower()) for row in cost_cells())
    found = {}
    for source in ("ulsam", "ulsam_poster", "aw", "dca"):
        rows = table_rows((written / f"{source}.md").read_text(encoding="utf-8"))
        found |= {(source, title.lower()): count for title, count in rows.items()}
    assert {key: found.get(key) for key in wanted} == wanted
    every = table_rows((written / "every_number.md").read_text(encoding="utf-8"))
    assert every == {"Cells": 350, "Costs printed in repositories": 211, "Claims": 66}


def test_no_claim_of_the_texts_is_left_out(written):
    for source, claims in Counter(row["source"] for row in printed("claims.csv")).items():
        rows = table_rows((written / f"{source}.md").read_text(encoding="utf-8"))
        assert rows["Numbers in the text"] == claims


def test_the_opening_has_every_explanation(written):
    page = (written / "README.md").read_text(encoding="utf-8").replace("\\", "")
    entries = tomllib.loads((PUBLISHED / "explanations.toml").read_text(encoding="utf-8"))["explanation"]
    assert len(entries) == 27
    for entry in entries:
        assert entry["reason"] in page


def test_the_layers_of_a_network_add_up_to_its_total(written):
    text = (written / "networks.md").read_text(encoding="utf-8")
    section = text.split("\n## MobileNetV1\n")[1].split("\n## ")[0]
    for table, params, macs in zip(
        re.findall(r"(?:^\|.*\n)+", section, flags=re.M), (4231976, 3966248), (568740352, 517059072), strict=True
    ):
        rows = [[cell.strip().replace(",", "") for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
        derived, counted = ([sum(int(row[place]) for row in rows) for place in places] for places in ((3, 5), (4, 6)))
        assert derived == counted == [params, macs]


def test_a_folder_that_cannot_be_written_is_one_sentence_and_exit_1(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    result = CliRunner().invoke(main, ["report", "--out", str(tmp_path / "file" / "reports")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot write into")
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]
