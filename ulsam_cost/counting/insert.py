"""Attention in anybody's model: behind submodules, or in their place."""

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor, nn

from ulsam_cost.counting.calls import Calls, count_calls
from ulsam_cost.counting.count import body_of
from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.formulas.attention.user import mechanism_of
from ulsam_cost.nn.attention import build_mechanism
from ulsam_cost.nn.attention.user import require_same_shape
from ulsam_cost.nn.patterns import matching
from ulsam_cost.nn.places import MAP_DIMENSIONS, Shape, channels_last, channels_of, why_not_follow, why_not_replace
from ulsam_cost.nn.without_values import WithoutValues
from ulsam_cost.torch_private import MODULES
from ulsam_cost.user_code import raised_in_a_sentence

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SUFFIX = "_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A submodule that attention follows or replaces: its paths, its output's shape and type, how often it runs."""

    paths: tuple[str, ...]
    replaced: bool
    shape: Shape
    dtype: torch.dtype
    runs: int

    @property
    def path(self) -> str:
        """The first of its paths."""
        return self.paths[0]


def insert(
    model: nn.Module,
    inputs: Any,
    attention: str | Callable[..., nn.Module],
    *,
    after: str | Sequence[str] = (),
    replace: str | Sequence[str] = (),
    **options: Any,
) -> nn.Module:
    """A copy of a model with attention after some of its submodules, or in their place.

    Each submodule gets a module of its own, built for the channels of the map [n, c, h, w] that the submodule returns,
    on the device and with the dtype of that map, in the submodule's training mode. Tokens [n, tokens, c] are
    accepted if the class or function has an attribute `takes_tokens` that is true. Maps [n, h, w, c], as Swin's are,
    are refused where a linear layer or a layer norm works on maps of their shape; elsewhere they cannot be
    distinguished from maps [n, c, h, w]. A submodule that has several paths gets one module.

    What replaces `layers.11` has that path. What follows `layers.5` is `layers.5_attention`: in an nn.Sequential the
    next module, elsewhere a module beside it that a forward hook runs, so that no path of the model changes.

    Args:
        model: on any device, including `meta`; left as found. A wrapper of torch.compile or of data parallelism is
            removed.
        inputs: of the model, as for `count`.
        attention: a registered mechanism, `FILE.py:NAME` or `package.module:NAME`, or a class or function that takes
            the number of channels and the options and returns an nn.Module that keeps the shape of a map.
        after: paths of submodules, or patterns: `*` stands for any part of one name, `**` for any number of names,
            `[8-11]` and `[0,2,8-11]` for whole numbers, 11 included: `layers.5`, `blocks.*`, `features.[8-11]`.
        replace: likewise, of submodules that keep the shape of their input.
        **options: the mechanism's own; None stands for the default.

    Returns:
        The copy. Its parameters are the model's values and those of the new modules; its output has the same shapes.

    Raises:
        PlacementError: for a path that does not exist, and, naming its path, for a submodule whose output is not a map,
            that is not called, that runs several times with different shapes, or that is replaced and changes the shape
            or shares parameters with another.
        CostError: for a mechanism that does not exist or that changes the shape, and a model that cannot be copied.
        Exception: whatever the model's forward raises, with a note that names the module.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 16, 1), torch.nn.Flatten())
        >>> x = torch.zeros(1, 3, 8, 8)
        >>> with_se = uc.insert(net, x, "se", after="0", reduction=4)
        >>> list(with_se.state_dict())
        ['0.weight', '0.bias', '0_attention.down.weight', '0_attention.up.weight', '1.weight', '1.bias']
        >>> uc.count(with_se, x).macs - uc.count(net, x).macs == 2 * 16 * 16 // 4
        True
        >>> uc.insert(net, x, "se", replace="0")
        Traceback (most recent call last):
        ...
        ulsam_cost.errors.PlacementError: attention cannot replace '0': changes the shape
    """
    mechanism = attention_named(attention)
    body = body_of(model)
    if isinstance(body, torch.jit.ScriptModule):
        raise CostError("the model is scripted, and takes no other modules: the module that was scripted is accepted")
    calls = count_calls(body, inputs)
    targets = find_targets(body, calls, mechanism, after=_several(after), replace=_several(replace))
    require_fit(mechanism, targets, options)
    changed = _copy(body)
    gates = [_place(changed, target, mechanism, options, calls) for target in targets]
    _require_like(calls, changed, inputs, targets, gates)
    return changed


