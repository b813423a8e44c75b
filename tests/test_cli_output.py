"""Standard output is data: what a model prints, writes or calls itself neither mixes with it nor ends the program."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main

ROOT = Path(__file__).parents[1]
NOISE = ("printed", "written", "from C", "by a child", "to the first stdout")
MODEL = """
import atexit, ctypes, os, subprocess, sys
import torch
from torch import nn

def noise(where):
    print("printed", where)
    os.write(1, b"written " + where.encode() + b"\\n")
    ctypes.CDLL(None).printf(b"from C " + where.encode() + b"\\n")
    subprocess.run(["echo", "by a child", where])
    print("to the first stdout", where, file=sys.__stdout__)

noise("importing")
if "ulsam_cost" in sys.argv[0]:  # where it is the program that ends
    atexit.register(noise, "at exit")

class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 8)
    def forward(self, x):
        noise("forward")
        return self.linear(x)

def loud():
    noise("building")
    return Loud(), torch.zeros(2, 4)

class Leaving(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.linear, self.how, self.calls = nn.Linear(4, 8), how, 0
    def forward(self, x):
        self.how(self)
        return self.linear(x)

def leaves():
    return Leaving(lambda self: sys.exit(0)), torch.zeros(2, 4)

def leaves_at_last():
    def how(self):
        self.calls += 1
        if self.calls > 4:
            sys.exit(0)
    return Leaving(how), torch.zeros(2, 4)

def leaves_when_built():
    sys.exit(0)

class Ended(BaseException):
    pass

def ends():
    def how(self):
        raise Ended("enough")
    return Leaving(how), torch.zeros(2, 4)
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "loud.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


def program(*args, python=(sys.executable,)):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*python, "-m", "ulsam_cost", *map(str, args)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize(
    "args",
    [
        ("count", "{}:loud"),
        ("compare", "{}:loud", "{}:loud"),
        ("explain", "--model", "{}:loud", "--printed", "64"),
        ("measure", "{}:loud", "--repeats", "2"),
    ],
    ids=lambda args: args[0],
)
def test_a_model_that_prints_leaves_the_data_alone(model_file, args, warm):
    done = program(*(arg.format(model_file) for arg in args), "--format", "json", python=warm)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for noise in NOISE:
        for where in ("importing", "building", "forward", "at exit"):
            assert f"{noise} {where}\n" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "sys.stdout = sys.__stdout__",
        "sys.stdout.close()",
        "sys.stdout = open(os.devnull, 'w')",
        "logging.basicConfig(stream=sys.stdout); atexit.register(logging.warning, 'printed')",
        "threading.Timer(1, print, ['printed']).start()",
    ],
)
@pytest.mark.parametrize("name", ["small", "missing"])
def test_a_model_that_changes_standard_output_leaves_the_data_alone(tmp_path, line, name, warm):
    path = tmp_path / "changing.py"
    path.write_text(
        "import atexit, io, logging, os, sys, threading\n"
        f"{line}\n"
        "import torch\n"
        "def small():\n"
        "    if not sys.stdout.closed:\n        print('printed')\n"
        "    return torch.nn.Linear(4, 4), torch.zeros(1, 4)\n",
        encoding="utf-8",
    )
    done = program("count", f"{path}:{name}", "--format", "json", python=warm)
    assert "Traceback" not in done.stderr
    if name == "small":
        assert json.loads(done.stdout)["macs"] == 4 * 4
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert f"unknown name of {path} 'missing'" in done.stderr


def test_a_model_that_prints_leaves_the_data_of_a_test_alone(model_file):
    result = run("count", f"{model_file}:loud", "--format", "json")
    assert json.loads(result.stdout)["macs"] == 2 * 4 * 8
    assert "printed forward" in result.stderr


