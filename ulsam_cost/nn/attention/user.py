"""The module of a user's mechanism: made by the user's code, and held to keep the shape of a map."""

from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.nn.places import channels_of
from ulsam_cost.nn.without_values import WithoutValues
from ulsam_cost.user_code import raised_in_a_sentence


def build_users(mechanism: Mechanism, channels: int, options: dict[str, Any]) -> nn.Module:
    """The module that the user's code makes.

    What cannot be made on the meta device is made on the CPU, and moved.

    Raises:
        CostError: for an option that is missing, and for code that raises or gives no module.
    """
    assert mechanism.code is not None
    for name in mechanism.code.required:
        if name not in options:
            raise CostError(f"{mechanism.name} needs {name}: --option {name}=VALUE, or {name}= in Python, is accepted")
    make = mechanism.code.make
    call = f"{mechanism.name}({', '.join((str(channels), *(f'{key}={value!r}' for key, value in options.items())))})"
    try:
        module = make(channels, **options)
    except Exception:
        with raised_in_a_sentence(f"{call} raises"):
            if torch.get_default_device().type != "meta":
                raise
            with torch.device("cpu"):
                module = make(channels, **options)
            if isinstance(module, nn.Module):
                module = module.to("meta")
    if not isinstance(module, nn.Module):
        raise CostError(f"{call} gives {type(module).__name__}: an nn.Module is accepted")
    return module


def require_same_shape(mechanism: Mechanism, shape: tuple[int, ...], /, **options: Any) -> None:
    """Hold a user's mechanism to keep the shape of a map or of tokens; the project's own do.

    It runs on the meta device. Where it looks at values, which that device has not, it runs on the CPU.

    Raises:
        CostError: for a module that raises, that gives no tensor, or one of another shape.
    """
    if mechanism.code is None:
        return
    given = "x".join(map(str, shape))
    try:
        with torch.device("meta"), WithoutValues():
            result = _result(mechanism, shape, options)
    except CostError:
        raise
    except Exception:
        with raised_in_a_sentence(f"{mechanism.name} raises on {given}"), torch.device("cpu"):
            result = _result(mechanism, shape, options)
    if not isinstance(result, Tensor) or tuple(result.shape) != shape:
        found = "x".join(map(str, result.shape)) if isinstance(result, Tensor) else type(result).__name__
        raise CostError(f"{mechanism.name} gives {found} for {given}: one tensor of the same shape is accepted")


def _result(mechanism: Mechanism, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        module = build_users(mechanism, channels_of(shape), mechanism.chosen(options)).eval()
        return module(torch.zeros(shape))
