"""How many small faults of the source the tests notice: each mutant is one fault, run against its room's tests.

Run it as it is: python benchmarks/mutants.py [--count 200] [--seed 7] [--only counting/rules] [--jobs 2]
200 take about half an hour of two processors. The survivors of the seeds 6 and 7 are closed or explained; another seed
draws others.

A mutant changes one thing: a comparison, an arithmetic operator, a number, a boolean, a kind of operation, two
arguments or sizes exchanged, a guard that never holds. Texts, annotations and decorators are left alone. The sample is
drawn anew for every seed; for the same seed it is the same, but for the mutants of lines that have changed. Each mutant
lives in a copy of the project, in a process of its own, which starts with PyTorch loaded. Tests that fail, and tests
that take over three times as long as without the mutant, kill it.
Survivors that no test can kill are explained in mutants_explained.toml: by file, line as it stands, line as mutated.
"""

import ast
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TypeGuard

import click

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = Path(__file__).with_name("mutants_explained.toml")
COPIED = ("ulsam_cost", "tests", "benchmarks", "analyses", "examples", "docs", "README.md", "pyproject.toml")
OUTPUT = "output.txt"  # of the tests, in each copy
MOST_SECONDS = 600.0  # of a processor, for one test file
WAITED = 20  # seconds by the clock for one of a processor, before a run is taken to be stuck
COUNTER = ("counter_kinds", "counter_products", "counter_attention", "counter_training", "counter_conventions")
# What is mutated, and the tests that must notice: the most specific start of a path gives them, cheapest first.
TESTS = {
    "formulas/layers.py": ("layers", "aw_convolution", "attention_formulas", "networks", "attention", "backbones"),
    "formulas/attention/": ("overhead", "places", "attention_formulas", "attention_bad_input", "attention", "field"),
    "formulas/attention/mechanism.py": ("overhead", "places", "attention_formulas", "attention", "user_mechanisms"),
    "formulas/attention/user.py": ("user_mechanisms", "attention_bad_input"),
    "formulas/attention/aw.py": ("aw_convolution", "attention_formulas", "attention_bad_input", "attention"),
    "formulas/attention/ulsam.py": ("ulsam", "attention_formulas", "attention_bad_input", "attention"),
    "formulas/connections/": ("printed_networks", "network_attention"),
    "formulas/networks/": (
        *("placement", "printed_networks", "networks", "places", "backbones", "network_attention"),
        *("field", "layer_places", "mixed_attention"),
    ),
    "formulas/networks/text.py": ("cells_file", "compare", "cli_sizes", "count_cli", "user_mechanisms"),
    "conventions/": (
        *("attention_conventions", "counter_kinds", "counter_conventions", "counter_activations", "printed_networks"),
        "field",
    ),
    "audit/": ("audit_expressions", "audit", "outcomes", "cells_file", "crosscheck_cli"),
    "counting/rules/fourier.py": ("counter_linalg", "counter_uncounted"),
    "counting/rules/linalg.py": ("counter_linalg", "counter_uncounted", "counter_kinds", "counter_fast"),
    "counting/rules/lookup.py": ("counter_kinds", "counter_uncounted", "counter_fast", "counter_models"),
    "counting/rules/quantized.py": ("counter_quantized", "counter_libraries", "counter_uncounted"),
    "counting/rules/sparse.py": ("counter_sparse", "counter_uncounted"),
    "counting/rules/vision.py": ("counter_libraries", "counter_uncounted"),
    "counting/rules/": (
        *(*COUNTER, "counter_sparse", "counter_quantized", "counter_uncounted", "counter_activations"),
        *("counter_answered", "counter_complex", "counter_libraries", "counter_models"),
    ),
    "counting/fast/": (
        *("counter_answered", "counter_kinds", "counter_products", "counter_attention", "counter_fast"),
        *("counter_conventions", "counter_training", "counter_uncounted", "counter_models"),
    ),
    "counting/memo.py": (
        *("counter_memo", "counter_kinds", "counter_calls", "counter_fast", "counter_state", "counter_known"),
        *("counter_models", "untouched"),
    ),
    "measuring/samples.py": ("latency", "busy"),
}
SWAPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in", ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*",
    ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*", ast.And: "or", ast.Or: "and",
}  # fmt: skip
SYMMETRIC = ("max", "min", "Max", "broadcast_shapes", "gcd")  # the order of their arguments is not a fault
SKIPPED_KEYWORDS = ("strict", "maxsize", "source", "counts")  # of zip and lru_cache; texts
KINDS = ("CONV", "LINEAR", "MATMUL", "BIAS", "NORM", "ACTIVATION", "SOFTMAX", "POOL_MAX", "POOL_AVG", "MULTIPLY", "ADD")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One fault: `text` in place of what stands between two places of a file."""

    file: str
    line: int
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """The source with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def difference(self, source: bytes) -> tuple[str, str]:
        """What the fault changes, as one line each, from the line's start to its end."""
        first, last = source.rfind(b"\n", 0, self.start) + 1, source.find(b"\n", self.end)
        before, after = (
            source[first:last],
            self.applied(source)[first : last + len(self.text.encode()) - self.end + self.start],
        )
        return " ".join(before.decode().split()), " ".join(after.decode().split())