def attention_named(attention: str | Callable[..., nn.Module]) -> Mechanism:
    """The mechanism that a name, a text or a callable means; errors as `get_mechanism`."""
    if isinstance(attention, str):
        return get_mechanism(attention)
    return mechanism_of(attention, getattr(attention, "__qualname__", type(attention).__name__))


def find_targets(
    model: nn.Module, calls: Calls, mechanism: Mechanism, *, after: Iterable[str] = (), replace: Iterable[str] = ()
) -> list[Target]:
    """The submodules that patterns name, each once, in the model's order.

    Raises:
        PlacementError: as `insert`.
    """
    paths: dict[int, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(id(module), []).append(path)
    known = {path: tuple(same) for same in paths.values() for path in same}
    chosen, last = {}, channels_last(calls.counted.cost)
    for patterns, replaced in ((after, False), (replace, True)):
        for same in dict.fromkeys(known[path] for pattern in patterns for path in matching(pattern, known)):
            if same in chosen:
                raise PlacementError(f"{same[0]!r} is both replaced and followed: one of the two is accepted")
            chosen[same] = _target(same, calls, mechanism, last, replaced=replaced)
    if not chosen:
        raise PlacementError("no submodule is named: after='layers.5' or replace='layers.5' is accepted")
    gone = [target for target in chosen.values() if target.replaced]
    for same, target in chosen.items():
        if inside := next((other for other in gone if target.path.startswith(f"{other.path}.")), None):
            raise PlacementError(
                f"{same[0]!r} stands in {inside.path!r}, which is replaced: one of the two is accepted"
            )
    for target in gone:
        _require_own_parameters(model, target)
    order = {path: number for number, path in enumerate(known)}
    return sorted(chosen.values(), key=lambda target: order[target.path])


def _several(paths: str | Sequence[str]) -> Sequence[str]:
    return (paths,) if isinstance(paths, str) else paths


def _target(
    paths: tuple[str, ...], calls: Calls, mechanism: Mechanism, last: frozenset[Shape], *, replaced: bool
) -> Target:
    heard = calls.of.get(paths[0], [])
    tokens = mechanism.code is not None and mechanism.code.takes_tokens
    rule, does = (why_not_replace, "replace") if replaced else (why_not_follow, "follow")
    if reason := rule(paths[0], heard, tokens=tokens, last=last):
        raise PlacementError(f"attention cannot {does} {paths[0]!r}: {reason}")
    shape, dtype = heard[0].output, heard[0].dtype
    assert shape is not None
    assert dtype is not None
    return Target(paths=paths, replaced=replaced, shape=shape, dtype=dtype, runs=len(heard))


def _require_own_parameters(model: nn.Module, target: Target) -> None:
    """Refuse to replace what shares a parameter with the rest of the model."""
    own = {id(parameter) for parameter in model.get_submodule(target.path).parameters()}
    inside = tuple(f"{path}." for path in target.paths)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in own and not name.startswith(inside):
            raise PlacementError(f"attention cannot replace {target.path!r}: it shares a parameter with {name!r}")


def require_fit(mechanism: Mechanism, targets: Iterable[Target], options: dict[str, Any]) -> None:
    """Hold the mechanism to take the maps of the targets, and to keep their shapes."""
    for shape, path in {target.shape: target.path for target in targets}.items():
        try:
            require_same_shape(mechanism, shape, **options)
            build_for(mechanism, shape, options, "meta")
        except CostError as error:
            raise PlacementError(f"attention at {path!r}: {error}") from error


def build_for(mechanism: Mechanism, shape: Shape, options: dict[str, Any], device: str | torch.device) -> nn.Module:
    """The module of a mechanism for a map of this shape."""
    if len(shape) == MAP_DIMENSIONS:
        options = mechanism.built_for(shape[2:], **options) | options
    with torch.device(device), WithoutValues() if str(device) == "meta" else nullcontext():
        return build_mechanism(mechanism, channels_of(shape), **options)


def _copy(model: nn.Module) -> nn.Module:
    with raised_in_a_sentence("the model cannot be copied"):
        return copy.deepcopy(model)


def _place(model: nn.Module, target: Target, mechanism: Mechanism, options: dict[str, Any], calls: Calls) -> nn.Module:
    """Build the attention of a target, and put it into the model."""
    host, device = model.get_submodule(target.path), _device_at(model, target.path)
    gate = build_for(mechanism, target.shape, options, device)
    gate = gate.to(device=device, dtype=target.dtype).train(host.training)
    if target.replaced:
        for path in target.paths:
            model.set_submodule(path, gate)
    elif sequences := _sequences(model, target, calls):
        for sequence, name in sequences:
            _put_behind(sequence, name, gate)
    else:
        host.register_forward_hook(partial(_attend, gate))
        owner, name = _owner(model, target.path)
        owner.add_module(_free(owner, name), gate)
    return gate


def _attend(gate: nn.Module, module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor:
    """The hook of a module that attention follows."""
    return gate(result)  # type: ignore[no-any-return]


def _device_at(model: nn.Module, path: str) -> torch.device:
    """Where a submodule is: its tensors, or else those of the modules around it."""
    while True:
        module = model.get_submodule(path)
        if (tensor := next(chain(module.parameters(), module.buffers()), None)) is not None:
            return tensor.device
        if not path:
            return torch.get_default_device()
        path = path.rpartition(".")[0]


def _sequences(model: nn.Module, target: Target, calls: Calls) -> list[tuple[nn.Module, str]]:
    """The nn.Sequentials that run a target, and its name in each; none if anything else runs it."""
    found: list[tuple[nn.Module, str]] = []
    runs = 0
    for path in target.paths:
        above, _, name = path.rpartition(".")
        parent = model.get_submodule(above)
        plain = isinstance(parent, nn.Sequential) and type(parent).forward is nn.Sequential.forward
        if plain and (parent, name) not in found:
            found.append((parent, name))
            runs += len(calls.of.get(_first_path(model, parent), ()))
    return found if runs == target.runs else []


def _first_path(model: nn.Module, module: nn.Module) -> str:
    paths: dict[nn.Module, str] = {other: path for path, other in model.named_modules()}
    return paths[module]


def _put_behind(sequence: nn.Module, name: str, gate: nn.Module) -> None:
    """Put attention behind a module of a sequence, and behind the attention that follows it already."""
    table, own = getattr(sequence, MODULES), f"{name}{_SUFFIX}"
    items = list(table.items())
    place = list(table).index(name) + 1
    while place < len(items) and items[place][0].startswith(own):
        place += 1
    items.insert(place, (_free(sequence, own), gate))
    table.clear()
    table.update(items)


def _owner(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that attention behind a submodule belongs to, and its name there.

    Sequences, lists and dicts are passed over: whoever runs what stands in them would run the attention as well.
    """
    above, _, name = path.rpartition(".")
    owner = model.get_submodule(above)
    while above and isinstance(owner, _CONTAINERS):
        above, _, before = above.rpartition(".")
        owner, name = model.get_submodule(above), f"{before}_{name}"
    return owner, f"{name}{_SUFFIX}"


def _free(owner: nn.Module, name: str) -> str:
    """The name, or with a number behind it where the owner has it already."""
    names = chain((name,), (f"{name}_{number}" for number in count(2)))
    return next(free for free in names if not hasattr(owner, free))


def _require_like(
    before: Calls, changed: nn.Module, inputs: Any, targets: Sequence[Target], gates: Sequence[nn.Module]
) -> None:
    """Hold the new model to run its attention as often as what it stands at, and to give what it gave before.

    Raises:
        PlacementError: if it does not.
    """
    training = [gate.training for gate in gates]
    for gate in gates:  # a norm over one value raises in training
        gate.eval()
    with raised_in_a_sentence("the model does not run with attention in it"):
        after = count_calls(changed, inputs)
    for gate, flag in zip(gates, training, strict=True):
        gate.train(flag)
    paths = {id(module): path for path, module in changed.named_modules()}
    for target, gate in zip(targets, gates, strict=True):
        if (runs := len(after.of.get(paths[id(gate)], ()))) != target.runs:
            raise PlacementError(
                f"attention cannot stand at {target.path!r}: it would run {runs} times, the submodule runs "
                f"{target.runs} times; the model does not reach it by its path alone"
            )
    if [call.given for call in after.of[""]] != [call.given for call in before.of[""]]:
        raise PlacementError(f"attention at {targets[0].path!r} would change the shape of the model's output")
