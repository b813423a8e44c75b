"""ECA: each channel's weight from the means of its neighbours in the list of channels."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import SizeError
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_odd_kernel
from ulsam_cost.formulas.layers import conv1d_cost, global_avg_pool_cost, multiply_cost, sigmoid_cost

# the released models' kernels, a stage each
STAGES_KERNELS = {
    "resnet18": (3, 5, 7, 7),
    "resnet34": (3, 3, 5, 7),
    "resnet50": (3, 5, 5, 7),
    "resnet101": (3, 3, 5, 7),
    "resnet152": (3, 3, 5, 7),
}
MOBILE, WIDE = "mv2", 96
LARGEST_POWER = 64


def eca_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, kernel: int = 3) -> Cost:
    """Efficient channel attention on a map [n, m, h, w].

    Source: Wang et al., CVPR 2020, Eq. 9 to 12; the authors' code. The paper chooses the kernel from the channels; the
    code takes one for each stage of a ResNet, and in MobileNetV2 1 below 96 channels and 3 from there on.
    Closed form: parameters k, MACs n m k.
    Counted: the pool, the convolution along the channels, the sigmoid, the scaling of the map.
    Not counted: the vector seen as one channel of length m, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        kernel: k, odd; 0 chooses it from the channels, as the paper does: t = floor((log2(m) + 1) / 2), or t + 1 where
            that is even.

    Raises:
        SizeError: for an even k, and for 0 where the channels are a symbol.
    """
    x = (batch, channels, height, width)
    k = chosen_kernel(kernel, channels)
    cost = global_avg_pool_cost("pool", x)  # [n, m] = mean over p of [n, m, p]
    # [n, 1, m] = [n, 1, m] * [1, 1, k]
    cost += conv1d_cost("conv", (batch, 1, channels), 1, kernel=k, padding=k // 2)
    cost += sigmoid_cost("sigmoid", cost.output)
    return cost + multiply_cost("", x, x, cost.output)  # [n, m, h, w] = [n, m, h, w] * [n, m, 1, 1]


def chosen_kernel(kernel: int, channels: Any) -> Any:
    """An odd kernel; for 0 the one that Eq. 12 chooses from the channels.

    Raises:
        SizeError: for an even one, and for 0 where the channels are a symbol.
    """
    if kernel != 0 or isinstance(kernel, bool):
        return require_odd_kernel(kernel)
    if hasattr(channels, "free_symbols"):
        raise SizeError(f"kernel = 0 chooses from the channels, and {channels} is not a number: an odd one is accepted")
    half = sum((channels >= 2**power) * 1 for power in range(LARGEST_POWER)) // 2
    return half // 2 * 2 + 1


def _released_kernel(*, network: str, channels: int, stride: int, **_: Any) -> dict[str, int]:
    if network == MOBILE:
        return {"kernel": 3 if channels >= WIDE else 1}
    kernels = STAGES_KERNELS.get(network)
    return {"kernel": kernels[stride.bit_length() - 3]} if kernels else {}


MECHANISM = Mechanism(
    name="eca",
    title="ECA-Net",
    source="Wang et al., CVPR 2020",
    group="channel",
    cost=eca_cost,
    places=Places(at=_released_kernel, source="BangguWu/ECANet: after each block's last norm, before the shortcut"),
)
