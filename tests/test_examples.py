"""The example and the guide are true: the committed report is what would be written, and what they run is run."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.report.site.build import stale_files
from ulsam_cost.reviewing.budget import UNITS
from ulsam_cost.reviewing.design import CANDIDATE_KEYS, KEYS, MEASURE_KEYS, read_design

ROOT = Path(__file__).parents[1]
DOORBELL = ROOT / "examples" / "doorbell"
GUIDE = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """The example in a folder of its own."""
    return Path(shutil.copytree(DOORBELL, tmp_path / "doorbell"))


@pytest.fixture
def shell(tmp_path, copy, warm):
    """A function that runs a command of the example in its folder, as a shell with the program on its path does."""
    program = tmp_path / "bin" / "ulsam-cost"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(warm)} -m ulsam_cost "$@"\n')
    program.chmod(0o755)
    summary = tmp_path / "summary.md"
    own = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(summary),
    }

    def run(command):
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
        done = subprocess.run(shell, cwd=copy, env=os.environ | own, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + (summary.read_text() if summary.exists() else "")

    return run


def widen_the_network(folder):
    net = folder / "net.py"
    net.write_text(net.read_text().replace("EXPANSION = 3", "EXPANSION = 4"))


@pytest.mark.parametrize(("design", "status"), [("design.toml", 1), ("ships.toml", 0)])  # a candidate is over
def test_the_committed_report_is_what_would_be_written(copy, design, status):
    result = CliRunner().invoke(main, ["review", str(copy / design), "--check", "--format", "json"])
    assert result.exit_code == status, result.output
    assert {change["status"] for change in json.loads(result.stdout)["changes"]} == {"unchanged"}
    folder = copy / design.replace(".toml", "_review")
    committed = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert CliRunner().invoke(main, ["review", str(copy / design)]).exit_code == 0
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written.keys() == committed.keys()
    then, now = (json.loads(files["costs.json"]) for files in (committed, written))
    if then.pop("versions") == now.pop("versions"):  # which the pages name
        page = written.pop("index.html")  # its style is that of all pages, and changes with it
        assert stale_files(DOORBELL / folder.name, written) == []
        assert b"</html>" in page
    assert then == now


def test_the_workflow_checks_and_says_what_changed(copy, shell):
    workflow = yaml.safe_load((copy / ".github/workflows/costs.yml").read_text())
    [step] = [step for step in workflow["jobs"]["costs"]["steps"] if "ulsam-cost" in step.get("run", "")]
    assert step["shell"] == "bash"  # which GitHub runs as `shell` does here
    status, said = shell(step["run"])
    assert (status, said) == (
        0,
        "**What the doorbell camera ships with: unchanged, and nothing is over budget.**\n",
    )
    widen_the_network(copy)
    status, said = shell(step["run"])
    assert status == 1
    assert '| "baseline" and "ULSAM after 5, 8, 11" | changed | layers.0.expand.0' in said
    assert "1 over budget, 2 changed" in (copy / "costs.md").read_text()


def test_the_hook_of_pre_commit_runs_the_check(copy, shell):
    [repository] = yaml.safe_load((copy / ".pre-commit-config.yaml").read_text())["repos"]
    [hook] = repository["hooks"]
    assert hook["pass_filenames"] is False
    for name in ("net.py", "gate.py", "ships.toml", "ships_review/costs.json"):
        assert re.search(hook["files"], name)
    assert shell(hook["entry"])[0] == 0
    widen_the_network(copy)
    status, said = shell(hook["entry"])
    assert status == 1
    assert "more layers: +38,404,000 MACs" in " ".join(said.split())


def test_the_tests_of_the_example_pass_and_fail_with_the_layers(shell, copy, warm):
    command = f"{shlex.join(warm)} -m pytest -q -p no:cacheprovider -p no:xdist test_costs.py"
    status, said = shell(command)
    assert status == 0, said
    widen_the_network(copy)
    status, said = shell(command)
    assert status == 1
    assert "over 690,000" in said
    assert "layers.11.expand.0" in said


def test_the_guide_names_every_key_and_its_design_is_read(tmp_path):
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, flags=re.M)
    assert tuple(rows) == KEYS
    for key in (*CANDIDATE_KEYS, *MEASURE_KEYS, *UNITS):
        assert f"`{key}`" in GUIDE, key
    [design] = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.S)
    path = tmp_path / "design.toml"
    path.write_text(design)
    assert [candidate.budget["params"] for candidate in read_design(path).candidates] == [690_000, 680_000]
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.S):
        exec(compile(block, "review.md", "exec"), {})
    for target in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
