"""How many small faults of the source the tests notice: each mutant is one fault, run against its room's tests.

Run it as it is: python benchmarks/mutants.py --count 50 --seed 1 [--only counting/rules] [--timeout 300]

A mutant changes one thing: a comparison, an arithmetic operator, a number, a boolean, a kind of operation, two
arguments or sizes exchanged, a guard that never holds. Texts, annotations and decorators are left alone. The sample is
drawn anew for every seed and is the same for the same seed. Each mutant lives in a copy of the project, in a
process of its own, which starts with PyTorch loaded. Tests that fail, and tests that run past the timeout, kill it.
Survivors that no test can kill are explained in mutants_explained.toml: by file, line as it stands, line as mutated.
"""

import ast
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = Path(__file__).with_name("mutants_explained.toml")
COPIED = ("ulsam_cost", "tests", "benchmarks", "analyses", "README.md", "pyproject.toml")
COUNTER = ("counter_kinds", "counter_products", "counter_attention", "counter_training", "counter_conventions")
# What is mutated, and the tests that must notice: the most specific start of a path gives them, cheapest first.
TESTS = {
    "formulas/layers.py": ("layers", "aw_convolution", "attention_formulas", "networks", "attention", "backbones"),
    "formulas/attention/": ("attention_formulas", "attention_bad_input", "attention", "network_attention"),
    "formulas/attention/aw.py": ("aw_convolution", "attention_formulas", "attention_bad_input", "attention"),
    "formulas/attention/ulsam.py": ("ulsam", "attention_formulas", "attention_bad_input", "attention"),
    "formulas/connections/": ("printed_networks", "network_attention"),
    "formulas/networks/": ("printed_networks", "networks", "placement", "backbones", "network_attention"),
    "formulas/networks/text.py": ("cells_file", "compare", "cli_sizes", "count_cli"),
    "conventions/": ("counter_kinds", "counter_conventions", "printed_networks", "crosscheck_cli"),
    "audit/": ("audit_expressions", "audit", "outcomes", "cells_file", "crosscheck_cli"),
    "counting/rules/": (*COUNTER, "counter_sparse", "counter_quantized", "counter_uncounted", "counter_models"),
    "counting/fast.py": ("counter_kinds", "counter_products", "counter_attention", "counter_fast", "counter_models"),
    "measuring/samples.py": ("latency", "busy"),
}
SWAPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in", ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*",
    ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*", ast.And: "or", ast.Or: "and",
}  # fmt: skip
SYMMETRIC = ("max", "min", "broadcast_shapes", "gcd")  # the order of their arguments is no fault
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
                yield from _nodes(child)


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
        case ast.Call(ast.Name(name), _) if name in SYMMETRIC:
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


def tests_of(file: str) -> list[str]:
    """The test files of a source file."""
    start = max((start for start in TESTS if file.startswith(start)), key=len)
    paths = [f"tests/test_{name}.py" for name in TESTS[start]]
    return [path for path in paths if (ROOT / path).exists()]


def passes(copy: Path, tests: list[str], timeout: float) -> bool:
    """Whether the tests pass in the copy, within the time."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _run_tests(copy, tests)
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(copy: Path, tests: list[str]) -> None:
    """Run the tests and end this process with their status."""
    import pytest

    status = 1
    try:
        os.chdir(copy)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        status = pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests])
    finally:
        os._exit(int(status))


def load_libraries() -> None:
    """Load what every test loads, so that each mutant's process has it already."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
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
@click.option("--count", default=50, show_default=True, help="Mutants to run.")
@click.option("--seed", default=0, show_default=True, help="Of the sample.")
@click.option("--only", multiple=True, help="Start of the paths below ulsam_cost to draw from; may be repeated.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds for the tests of a mutant.")
def main(count: int, seed: int, only: tuple[str, ...], timeout: float) -> None:
    """Run a sample of mutants and print those that survive."""
    package = ROOT / "ulsam_cost"
    files = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
    sources = {
        name: path.read_bytes()
        for name, path in files.items()
        if name.startswith(tuple(TESTS)) and name.startswith(only or ("",))
    }
    every = [mutant for name, source in sources.items() for mutant in mutants_of(name, source)]
    sample = random.Random(seed).sample(every, min(count, len(every)))
    reasons = explanations()
    load_libraries()
    survivors, explained = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        tests = sorted({path for mutant in sample for path in tests_of(mutant.file)})
        if not passes(copy, tests, 10 * timeout):
            raise click.ClickException(f"without any mutant one of these fails: {' '.join(tests)}")
        for number, mutant in enumerate(sample, 1):
            source, target = sources[mutant.file], copy / "ulsam_cost" / mutant.file
            start = time.monotonic()
            target.write_bytes(mutant.applied(source))
            survives = passes(copy, tests_of(mutant.file), timeout)
            target.write_bytes(source)
            before, after = mutant.difference(source)
            reason = reasons.get((mutant.file, before, after))
            survivors += survives
            explained += survives and reason is not None
            if survives:
                print(f"{mutant.file}:{mutant.line}\n- {before}\n+ {after}\n  {reason or 'not explained'}", flush=True)
            took = f"{time.monotonic() - start:.0f} s"
            print(f"{number} of {len(sample)}: {mutant.file}:{mutant.line}, {took}", file=sys.stderr, flush=True)
    print(
        f"{len(sample)} of {len(every)} mutants: {len(sample) - survivors} killed, {survivors} survived "
        f"({100 * survivors / len(sample):.1f} %), {explained} of them explained"
    )


if __name__ == "__main__":
    main()
