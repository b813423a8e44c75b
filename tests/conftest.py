"""Settings and fixtures that tests share."""

import gc
import os
import subprocess
import sys

# Several workers share the cores: a thread each is faster than all of them for each. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_collection_finish():
    """Leave what was imported out of collections: a measurement begins with one, which looked at a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pictures():
    """The functions that draw the report's pictures, by name: each draws once for the tests of this process."""
    from ulsam_cost.report.site import build

    return {name: cache(drawing) for name, drawing in vars(build).items() if name.endswith("_pictures")}


@pytest.fixture(scope="module")
def drawn_once(pictures):
    """Reports in this module are made of pictures that are drawn once: pictures are most of a report's time."""
    from ulsam_cost.report.site import build

    with pytest.MonkeyPatch.context() as patch:
        for name, drawing in pictures.items():
            patch.setattr(build, name, drawing)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """The pictures of reviews are made as always, and not drawn, which is most of a review's time."""
    from matplotlib import pyplot as plt

    from ulsam_cost.report.figures import review

    dot = BytesIO()
    plt.imsave(dot, [[0.0]], format="png")
    monkeypatch.setattr(review, "to_png", lambda figure: plt.close(figure) or dot.getvalue())


@pytest.fixture(scope="session")
def onnx_operators():
    """PyTorch's exporter parses the source of its 500 operators for each model: here once in a process."""
    if find_spec("onnxscript") is None:
        yield
        return
    from onnxscript.values import TracedOnnxFunction

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TracedOnnxFunction, "function_ir", property(cache(TracedOnnxFunction.function_ir.fget)))
        yield


@pytest.fixture(scope="session")
def warm():
    """The words that begin a command in the place of `python`: what it runs need not import PyTorch (see warm.py)."""
    program, root = Path(__file__).with_name("warm.py"), Path(__file__).parents[1]
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(program), f"{folder}/socket"]
        environment = os.environ | {"PYTHONPATH": str(root)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as server:  # which ends when its input is closed
            assert server.stdout.readline() == "ready\n"
            yield [sys.executable, "-S", "-E", *command[1:]]
