"""The README is executed: its commands print what it shows, its Python runs, its set-up commands are two."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from ulsam_cost.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_there_are_two_set_up_commands_and_ci_reads_them():
    assert len(blocks("sh")) == 2
    assert all(len(block.splitlines()) == 1 and "-c constraints.txt" in block for block in blocks("sh"))
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    starts = re.findall(r"readme_command '([^']+)'", ci)
    for block in blocks("sh"):
        assert sum(block.startswith(start) for start in starts) == 1


def test_the_console_examples_print_what_is_shown():
    shown = "".join(blocks("console"))
    examples = re.findall(r"\$ ulsam-cost ([^\n]*)\n(.*?)(?=\n\$ |\Z)", shown, flags=re.S)
    assert len(examples) >= 2
    for command, output in examples:
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == output.strip()


def test_the_python_example_runs(capsys):
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "517059072 3966248" in printed


def test_pictures_and_links_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