def mutants_of(file: str, source: bytes) -> Iterator[Mutant]:
    """Every mutant of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def mutant(node: ast.expr, text: str) -> Mutant:
        start, end = (starts[line - 1] + column for line, column in _span(node))
        return Mutant(file=file, line=node.lineno, start=start, end=end, text=text)

    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise | ast.Return | ast.Continue):
            yield mutant(node.test, "False")
        elif isinstance(node, ast.expr):
            for text in _texts(node):
                yield mutant(node, text)


def _span(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes whose change is a fault of the program: no texts, annotations or decorators."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            skipped = isinstance(child, ast.keyword) and child.arg in SKIPPED_KEYWORDS
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not skipped:
                parts = child.elts if _is_unordered(child, node) else [child]
                for part in parts:
                    yield from _nodes(part)


def _is_unordered(node: ast.AST, parent: ast.AST) -> TypeGuard[ast.Tuple]:
    """Whether a tuple lists what is looked for or caught, whose order is not a fault."""
    looks = isinstance(parent, ast.Compare) and isinstance(parent.ops[-1], ast.In | ast.NotIn)
    return isinstance(node, ast.Tuple) and (looks or isinstance(parent, ast.ExceptHandler))


def _texts(node: ast.expr) -> Iterator[str]:
    """What may stand in a node's place."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in SWAPPED:
            yield f"({ast.unparse(left)} {SWAPPED[type(operator)]} {ast.unparse(right)})"
        case ast.BinOp(left, operator, right) if type(operator) in SWAPPED and not _is_text(left, right):
            if "cost" in ast.unparse(node):  # Costs are added, and what else is done to one raises wherever it runs
                return
            yield f"(({ast.unparse(left)}) {SWAPPED[type(operator)]} ({ast.unparse(right)}))"
        case ast.BoolOp(operator, values):
            yield "(" + f" {SWAPPED[type(operator)]} ".join(f"({ast.unparse(value)})" for value in values) + ")"
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(bool(value)):
            yield str(not value)
        case ast.Constant(int(value)):
            yield str(value + 1)
        case ast.Attribute(ast.Name("OpKind"), kind, ast.Load()) if kind in KINDS:
            yield f"OpKind.{KINDS[(KINDS.index(kind) + 1) % len(KINDS)]}"
        case ast.Call(ast.Name(name) | ast.Attribute(_, name), _) if name in SYMMETRIC:
            return
        case ast.Call(function, [first, second, *rest]) if not _same_or_starred(first, second):
            words = [*rest, *(ast.arg(f"{word.arg}={ast.unparse(word.value)}") for word in node.keywords if word.arg)]
            spread = [f"**{ast.unparse(word.value)}" for word in node.keywords if not word.arg]
            yield f"{ast.unparse(function)}({', '.join([*map(ast.unparse, (second, first, *words)), *spread])})"
        case ast.Tuple([*head, first, second], ast.Load()) if not _same_or_starred(first, second):
            yield f"({', '.join(map(ast.unparse, (*head, second, first)))})"


def _is_text(*nodes: ast.expr) -> bool:
    return any(isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", 0), str) for node in nodes)


def _same_or_starred(*nodes: ast.expr) -> bool:
    plain = all(isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.Constant) for node in nodes)
    return not plain or _is_text(*nodes) or len({ast.unparse(node) for node in nodes}) == 1


def sample_of(every: Sequence[Mutant], sources: dict[str, bytes], *, count: int, seed: int) -> list[Mutant]:
    """So many mutants, drawn by what each changes: a change elsewhere in the source leaves the others drawn."""

    def place(mutant: Mutant) -> str:
        change = repr((seed, mutant.file, *mutant.difference(sources[mutant.file])))
        return hashlib.sha256(change.encode()).hexdigest()

    return sorted(every, key=place)[:count]


