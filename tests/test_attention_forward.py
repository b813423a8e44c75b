"""What the attention modules compute: values and gradients against plain implementations of the papers."""

import pytest
import torch
from mechanisms import CASES, fitted

from ulsam_cost.formulas.attention import REGISTERED, get_mechanism
from ulsam_cost.nn.attention import build_attention

SHAPE = (2, 12, 5, 4)


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
@pytest.mark.parametrize(("name", "options"), [(name, options) for name in REGISTERED for options in CASES[name].runs])
def test_the_module_computes_what_the_paper_writes(name, options, training):
    torch.manual_seed(0)
    module = scrambled(build_attention(name, SHAPE[1], **options)).train(training)
    x = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    parameters = list(module.parameters())
    expected, expected_gradients = value_and_gradients(lambda x: CASES[name].plain(module, x), x, parameters)
    result, gradients = value_and_gradients(module, x, parameters)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", REGISTERED)
def test_every_mechanism_keeps_the_shape_of_its_map(name):
    options = {"extent": 0} if name == "ge" else {}
    for shape in (fitted(name, (1, 32, 1, 3)), fitted(name, (2, 48, 1, 3))):
        options |= get_mechanism(name).built_for(shape[2:], **options)
        assert build_attention(name, shape[1], **options).eval()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("name", REGISTERED)
def test_maps_that_are_laid_out_channels_last(name):
    torch.manual_seed(0)
    module = scrambled(build_attention(name, SHAPE[1], **CASES[name].runs[0])).eval()
    x = torch.randn(SHAPE, dtype=torch.float64)
    torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))