def test_standard_output_is_as_it_was_when_a_command_has_ended():
    """In a process of its own, whose descriptors are its own."""
    script = """
import ctypes, os, sys
from ulsam_cost.cli.output import echo, output_for_data
first = sys.stdout
for fails in (False, True):
    try:
        with output_for_data():
            with output_for_data():
                echo("data"), print("noise"), os.write(1, b"noise\\n")
            print("noise", file=sys.__stdout__), ctypes.CDLL(None).puts(b"noise")
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert sys.stdout is first
    print("after"), sys.stdout.flush(), os.write(1, b"after\\n")
"""
    command, environment = [sys.executable, "-c", script], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("data\nafter\nafter\n" * 2, "noise\n" * 8)


def test_data_goes_to_the_output_of_a_test_as_well():
    result = run("table1", "--m", 512)
    assert result.exit_code == 0
    assert result.stdout.startswith("mechanism")
    assert result.stderr == ""


def test_the_story_of_a_row_is_one_table_in_csv():
    stories = json.loads(run("explain", "ulsam", "Table 8", "2", "--format", "json").stdout)
    rows = list(csv.DictReader(io.StringIO(run("explain", "ulsam", "Table 8", "2", "--format", "csv").stdout)))
    told = [(story["printed"], reading["number"]) for story in stories for reading in story["readings"]]
    assert [(row["printed"], int(row["number"])) for row in rows] == told
    assert {row["metric"] for row in rows} == {"params", "macs"}


def test_help_is_data():
    assert program("count", "--help").stdout.startswith("Usage:")


def test_no_command_prints_past_the_one_place():
    for path in (ROOT / "ulsam_cost" / "cli").glob("*.py"):
        if path.name not in ("output.py", "__init__.py"):
            assert not re.search(r"click\.echo\(|\bprint\(|sys\.exit\(", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("name", ["leaves", "ends", "leaves_when_built"])
@pytest.mark.parametrize(
    "args",
    [
        ("count", "{}"),
        ("count", "{}", "--train"),
        ("compare", "{}", "mv1"),
        ("explain", "--model", "{}", "--printed", "64"),
        ("measure", "{}", "--repeats", "2"),
    ],
    ids=lambda args: "-".join(args).replace("{}", "model"),
)
def test_a_model_that_ends_the_program_is_bad_input(model_file, args, name):
    result = run(*(arg.format(f"{model_file}:{name}") for arg in args))
    assert result.exit_code == 2
    assert not result.stdout
    sentence = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentence) == 1
    said = ("Ended(enough)",) if name == "ends" else ("SystemExit", "sys.exit(0)")
    assert any(words in sentence[0] for words in said)


def test_a_model_that_ends_the_program_later_is_bad_input(model_file):
    result = run("measure", f"{model_file}:leaves_at_last", "--repeats", "20")
    assert result.exit_code == 2
    assert "SystemExit(0)" in result.stderr.splitlines()[-1]


def test_a_tool_that_ends_the_program_has_failed(monkeypatch):
    from ulsam_cost import peers

    monkeypatch.setattr(peers, "PEERS", {"torch": lambda *_: sys.exit(0)})
    result = run("count", "mv1 --resolution 32", "--peers", "--format", "json")
    assert result.exit_code == 0
    assert [reading["error"] for reading in json.loads(result.stdout)["peers"]] == ["SystemExit: 0"]


def test_a_second_interrupt_ends_the_program_without_a_word(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(
        "import sys, time\nfrom torch import nn\n"
        "class Slow(nn.Module):\n    def forward(self, x):\n        try:\n"
        "            print('ready', flush=True)\n            time.sleep(60)\n"
        "        finally:\n            print('ending', flush=True)\n            time.sleep(60)\n"
        "def slow():\n    import torch\n    return Slow(), torch.zeros(1)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "ulsam_cost", "count", f"{path}:slow"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        for word in ("ready\n", "ending\n"):
            assert child.stderr.readline() == word
            time.sleep(0.2)
            child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert (out, err, child.returncode) == ("", "", -signal.SIGINT)


def test_one_interrupt_is_one_word(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(
        "import os, signal\nfrom torch import nn\n"
        "class Slow(nn.Module):\n    def forward(self, x):\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "def slow():\n    import torch\n    return Slow(), torch.zeros(1)\n",
        encoding="utf-8",
    )
    done = program("count", f"{path}:slow")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nError: interrupted\n")
