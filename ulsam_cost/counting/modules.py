"""What a model says of itself: its modules' classes, and how its parameters divide."""

from collections import Counter

from torch import nn

from ulsam_cost.counting.packed import packed_parameters
from ulsam_cost.tensors import stored_elements


def module_classes(model: nn.Module) -> dict[str, str]:
    """The class of each submodule by its path, in the model's order."""
    return {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}


def split_params(model: nn.Module) -> dict[str, int]:
    """Parameters by whether they train; `shared` are those, of either, that stand in the model more than once.

    Of quantized layers, whose parameters are packed, those of fewer than 32 bits are said by their bits.
    """
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    split = {"trainable": 0, "frozen": 0, "shared": 0}
    for _, packed in packed_parameters(model):
        for bits, size in packed.bits.items():
            name = f"quantized to {bits} bits" if bits < 32 else "frozen"
            split[name] = split.get(name, 0) + size
    for parameter in model.parameters():
        size = stored_elements(parameter)
        split["trainable" if parameter.requires_grad else "frozen"] += size
        split["shared"] += size if names[id(parameter)] > 1 else 0
    return split
