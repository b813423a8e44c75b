"""The benchmark of mechanisms compares what computes the same map."""

import runpy
from pathlib import Path

import pytest
import torch

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "mechanisms.py"))


@pytest.mark.parametrize("name", BENCHMARK["STRUCTURES"])
def test_a_module_gives_what_its_authors_structure_gives(name, monkeypatch):
    monkeypatch.setitem(BENCHMARK["pair"].__globals__, "CHANNELS", 128)
    monkeypatch.setitem(BENCHMARK["pair"].__globals__, "SIZE", 7)
    module, plain = BENCHMARK["pair"](name)
    x = torch.randn(2, 128, 7, 7)
    with torch.no_grad():
        result = module(x)
        torch.testing.assert_close(result, plain(x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(result, x, atol=1e-2)


def test_the_benchmark_prints_a_ratio(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mechanisms.py", "gct", "--device", "cpu", "--batch", "1", "--repeats", "3"])
    BENCHMARK["main"]()
    assert capsys.readouterr().out.splitlines()[2].split()[0] == "gct"
