"""The layers of a model, what each costs, and whether attention may follow or replace it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ulsam_cost.counting.calls import count_calls
from ulsam_cost.counting.count import body_of
from ulsam_cost.counting.loaded import LoadedModel, in_a_sentence
from ulsam_cost.counting.networks import count_network
from ulsam_cost.formulas.networks import NetworkSpec, attention_by_layer, numbered_layers, split_by_layer
from ulsam_cost.formulas.networks import network_layers as derived_layers
from ulsam_cost.nn.networks.meta import build_on_meta
from ulsam_cost.nn.places import ModuleCall, channels_last, why_not_follow, why_not_replace
from ulsam_cost.units import at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer: its module, its output's shape, its cost, and what attention may do with it.

    `layer` is the paper's number, or the name of what has none, in the networks of the project, else empty.
    `module_class` is empty for what is not a module of its own, `output` None where it is not one tensor of one shape.
    `why_not` says why attention may not follow it, or only follow. `attention` are the paths of the attention modules
    that stand in it, after it or in its place.
    """

    layer: str = ""
    path: str
    module_class: str
    output: tuple[int, ...] | None
    params: int
    macs: int
    may_follow: bool
    may_replace: bool
    why_not: str
    attention: tuple[str, ...] = ()


def network_layers(spec: NetworkSpec) -> tuple[Layer, ...]:
    """The layers of a network of the project without its attention, and where its attention stands."""
    plain = spec.plain()
    layers, counted, model = derived_layers(plain), count_network(plain), build_on_meta(plain)
    split, standing = split_by_layer(counted.cost, layers), attention_by_layer(spec)
    numbered = {str(row.layer): row for row in numbered_layers(plain)}
    return tuple(
        Layer(
            layer=layer.layer,
            path=layer.path,
            module_class=type(model.get_submodule(layer.path)).__name__ if layer.path else "",
            output=layer.output,
            params=split[layer.layer].params,
            macs=at_least(split[layer.layer].macs, unless=counted.complete),
            may_follow=(row := numbered.get(layer.layer)) is not None and row.may_follow,
            may_replace=row is not None and row.may_replace,
            why_not="not numbered" if row is None else row.why_not,
            attention=standing.get(layer.layer, ()),
        )
        for layer in layers
    )


def model_layers(loaded: LoadedModel) -> tuple[Layer, ...]:
    """The submodules of any model, in the model's order, each with all that stands below it.

    Raises:
        CostError: for a model that does not run on its inputs.
    """
    with in_a_sentence(loaded.name):
        counted, calls, _ = count_calls(loaded.model, loaded.inputs)
    last = channels_last(counted.cost)
    macs: Counter[str] = Counter()
    params: Counter[str] = Counter()
    for op in counted.cost:
        for path in _around(op.path):
            macs[path] += op.macs
            params[path] += op.params
    incomplete = {path for operation in counted.uncounted_products for path in _around(operation.path)}
    return tuple(
        Layer(
            path=path,
            module_class=type(module).__name__,
            output=_output(runs := calls.get(path, ())),
            params=params[path],
            macs=at_least(macs[path], unless=path not in incomplete),
            may_follow=not why_not_follow(path, runs, last=last),
            may_replace=not (why_not := why_not_replace(path, runs, last=last)),
            why_not=why_not,
        )
        for path, module in body_of(loaded.model).named_modules()
    )


def _around(path: str) -> list[str]:
    """The paths of a module and of those around it, the model's included."""
    return ["", *accumulate(path.split("."), "{}.{}".format)] if path else [""]


def _output(calls: Sequence[ModuleCall]) -> tuple[int, ...] | None:
    outputs = {call.output for call in calls}
    return outputs.pop() if len(outputs) == 1 else None
