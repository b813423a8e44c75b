"""ONNX Runtime on the CPU: https://onnxruntime.ai."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

from ulsam_cost.measuring.runtimes.runtime import Arrays, NodeTime, Profiled, Runtime, Session, mean_ms, require_inputs

FILE = "model.onnx"
_PROVIDERS = ["CPUExecutionProvider"]
_NUMPY = {"tensor(float16)": "float16", "tensor(float)": "float32"}


def export(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path, dtype: str, shared: Path) -> None:
    """Write an ONNX file."""
    from ulsam_cost.measuring.runtimes.exporting import onnx_file

    copy(onnx_file(model, args, kwargs, dtype, shared), folder / FILE)


def load(folder: Path, inputs: Arrays, *, threads: int, dtype: str) -> Session:
    """A session of its own number of threads.

    Threads spin during a run, as they do by default, and stop after it: two models that are measured in turn would
    else slow each other.
    """
    session, feeds = _open(folder, inputs, threads)
    options = session.get_session_options()
    return Session(
        run=partial(session.run, None, feeds),
        settings={
            "provider": session.get_providers()[0],
            "graph_optimizations": options.graph_optimization_level.name,
            "intra_op_threads": threads,
            "inter_op_threads": 1,
            "spinning": "during a run",
        },
    )


def _open(folder: Path, inputs: Arrays, threads: int, profile: str | None = None) -> tuple[Any, dict[str, Any]]:
    """A session, and what it is fed; `profile` is how the name of its profiler's file begins."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors; its warnings are about single nodes
    session = onnxruntime.InferenceSession(folder / FILE, options, providers=_PROVIDERS)
    taken = session.get_inputs()
    require_inputs(len(taken), len(inputs))
    feeds = {
        each.name: array.astype(_NUMPY.get(each.type, array.dtype)) for each, array in zip(taken, inputs, strict=True)
    }
    return session, feeds


def profile(folder: Path, inputs: Arrays, *, threads: int, dtype: str, runs: int) -> Profiled:
    """What its profiler writes: the kernel of each node, run by run."""
    from ulsam_cost.counting.onnx.modules import exported_nodes, modules_of_run

    with TemporaryDirectory() as scratch:
        session, feeds = _open(folder, inputs, threads, str(Path(scratch) / "profile"))
        ms = mean_ms(partial(session.run, None, feeds), runs)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    begin = [event["ts"] for event in events if event["name"] == "model_run"][-runs]
    sums: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for event in events:
        if event["cat"] == "Node" and event["ts"] >= begin:
            name = event["name"].removesuffix("_kernel_time")
            sums[name] = sums.get(name, 0.0) + event["dur"] / 1e3
            kinds[name] = event["args"]["op_name"]
    modules = modules_of_run(exported_nodes(folder / FILE), sums)
    nodes = [NodeTime(kind=kinds[name], modules=modules.get(name, ()), ms=ms / runs) for name, ms in sums.items()]
    return Profiled(nodes=nodes, ms=ms)


def quantize(folder: Path, samples: Sequence[Arrays]) -> None:
    """Static quantization at ONNX Runtime's defaults: QDQ, int8 activations and weights, a scale a tensor."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    file, floats = folder / FILE, folder / "float32.onnx"
    names = [each.name for each in onnxruntime.InferenceSession(file, providers=_PROVIDERS).get_inputs()]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The samples, one after the other."""

        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = (dict(zip(names, each, strict=True)) for each in samples)

        def get_next(self) -> dict[str, Any] | None:
            """The next sample, or None."""
            return next(self._feeds, None)

    file.rename(floats)
    quantize_static(floats, file, Reader())
    floats.unlink()


def macs(folder: Path) -> int | None:
    """Those of the nodes of the file."""
    from ulsam_cost.measuring.runtimes.exporting import onnx_macs

    return onnx_macs(folder / FILE)


RUNTIME = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    packages=("onnxruntime", "onnx", "onnxscript"),
    dtypes=("float32", "float16", "int8"),
    start=partial(import_module, "onnxruntime"),
    export=export,
    load=load,
    quantize=quantize,
    macs=macs,
    profile=profile,
)
