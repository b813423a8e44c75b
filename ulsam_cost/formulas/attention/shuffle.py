"""SA-Net's shuffle attention: a weight for half of the channels, for each position of the other half."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import holds, require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places
from ulsam_cost.formulas.layers import (
    add_cost,
    concatenate_cost,
    global_avg_pool_cost,
    group_norm_cost,
    movement_cost,
    multiply_cost,
    sigmoid_cost,
)


def shuffle_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, groups: Any = 64) -> Cost:
    """Shuffle attention on a map [n, m, h, w].

    Source: Zhang and Yang, ICASSP 2021, Eq. 1 to 4, and the authors' code.
    Printed: 300 parameters in ResNet50 (the abstract); the authors' code has 708 there.
    Closed form: with s = floor(m / (2 g)), parameters 6 s, MACs 0.
    Counted: the pool of the one half, the group norm of the other, weights and biases, sigmoids, the scaling of both
    halves, their joining, the shuffle.
    Not counted: the division into groups and halves, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        groups: g; 2 g divides m.

    Raises:
        SizeError: if 2 g does not divide m.
    """
    half, rows = half_width(channels, groups), batch * groups
    x, vector = (rows, half, height, width), (rows, half, 1, 1)
    learned = (half,)
    cost = global_avg_pool_cost("pool", x)
    cost += multiply_cost("", vector, vector, learned, params=half) + add_cost("", vector, vector, learned, params=half)
    cost += sigmoid_cost("sigmoid", vector) + multiply_cost("", x, x, vector)
    if not holds(rows == 1):
        cost += movement_cost("norm", x, "group_norm", module="GroupNorm")  # half of each group is not in order
    cost += group_norm_cost("norm", x, half)
    cost += multiply_cost("", x, x, learned, params=half) + add_cost("", x, x, learned, params=half)
    cost += sigmoid_cost("sigmoid", x) + multiply_cost("", x, x, x)
    cost += concatenate_cost("", (rows, 2 * half, height, width))
    return cost if holds(channels == 2) else cost + movement_cost("", (batch, channels, height, width), "reshape")


def half_width(channels: Any, groups: Any) -> Any:
    """The channels m / (2 g) of half a group.

    Raises:
        SizeError: if 2 g does not divide m.
    """
    halves = 2 * require_size("groups", groups)
    require_divides("2 groups", halves, "channels", channels)
    return channels // halves


MECHANISM = Mechanism(
    name="shuffle",
    title="SA-Net",
    source="Zhang and Yang, ICASSP 2021",
    group="both",
    cost=shuffle_cost,
    multiple=128,
    places=Places(source="wofmanaf/SA-Net: after each block's last norm, before the shortcut"),
)
