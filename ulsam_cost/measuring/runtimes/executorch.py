"""ExecuTorch on the CPU, by its XNNPACK backend: https://docs.pytorch.org/executorch."""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from operator import getitem
from pathlib import Path
from typing import Any

from ulsam_cost.measuring.runtimes.runtime import Arrays, Runtime, Session, require_inputs

FILE, PROGRAM = "model.pte", "model.pt2"
# methods of the file that give constants: what is known of the graph when it is written, and not from the file
_MACS, _DELEGATED = "macs", "delegated_operators"


def export(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path, dtype: str, shared: Path) -> None:
    """Write the program with all that XNNPACK takes in its hands; for int8 the program that `quantize` begins with."""
    import torch

    from ulsam_cost.measuring.runtimes.exporting import in_dtype

    program = torch.export.export(model, *in_dtype(dtype, model, args, kwargs))
    if dtype == "int8":
        torch.export.save(program, folder / PROGRAM)
    else:
        _lower(program, folder)


def quantize(folder: Path, samples: Sequence[Arrays]) -> None:
    """Static quantization by XNNPACK's quantizer: int8 activations, int8 weights with a scale a channel."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from ulsam_cost.tensors import mapped

    program = torch.export.load(folder / PROGRAM)
    assert program.example_inputs is not None
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    watched = prepare_pt2e(program.module(), quantizer)
    with torch.no_grad():
        for arrays in samples:
            values = map(torch.from_numpy, arrays)
            args, kwargs = mapped(program.example_inputs, partial(_next, values))
            watched(*args, **kwargs)
    _lower(torch.export.export(convert_pt2e(watched), *program.example_inputs), folder)
    (folder / PROGRAM).unlink()


def _next(values: Iterator[Any], _: Any) -> Any:
    return next(values)


def load(folder: Path, inputs: Arrays, *, threads: int, dtype: str) -> Session:
    """The program's method, with the threads of XNNPACK's pool, which is one for the process."""
    import torch
    from executorch.extension.pybindings import portable_lib

    if portable_lib._threadpool_get_thread_count() != threads:  # what is loaded keeps the pool that it found
        portable_lib._unsafe_reset_threadpool(threads)
    program = _program(folder)
    method = program.load_method("forward")
    assert method is not None
    require_inputs(method.metadata.num_inputs(), len(inputs))
    tensors = [torch.from_numpy(each) for each in inputs]
    if dtype == "float16":
        tensors = [each.half() if each.is_floating_point() else each for each in tensors]
    return Session(
        run=lambda: method.execute(tensors),
        settings={
            "backend": "XNNPACK",
            "delegated_operators": _constant(program, _DELEGATED),
            "threads": portable_lib._threadpool_get_thread_count(),
        },
    )


def macs(folder: Path) -> int | None:
    """Those of the program that was lowered, which the file tells."""
    program = _program(folder)
    return _constant(program, _MACS) if _MACS in program.method_names else None


def _program(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ExecuTorch is experimental
        from executorch.runtime import Runtime as Engine
        from executorch.runtime import Verification
    return Engine.get().load_program(folder / FILE, verification=Verification.Minimal)


def _constant(program: Any, name: str) -> Any:
    [value] = program.load_method(name).execute([])
    return value


def _lower(program: Any, folder: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).exported_program()
    known: dict[str, Any] = {_DELEGATED: _delegated(lowered.graph_module)}
    if (macs := _macs_of(lowered, *program.example_inputs)) is not None:
        known[_MACS] = macs
    checked = EdgeCompileConfig(_check_ir_validity=False)  # it was checked when it was lowered
    file = EdgeProgramManager(lowered, constant_methods=known, compile_config=checked).to_executorch()
    (folder / FILE).write_bytes(file.buffer)


def _delegated(module: Any) -> str:
    """How many of a lowered graph's operators XNNPACK takes."""
    parts = [getattr(module, node.target).original_module for node in module.graph.nodes if node.op == "get_attr"]
    taken, others = sum(map(_operators, (part.graph for part in parts))), _operators(module.graph)
    return f"{taken} of {taken + others}"


def _operators(graph: Any) -> int:
    return sum(node.op == "call_function" and not _is_delegate(node) and node.target != getitem for node in graph.nodes)


def _is_delegate(node: Any) -> bool:
    return str(node.target) == "executorch_call_delegate"


def _macs_of(lowered: Any, args: Any, kwargs: Any) -> int | None:
    """Those of a lowered program, and of what XNNPACK takes of it."""
    from ulsam_cost.counting.count import count
    from ulsam_cost.tensors import Arguments

    module = lowered.module()
    for node in module.graph.nodes:
        if _is_delegate(node):
            node.target = _follow
    module.recompile()
    counted = count(module, Arguments(args, kwargs))
    return counted.macs if counted.complete else None


def _follow(delegate: Any, *args: Any) -> Any:
    return delegate.original_module.module()(*args)


RUNTIME = Runtime(
    name="executorch",
    title="ExecuTorch",
    packages=("executorch", "torchao"),
    dtypes=("float32", "float16", "int8"),
    start=partial(import_module, "executorch.runtime"),
    export=export,
    load=load,
    quantize=quantize,
    macs=macs,
)
