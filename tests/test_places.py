"""Where attention stands in a network: at its paper's places, in both wings and in the listing."""

import pytest
import torch
from torch.nn import functional as F

from ulsam_cost.formulas.attention import REGISTERED as MECHANISMS
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.formulas.attention.mechanism import WHERE
from ulsam_cost.formulas.networks import layers_cost, network_cost, network_layers, network_spec, numbered_layers
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.networks.meta import build_on_meta


def released_bam(channels):
    """Park et al.'s code by hand, r = 16: linear layers, 1 x 1s and dilated 3 x 3s with biases, four norms."""
    d = channels // 16
    linears = (channels * d + d) + (d * channels + channels)
    convs = (channels * d + d) + 2 * (9 * d * d + d) + (d + 1)
    return linears + convs + 4 * 2 * d


@pytest.mark.parametrize(
    ("network", "paths", "channels"),
    [
        ("resnet50", ["layer1.bam4_1", "layer2.bam8_1", "layer3.bam14_1"], [256, 512, 1024]),
        ("resnet101", ["layer1.bam4_1", "layer2.bam8_1", "layer3.bam31_1"], [256, 512, 1024]),
        ("resnet101_fpn", ["body.layer1.bam4_1", "body.layer2.bam8_1", "body.layer3.bam31_1"], [256, 512, 1024]),
        ("mv1", ["features.bam4_1", "features.bam6_1", "features.bam12_1"], [128, 256, 512]),
        ("mv2", ["features.bam4_1", "features.bam7_1", "features.bam14_1"], [24, 32, 96]),
        ("mnasnet1_0", ["layers.8.bam5_1", "layers.9.bam8_1", "layers.11.bam13_1"], [24, 40, 96]),
    ],
)
def test_bam_stands_between_the_stages(network, paths, channels):
    spec = network_spec(network, attention="bam")
    assert [(site.path, site.channels) for site in sites(spec).values()] == list(zip(paths, channels, strict=True))
    added = network_cost(network, attention="bam").params - network_cost(network).params
    assert added == sum(map(released_bam, channels))
    assert {name for name, _ in build_on_meta(spec).named_modules()} >= set(paths)


def test_bam_prints_what_its_repository_does():
    """PytorchInsight prints 25.92M and 44.91M for the authors' three modules at r = 16."""
    assert network_cost("resnet50", attention="bam").params == 25_915_099
    assert network_cost("resnet101", attention="bam").params == 44_907_227


def test_bam_at_chosen_places_is_still_there():
    everywhere = network_cost("resnet50", attention="bam", sites="block")
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    assert everywhere.params == 25_557_032 + sum(count * released_bam(c) for c, count in blocks.items())
    own = attention_cost("bam", channels=512, height=28, width=28)
    chosen, plain = network_cost("resnet50", attention="bam", positions="8:1"), network_cost("resnet50")
    assert (chosen.params - plain.params, chosen.macs - plain.macs) == (own.params, own.macs)


