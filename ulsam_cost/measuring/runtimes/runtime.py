"""What a runtime is: how a model becomes files, and how files become something that runs.

A file beside this one defines each runtime, and `registry.py` lists it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ulsam_cost.errors import CostError

Arrays = Sequence[Any]  # numpy.ndarray, one a tensor
WARM_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A model that is loaded, with its inputs: `run` runs it once, and gives its outputs as arrays.

    `settings` is what was set of the runtime, by name, for the reader.
    """

    run: Callable[[], Arrays]
    settings: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """What a runtime's profiler says of a node: its kind, its mean time, and the paths of the modules that it computes.

    There are several modules where some were fused, and none where the node cannot be mapped to any.
    """

    kind: str
    modules: tuple[str, ...]
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """The nodes of some runs with a runtime's profiler, and the mean time of these runs."""

    nodes: Sequence[NodeTime]
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime other than PyTorch.

    Attributes:
        name: as in `--runtime`, and of the extra that installs it.
        title: as its makers write it.
        packages: what has to be importable.
        dtypes: the number formats that it has, by name.
        start: imports what any process needs that loads files, of whatever model.
        export: called as `export(model, args, kwargs, folder, dtype, shared)`: writes the files of a model into an
            empty folder. The model is a float32 copy in evaluation mode, which may be changed. It runs in the caller's
            process, and may import torch. `shared` is a folder in which exports of the same model, to whatever runtime
            and number format, keep what another can take.
        load: called as `load(folder, inputs, threads=, dtype=)`: a session on these inputs, which are those of `export`
            one after the other, floats in float32. It runs in a process of the runtime's own, and imports no torch
            unless the runtime needs it.
        quantize: called as `quantize(folder, samples)` for int8, where `export` has written float32: replaces the
            files by those of a model quantized with these samples, each a list of inputs. It runs in another process
            of its own; None where `export` does it.
        macs: called as `macs(folder)`: the multiply-accumulates of the files' graph; None where they are not known.
        profile: called as `profile(folder, inputs, threads=, dtype=, runs=)`: loads the files anew with the runtime's
            profiler, and runs them so many times after a warm-up; None where it has none.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    dtypes: tuple[str, ...]
    start: Callable[[], object]
    export: Callable[[Any, tuple[Any, ...], dict[str, Any], Path, str, Path], None]
    load: Callable[..., Session]
    quantize: Callable[[Path, Sequence[Arrays]], None] | None
    macs: Callable[[Path], int | None]
    profile: Callable[..., Profiled] | None = None


def require_inputs(taken: int, given: int) -> None:
    """Refuse an exported graph that takes another number of inputs than the model.

    Raises:
        CostError: naming both.
    """
    if taken != given:
        raise CostError(f"the exported graph takes {taken} inputs, but the model takes {given}")


def mean_ms(run: Callable[[], object], runs: int, *, warm_up: int = WARM_UP) -> float:
    """The mean time of so many runs, after others."""
    for _ in range(warm_up):
        run()
    start = perf_counter()
    for _ in range(runs):
        run()
    return 1e3 * (perf_counter() - start) / runs
