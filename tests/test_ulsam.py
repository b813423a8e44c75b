"""The ULSAM module against one subspace at a time, as the paper's equations say it."""

import pytest
import torch
from torch.nn import functional as F

from ulsam_cost.errors import CostError
from ulsam_cost.nn.attention.ulsam import ULSAM

SHAPES = [(2, 8, 5, 7), (1, 16, 1, 1), (3, 24, 4, 9)]


def one_subspace_at_a_time(module, x):
    """Eq. 2 to 4 of Saini et al., with the released code's biases, norms and ReLUs where the module has them."""
    size = x.shape[1] // module.groups
    refined = []
    for index in range(module.groups):
        part = slice(index * size, (index + 1) * size)
        features = x[:, part]
        maps = F.conv2d(features, module.depthwise.weight[part], bias_of(module.depthwise, part), groups=size)
        if module.style == "release":
            maps = F.relu(norm(module.depthwise_norm, maps, part))
        maps = F.max_pool2d(maps, 3, stride=1, padding=1)
        only = slice(index, index + 1)
        maps = F.conv2d(maps, module.pointwise.weight[only], bias_of(module.pointwise, only))
        if module.style == "release":
            maps = F.relu(norm(module.pointwise_norm, maps, only))
        attention = maps.flatten(2).softmax(-1).view_as(maps)
        refined.append(attention * features + features)
    return torch.cat(refined, 1)


def bias_of(conv, part):
    return None if conv.bias is None else conv.bias[part]


def norm(layer, x, part):
    training = layer.training
    return F.batch_norm(
        x, layer.running_mean[part], layer.running_var[part], layer.weight[part], layer.bias[part], training=training
    )


def randomize(module):
    generator = torch.Generator().manual_seed(1)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.1


@pytest.mark.parametrize("style", ["equation", "release"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 4, "m"])
@pytest.mark.parametrize("training", [False, True])
def test_all_subspaces_at_once_is_one_at_a_time(style, shape, groups, training):
    if training and shape[0] * shape[2] * shape[3] == 1:
        pytest.skip("batch norm trains on more than one value")
    module = ULSAM(shape[1], groups=shape[1] if groups == "m" else groups, style=style).double().train(training)
    randomize(module)
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    inputs = (x, *module.parameters())
    weight = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    out = module(x)
    gradients = torch.autograd.grad((out * weight).sum(), inputs)
    for name, buffer in module.named_buffers():
        buffer.copy_(buffers[name])
    expected = one_subspace_at_a_time(module, x)
    expected_gradients = torch.autograd.grad((expected * weight).sum(), inputs)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-10)


def test_subspaces_must_divide_the_channels():
    with pytest.raises(CostError, match="g = 3 does not divide m = 512"):
        ULSAM(512, groups=3)


def test_styles_are_two():
    with pytest.raises(CostError, match="accepted values are equation, release"):
        ULSAM(8, style="released")


@pytest.mark.parametrize(("m", "g"), [(512, 4), (48, 16), (6, 1)])
def test_parameters_of_both_styles(m, g):
    """2 m by the equations; 5 m + 3 g with the released code's biases and norms."""
    assert sum(p.numel() for p in ULSAM(m, g).parameters()) == 2 * m
    assert sum(p.numel() for p in ULSAM(m, g, "release").parameters()) == 5 * m + 3 * g
