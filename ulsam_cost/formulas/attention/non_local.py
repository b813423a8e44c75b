"""Non-local: every position attends to every other, through m / 2 channels."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, PrintedFormula, Term, hidden_width
from ulsam_cost.formulas.layers import add_cost, conv2d_cost, matmul_cost, softmax_cost

RES3, RES4 = 8, 16  # the strides of their maps


def non_local_cost(
    *, channels: Any, height: Any, width: Any, batch: Any = 1, reduction: Any = 2, bias: bool = False
) -> Cost:
    """The embedded Gaussian non-local block on a map [n, m, h, w], p = h w.

    Source: Wang et al., CVPR 2018, Eq. 1, 4 and 6, bottleneck m / 2.
    Closed form: with d = floor(m / r), parameters 4 m d (with biases + 3 d + m), MACs n (4 m d p + 2 d p^2).
    Counted: four 1 x 1 convolutions and their biases, both products, the softmax, the addition of the input.
    Not counted: transposed views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r of the bottleneck.
        bias: whether the convolutions have biases, as in the authors' code, which also pools the map before phi
            and value, scales the affinities and ends with a batch norm.

    Raises:
        SizeError: if r is larger than m.
    """
    x = (batch, channels, height, width)
    d, p = hidden_width(channels, reduction), height * width
    # theta, phi, value: [n, d, p] = [d, m] @ [n, m, p]
    cost = sum((conv2d_cost(name, x, d, kernel=1, bias=bias) for name in ("theta", "phi", "value")), Cost())
    cost += matmul_cost("", (batch, p, d), (batch, d, p))  # [n, p, p] = [n, p, d] @ [n, d, p]
    cost += softmax_cost("softmax", (batch, p, p))
    cost += matmul_cost("", (batch, p, p), (batch, p, d))  # [n, p, d] = [n, p, p] @ [n, p, d]
    # [n, m, p] = [m, d] @ [n, d, p]
    cost += conv2d_cost("out", (batch, d, height, width), channels, kernel=1, bias=bias)
    return cost + add_cost("", x, x, x)


def _in_stages_3_and_4(*, network: str, stride: int, index: int, **_: Any) -> bool:
    every = 7 if network.startswith("resnet101") and stride == RES4 else 2
    return stride in (RES3, RES4) and index % every == every - 1


MECHANISM = Mechanism(
    name="non_local",
    title="Non-local",
    source="Wang et al., CVPR 2018",
    group="dot-product",
    cost=non_local_cost,
    places=Places(
        where="layers",
        blocks=_in_stages_3_and_4,
        source="facebookresearch/video-nonlocal-net: after each 2nd block of res3, res4; each 7th of res4 in ResNet101",
    ),
    printed=PrintedFormula(
        params_text="2m^2",
        macs_text="2m^2hw",
        terms=(
            Term(
                kind=OpKind.CONV,
                params=lambda *, m, **_: 2 * m**2,
                macs=lambda *, m, h, w, **_: 2 * m**2 * h * w,
            ),
        ),
    ),
)
