"""ResNet and MnasNet: torchvision's names, known totals, derived == counted."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulsam_cost.counting.count import count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import (
    REGISTERED,
    get_network,
    layers_cost,
    network_layers,
    network_spec,
    numbered_layers,
    split_by_layer,
)
from ulsam_cost.nn.networks import build
from ulsam_cost.nn.networks.meta import build_on_meta

NORM = {"weight": (0,), "bias": (0,), "running_mean": (0,), "running_var": (0,), "num_batches_tracked": ()}


def norm_entries(name, channels):
    return {f"{name}.{part}": (channels,) if shape else () for part, shape in NORM.items()}


def conv_entries(name, out, into, kernel):
    return {f"{name}.weight": (out, into, kernel, kernel)}


def resnet_entries(depths, expansion=4, groups=1, group_width=64):
    """The state dict of torchvision, from He et al., Table 1, and Xie et al., Table 1."""
    entries = conv_entries("conv1", 64, 3, 7) | norm_entries("bn1", 64)
    into = 64
    for stage, (planes, blocks) in enumerate(zip((64, 128, 256, 512), depths, strict=True), start=1):
        width, final = groups * group_width * planes // 64, expansion * planes
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            parts = ((width, into, 1), (width, width // groups, 3), (final, width, 1))
            if expansion == 1:
                parts = ((planes, into, 3), (planes, planes, 3))
            for part, (out, source, kernel) in enumerate(parts, start=1):
                entries |= conv_entries(f"{at}.conv{part}", out, source, kernel) | norm_entries(f"{at}.bn{part}", out)
            if into != final:
                entries |= conv_entries(f"{at}.downsample.0", final, into, 1)
                entries |= norm_entries(f"{at}.downsample.1", final)
            into = final
    return entries | {"fc.weight": (1000, into), "fc.bias": (1000,)}


def mnasnet_entries():
    """The state dict of torchvision, from Tan et al., Figure 7."""
    entries = {}

    def conv_norm(at, index, out, into, kernel):
        nonlocal entries
        entries |= conv_entries(f"{at}.{index}", out, into, kernel) | norm_entries(f"{at}.{index + 1}", out)

    conv_norm("layers", 0, 32, 3, 3)
    conv_norm("layers", 3, 32, 1, 3)
    conv_norm("layers", 6, 16, 32, 1)
    into = 16
    stacks = ((24, 3, 3, 3), (40, 5, 3, 3), (80, 5, 6, 3), (96, 3, 6, 2), (192, 5, 6, 4), (320, 3, 6, 1))
    for stack, (out, kernel, expansion, repeats) in enumerate(stacks, start=8):
        for block in range(repeats):
            at, hidden = f"layers.{stack}.{block}.layers", into * expansion
            conv_norm(at, 0, hidden, into, 1)
            conv_norm(at, 3, hidden, 1, kernel)
            conv_norm(at, 6, out, hidden, 1)
            into = out
    conv_norm("layers", 14, 1280, 320, 1)
    return entries | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


@pytest.mark.parametrize(
    ("network", "entries"),
    [
        ("resnet18", resnet_entries((2, 2, 2, 2), expansion=1)),
        ("resnet34", resnet_entries((3, 4, 6, 3), expansion=1)),
        ("resnet50", resnet_entries((3, 4, 6, 3))),
        ("resnext50_32x4d", resnet_entries((3, 4, 6, 3), groups=32, group_width=4)),
        ("resnext101_32x8d", resnet_entries((3, 4, 23, 3), groups=32, group_width=8)),
        ("resnet101", resnet_entries((3, 4, 23, 3))),
        ("resnet152", resnet_entries((3, 8, 36, 3))),
        ("mnasnet1_0", mnasnet_entries()),
    ],
)
def test_state_dict_has_torchvisions_names_and_shapes(network, entries):
    built = {name: tuple(value.shape) for name, value in build_on_meta(network_spec(network)).state_dict().items()}
    assert built == entries
    assert list(built) == list(entries)


@pytest.mark.parametrize(
    ("network", "variant", "params", "macs"),
    [
        ("resnet50", "v1.5", 25_557_032, 4_089_184_256),
        ("resnet50", "v1", 25_557_032, 3_857_973_248),
        ("resnet101", "v1", 44_549_160, 7_570_194_432),
        ("resnet152", "v1.5", 60_192_808, 11_513_626_624),
        ("mnasnet1_0", None, 4_383_312, 314_415_872),
    ],
)
def test_known_totals(network, variant, params, macs):
    cost = layers_cost(network_layers(network_spec(network, variant=variant)))
    assert (cost.params, cost.macs) == (params, macs)


# parameters and GFLOPs, which are MACs, in the documentation of torchvision's weights; of resnext101_32x4d, which it
# has not, parameters and GMACs in M and G in timm's table
PUBLISHED = {
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
    "resnext50_32x4d": (25_028_904, 4.23),
    "resnext101_32x4d": (44.18, 8.01),
    "resnext101_32x8d": (88_791_336, 16.414),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "efficientnet_b0": (5_288_548, 0.386),
    "shufflenet_v2_x0_5": (1_366_792, 0.040),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "mv2": (3_504_872, 0.301),
    "mnasnet1_0": (4_383_312, 0.314),
}


@pytest.mark.parametrize("network", PUBLISHED)
def test_a_plain_network_is_the_published_one(network):
    params, gmacs = PUBLISHED[network]
    cost = layers_cost(network_layers(network_spec(network)))
    counted = count(build_on_meta(network_spec(network)), torch.empty(1, 3, 224, 224, device="meta"))
    assert (counted.params, counted.macs) == (cost.params, cost.macs)
    if network == "resnext101_32x4d":  # timm counts with fvcore: batch norms and the pool, too
        assert round(cost.params / 1e6, 2) == params
        assert round(counted.number("fvcore") / 1e9, 2) == gmacs
    else:
        assert cost.params == params
        assert round(cost.macs / 1e9, 3) == gmacs


def assert_derived_is_counted(spec):
    layers = network_layers(spec)
    counted = count(build_on_meta(spec), torch.empty(spec.input_shape, device="meta"))
    assert not counted.uncounted
    split = split_by_layer(counted.cost, layers)
    for layer in layers:
        assert split[layer.layer] == layer.cost, layer.layer
    assert counted.params == layers_cost(layers).params


@settings(max_examples=15)
@given(data=st.data())
def test_derived_is_counted_under_any_placement(data):
    network = data.draw(st.sampled_from(sorted(REGISTERED)))
    variants = get_network(network).variants
    variant = data.draw(st.sampled_from(variants)) if variants else None
    rows = numbered_layers(network_spec(network, variant=variant))
    positions = []
    for row in data.draw(st.lists(st.sampled_from(rows), unique=True, max_size=4)):
        if row.may_replace and data.draw(st.booleans()):
            positions.append(f"{row.layer}")
        elif row.may_follow:
            positions.append(f"{row.layer}:{data.draw(st.integers(1, 2))}")
    spec = network_spec(
        network,
        variant=variant,
        positions=",".join(positions) or "none",
        style=data.draw(st.sampled_from(["equation", "release"])),
        resolution=(data.draw(st.integers(32, 97)), data.draw(st.integers(32, 97))),
        **({"classes": data.draw(st.integers(1, 11))} if get_network(network).classifies else {}),
        batch=data.draw(st.integers(1, 2)),
    )
    assert_derived_is_counted(spec)


@pytest.mark.parametrize("network", REGISTERED)
def test_a_network_trains_and_its_state_loads_back(network):
    torch.manual_seed(0)
    options = {"positions": "5:1", "groups": 2, "resolution": 64}
    model = build(network, **options)
    result = model(torch.randn(2, 3, 64, 64))
    outputs = result if isinstance(result, list) else [result]
    sum(output.square().mean() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    build(network, **options).load_state_dict(model.state_dict())
    assert any(name.endswith("ulsam5_1") for name, _ in model.named_modules())


def test_feature_pyramid_by_hand():
    """ResNet101 without its classifier, four lateral and four output convolutions with biases."""
    spec = network_spec("resnet101_fpn", resolution=(800, 1344))
    layers = {layer.layer: layer for layer in network_layers(spec)}
    pyramid = 256 * (256 + 512 + 1024 + 2048 + 4) + 4 * 256 * (256 * 9 + 1)
    body = 44_549_160 - 2048 * 1000 - 1000
    assert layers_cost(layers.values()).params == body + pyramid == 45_844_544
    assert layers["output 2"].cost.macs == 200 * 336 * 256 * 256 * 9
    assert layers["lateral 5"].cost.macs == 25 * 42 * 2048 * 256
    assert layers["pool"].output == (1, 256, 13, 21)
    model = build_on_meta(spec)
    assert [tuple(y.shape[2:]) for y in model(torch.empty(1, 3, 800, 1344, device="meta"))] == [
        (200, 336),
        (100, 168),
        (50, 84),
        (25, 42),
        (13, 21),
    ]
    names = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {name for name in names if not name.startswith("body.")} == {
        f"fpn.{part}.{level}.0.{kind}"
        for part in ("inner_blocks", "layer_blocks")
        for level in range(4)
        for kind in ("weight", "bias")
    }
    assert names["fpn.inner_blocks.3.0.weight"] == (256, 2048, 1, 1)
    entries = resnet_entries((3, 4, 23, 3))
    assert {f"body.{name}" for name in entries if not name.startswith("fc.")} <= set(names)


def test_layer_table_numbers_block_by_block():
    rows = {row.layer: row for row in numbered_layers(network_spec("resnet50", batch=2))}
    assert list(rows) == list(range(1, 1 + 1 + 3 + 4 + 6 + 3))
    assert (rows[1].kind, rows[1].input, rows[1].output) == ("stem", (2, 3, 224, 224), (2, 64, 56, 56))
    assert (rows[5].path, rows[5].input, rows[5].output) == ("layer2.0", (2, 256, 56, 56), (2, 512, 28, 28))
    assert not rows[5].may_replace
    assert rows[5].may_follow
    assert rows[6].may_replace
    assert not rows[1].may_follow


def test_layer_table_agrees_with_what_placements_accept():
    for network in REGISTERED:
        for row in numbered_layers(network_spec(network)):
            for positions, accepted in ((f"{row.layer}", row.may_replace), (f"{row.layer}:1", row.may_follow)):
                if accepted:
                    network_spec(network, positions=positions)
                else:
                    with pytest.raises(CostError, match=rf"layer {row.layer} of {network}"):
                        network_spec(network, positions=positions)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("resnet50", {"variant": "v2"}, r"unknown variant of resnet50 'v2': .*accepted values are cifar, v1, v1\.5"),
        ("mnasnet1_0", {"variant": "v1"}, "mnasnet1_0 has no variants"),
        ("resnet50", {"width": 0.5}, "resnet50 has no width multiplier"),
        ("resnet50", {"resolution": 31}, r"layer 15 of resnet50 .*stride, 32 in all, .* 31 x 31: 32 x 32 or more"),
        ("mv1", {"resolution": (64, 15)}, "layer 7 of mv1 .* 64 x 15"),
        ("resnet50", {"positions": "5"}, "layer 5 of resnet50 changes the shape"),
        ("resnet50", {"positions": "18:1"}, "resnet50 has no layer 18: layers 1 to 17 exist"),
        ("resnet101_fpn", {"classes": 3}, "resnet101_fpn has no classifier"),
        ("resnet35", {}, "unknown network 'resnet35': did you mean 'resnet"),
    ],
)
def test_bad_input_is_one_sentence(network, options, message):
    with pytest.raises(CostError, match=message):
        network_spec(network, **options)


def test_building_on_meta_draws_nothing_and_leaves_the_compiler_alone():
    program = (
        "import sys, torch\n"
        "from ulsam_cost.formulas.networks import network_spec\n"
        "from ulsam_cost.nn.networks.meta import build_on_meta\n"
        "state = torch.random.get_rng_state()\n"
        "model = build_on_meta(network_spec('resnet50'))\n"
        "assert all(p.is_meta for p in model.parameters())\n"
        "assert torch.equal(state, torch.random.get_rng_state())\n"
        "assert torch.nn.Linear(2, 2).weight.abs().sum() > 0\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
