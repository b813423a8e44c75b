"""What `--input` says: the shape of an input, its name, its data type and its values."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from math import prod
from typing import Any

import torch
from torch import Tensor

from ulsam_cost.errors import CostError, says_too_large
from ulsam_cost.tensors import Arguments

_INPUT = re.compile(
    r"(?:(?P<name>(?!\d)[^\s=]+)=)?"
    r"(?P<shape>[1-9][0-9]{0,8}(?:x[1-9][0-9]{0,8})*)(?::(?P<dtype>[a-z0-9]+))?"
    r"(?:=(?P<values>ones|arange|random:(?P<low>[0-9]{1,18})-(?P<high>[0-9]{1,18})))?",
    re.ASCII,
)
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
Parts = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenInput:
    """An input as its text says it.

    `name` is empty for one by position, `dtype` where the text says none, which is float32, and `values` for zeros.
    """

    text: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    values: str
    low: int
    high: int

    def tensor(self, device: str) -> Tensor:
        """The input, zeros unless its text says its values; one with values is not put on the meta device.

        Raises:
            CostError: for values that the data type cannot hold, and a tensor that memory cannot.
        """
        dtype = getattr(torch, self.dtype or "float32")
        try:
            if not self.values:
                return torch.zeros(self.shape, dtype=dtype, device=device)
            return self._filled(dtype).to("cpu" if device == "meta" else device)
        except Exception as error:
            if not says_too_large(error):
                raise
            raise CostError(f"input {self.text!r} does not fit into memory: a smaller shape is accepted") from error

    def _filled(self, dtype: torch.dtype) -> Tensor:
        """A tensor of the values that the text says; the random ones are the same each time."""
        if self.values == "ones":
            return torch.ones(self.shape, dtype=dtype)
        if self.low > self.high:
            raise CostError(f"input {self.text!r}: random:{self.low}-{self.high} is empty: the lower bound comes first")
        whole = not (dtype.is_floating_point or dtype.is_complex)
        most = 1 if dtype is torch.bool else torch.iinfo(dtype).max if whole else self.high
        if self.high > most:
            raise CostError(f"input {self.text!r}: {self.dtype} holds at most {most:,}, but {self.high:,} is asked for")
        if self.values == "arange":
            return torch.arange(self.high + 1).reshape(self.shape).to(dtype)
        generator = torch.Generator().manual_seed(0)
        return torch.randint(self.low, self.high + 1, self.shape, generator=generator).to(dtype)


def read_inputs(texts: Sequence[str]) -> tuple[GivenInput, ...]:
    """The inputs that texts say, as in `1x3x224x224` or `input_ids=1x64:int64=random:0-30521`.

    Raises:
        CostError: for any other text, and for a name that is given twice.
    """
    read = tuple(map(_read, texts))
    names = [each.name for each in read if each.name]
    for name in names:
        if names.count(name) > 1:
            given = " and ".join(repr(each.text) for each in read if each.name == name)
            raise CostError(f"input {name!r} is given twice, as {given}: one of each name is accepted")
    return read


def _read(text: str) -> GivenInput:
    match = _INPUT.fullmatch(text)
    dtype = getattr(torch, match["dtype"] or "float32", None) if match else None
    if match is None or not isinstance(dtype, torch.dtype):
        raise CostError(
            f"input {text!r}: a shape such as 1x3x224x224, or 1x128:int64, is accepted, with values behind it (=ones, "
            "=arange or =random:0-30521) and a name before it (input_ids=1x128:int64)"
        )
    shape = tuple(map(int, match["shape"].split("x")))
    low, high = (int(match["low"]), int(match["high"])) if match["high"] else (0, prod(shape) - 1)
    return GivenInput(
        text=text,
        name=match["name"] or "",
        shape=shape,
        dtype=str(dtype).removeprefix("torch.") if match["dtype"] else "",
        values=match["values"] or "",
        low=low,
        high=high,
    )


def arguments_of(
    inputs: Sequence[GivenInput], device: str, forward: Callable[..., Any], name: str, spec: Any = None
) -> Any:
    """What a model is called with: inputs without a name by position, the others as keywords.

    Args:
        inputs: one or more.
        device: as for `GivenInput.tensor`.
        forward: the function that takes them.
        name: what the model is called.
        spec: the tree of what an exported program was called with, which is all that it takes.

    Raises:
        CostError: for a name that the forward does not take, or whose input is given by position as well.
    """
    args = tuple(each.tensor(device) for each in inputs if not each.name)
    kwargs = {each.name: each.tensor(device) for each in inputs if each.name}
    if kwargs:
        args, kwargs = _bound(args, kwargs, forward, name, spec)
    return Arguments(args, kwargs) if args and kwargs else args or kwargs


def _bound(args: tuple[Any, ...], kwargs: dict[str, Any], forward: Callable[..., Any], name: str, spec: Any) -> Parts:
    """The same, if the forward takes them; an exported program takes each input as it was exported."""
    try:
        takes = signature(forward)
    except ValueError:  # that of a traced module
        return args, kwargs
    names = [each for each, parameter in takes.parameters.items() if parameter.kind in _NAMED]
    try:
        bound = takes.bind_partial(*args, **kwargs)
    except TypeError as error:
        accepted = f"accepted names are {', '.join(names)}" if names else "no names are accepted"
        raise CostError(f"{name} does not take these inputs: {error}; {accepted}") from error
    if spec is None:
        return args, kwargs
    positions = names[: len(spec.unflatten(list(range(spec.num_leaves)))[0])]
    given = {each: bound.arguments[each] for each in names if each in bound.arguments}
    return tuple(given.pop(each) for each in positions if each in given), given
