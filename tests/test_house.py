"""The house: imports go one way, heavy packages stay in their rooms, and light commands stay light."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ulsam_cost"
# Rooms from the vocabulary up: a room imports itself and those before it.
ROOMS = [
    (
        "errors",
        "plain_text",
        "units",
        "arrays",
        "frames",
        "cost",
        "operations",
        "conventions",
        "placement",
        "user_code",
    ),
    ("formulas",),
    ("torch_private",),
    ("tensors",),
    ("nn",),
    ("counting",),
    ("measuring",),
    ("peers", "published"),
    ("audit",),
    ("searching",),
    ("reviewing",),
    ("sweeping",),
    ("report",),
    ("cli", "testing", "__main__"),
]
HOMES = {
    "torch": ("torch_private", "tensors", "nn", "counting", "measuring", "peers", "sweeping"),
    "pandas": ("frames", "sweeping"),
    "matplotlib": ("report/figures",),
    "fvcore": ("peers",),
    "thop": ("peers",),
    "psutil": ("measuring",),
    "pyarrow": ("sweeping",),
    "distributed": ("sweeping",),
    "onnx": ("counting/onnx",),
    "onnxruntime": ("measuring/runtimes",),
    "openvino": ("measuring/runtimes",),
    "nncf": ("measuring/runtimes",),
    "executorch": ("measuring/runtimes",),
    "platformdirs": ("measuring",),
}
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "sympy", "fvcore", "thop", "psutil")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(path):
    return path.relative_to(PACKAGE).as_posix()


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    if room(path) == "__init__":
        return  # the public names, each fetched when it is used
    levels = {name: level for level, names in enumerate(ROOMS) for name in names}
    here = levels[room(path)]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "ulsam_cost" and len(parts) > 1 and parts[1] in levels:
            assert levels[parts[1]] <= here, f"{path.name} imports {name}"
        if parts[0] in HOMES:
            assert place(path).startswith(HOMES[parts[0]]), f"{path.name} imports {name}"


def test_every_file_has_its_room_and_every_room_its_files():
    rooms = {room(path) for path in FILES} - {"__init__"}
    assert sorted(rooms) == sorted(name for names in ROOMS for name in names)


# a private name of torch's: an attribute of its modules, or one of a module, an operator or a storage
PRIVATE = re.compile(
    r"torch(\.\w+)*\._(?!_)|_call_impl|_orig_mod|_schema\b|_qualified_op_name|_sequence_nr|_cdata|\._(parameters|modules|buffers)\b"
    r"|\"_(parameters|modules|buffers|\w+_hooks)\""
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_of_torch_stand_in_one_file(path):
    found = PRIVATE.findall(path.read_text(encoding="utf-8"))
    assert bool(found) == (room(path) == "torch_private")


def dotted(path):
    return ".".join(("ulsam_cost", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def test_no_two_files_import_each_other():
    files = {dotted(path): path for path in FILES if path != PACKAGE / "__init__.py"}
    needs = {
        name: {other for other in imported(path) if other in files and other != name} for name, path in files.items()
    }
    for name, others in needs.items():  # what is imported from a package's file may be a file of its own
        needs[name] = {other for other in others if not any(more.startswith(f"{other}.") for more in others)}
    graphlib.TopologicalSorter(needs).prepare()  # raises a CycleError that names the files


@pytest.mark.parametrize(
    "program",
    [
        "import ulsam_cost",
        "import ulsam_cost as uc; uc.network_cost('mv1', positions='8:1,9:1,11')",
        "from ulsam_cost.cli import main; main(['--help'], standalone_mode=False)",
        "from ulsam_cost.cli import main; main(['table1', '--m', '512', '--hw', '14'], standalone_mode=False)",
    ],
)
def test_light_programs_load_nothing_heavy(program):
    loaded = f"{program}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_count_without_a_picture_loads_nothing_to_draw_with(warm, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from ulsam_cost.cli import main; main(['count', 'mv1 --resolution 32'], standalone_mode=False)\n"
        "import sys\nprint('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([*warm, str(program)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True False"


def test_a_mechanism_is_loaded_when_it_is_asked_for():
    program = (
        "from ulsam_cost.cli import main; main(['table1'], standalone_mode=False)\n"
        "import sys\nprint([name.rpartition('.')[2] for name in sys.modules if 'formulas.attention.' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert loaded == {"mechanism", "user", "non_local", "a2", "se", "bam", "cbam", "ulsam"}


def test_every_public_name_is_there():
    import ulsam_cost as uc

    for name in uc.__all__:
        assert getattr(uc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'flops'"):
        _ = uc.flops


@pytest.mark.parametrize("folder", ["site", "figures", "document"])
def test_presentation_takes_values_and_computes_none(folder):
    for path in sorted((PACKAGE / "report" / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and re.match(r"ulsam_cost\.(nn|counting|measuring|peers)", node.module):
                functions = [alias.name for alias in node.names if alias.name[0].islower()]
                assert not functions, f"{path.name} imports {functions} of {node.module}"
