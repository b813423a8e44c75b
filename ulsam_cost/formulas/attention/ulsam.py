"""ULSAM: one attention map for each of g subspaces of the channels."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    PrintedFormula,
    Term,
    require_one_of,
)
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    max_pool2d_cost,
    multiply_cost,
    relu_cost,
    softmax_cost,
)

STYLES = ("equation", "release")


def ulsam_cost(
    *, channels: Any, height: Any, width: Any, batch: Any = 1, groups: Any = 4, style: str = "equation"
) -> Cost:
    """ULSAM on a map [n, m, h, w], all g subspaces at once.

    Source: Saini et al., WACV 2020, Eq. 2 to 4 (style `equation`); the authors' published code (style
    `release`: biases in both convolutions, batch norm and ReLU after each).
    Closed form: parameters 2 m (release: 5 m + 3 g), MACs 2 n m h w, for every g.
    Counted: both convolutions, their biases, norms, ReLUs, the max pool, the softmax, A * F and + F.
    Not counted: the division into subspaces, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        groups: subspaces g, a divisor of m.
        style: `equation` or `release`.

    Raises:
        SizeError: if g does not divide m.
        CostError: for another style.
    """
    require_one_of("style", style, STYLES)
    groups = require_size("g", groups)
    require_divides("g", groups, "m", channels)
    release = style == "release"
    x = (batch, channels, height, width)
    grouped = (batch, groups, channels // groups, height, width)
    # [n, m, h, w] = [n, m, h, w] * [m, 1, 1, 1], a channel at a time
    cost = conv2d_cost("depthwise", x, channels, kernel=1, groups=channels, bias=release)
    if release:
        cost += batch_norm_cost("depthwise_norm", x) + relu_cost("depthwise_relu", x)
    # [n, m, h, w] = max over 3 x 3 of [n, m, h, w]
    cost += max_pool2d_cost("pool", x, kernel=3, stride=1, padding=1)
    # [n, g, h, w] = [n, m, h, w] * [g, m / g, 1, 1], a subspace at a time
    cost += conv2d_cost("pointwise", x, groups, kernel=1, groups=groups, bias=release)
    maps = (batch, groups, height, width)
    if release:
        cost += batch_norm_cost("pointwise_norm", maps) + relu_cost("pointwise_relu", maps)
    # [n, g, p] = softmax over p of [n, g, p]
    cost += softmax_cost("softmax", (batch, groups, height * width))
    # [n, g, m / g, h, w] = [n, g, m / g, h, w] * [n, g, 1, h, w] + [n, g, m / g, h, w]
    return cost + multiply_cost("", grouped, grouped, maps) + add_cost("", grouped, grouped, grouped)


MECHANISM = Mechanism(
    name="ulsam",
    title="ULSAM",
    source="Saini et al., WACV 2020, Eq. 2 to 4",
    group="spatial",
    cost=ulsam_cost,
    places=Places(
        source="Saini et al., Table 4: after or in place of layers of the MobileNets, by number; elsewhere no paper",
    ),
    multiple=4,
    printed=PrintedFormula(
        params_text="2m",
        macs_text="2mhw",
        terms=(
            Term(
                kind=OpKind.CONV,
                params=lambda *, m, **_: 2 * m,
                macs=lambda *, m, h, w, **_: 2 * m * h * w,
            ),
        ),
    ),
    from_table1=lambda *, g, style, **_: {"groups": g, "style": style},
)
