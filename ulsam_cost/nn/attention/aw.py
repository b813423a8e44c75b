"""AW-convolution as a module: a drop-in for nn.Conv2d."""

from itertools import product

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.errors import SizeError, require_size
from ulsam_cost.formulas.attention.aw import is_shared, values_per_output
from ulsam_cost.formulas.attention.mechanism import hidden_width, require_odd_kernel
from ulsam_cost.formulas.layers import window_output

REDUCTION = 16


class AWConv2d(nn.Conv2d):
    """A convolution whose weights K become K + A * K, with an attention map A of its own for each sample.

    Where A does not depend on the input channel no weights are built: each tap of the kernel, or the output of a
    1 x 1 kernel, gets a gate. The result is the same.

    Source: Zhu et al., ICANN 2021, Eq. 5, 7 and 8.

    Args:
        in_channels: c of the map [n, c, h, w].
        out_channels: o of the result.
        kernel_size: as in nn.Conv2d, as are stride, padding, dilation and bias.
        stride: of the convolution.
        padding: of the convolution.
        dilation: of the convolution.
        groups: 1, as in the paper.
        bias: whether the convolution itself has one.
        hidden: width between the point convolutions; floor(c / 16) by default.
        map_reduction: r, input channels that share a value of the map, a divisor of c; c by default.
        point_bias: whether the point convolutions have biases.
        literal: build the weights of each sample also where A does not depend on the input channel.

    Raises:
        SizeError: for other groups than 1, an r that does not divide c, or fewer than 16 channels without `hidden`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        hidden: int | None = None,
        map_reduction: int | None = None,
        point_bias: bool = False,
        literal: bool = False,
    ) -> None:
        if groups != 1:
            raise SizeError(f"groups = {groups}: 1 is accepted, an attention map belongs to a dense convolution")
        shared = values_per_output(in_channels, map_reduction)
        hidden = hidden_width(in_channels, REDUCTION) if hidden is None else require_size("hidden", hidden)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
        self.shared, self.literal = shared, literal or not is_shared(shared)
        values = out_channels * shared
        self.pool = nn.AdaptiveAvgPool2d(self.kernel_size)
        self.point_1 = nn.Conv2d(in_channels, hidden, 1, bias=point_bias)
        self.point_1_norm = nn.BatchNorm2d(hidden)
        self.relu = nn.ReLU()
        self.point_2 = nn.Conv2d(hidden, values, 1, bias=point_bias)
        self.point_2_norm = nn.BatchNorm2d(values)
        self.sigmoid = nn.Sigmoid()

    def attention(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, o c / r, kh, kw]."""
        hidden = self.relu(self.point_1_norm(self.point_1(self.pool(x))))
        return self.sigmoid(self.point_2_norm(self.point_2(hidden)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, o, h', w']."""
        scale = 1 + self.attention(x)
        if self.literal:
            result = self._with_weights_per_sample(x, scale)
        elif self.kernel_size == (1, 1):
            result = F.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation) * scale
        else:
            result = self._tap_by_tap(x, scale)
        return result if self.bias is None else result + self.bias[:, None, None]

    def _with_weights_per_sample(self, x: Tensor, scale: Tensor) -> Tensor:
        n, c, h, w = x.shape
        scale = scale.view(n, self.out_channels, self.shared, 1, *self.kernel_size)
        # [n, o, c / r, r, kh, kw]
        weights = self.weight.view(self.out_channels, self.shared, -1, *self.kernel_size) * scale
        samples = F.conv2d(
            x.reshape(1, n * c, h, w),
            weights.view(-1, c, *self.kernel_size),
            None,
            self.stride,
            self.padding,
            self.dilation,
            n,
        )
        return samples.view(n, self.out_channels, *samples.shape[2:])

    def _tap_by_tap(self, x: Tensor, scale: Tensor) -> Tensor:
        padding: list[int] = self._reversed_padding_repeated_twice
        padded = F.pad(x, padding) if any(padding) else x
        (kh, kw), (sh, sw), (dh, dw) = self.kernel_size, self.stride, self.dilation
        # from the first window's start to the end of the last
        reach_h = sh * (window_output(padded.shape[2], kh, sh, 0, dh) - 1) + 1
        reach_w = sw * (window_output(padded.shape[3], kw, sw, 0, dw) - 1) + 1
        result: Tensor | None = None
        for j, k in product(range(kh), range(kw)):
            window = padded[:, :, j * dh : j * dh + reach_h : sh, k * dw : k * dw + reach_w : sw]
            tap = F.conv2d(window, self.weight[:, :, j : j + 1, k : k + 1]) * scale[:, :, j, k, None, None]
            result = tap if result is None else result + tap
        assert result is not None
        return result

    def extra_repr(self) -> str:
        """What print() shows beside the parts."""
        plain: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{plain}, map_values={self.point_2.out_channels}, literal={self.literal}"


class AW(AWConv2d):
    """An AW-convolution m -> m that keeps the size of the map.

    Args:
        channels: m of the map [n, m, h, w].
        kernel: k, odd.
        reduction: r, so that the point convolutions meet at floor(m / r) channels.
        map_reduction: input channels that share a value of the map, a divisor of m; m by default.
        literal: build the weights of each sample also where the map does not depend on the input channel.
        bias: whether the point convolutions have biases; the convolution has none.

    Raises:
        SizeError: if r is larger than m, k is even, or map_reduction does not divide m.
    """

    def __init__(
        self,
        channels: int,
        kernel: int = 3,
        reduction: int = REDUCTION,
        map_reduction: int | None = None,
        literal: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__(
            channels,
            channels,
            require_odd_kernel(kernel),
            padding=kernel // 2,
            bias=False,
            hidden=hidden_width(channels, reduction),
            map_reduction=map_reduction,
            point_bias=bias,
            literal=literal,
        )


MODULE = AW