# What networks of the authors' code or timm's have, built and counted from their descriptions (the places, P and M).
KNOWN = [
    ("resnet50", "eca", 16, 25_557_032 + 3 * 3 + 4 * 5 + 6 * 5 + 3 * 7, None),
    ("mv2", "eca", 17, 3_504_872 + 10 * 1 + 7 * 3, None),
    ("mv2", "coord", 16, 3_950_648, 306_666_368),
    ("resnet50", "triplet", 16, 25_557_032 + 16 * 3 * (2 * 49 + 2), None),
    ("resnet50", "simam", 16, 25_557_032, 4_089_184_256),
    ("resnet50", "sge", 16, 25_557_032 + 16 * 2 * 64, 4_089_184_256),
    ("resnet50", "shuffle", 16, 25_557_032 + 708, 4_089_184_256),
    ("resnet50", "gct", 53, 25_557_032 + 67_593, 4_089_184_256),
    ("resnet50", "nam", 16, 25_557_032 + 30_208, 4_089_184_256),
    ("resnet50", "mhsa", 3, 20_852_008, 4_024_557_568),
    ("resnet50", "fca", 16, 28_071_976, 4_091_699_200),
    ("resnet50", "strip", 6, 25_557_032 + sum(7 * c * c + 5 * c for c in (64, 128, 256, 512, 512, 512)), None),
    (
        "resnet50",
        "gc",
        13,
        25_557_032
        + sum(
            blocks * ((c + 1) + (c * (c // 16) + c // 16) + 2 * (c // 16) + (c // 16 * c + c))
            for c, blocks in ((512, 4), (1024, 6), (2048, 3))
        ),
        None,
    ),
]


@pytest.mark.parametrize(("network", "mechanism", "places", "params", "macs"), KNOWN)
def test_a_mechanism_at_its_papers_places(network, mechanism, places, params, macs):
    spec = network_spec(network, attention=mechanism)
    cost = layers_cost(network_layers(spec))
    assert len(sites(spec)) == places
    assert cost.params == params
    assert macs in (None, cost.macs)
    assert get_mechanism(mechanism).places.source
    modules = dict(build_on_meta(spec).named_modules())
    assert all(site.path in modules for site in sites(spec).values())


def test_where_a_mechanism_stands_at_a_convolution():
    """Before, after and instead of one: what runs is the plain network's, with the attention at that place."""
    torch.manual_seed(0)
    for mechanism in ("gct", "strip", "simam", "psa", "mhsa"):
        model = build_network(network_spec("resnet50", attention=mechanism, resolution=64, classes=3)).eval()
        block, x = model.layer4[1], torch.randn(2, 2048, 2, 2)
        first, second, third = block.conv1, block.conv2, block.conv3
        if mechanism == "gct":
            with torch.no_grad():
                for gate in (first.attention, second.attention, third.attention):
                    gate.gamma.fill_(0.3)
            steps = [(first.attention, first.conv), (second.attention, second.conv), (third.attention, third.conv)]
        elif mechanism == "strip":
            steps = [(first,), (second,), (third.attention, third.conv)]
        elif mechanism == "simam":
            steps = [(first,), (second.conv, second.attention), (third,)]
        else:
            steps = [(first,), (second,), (third,)]
            assert type(second).__module__.endswith(mechanism)
        y = x
        for parts, norm in zip(steps, (block.bn1, block.bn2, block.bn3), strict=True):
            for part in parts:
                y = part(y)
            y = norm(y) if norm is block.bn3 else F.relu(norm(y))
        torch.testing.assert_close(block(x), F.relu(y + x))


def test_every_place_has_a_source():
    assert all(get_mechanism(name).places.source for name in MECHANISMS)
    assert all(get_mechanism(name).places.where in WHERE for name in MECHANISMS)


@pytest.mark.parametrize(
    ("network", "positions"),
    [
        ("resnet50", "6:1,8:1,10:1,12:1,14:1"),  # two in res3, three in res4
        ("resnet101", "6:1,8:1,15:1,22:1,29:1"),
        ("resnet34", "6:1,8:1,10:1,12:1,14:1"),
    ],
)
def test_non_local_blocks_stand_between_blocks(network, positions):
    assert str(network_spec(network, attention="non_local").placement) == positions


def test_the_listing_shows_where_attention_stands():
    rows = {row.layer: row.attention for row in numbered_layers(network_spec("resnet50", attention="bam"))}
    assert {layer: paths for layer, paths in rows.items() if paths} == {
        4: ("layer1.bam4_1",), 8: ("layer2.bam8_1",), 14: ("layer3.bam14_1",),
    }  # fmt: skip
    rows = {row.layer: row.attention for row in numbered_layers(network_spec("resnet50", attention="gct"))}
    assert rows[1] == ("conv1.attention",)
    assert rows[2] == tuple(f"layer1.0.{part}.attention" for part in ("conv1", "conv2", "conv3", "downsample.0"))
    assert rows[3] == tuple(f"layer1.1.{part}.attention" for part in ("conv1", "conv2", "conv3"))
    rows = {
        row.layer: row.attention for row in numbered_layers(network_spec("mv1", attention="se", positions="8:2,11"))
    }
    assert (rows[8], rows[11]) == (("features.se8_1", "features.se8_2"), ("features.se11",))


def test_fcanets_transforms_are_as_large_as_the_stages_maps_at_224():
    """56, 28, 14 and 7, so that nothing is pooled, and 5,519,360 products of the transform in ResNet50."""
    spec = network_spec("resnet50", attention="fca")
    modules = build_on_meta(spec)
    assert [modules.get_submodule(f"layer{stage}.0.attention").size for stage in (1, 2, 3, 4)] == [
        (56, 56),
        (28, 28),
        (14, 14),
        (7, 7),
    ]
    cost = layers_cost(network_layers(spec))
    assert sum(op.reads for op in cost if op.operator == "sum") == 5_519_360
    assert sum(op.operator == "adaptive_avg_pool2d" for op in cost) == 1  # the network's own
