"""The AW-convolution: both forms give the same, cost what is derived, and stand in for nn.Conv2d."""

from itertools import pairwise

import pytest
import torch

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.formulas.attention.aw import aw_conv2d_cost, aw_overhead_cost
from ulsam_cost.nn.attention.aw import AWConv2d

X = (2, 12, 7, 5)


def test_the_literal_form_modulates_every_weight_of_every_sample():
    cost = aw_conv2d_cost(X, 9, kernel=3, padding=1, hidden=4, map_reduction=3, literal=True)
    multiply, add = (cost.of_kind(kind).ops for kind in (OpKind.MULTIPLY, OpKind.ADD))
    assert [op.writes for op in multiply] == [2 * 12 * 9 * 9]
    assert [op.writes for op in add] == [2 * (9 * 12 // 3) * 9]


def test_the_cheap_form_gates_each_tap():
    cost = aw_conv2d_cost(X, 9, kernel=3, padding=1, hidden=4)
    assert cost.of_kind(OpKind.MULTIPLY).writes == 9 * (2 * 9 * 35)
    assert cost.of_kind(OpKind.ADD).writes == 2 * 9 * 9 + 8 * (2 * 9 * 35)
    assert cost.of_kind(OpKind.MOVEMENT).writes == 2 * 12 * 9 * 7


def test_the_cheap_form_of_a_1x1_kernel_gates_the_output():
    cost = aw_conv2d_cost(X, 9, kernel=1, hidden=4)
    assert cost.of_kind(OpKind.MULTIPLY).writes == 2 * 9 * 35
    assert cost.of_kind(OpKind.ADD).writes == 2 * 9


@pytest.mark.parametrize("kernel", [1, 3])
def test_both_forms_have_the_same_macs_and_parameters(kernel):
    sizes = {"kernel": kernel, "padding": kernel // 2, "hidden": 4, "bias": True}
    cheap, literal = (aw_conv2d_cost(X, 9, **sizes, literal=literal) for literal in (False, True))
    assert (cheap.macs, cheap.params) == (literal.macs, literal.params)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize(("kernel", "map_reduction"), [(1, None), (3, None), ((3, 2), 4)])
def test_the_overhead_is_all_but_the_plain_convolution(kernel, map_reduction, literal):
    q = 9 if map_reduction is None else 9 * 12 // 4
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    sizes = {"kernel": kernel, "hidden": 4, "map_reduction": map_reduction, "literal": literal}
    cost = aw_overhead_cost(X, 9, **sizes, bias=True)
    assert cost.params == 4 * (12 + q) + 2 * (4 + q)
    assert cost.macs == 2 * 4 * (12 + q) * kh * kw
    assert aw_overhead_cost(X, 9, **sizes, point_bias=True).params == cost.params + 4 + q


# kernel, stride, padding, dilation of convolutions 12 -> 9
@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("map_reduction", [None, 1, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), ((3, 2), (2, 1), (0, 1), (1, 2)), (1, 2, 0, 1), (1, 1, 1, 1), (2, 1, 0, 2)],
)
def test_what_is_derived_is_what_is_counted(kernel, stride, padding, dilation, map_reduction, literal):
    sizes = {"stride": stride, "padding": padding, "dilation": dilation}
    options = {"hidden": 5, "map_reduction": map_reduction, "literal": literal, "bias": True, "point_bias": True}
    with torch.device("meta"):
        module = AWConv2d(12, 9, kernel, **sizes, **options).eval()
        counted = uc.count(module, torch.empty(X))
    assert counted.cost == aw_conv2d_cost(X, 9, kernel=kernel, **sizes, **options)


def test_the_papers_added_parameters():
    """Table 1 of Zhu et al.: +0.16 M on ResNet50's 3 x 3 convolutions, +0.45 M on MobileNet's pointwise ones."""
    planes = [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    added = sum(aw_overhead_cost((1, c, 7, 7), c, kernel=3, padding=1, hidden=c // 16).params for c in planes)
    assert round((25_557_032 + added) / 1e6, 2) == 25.72
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    pairs = list(pairwise(widths))
    assert len(pairs) == 13
    added = sum(aw_overhead_cost((1, a, 7, 7), b, kernel=1, hidden=b // 16).params for a, b in pairs)
    assert round(added / 1e6, 2) == 0.45


def two_forms(kernel, c=12, out=9, **sizes):
    """The literal form and the cheap one, with the same parameters."""
    torch.manual_seed(0)
    options = {"hidden": 5, "point_bias": True, **sizes}
    literal, cheap = (AWConv2d(c, out, kernel, **options, literal=flag) for flag in (True, False))
    for parameter in literal.parameters():
        torch.nn.init.normal_(parameter, std=parameter.numel() ** -0.25)
    cheap.load_state_dict(literal.state_dict())
    return literal, cheap


def results_and_gradients(module, x):
    result = module(x)
    return result, torch.autograd.grad((result * result.detach().cos()).sum(), [x, *module.parameters()])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(
    ("kernel", "sizes"),
    [
        (1, {}),
        (1, {"stride": 2, "padding": 1}),
        (3, {"padding": 1}),
        (3, {"padding": "same", "bias": False}),
        (2, {"padding": "same", "dilation": 2}),
        (3, {"stride": 2, "padding": 1, "dilation": 2}),
        ((3, 2), {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2)}),
        ((1, 3), {"padding": "valid"}),
    ],
)
def test_both_forms_give_the_same_result_and_gradients(kernel, sizes, dtype, tolerance):
    x = torch.randn(3, 12, 9, 7, dtype=dtype, requires_grad=True)
    literal, cheap = (module.to(dtype).eval() for module in two_forms(kernel, **sizes))
    (expected, expected_gradients), (result, gradients) = (
        results_and_gradients(literal, x),
        results_and_gradients(cheap, x),
    )
    for one, other in zip((result, *gradients), (expected, *expected_gradients), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.detach().abs().max()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("kernel", "size"), [(3, 7), (1, 14)])
def test_both_forms_give_the_same_at_the_size_that_is_benchmarked(kernel, size, dtype, tolerance):
    literal, cheap = (module.to(dtype) for module in two_forms(kernel, c=512, out=512, padding=kernel // 2))
    x = torch.randn(2, 512, size, size, dtype=dtype)
    with torch.no_grad():
        expected, result = literal(x), cheap(x)
    assert float((result - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("map_reduction", [1, 2, 3, 4, 6, 12])
def test_only_a_map_that_all_input_channels_share_is_gated(map_reduction):
    module = AWConv2d(12, 9, 3, hidden=5, map_reduction=map_reduction)
    assert module.literal == (map_reduction != 12)
    assert module.point_2.out_channels == 9 * 12 // map_reduction


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (1, 3), "dilation": (1, 2), "bias": False},
        {"kernel_size": 1},
    ],
)
def test_without_attention_it_is_the_plain_convolution(sizes, literal):
    torch.manual_seed(0)
    plain, attended = torch.nn.Conv2d(12, 9, **sizes), AWConv2d(12, 9, **sizes, hidden=4, literal=literal)
    missing = attended.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    torch.nn.init.constant_(attended.point_2_norm.weight, 0.0)
    torch.nn.init.constant_(attended.point_2_norm.bias, -1e4)  # sigmoid: A = 0
    x = torch.randn(3, 12, 9, 7)
    torch.testing.assert_close(attended(x), plain(x))


def test_it_takes_the_arguments_of_a_convolution_in_their_order():
    module = AWConv2d(32, 8, (3, 2), (2, 1), (0, 1), (1, 2), 1, False)
    assert isinstance(module, torch.nn.Conv2d)
    assert (module.stride, module.padding, module.dilation, module.bias) == ((2, 1), (0, 1), (1, 2), None)
    assert module.point_1.out_channels == 2
    assert (
        module.eval()(torch.ones(1, 32, 9, 7)).shape
        == torch.nn.Conv2d(32, 8, (3, 2), (2, 1), (0, 1), (1, 2))(torch.ones(1, 32, 9, 7)).shape
    )


@pytest.mark.parametrize("kernel", [1, 3])
def test_no_weights_per_sample_are_held_where_the_map_is_shared(kernel):
    """The largest tensor that a forward pass makes: n o c kh kw numbers in the literal form, a map in the cheap one."""
    for literal in (True, False):
        cost = aw_conv2d_cost((8, 64, 4, 4), 64, kernel=kernel, padding=kernel // 2, hidden=4, literal=literal)
        largest = max(op.writes for op in cost)
        assert (largest == 8 * 64 * 64 * kernel**2) == literal
        assert literal or largest <= 8 * 64 * 6 * 6
