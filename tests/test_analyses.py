"""Each study runs as it is."""

import runpy
from pathlib import Path

import pytest

ANALYSES = Path(__file__).parents[1] / "analyses"


@pytest.mark.parametrize(
    ("script", "shown"),
    [("table1.py", "ulsam"), ("mobilenets.py", "517,059,072")],
)
def test_a_study_prints_its_table(script, shown, capsys):
    runpy.run_path(str(ANALYSES / script), run_name="__main__")
    printed = capsys.readouterr().out
    assert shown in printed
    assert "NO" not in printed
