"""The other counters, each run on a copy: what it says, what this program says by the same rule, and why.

A tool that fails is a reading with its error. Whatever a tool leaves behind, in the model or in torch, is undone.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.counting.preserve import preserve_state
from ulsam_cost.counting.twin import Twins, copy_of
from ulsam_cost.errors import CostError
from ulsam_cost.tensors import as_arguments, mapped, tensors_of

Inputs = tuple[Tensor, ...]
Run = Callable[[nn.Module, Inputs], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerNumber:
    """What a tool said of a model, beside this program's number by the same rule.

    `plain` is the MACs in the tool's unit, `by_kind` what the rule adds to them or leaves out, kind by kind:
    `ours` is their sum. `number` is None where the tool failed, and `error` says how.
    """

    tool: str
    version: str
    unit: str
    number: int | None
    ours: int
    plain: int
    by_kind: dict[OpKind, int]
    error: str = ""

    @property
    def difference(self) -> int | None:
        """What the rule does not explain."""
        return None if self.number is None else self.number - self.ours

    @property
    def misses(self) -> str:
        """What the rule is known to miss, where the tool says another number."""
        return get_convention(self.tool).misses if self.difference else ""


def peer_numbers(model: nn.Module, inputs: Any, cost: Cost) -> list[PeerNumber]:
    """Run every tool that is installed; `cost` is what this program counted for the same model and inputs."""
    return [peer_number(name, model, inputs, cost) for name in PEERS if is_installed(name)]


def is_installed(name: str) -> bool:
    """Whether a tool's package is there."""
    return find_spec(name) is not None


def peer_number(name: str, model: nn.Module, inputs: Any, cost: Cost) -> PeerNumber:
    """Run one tool on copies of the model and its inputs."""
    convention = get_convention(name)
    number, error = None, ""
    try:
        number = run_peer(name, model, inputs)
    except (Exception, SystemExit) as raised:
        error = f"{type(raised).__name__}: {str(raised).strip().split(chr(10))[0]}"
    return PeerNumber(
        tool=name,
        version=version(name),
        unit=convention.unit,
        number=number,
        ours=convention.number(cost),
        plain=convention.per_mac * cost.macs,
        by_kind=convention.beyond_macs(cost),
        error=error,
    )


def run_peer(name: str, model: nn.Module, inputs: Any) -> int:
    """A tool's number for a model in evaluation.

    Raises:
        Exception: whatever the tool raises.
    """
    value = (model, *as_arguments(inputs))
    with preserve_state(Twins(copy_of), value) as (twin, args, kwargs), _nothing_left_behind(), torch.enable_grad():
        only_tensors = not kwargs and all(isinstance(arg, Tensor) for arg in args)
        subject = twin if only_tensors else _OnTensors(twin, args, kwargs)
        return PEERS[name](subject.eval(), tuple(tensors_of(args, kwargs)))


class _OnTensors(nn.Module):
    """A model as a function of the tensors among its inputs: most tools take nothing else."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._inputs = args, kwargs

    def forward(self, *tensors: Tensor, **named: Tensor) -> tuple[Tensor, ...]:
        given = iter((*tensors, *named.values()))
        args, kwargs = mapped(self._inputs, lambda _: next(given))
        return tuple(tensors_of(self.model(*args, **kwargs)))


@contextlib.contextmanager
def _nothing_left_behind() -> Iterator[None]:
    places: list[Any] = [torch, F, Tensor]
    before = [dict(vars(place)) for place in places]
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(_silent_logs())
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for place, names in zip(places, before, strict=True):
                _put_back(place, names)


def _put_back(place: Any, before: dict[str, Any]) -> None:
    for name, value in list(vars(place).items()):
        if name not in before and name in dir(Tensor):
            delattr(place, name)
        elif name in before and before[name] is not value:
            setattr(place, name, before[name])


@contextlib.contextmanager
def _silent_logs() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _fvcore(model: nn.Module, inputs: Inputs) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, inputs)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    return int(analysis.total())


def _thop(model: nn.Module, inputs: Inputs) -> int:
    from thop import profile

    return int(profile(model, inputs, verbose=False)[0])


def _torch(model: nn.Module, inputs: Inputs) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model.to("meta")(*(tensor.to("meta") for tensor in inputs))
    return int(counter.get_total_flops())


def _ptflops(model: nn.Module, inputs: Inputs) -> int:
    from ptflops import get_model_complexity_info

    # By their names: it takes no more than one by position, and divides what that one costs by its first dimension.
    named = {f"input_{place}": tensor for place, tensor in enumerate(inputs)}
    model = model if isinstance(model, _OnTensors) else _OnTensors(model, inputs, {})
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        number, _ = get_model_complexity_info(
            model, (1,), print_per_layer_stat=False, as_strings=False, input_constructor=lambda _: named
        )
    if number is None:  # it prints what was raised as the last line
        raise CostError(f"the tool could not run the model: {printed.getvalue().strip().rpartition('>: ')[2]}")
    return int(number)


def _torchinfo(model: nn.Module, inputs: Inputs) -> int:
    from torchinfo import summary

    return int(summary(model, input_data=list(inputs), verbose=0).total_mult_adds)


def _torchprofile(model: nn.Module, inputs: Inputs) -> int:
    from torchprofile import profile_macs

    number: Any = profile_macs(model, inputs)
    return int(number)


def _calflops(model: nn.Module, inputs: Inputs) -> int:
    from calflops import calculate_flops

    number, _, _ = calculate_flops(model, args=list(inputs), print_results=False, output_as_string=False)
    return int(number)


PEERS: dict[str, Run] = {
    "fvcore": _fvcore,
    "thop": _thop,
    "torch": _torch,
    "ptflops": _ptflops,
    "torchinfo": _torchinfo,
    "torchprofile": _torchprofile,
    "calflops": _calflops,
}
