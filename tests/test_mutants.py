"""The mutants of benchmarks/mutants.py: which faults are put into a source, and that each is one."""

import ast
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ulsam_cost"


@pytest.fixture(scope="module")
def mutants():
    spec = spec_from_file_location("mutants", ROOT / "benchmarks" / "mutants.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changes(mutants, source):
    return [mutant.difference(source.encode()) for mutant in mutants.mutants_of("file.py", source.encode())]


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("a < b", ["(a <= b)"]),
        ("a is not b", ["(a is b)"]),
        ("a * b + c", ["((a * b) - (c))", "((a) + (b)) + c"]),
        ("a and not b", ["((a) or (not b))", "a and (b)"]),
        ("f(x, bias=True)", ["f(x, bias=False)"]),
        ("f(x, y, z=z)", ["f(y, x, z=z)"]),
        ("x = (n, c, h, w)", ["x = (n, c, w, h)"]),
        ("f(a[7])", ["f(a[8])"]),
        ("kind = OpKind.CONV", ["kind = OpKind.LINEAR"]),
        ("max(a, b)", []),
        ("sympy.Max(a, b)", []),
        ("a in (b, c)", ["(a not in (b, c))"]),
        ("try: f\nexcept (A, B): g", []),
        ("'é', \"a\", f'{1 + 2}'", []),
        ("def f(a: 'int | 3' = None) -> 'a + b': ...", []),
    ],
)
def test_faults_of_a_line(mutants, line, mutated):
    assert changes(mutants, line + "\n") == [(line, after) for after in mutated]


def test_a_guard_never_holds(mutants):
    source = "def f(x):\n    if x in Y:\n        raise E\n    return x\n"
    assert changes(mutants, source) == [("if x in Y:", "if False:"), ("if x in Y:", "if (x not in Y):")]


def test_a_seed_draws_the_same_mutants_whatever_stands_around_them(mutants):
    source = b"".join(b"x%d = a%d + b\n" % (at, at) for at in range(40))

    def drawn(source, seed):
        every = list(mutants.mutants_of("file.py", source))
        return [
            mutant.difference(source) for mutant in mutants.sample_of(every, {"file.py": source}, count=8, seed=seed)
        ]

    first = drawn(source, 1)
    assert len(set(first)) == 8
    assert drawn(b"first = 1 + 2\n" + source, 1) == first
    assert drawn(source, 2) != first


def test_each_mutant_of_the_package_is_a_program_of_its_own(mutants):
    for name in ("cost.py", "formulas/layers.py", "conventions/tools.py", "counting/rules/attention.py"):
        source = (PACKAGE / name).read_bytes()
        plain = ast.dump(ast.parse(source))
        made = list(mutants.mutants_of(name, source))
        assert len(made) > 10
        assert all(ast.dump(ast.parse(mutant.applied(source))) != plain for mutant in made)


def test_each_explained_survivor_is_a_mutant_of_the_source_as_it_stands(mutants):
    entries = tomllib.loads(mutants.EXPLAINED.read_text(encoding="utf-8"))["survivor"]
    for entry in entries:
        source = (PACKAGE / entry["file"]).read_text(encoding="utf-8")
        assert (entry["line"], entry["mutated"]) in changes(mutants, source)
        assert entry["reason"]


RUN = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import mutants
mutants.load_libraries()
runs = mutants.Runs(pathlib.Path(sys.argv[2]), 1)
for fault in (("", ""), ("10**9", "10**8")):
    units = runs.free[0] / "ulsam_cost" / "units.py"
    units.write_text(units.read_text().replace(*fault))
    runs.start(["tests/test_units.py"], limit=300)
    ended = runs.wait()
    print(ended.passed, ended.last_line)
"""


def test_a_run_in_a_copy_says_whether_its_tests_pass_and_which_one_does_not(tmp_path):
    command = [sys.executable, "-c", RUN, str(ROOT / "benchmarks"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    without, with_fault = done.stdout.splitlines()
    assert without.startswith("True")
    assert with_fault.startswith("False FAILED tests/test_units.py::")


def test_every_mutated_room_has_tests(mutants):
    assert all((ROOT / f"tests/test_{name}.py").exists() for names in mutants.TESTS.values() for name in names)
    assert all(list(PACKAGE.glob(f"{start}*")) or (PACKAGE / start).is_dir() for start in mutants.TESTS)
