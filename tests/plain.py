"""Layers by loops and einsum, slow and plain, of which the mechanisms' reference forwards are made."""

import math

import torch


def conv(x, layer, padding=0, stride=1, dilation=1, groups=1):
    """A convolution, one output position at a time."""
    return conv_with(x, layer.weight, layer.bias, padding, stride, dilation, groups)


def conv_with(x, weight, bias=None, padding=0, stride=1, dilation=1, groups=1):
    n, c, h, w = x.shape
    out, taps, kh, kw = weight.shape
    padded = x.new_zeros(n, c, h + 2 * padding, w + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + w] = x
    kernels = weight.reshape(groups, out // groups, taps, kh, kw)
    reach_h, reach_w = dilation * (kh - 1), dilation * (kw - 1)
    rows = []
    for i in range(0, padded.shape[2] - reach_h, stride):
        row = []
        for j in range(0, padded.shape[3] - reach_w, stride):
            window = padded[:, :, i : i + reach_h + 1 : dilation, j : j + reach_w + 1 : dilation]
            windows = window.reshape(n, groups, taps, kh, kw)
            row.append(torch.einsum("ngcij,gocij->ngo", windows, kernels).reshape(n, out))
        rows.append(torch.stack(row, dim=-1))
    result = torch.stack(rows, dim=-2)
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def linear(x, layer):
    result = torch.einsum("ni,oi->no", x, layer.weight)
    return result if layer.bias is None else result + layer.bias


def batch_norm(x, layer):
    shape = (1, -1, *[1] * (x.dim() - 2))
    others = [axis for axis in range(x.dim()) if axis != 1]
    if layer.training:
        mean = x.mean(others, keepdim=True)
        var = ((x - mean) ** 2).mean(others, keepdim=True)
    else:
        mean, var = layer.running_mean.reshape(shape), layer.running_var.reshape(shape)
    return (x - mean) / (var + layer.eps).sqrt() * layer.weight.reshape(shape) + layer.bias.reshape(shape)


def group_norm(x, layer):
    n, m = x.shape[:2]
    groups = x.reshape(n, layer.num_groups, -1)
    centred = groups - groups.mean(2, keepdim=True)
    normed = centred / ((centred**2).mean(2, keepdim=True) + layer.eps).sqrt()
    return normed.reshape(x.shape) * layer.weight.reshape(1, m, 1, 1) + layer.bias.reshape(1, m, 1, 1)


def relu(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def softmax(x, dim):
    powers = torch.exp(x)
    return powers / powers.sum(dim, keepdim=True)


def mean_of_map(x):
    return torch.einsum("nmhw->nm", x) / (x.shape[2] * x.shape[3])


def spread(vector):
    return vector[:, :, None, None]


def adaptive_means(x, rows, columns):
    h, w = x.shape[2:]
    return torch.stack(
        [
            torch.stack(
                [
                    x[
                        :,
                        :,
                        i * h // rows : math.ceil((i + 1) * h / rows),
                        j * w // columns : math.ceil((j + 1) * w / columns),
                    ].mean((2, 3))
                    for j in range(columns)
                ],
                dim=-1,
            )
            for i in range(rows)
        ],
        dim=-2,
    )
