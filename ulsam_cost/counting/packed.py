"""Packed parameters: weights and biases of quantized layers, which are objects of PyTorch's and no nn.Parameters."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.torch_private import without_dispatch, without_functions

_BITS = {torch.quint4x2: 4, torch.quint2x4: 2}  # of the dtypes whose elements share a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The weights and the biases of a packed object."""

    weights: tuple[Tensor, ...] = ()
    biases: tuple[Tensor, ...] = ()

    @property
    def elements(self) -> int:
        """Learned scalars."""
        return sum(tensor.numel() for tensor in (*self.weights, *self.biases))

    @property
    def bits(self) -> dict[int, int]:
        """Learned scalars by the bits of each."""
        found = Counter({32: sum(bias.numel() for bias in self.biases)})
        for weight in self.weights:
            bits = _BITS.get(weight.dtype, 8 * weight.element_size()) if weight.is_quantized else 16  # unpacked to 32
            found[bits] += weight.numel()
        return dict(+found)


def unpacked(value: Any) -> Packed:
    """What a packed object holds; nothing, where it is of no kind that is known."""
    with without_dispatch(), without_functions(), torch.no_grad():
        kind = value._type().qualified_name().rpartition(".")[2]
        if kind == "EmbeddingPackedParamsBase":
            return Packed(weights=(torch.ops.quantized.embedding_bag_unpack(value),))
        if kind == "CellParamsBase":  # of a recurrent layer: biases, and packed weights that may hold them once more
            _, biases, _, _, parts = value.__getstate__()[0]
            return Packed(weights=tuple([part.unpack()[0] for part in parts]), biases=tuple(biases))
        if kind.endswith("PackedParamsBase"):
            weight, bias = value.unpack()
            return Packed(weights=(weight,), biases=() if bias is None else (bias,))
    return Packed()


def packed_parameters(model: nn.Module) -> Iterator[tuple[str, Packed]]:
    """The packed objects that stand in a model, each once, with the path of the module that has it."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for value in vars(module).values():
            if isinstance(value, torch.ScriptObject) and id(value) not in seen:
                seen.add(id(value))
                yield path, unpacked(value)
