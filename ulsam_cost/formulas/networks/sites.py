"""The places in a network where attention stands."""

from typing import Any

from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.attention import attention_cost
from ulsam_cost.formulas.networks.spec import LayerCost, NetworkSpec
from ulsam_cost.placement import Step


def attention_layer(spec: NetworkSpec, step: Step, path: str, x: tuple[Any, ...]) -> LayerCost:
    """The attention that stands at a step, on the map x.

    Raises:
        PlacementError: naming the layer, if the mechanism cannot take the map.
    """
    batch, channels, height, width = x
    try:
        cost = attention_cost(
            spec.attention,
            channels=channels,
            height=height,
            width=width,
            batch=batch,
            **dict(spec.attention_options),
        )
    except CostError as error:
        raise PlacementError(f"{spec.attention} at {step.label} of {spec.network}: {error}") from error
    return LayerCost(layer=step.label, path=path, kind=spec.attention, cost=cost.scoped(path), output=x)
