"""The attention mechanisms as their papers write them: loops and einsum, slow and plain, to hold the modules against.

Each function takes the module for its parameters alone, and the map [n, m, h, w].
"""

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


def se(module, x):
    return x * spread(sigmoid(linear(relu(linear(mean_of_map(x), module.down)), module.up)))


def cbam(module, x):
    n, m = x.shape[:2]
    vectors = [mean_of_map(x)]
    if module.max_pooling:
        vectors.append(torch.stack([x[:, c].reshape(n, -1).max(1).values for c in range(m)], dim=1))
    x = x * spread(sigmoid(sum(linear(relu(linear(v, module.down)), module.up) for v in vectors)))
    if not module.spatial_gate:
        return x
    maps = torch.stack([x.max(1).values, torch.einsum("nmhw->nhw", x) / m], dim=1)
    return x * sigmoid(batch_norm(conv(maps, module.conv, padding=module.conv.kernel_size[0] // 2), module.norm))


def bam(module, x):
    hidden = relu(batch_norm(linear(mean_of_map(x), module.channel_down), module.channel_down_norm))
    channel = linear(hidden, module.channel_up)
    spatial = relu(batch_norm(conv(x, module.spatial_down), module.spatial_down_norm))
    for layer, norm in ((module.spatial_1, module.spatial_1_norm), (module.spatial_2, module.spatial_2_norm)):
        dilation = layer.dilation[0]
        spatial = relu(batch_norm(conv(spatial, layer, padding=dilation, dilation=dilation), norm))
    spatial = conv(spatial, module.spatial_up)
    if module.channel_up_norm is None:
        return x + x * sigmoid(spread(channel) * spatial)
    channel, spatial = batch_norm(channel, module.channel_up_norm), batch_norm(spatial, module.spatial_up_norm)
    return x + x * sigmoid(spread(channel) + spatial)


def non_local(module, x):
    n, _, h, w = x.shape
    theta, phi, value = (conv(x, layer).reshape(n, -1, h * w) for layer in (module.theta, module.phi, module.value))
    weights = softmax(torch.einsum("ndi,ndj->nij", theta, phi), dim=2)
    attended = torch.einsum("nij,ndj->ndi", weights, value)
    return x + conv(attended.reshape(n, -1, h, w), module.out)


def a2(module, x):
    n, _, h, w = x.shape
    features, gathering, distribution = (
        conv(x, layer).reshape(n, -1, h * w) for layer in (module.features, module.gather, module.distribute)
    )
    vectors = torch.einsum("ncp,ntp->nct", features, softmax(gathering, dim=2))
    attended = torch.einsum("nct,ntp->ncp", vectors, softmax(distribution, dim=1))
    return x + conv(attended.reshape(n, -1, h, w), module.out)


def ulsam(module, x):
    n, m, h, w = x.shape
    width = m // module.groups
    results = []
    for g in range(module.groups):
        channels = slice(g * width, (g + 1) * width)
        subspace = x[:, channels]
        features = subspace * module.depthwise.weight[channels].reshape(1, -1, 1, 1)
        if module.style == "release":
            features = features + module.depthwise.bias[channels].reshape(1, -1, 1, 1)
            features = relu(_part_of_batch_norm(features, module.depthwise_norm, channels))
        pooled = torch.stack(
            [
                features[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].amax((2, 3))
                for i in range(h)
                for j in range(w)
            ],
            dim=2,
        )
        logits = torch.einsum("ncp,c->np", pooled, module.pointwise.weight[g, :, 0, 0])
        if module.style == "release":
            logits = logits + module.pointwise.bias[g]
            logits = relu(_part_of_batch_norm(logits[:, None], module.pointwise_norm, slice(g, g + 1)))[:, 0]
        results.append(subspace * softmax(logits, dim=1).reshape(n, 1, h, w) + subspace)
    return torch.cat(results, dim=1)


def _part_of_batch_norm(x, layer, channels):
    shape = (1, -1, *[1] * (x.dim() - 2))
    others = [axis for axis in range(x.dim()) if axis != 1]
    mean, var = layer.running_mean[channels].reshape(shape), layer.running_var[channels].reshape(shape)
    if layer.training:
        mean = x.mean(others, keepdim=True)
        var = ((x - mean) ** 2).mean(others, keepdim=True)
    weight, bias = layer.weight[channels].reshape(shape), layer.bias[channels].reshape(shape)
    return (x - mean) / (var + layer.eps).sqrt() * weight + bias


def gc(module, x):
    n, m, h, w = x.shape
    weights = softmax(conv(x, module.mask).reshape(n, h * w), dim=1)
    context = torch.einsum("nmp,np->nm", x.reshape(n, m, h * w), weights)
    hidden = conv(spread(context), module.down)
    mean = hidden.mean((1, 2, 3), keepdim=True)
    var = ((hidden - mean) ** 2).mean((1, 2, 3), keepdim=True)
    hidden = (hidden - mean) / (var + module.norm.eps).sqrt() * module.norm.weight + module.norm.bias
    return x + conv(relu(hidden), module.up)


def sk(module, x):
    maps = []
    for branch in module.branches:
        layer, norm, activation = branch
        sizes = {"padding": layer.padding[0], "stride": layer.stride[0], "dilation": layer.dilation[0]}
        features = relu(batch_norm(conv(x, layer, groups=layer.groups, **sizes), norm))
        maps.append(features.clamp(max=6) if isinstance(activation, torch.nn.ReLU6) else features)
    pooled = mean_of_map(sum(maps))
    logits = conv(relu(batch_norm(conv(spread(pooled), module.down), module.norm)), module.up)
    m = x.shape[1]
    weights = softmax(torch.stack([logits[:, i * m : (i + 1) * m] for i in range(len(maps))]), dim=0)
    return sum(features * weight for features, weight in zip(maps, weights, strict=True))


def ge(module, x):
    m, h, w = x.shape[1:]
    if module.style == "theta-minus":
        gathered = _neighbourhood_means(x, module.extent) if module.extent else spread(mean_of_map(x))
    else:
        gathered = x
        sizes = {"padding": 1, "stride": 2} if module.extent else {}
        for step, (layer, norm) in enumerate(zip(module.convs, module.norms, strict=True)):
            gathered = relu(gathered) if step else gathered
            gathered = batch_norm(conv(gathered, layer, groups=m, **sizes), norm)
    if module.style == "theta-plus":
        gathered = conv(relu(conv(gathered, module.down)), module.up)
    rows = [i * gathered.shape[2] // h for i in range(h)]
    columns = [j * gathered.shape[3] // w for j in range(w)]
    return x * sigmoid(gathered[:, :, rows][:, :, :, columns])


def _neighbourhood_means(x, extent):
    h, w = x.shape[2:]
    rows = [
        [
            x[:, :, max(i - extent + 1, 0) : i + extent, max(j - extent + 1, 0) : j + extent].mean((2, 3))
            for j in range(0, w, extent)
        ]
        for i in range(0, h, extent)
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def aw(module, x):
    """Zhu et al., Eq. 4 to 8: a sample at a time, with weights of its own."""
    kh, kw = module.kernel_size
    pooled = _adaptive_means(x, kh, kw)
    hidden = relu(batch_norm(conv(pooled, module.point_1), module.point_1_norm))
    values = sigmoid(batch_norm(conv(hidden, module.point_2), module.point_2_norm))
    c, shared = module.in_channels, values.shape[1] // module.out_channels
    channels = [o * shared // c for o in range(c)]  # Expand: r = c / shared neighbours read the same value
    attention = values.reshape(len(x), module.out_channels, shared, kh, kw)[:, :, channels]
    sizes = {"padding": module.padding[0], "stride": module.stride[0], "dilation": module.dilation[0]}
    samples = [
        conv_with(x[l : l + 1], module.weight + attention[l] * module.weight, module.bias, **sizes)
        for l in range(len(x))  # noqa: E741
    ]
    return torch.cat(samples)


def _adaptive_means(x, rows, columns):
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
