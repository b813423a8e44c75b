"""SimAM: a weight for each element, from how far it is from its channel's mean; nothing to learn."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_several_positions
from ulsam_cost.formulas.layers import (
    add_cost,
    elementwise_cost,
    mean_cost,
    multiply_cost,
    reduce_cost,
    sigmoid_cost,
)


def simam_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, regularizer: float = 1e-4) -> Cost:
    """SimAM on a map [n, m, h, w].

    Source: Yang et al., ICML 2021, Eq. 5 and 6, and the authors' code.
    Closed form: parameters 0, MACs 0.
    Counted: mean, difference, square and sum; the division of the sum, its additions and product; the division by it,
    + 0.5, the sigmoid, the scaling of the map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        regularizer: lambda, above 0; it changes no cost. The authors train with 0.1.

    Raises:
        SizeError: for a map of one position, which has no deviation.
        CostError: for a lambda that is not above 0.
    """
    require_regularizer(regularizer)
    require_several_positions(height, width)
    n, m, *_ = x = (batch, channels, height, width)
    vector = (n, m, 1, 1)
    cost = mean_cost("", x, vector) + add_cost("", x, x, vector, operator="sub") + elementwise_cost("", x, "pow")
    cost += reduce_cost("", x, vector) + multiply_cost("", vector, vector, operator="div")
    cost += add_cost("", vector, vector) + multiply_cost("", vector, vector)
    cost += multiply_cost("", x, x, vector, operator="div") + add_cost("", x, x)
    return cost + sigmoid_cost("sigmoid", x) + multiply_cost("", x, x, x)


def require_regularizer(regularizer: float) -> float:
    """Return a lambda above 0.

    Raises:
        CostError: for anything else.
    """
    if isinstance(regularizer, bool) or not isinstance(regularizer, int | float) or not regularizer > 0:
        raise CostError(f"regularizer = {regularizer!r}: a number above 0 is accepted")
    return regularizer


MECHANISM = Mechanism(
    name="simam",
    title="SimAM",
    source="Yang et al., ICML 2021",
    group="both",
    cost=simam_cost,
    places=Places(where="spatial", source="ZjjConan/SimAM: between the 3 x 3 and its norm"),
)
