"""What several runtimes do to export a model: float16, and an ONNX file."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.tensors import mapped

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def in_dtype(dtype: str, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Make a model float16 where that is asked for, and its arguments with it."""
    if dtype != "float16":
        return args, kwargs
    model.half()
    halves: Arguments = mapped((args, kwargs), _half)
    return halves


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def onnx_file(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: str, shared: Path) -> Path:
    """The graph of PyTorch's exporter, which folds batch norms and what depends on parameters alone; written once.

    It is float16 where that is asked for, else float32.
    """
    file = shared / ("float16.onnx" if dtype == "float16" else "float32.onnx")
    if not file.exists():
        args, kwargs = in_dtype(dtype, model, args, kwargs)
        program = torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, optimize=True, verbose=False)
        assert program is not None
        program.save(file)
    return file


def onnx_macs(file: Path) -> int | None:
    """The multiply-accumulates of a file's nodes; None where they are not known in full."""
    from ulsam_cost.counting.onnx.count import count_graph
    from ulsam_cost.counting.onnx.graph import read_graph

    count = count_graph(read_graph(file))
    return count.macs if count.complete else None
