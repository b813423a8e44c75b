"""What the attention modules compute: values and gradients against plain implementations of the papers."""

import plain
import pytest
import torch

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.nn.attention import build_attention

SHAPE = (2, 12, 5, 4)
CASES = {
    "non_local": [{}, {"reduction": 5, "bias": True}],
    "a2": [{}, {"maps": 5, "bias": True}],
    "se": [{"reduction": 5}, {"reduction": 2, "bias": True}],
    "bam": [
        {"reduction": 3},
        {"reduction": 5, "dilation": 2, "bias": True},
        {"reduction": 3, "dilation": 2, "style": "release"},
    ],
    "cbam": [
        {"reduction": 5},
        {"reduction": 2, "kernel": 3, "bias": True},
        {"reduction": 4, "max_pooling": False},
        {"reduction": 4, "spatial_gate": False},
    ],
    "ulsam": [{}, {"groups": 1}, {"groups": 12}, {"groups": 3, "style": "release"}],
    "aw": [
        {"reduction": 4, **options}
        for options in (
            {},
            {"literal": True, "bias": True},
            {"kernel": 1},
            {"kernel": 1, "literal": True},
            {"map_reduction": 1},
            {"map_reduction": 3},
            {"kernel": 5, "map_reduction": 12},
        )
    ],
    "ge": [
        {"style": style, "extent": extent, "map_size": (5, 4), "reduction": 4, "bias": bias}
        for style in ("theta-minus", "theta", "theta-plus")
        for extent, bias in ((2, False), (4, True), (0, False))
    ],
    "gc": [{"reduction": 4}, {"reduction": 5, "bias": True}],
    "sk": [
        {"reduction": 4},
        {"reduction": 3, "branches": 3, "groups": 12, "activation": "relu6", "bias": True},
        {"reduction": 5, "kernel": 5, "groups": 2, "stride": 2},
    ],
}


def scrambled(module):
    """The module in float64, with nothing left at its initial value."""
    module = module.double()
    generator = torch.Generator().manual_seed(0)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * 1.5 + 0.1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.sub_(0.8)
    return module


def value_and_gradients(function, x, parameters):
    result = function(x)
    weights = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).reshape(result.shape)
    return result, torch.autograd.grad((result * weights).sum(), [x, *parameters])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "options"), [(name, options) for name in REGISTERED for options in CASES[name]])
def test_the_module_computes_what_the_paper_writes(name, options, training):
    torch.manual_seed(0)
    module = scrambled(build_attention(name, SHAPE[1], **options)).train(training)
    x = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    parameters = list(module.parameters())
    expected, expected_gradients = value_and_gradients(lambda x: getattr(plain, name)(module, x), x, parameters)
    result, gradients = value_and_gradients(module, x, parameters)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", REGISTERED)
def test_every_mechanism_keeps_the_shape_of_its_map(name):
    options = {"extent": 0, "map_size": (1, 3)} if name == "ge" else {}
    for shape in ((1, 32, 1, 3), (2, 48, 1, 3)):
        assert build_attention(name, shape[1], **options).eval()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("name", REGISTERED)
def test_maps_that_are_laid_out_channels_last(name):
    torch.manual_seed(0)
    module = scrambled(build_attention(name, SHAPE[1], **CASES[name][0])).eval()
    x = torch.randn(SHAPE, dtype=torch.float64)
    torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))
