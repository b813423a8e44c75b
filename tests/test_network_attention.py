"""Attention inside of the backbones and its connections: what it computes, what it costs, what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mechanisms import CASES
from torch import nn
from torch.nn import functional as F

from ulsam_cost.counting.count import count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED as MECHANISMS
from ulsam_cost.formulas.attention import attention_cost
from ulsam_cost.formulas.connections.dca import FUNCTIONS, Link
from ulsam_cost.formulas.connections.dca import MECHANISMS as CONNECTABLE
from ulsam_cost.formulas.networks import (
    REGISTERED,
    get_network,
    layers_cost,
    network_cost,
    network_layers,
    network_spec,
    split_by_layer,
)
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.nn.connections.dca import ConnectedSE, Join, VectorJoin
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.networks.meta import build_on_meta

SMALL = ["mv1", "mv2", "resnet50", "mnasnet1_0"]


def assert_derived_is_counted(spec):
    layers = network_layers(spec)
    counted = count(build_on_meta(spec), torch.empty(spec.input_shape, device="meta"))
    assert not counted.uncounted
    split = split_by_layer(counted.cost, layers)
    for layer in layers:
        assert split[layer.layer] == layer.cost, layer.layer
    assert counted.cost == layers_cost(layers)


@pytest.mark.parametrize("network", REGISTERED)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_any_mechanism_in_any_backbone(network, mechanism):
    said = CASES[mechanism].not_in.get(network)
    if said is None:
        assert_derived_is_counted(network_spec(network, attention=mechanism, resolution=(227, 161), batch=2))
        return
    with pytest.raises(CostError, match=said):
        network_spec(network, attention=mechanism, resolution=(227, 161), batch=2)


def test_several_mechanisms_have_a_position_each():
    def params(**how):
        return network_cost("mv2", **how).params

    assert_derived_is_counted(network_spec("mv2", attention="se,eca", positions="16:1,17:1"))
    alone = params(attention="se", positions="16:1") + params(attention="eca", positions="17:1")
    assert params(attention="se,eca", positions="16:1,17:1") == alone - params()
    with pytest.raises(
        CostError, match=r"^attention 'se,eca' at positions 15:1,16:1,17:1: 2 mechanisms and 3 positions"
    ):
        network_spec("mv2", attention="se,eca", positions="15:1,16:1,17:1")


@settings(max_examples=40)
@given(data=st.data())
def test_connected_networks_derived_is_counted(data):
    mechanism = data.draw(st.sampled_from(CONNECTABLE))
    stackable = ("stacked",) if mechanism in ("se", "sk", "cbam") else ()
    options = {
        "function": data.draw(st.sampled_from((None, *FUNCTIONS, *stackable))),
        "matching": data.draw(st.sampled_from((1, 2))),
        "matching_reduction": data.draw(st.sampled_from((2, 8))),
        "pooling": data.draw(st.sampled_from(("avg", "max"))),
    }
    if mechanism == "cbam":
        options["dimensions"] = data.draw(st.sampled_from(("both", "channel", "spatial")))
        options["max_pooling"] = data.draw(st.booleans())
        options["spatial_gate"] = options["dimensions"] == "both" and data.draw(st.booleans())
        options["spatial_gate"] |= options["dimensions"] == "spatial"
    where = st.sampled_from((None, "5:1,8:2,11:1"))
    spec = network_spec(
        data.draw(st.sampled_from(SMALL)),
        attention=mechanism,
        connection="dca",
        positions=data.draw(where) or "none",
        resolution=(data.draw(st.integers(129, 230)), data.draw(st.integers(129, 230))),
        batch=data.draw(st.integers(1, 2)),
        **options,
    )
    assert_derived_is_counted(spec)


def test_a_map_that_is_passed_on_over_two_strides_shrinks_by_both():
    spec = network_spec("mv1", positions="3:1,8:1", attention="ge", connection="dca")
    assert [site.shrink for site in sites(spec).values()] == [1, 2 * 2]
    assert_derived_is_counted(spec)


@pytest.mark.parametrize("network", [name for name in REGISTERED if "aw" in get_network(name).connections])
@pytest.mark.parametrize("attention", ["none", "se", "cbam", "ulsam"])
@pytest.mark.parametrize("literal", [False, True])
def test_aw_networks_derived_is_counted(network, attention, literal):
    spec = network_spec(network, attention=attention, connection="aw", aw_literal=literal, resolution=(97, 65), batch=2)
    assert_derived_is_counted(spec)


@pytest.mark.parametrize("chosen", ["both", "depthwise", "pointwise"])
def test_sites_of_mobilenet_v1(chosen):
    """One SE a place, r = 16 and biases, as the AW-convolution paper's SE-MobileNet has them."""
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    places = {"depthwise": widths[:-1], "pointwise": widths[1:]}
    expected = 4_231_976
    for name, channels in places.items():
        if chosen in (name, "both"):
            expected += sum(2 * c * (c // 16) + c // 16 + c for c in channels)
    spec = network_spec("mv1", attention="se", sites=chosen)
    assert layers_cost(network_layers(spec)).params == expected
    assert_derived_is_counted(spec)


@pytest.mark.parametrize("attention", ["none", "se", "cbam"])
def test_attention_in_a_feature_pyramid(attention):
    """Before each lateral convolution, on 256 to 2048 channels, and before each output convolution, on 256."""
    widths = [256, 512, 1024, 2048, 256, 256, 256, 256]
    own = {"none": 0, "se": 0, "cbam": 98 + 2}[attention]
    added = sum(2 * c * (c // 16) + c // 16 + c + own for c in widths if attention != "none")
    aw = sum((c + 256) * 16 + 2 * (16 + 256) for c in widths)
    plain = network_cost("resnet101_fpn").params
    assert network_cost("resnet101_fpn", attention=attention).params == plain + added
    assert network_cost("resnet101_fpn", attention=attention, connection="aw").params == plain + added + aw


def test_attention_at_chosen_positions_is_the_mechanisms_own():
    plain, cbam = network_cost("mv1"), attention_cost("cbam", channels=512, height=14, width=14)
    inserted = network_cost("mv1", attention="cbam", positions="8:1")
    assert (inserted.params - plain.params, inserted.macs - plain.macs) == (cbam.params, cbam.macs)
    replaced = network_cost("resnet50", attention="ulsam", positions="6", groups=4)
    bottleneck = 512 * 128 + 128 * 128 * 9 + 128 * 512
    assert replaced.macs - network_cost("resnet50").macs == (2 * 512 - bottleneck) * 28 * 28


def test_unnamed_attention_is_ulsam_at_positions_and_nothing_without():
    assert network_spec("resnet50") == network_spec("resnet50", attention="none")
    assert network_spec("resnet50").is_plain
    assert network_spec("mv1", positions="8:1").attention == "ulsam"
    assert network_spec("mv1", attention="ulsam").is_plain
    assert len(sites(network_spec("resnet50", attention="ulsam"))) == 16


def test_aw_as_attention_is_the_connection():
    assert network_spec("resnet50", attention="aw") == network_spec("resnet50", connection="aw")
    assert network_spec("resnet50", attention="aw", reduction=8) == network_spec(
        "resnet50", connection="aw", aw_reduction=8
    )


def test_sites_of_a_resnet():
    found = sites(network_spec("resnet50", attention="ge", connection="dca"))
    assert list(found) == [str(layer) for layer in range(2, 18)]
    assert (found["2"].previous, found["2"].shrink) == (64, 1)
    assert (found["5"].path, found["5"].channels, found["5"].previous, found["5"].shrink) == (
        "layer2.0.attention",
        512,
        256,
        2,
    )
    selective = sites(network_spec("mv2", attention="sk"))
    assert (selective["2"].path, selective["3"].path) == ("features.1.conv.0", "features.2.conv.1")


@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("mechanism", CONNECTABLE)
def test_a_connected_network_trains_but_for_its_first_joint(network, mechanism):
    torch.manual_seed(0)
    size = 128 if mechanism == "ge" else 64
    options = {"extent": 4} if mechanism == "ge" else {}
    spec = network_spec(
        network, attention=mechanism, connection="dca", resolution=size, classes=3, reduction=4, **options
    )
    model = build_network(spec)
    model(torch.randn(2, 3, size, size)).square().mean().backward()
    first = next(iter(sites(spec).values())).path
    for name, parameter in model.named_parameters():
        idle = name.startswith(first) and "joint" in name
        assert (parameter.grad is None) == idle, name


@pytest.mark.parametrize("mechanism", CONNECTABLE)
def test_the_first_block_is_the_plain_one(mechanism):
    torch.manual_seed(0)
    connected = build_network(network_spec("resnet50", attention=mechanism, connection="dca", reduction=16)).eval()
    plain = build_network(network_spec("resnet50", attention=mechanism, sites="block", reduction=16)).eval()
    missing, _ = plain.layer1[0].load_state_dict(connected.layer1[0].state_dict(), strict=False)
    assert not missing
    x = torch.randn(1, 64, 20, 20)
    result, passed = connected.layer1[0](x)
    torch.testing.assert_close(result, plain.layer1[0](x), rtol=0, atol=0)
    assert isinstance(passed, tuple)


def test_connection_functions_by_hand():
    g, t = 2.0, 3.0  # alpha t = 1.5
    e = torch.e
    expected = {
        "direct": g + 1.5,
        "weighted": g / (g + 1.5) * g + 1.5 / (g + 1.5) * 1.5,
        "softmax": (e**-g * g + e**-1.5 * 1.5) / (e**-g + e**-1.5),
    }
    for function, value in expected.items():
        join = Join(Link(channels=1, previous=1, function=function)).double()
        with torch.no_grad():
            join.alpha.fill_(0.5)
        joined = join(torch.tensor([[g]]).double(), torch.tensor([[t]]).double())
        assert joined.item() == pytest.approx(value)


def test_connected_se_by_hand():
    """Eq. 3 written out, with a stacked join and a matching of two layers."""
    torch.manual_seed(0)
    module = ConnectedSE(4, Link(channels=4, previous=3, matching=2, matching_reduction=2), reduction=2).double()
    x, before = torch.randn(2, 4, 3, 5).double(), torch.randn(2, 3).double()
    result, (passed,) = module(x, (before,))
    down, down_norm, _, up, up_norm, _ = module.joint.match
    matched = F.relu(F.layer_norm(before @ down.weight.T + down.bias, (2,), down_norm.weight, down_norm.bias))
    matched = F.relu(F.layer_norm(matched @ up.weight.T + up.bias, (4,), up_norm.weight, up_norm.bias))
    mean = x.sum((2, 3)) / 15
    a, b = module.joint.join.conv.weight.flatten()
    joined = F.relu(F.layer_norm(a * mean + b * matched + module.joint.join.conv.bias, (4,)))
    gate = torch.sigmoid(F.relu(joined @ module.down.weight.T) @ module.up.weight.T)
    torch.testing.assert_close(result, torch.einsum("nchw,nc->nchw", x, gate))
    torch.testing.assert_close(passed, mean * gate)


def test_a_vector_joined_by_a_function_is_normed():
    link = Link(channels=6, previous=6, function="direct")
    g, t = torch.randn(2, 6), torch.randn(2, 6)
    torch.testing.assert_close(VectorJoin(link)(g, t), F.relu(F.layer_norm(g + t, (6,))))


def test_plain_names_survive_attention_and_connection():
    plain = set(build_on_meta(network_spec("resnet50")).state_dict())
    for options in ({"attention": "se", "connection": "dca"}, {"attention": "cbam"}, {"connection": "aw"}):
        assert plain < set(build_on_meta(network_spec("resnet50", **options)).state_dict())


def test_literal_and_cheap_aw_networks_agree():
    torch.manual_seed(0)
    models = [
        build_network(network_spec("resnet50", connection="aw", aw_literal=literal, classes=5)).eval()
        for literal in (False, True)
    ]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(models[0](x), models[1](x), rtol=1e-3, atol=1e-3)


def test_a_gather_of_the_whole_map_is_built_for_its_size():
    spec = network_spec("mv2", attention="ge", extent=0, resolution=(97, 65))
    assert_derived_is_counted(spec)
    convs = [module for name, module in build_on_meta(spec).named_modules() if name.endswith("attention.convs.0")]
    assert convs[0].kernel_size == (49, 33)
    assert isinstance(convs[-1], nn.Conv2d)
    assert convs[-1].kernel_size == (4, 3)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("resnet50", {"attention": "ge", "resolution": 64}, r"ge at 9 of resnet50: extent = 8 on a map of 4 x 4"),
        ("resnet50", {"attention": "se", "reduction": 4096}, "se at 2 of resnet50: reduction r = 4096"),
        ("mv1", {"attention": "sk", "sites": "pointwise"}, "sk at 2 pointwise of mv1: .* sites depthwise is accepted"),
        ("mv1", {"attention": "sk", "sites": "both"}, "sk at 2 pointwise of mv1"),
        ("mv1", {"attention": "se", "sites": "stem"}, "unknown sites of mv1 'stem'"),
        ("mv1", {"attention": "se", "sites": "both", "positions": "8:1"}, "positions 8:1 and sites 'both': one"),
        (
            "resnet50",
            {"attention": "ulsam", "connection": "dca"},
            "dca is not defined for ulsam: accepted values are se, sk",
        ),
        ("resnet50", {"connection": "dca"}, "dca is not defined for none: accepted values are se, sk"),
        ("resnet50", {"attention": "aw", "connection": "dca"}, "dca is not defined for aw"),
        ("resnet50", {"attention": "sk", "connection": "aw"}, "both replace the same convolution"),
        ("resnet50", {"attention": "se", "connection": "dc"}, "unknown connection 'dc': did you mean 'dca'"),
        (
            "resnet50",
            {"attention": "se", "connection": "dca", "function": "directed"},
            "unknown connection function of se 'directed': did you mean 'direct'",
        ),
        (
            "resnet50",
            {"attention": "gc", "connection": "dca", "function": "stacked"},
            "unknown connection function of gc 'stacked': .*accepted values are direct, softmax, weighted",
        ),
        ("resnet50", {"attention": "se", "connection": "dca", "matching": 3}, "matching = 3: 1 or 2 layers"),
        (
            "resnet50",
            {"attention": "ge", "connection": "dca", "pooling": "min"},
            "pooling = 'min': accepted values are avg",
        ),
        ("resnet50", {"attention": "se", "connection": "dca", "dimensions": "both"}, "se has one dimension"),
        ("resnet50", {"attention": "se", "matching": 2}, "unknown option of se 'matching'"),
        ("resnet50", {"reductoin": 2}, "unknown option 'reductoin': did you mean 'reduction'"),
        ("mv1", {"attention": "se,ulsam", "positions": "8:1,11", "sites": "paper"}, "several mechanisms are accepted"),
        ("mv1", {"attention": "se,ulsam", "positions": "8:1,11", "connection": "dca"}, "several mechanisms are accep"),
        ("resnet50", {"attention": "sk", "groups": 2}, "sk takes the groups of the convolution that it replaces"),
        ("resnet50", {"attention": "mhsa", "stride": 2}, "mhsa takes the stride of the convolution that it replaces"),
        ("resnet101_fpn", {"attention": "gc", "sites": "paper"}, "unknown sites of resnet101_fpn 'paper'"),
        ("resnet101_fpn", {"attention": "sk"}, "sk at lateral 2 of resnet101_fpn: .* there is none"),
        ("resnet101_fpn", {"attention": "se", "connection": "dca"}, "connection dca: resnet101_fpn takes aw"),
        ("mv2", {"attention": "sk", "positions": "19"}, "layer 19 of mv2 changes the shape"),
        ("mv2", {"attention": "se", "aw_reduction": 2, "connection": "dca"}, "unknown option of se or dca"),
    ],
)
def test_bad_input_is_one_sentence(network, options, message):
    with pytest.raises(CostError, match=message) as error:
        network_spec(network, **options)
    assert "\n" not in str(error.value)