def tests_of(file: str) -> list[str]:
    """The test files of a source file."""
    start = max((start for start in TESTS if file.startswith(start)), key=len)
    paths = [f"tests/test_{name}.py" for name in TESTS[start]]
    return [path for path in paths if (ROOT / path).exists()]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run of tests that has ended, and the seconds of a processor that it took."""

    child: int
    copy: Path
    passed: bool
    seconds: float
    last_line: str


class Runs:
    """Runs of tests in copies of the project, as many at a time as there are copies.

    What a run may use is time of a processor, which does not depend on what else the machine does; the clock stops one
    that waits for something that never comes.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self.free = [folder / str(job) for job in range(jobs)]
        self._copies: dict[int, Path] = {}
        for copy in self.free:
            for name in COPIED:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(ROOT / name, copy / name)

    def start(self, tests: Sequence[str], *, limit: float, keeps_bytecode: bool = False) -> int:
        """Start the tests in the first free copy, for at most so many seconds, and give the child's id."""
        copy = self.free[0]
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started this aside
            resource.setrlimit(resource.RLIMIT_CPU, (ceil(limit), ceil(limit) + 1))
            signal.alarm(ceil(WAITED * limit))
            sys.dont_write_bytecode = not keeps_bytecode
            _run_tests(copy, tests)
        self._copies[child] = self.free.pop(0)
        return child

    def wait(self) -> Ended:
        """The next run that ends, whose copy is free again."""
        child, status, usage = os.wait3(0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it has started
        copy = self._copies.pop(child)
        self.free.append(copy)
        lines = (copy / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
        passed = os.waitstatus_to_exitcode(status) == 0
        seconds = usage.ru_utime + usage.ru_stime
        return Ended(child=child, copy=copy, passed=passed, seconds=seconds, last_line="".join(told[:1]))


def _run_tests(copy: Path, tests: Sequence[str]) -> None:
    """Run the tests and end this process with their status."""
    status = 1
    try:
        os.chdir(copy)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
        output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        import pytest

        # It warns that what is loaded already, hypothesis, cannot be rewritten.
        options = ("-q", "-x", "-n", "0", "--tb=no", "-p", "no:cacheprovider", "-W", "ignore:Module already imported")
        status = pytest.main([*options, *tests])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(int(status))


def seconds_without_faults(runs: Runs, tests: Sequence[str]) -> dict[str, float]:
    """The seconds that each test file takes where nothing is changed, which also leaves bytecode for the mutants.

    Raises:
        click.ClickException: with the test that fails.
    """
    waiting, names, seconds = list(tests), dict[int, str](), dict[str, float]()
    while waiting or names:
        while waiting and runs.free:
            name = waiting.pop(0)
            names[runs.start([name], limit=MOST_SECONDS, keeps_bytecode=True)] = name
        ended = runs.wait()
        name = names.pop(ended.child)
        if not ended.passed:
            raise click.ClickException(f"{name} fails without any mutant: {ended.last_line}")
        seconds[name] = ended.seconds
    return seconds


def outcomes(runs: Runs, sample: Sequence[Mutant], sources: dict[str, bytes]) -> Iterator[tuple[Mutant, Ended]]:
    """Each mutant with the run of its tests, as they end."""
    alone = seconds_without_faults(runs, sorted({path for mutant in sample for path in tests_of(mutant.file)}))
    waiting, running = list(sample), dict[int, Mutant]()
    while waiting or running:
        while waiting and runs.free:
            mutant = waiting.pop(0)
            (runs.free[0] / "ulsam_cost" / mutant.file).write_bytes(mutant.applied(sources[mutant.file]))
            tests = tests_of(mutant.file)
            running[runs.start(tests, limit=10 + 3 * sum(alone[path] for path in tests))] = mutant
        ended = runs.wait()
        mutant = running.pop(ended.child)
        shutil.copy2(ROOT / "ulsam_cost" / mutant.file, ended.copy / "ulsam_cost" / mutant.file)
        yield mutant, ended


def load_libraries() -> None:
    """Load what every test loads, so that each mutant's process has it already."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import hypothesis
    import pandas
    import pytest
    import sympy
    import torch
    import torch._dynamo

    assert all((hypothesis, pandas, pytest, sympy, torch))


def explanations() -> dict[tuple[str, str, str], str]:
    """The reason why no test can kill a mutant, by its file and both lines."""
    entries = tomllib.loads(EXPLAINED.read_text(encoding="utf-8")).get("survivor", [])
    return {(entry["file"], entry["line"], entry["mutated"]): entry["reason"] for entry in entries}


@click.command()
@click.option("--count", default=200, show_default=True, help="Mutants to run.")
@click.option("--seed", default=7, show_default=True, help="Of the sample.")
@click.option("--only", multiple=True, help="Start of the paths below ulsam_cost to draw from; may be repeated.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Mutants to run at a time.")
def main(count: int, seed: int, only: tuple[str, ...], jobs: int) -> None:
    """Run a sample of mutants and print those that survive."""
    package = ROOT / "ulsam_cost"
    files = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
    sources = {
        name: path.read_bytes()
        for name, path in files.items()
        if name.startswith(tuple(TESTS)) and name.startswith(only or ("",))
    }
    every = [mutant for name, source in sources.items() for mutant in mutants_of(name, source)]
    sample = sample_of(every, sources, count=count, seed=seed)
    reasons = explanations()
    load_libraries()
    start, survivors, explained = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (mutant, ended) in enumerate(outcomes(Runs(Path(folder), jobs), sample, sources), 1):
            before, after = mutant.difference(sources[mutant.file])
            reason = reasons.get((mutant.file, before, after))
            survivors += ended.passed
            explained += ended.passed and reason is not None
            if ended.passed:
                print(f"{mutant.file}:{mutant.line}\n- {before}\n+ {after}\n  {reason or 'not explained'}", flush=True)
            told = f"{mutant.file}:{mutant.line}, {ended.seconds:.0f} s, {ended.last_line}"
            print(f"{number} of {len(sample)}: {told}", file=sys.stderr, flush=True)
    print(
        f"{len(sample)} of {len(every)} mutants in {time.monotonic() - start:.0f} s: {len(sample) - survivors} killed, "
        f"{survivors} survived ({100 * survivors / len(sample):.1f} %), {explained} of them explained"
    )


if __name__ == "__main__":
    main()
