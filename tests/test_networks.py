"""Derived and counted networks: the known answers, and that the two wings say the same, operation by operation."""

import io
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ulsam_cost as uc
from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.counting.count import count
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import (
    REGISTERED,
    LayerCost,
    get_network,
    layers_cost,
    network_layers,
    network_spec,
    slots_of,
    split_by_layer,
)
from ulsam_cost.formulas.networks.text import input_options
from ulsam_cost.nn.attention.ulsam import ULSAM
from ulsam_cost.nn.networks import build_network
from ulsam_cost.placement import Placement

REPLACEABLE = {"mv1": (4, 6, 8, 9, 10, 11, 12, 14), "mv2": (4, 6, 7, 9, 10, 11, 13, 14, 16, 17)}
FOLLOWED = {"mv1": range(2, 15), "mv2": range(2, 20)}
KNOWN = [
    ("mv1", "none", 4_231_976, 568_740_352),
    ("mv1", "8:1,9:1,11", 3_966_248, 517_059_072),
    ("mv2", "none", 3_504_872, 300_774_272),
]


@st.composite
def specs(draw):
    network = draw(st.sampled_from(["mv1", "mv2"]))
    replaced = draw(st.sets(st.sampled_from(REPLACEABLE[network]), max_size=3))
    followed = draw(st.sets(st.sampled_from(sorted(set(FOLLOWED[network]) - replaced)), max_size=2))
    inserted = tuple((layer, draw(st.integers(1, 2))) for layer in sorted(followed))
    return network_spec(
        network,
        positions=Placement(replaced=tuple(sorted(replaced)), inserted=inserted),
        groups=draw(st.sampled_from([1, 2, 4, 8])),
        style=draw(st.sampled_from(["equation", "release"])),
        width=draw(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.25])),
        resolution=(draw(st.integers(32, 230)), draw(st.integers(32, 230))),
        classes=draw(st.sampled_from([1, 101, 1000])),
        batch=draw(st.integers(1, 2)),
    )


def counted(spec, **options):
    with torch.device("meta"):
        model = build_network(spec).eval()
    return count(model, torch.empty(spec.input_shape, device="meta"), **options)


@pytest.mark.parametrize(("network", "positions", "params", "macs"), KNOWN)
def test_known_answers_derived_and_counted(network, positions, params, macs):
    spec = network_spec(network, positions=positions)
    derived = layers_cost(network_layers(spec))
    result = counted(spec)
    assert (derived.params, derived.macs) == (result.params, result.macs) == (params, macs)
    assert sum(p.numel() for p in uc.build(network, positions=positions).parameters()) == params


def test_one_layer_by_hand():
    """Layer 8 of MV1 at 224: a depthwise and a pointwise convolution of 512 channels on 14 x 14, and two norms."""
    layer = next(layer for layer in network_layers(network_spec("mv1")) if layer.layer == "8")
    assert layer.cost.macs == 14 * 14 * 512 * 3 * 3 + 14 * 14 * 512 * 512
    assert layer.cost.params == 512 * 3 * 3 + 512 * 512 + 2 * 2 * 512
    assert layer.cost.activations == 2 * 14 * 14 * 512


@settings(max_examples=40)
@given(specs())
def test_derived_is_counted_operation_by_operation(spec):
    layers = network_layers(spec)
    derived = layers_cost(layers)
    result = counted(spec)
    assert result.uncounted == ()
    assert result.cost == derived
    assert {k: (c.macs, c.params, c.reads, c.writes) for k, c in result.by_kind().items()} == {
        k: (c.macs, c.params, c.reads, c.writes) for k, c in derived.by_kind().items()
    }
    split = split_by_layer(result.cost, layers)
    assert all(split[layer.layer] == layer.cost for layer in layers)


@settings(max_examples=6)
@given(specs())
def test_the_slow_path_counts_the_same(spec):
    assert counted(spec, fast=False) == counted(spec)


def test_operations_that_no_layer_derives_go_to_the_deepest_module_around_them():
    def operation(path):
        return OpCost(path=path, kind=OpKind.ADD, operator="add", output=(1,))

    def layer(number, path, *paths):
        return LayerCost(layer=number, path=path, kind="", cost=Cost(tuple(map(operation, paths))), output=(1,))

    layers = [layer("1", "stem", "stem.conv"), layer("2", "body"), layer("3", "body.0", "body.0.conv", "moved")]
    paths = ["stem.conv", "stem.act", "body.0.act", "body.1", "body", "moved", "moved.in", "stem2", ""]
    split = split_by_layer(Cost(tuple(map(operation, paths))), layers)
    assert {number: [op.path for op in cost] for number, cost in split.items()} == {
        "1": ["stem.conv", "stem.act"],
        "2": ["body.1", "body"],
        "3": ["body.0.act", "moved", "moved.in", "stem2", ""],  # what stands in no layer's module goes to the last
    }


def test_channels_of_mobilenet_v2_at_a_width_where_neighbours_round_apart():
    """Sandler et al., Table 2: 16, 24, 32, 64, 96, 160, 320 channels; times 1.45, to the nearest multiple of 8."""
    layers = network_layers(network_spec("mv2", width=1.45))
    assert [layer.output[1] for layer in layers if layer.kind == "residual_block"] == [
        *[24, 32, 32],  # 23.2, 34.8
        *[48] * 3,  # 46.4
        *[96] * 4,  # 92.8
        *[136] * 3,  # 139.2
        *[232] * 3,  # 232
        464,  # 464
    ]


def test_an_input_is_a_batch_of_images_of_three_channels():
    assert input_options("2x3x800x1344", {}) == {"batch": 2, "resolution": (800, 1344)}
    for shape in ("3x2x800x1344", "1x800x3x1344", "1x3x800", "1x3x800x1344x1", "1x3x8x8.5", "3"):
        with pytest.raises(CostError, match=f"input '{shape}': a batch of images with 3 channels"):
            input_options(shape, {})
    with pytest.raises(CostError, match="and resolution: one of the two"):
        input_options("1x3x8x8", {"batch": None, "resolution": 8})


def test_insertions_add_and_replacements_take_away():
    plain = uc.network_cost("mv1")
    assert uc.network_cost("mv1", positions="8:2").params - plain.params == 2 * (2 * 512)
    replaced = uc.network_cost("mv1", positions="11")
    assert plain.params - replaced.params == (512 * 9 + 512 * 512 + 4 * 512) - 2 * 512
    assert plain.macs - replaced.macs == 14 * 14 * (512 * 9 + 512 * 512) - 14 * 14 * 2 * 512


@pytest.mark.parametrize(("network", "positions"), [("mv1", "8:1,9:1,11"), ("mv2", "13,14:2")])
@pytest.mark.parametrize("style", ["equation", "release"])
def test_a_built_network_trains_saves_and_loads(network, positions, style):
    torch.manual_seed(0)
    model = uc.build(network, positions=positions, style=style, width=0.25, classes=7)
    x = torch.randn(2, 3, 33, 40)
    with torch.no_grad():
        before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 6])).backward()
    assert all(p.grad is not None for p in model.parameters())
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = uc.build(network, positions=positions, style=style, width=0.25, classes=7)
    again.load_state_dict(torch.load(file))
    torch.testing.assert_close(again.eval()(x), model.eval()(x))


def test_ulsam_is_found_by_name():
    model = uc.build("mv1", positions="8:1,9:2,11", groups=8)
    named = {name: module for name, module in model.named_modules() if isinstance(module, ULSAM)}
    assert list(named) == ["features.ulsam8_1", "features.ulsam9_1", "features.ulsam9_2", "features.ulsam11"]
    assert all(module.groups == 8 for module in named.values())
    assert "features.10.depthwise.0.weight" not in model.state_dict()


def test_mv2_has_torchvisions_names():
    shapes = {name: tuple(p.shape) for name, p in uc.build("mv2").state_dict().items()}
    assert shapes["features.0.0.weight"] == (32, 3, 3, 3)
    assert shapes["features.1.conv.0.0.weight"] == (32, 1, 3, 3)
    assert shapes["features.1.conv.1.weight"] == (16, 32, 1, 1)
    assert shapes["features.2.conv.0.0.weight"] == (6 * 16, 16, 1, 1)
    assert shapes["features.17.conv.3.running_var"] == (320,)
    assert shapes["features.18.0.weight"] == (1280, 320, 1, 1)
    assert shapes["classifier.1.weight"] == (1000, 1280)
    assert len(shapes) == 314  # of torchvision's mobilenet_v2


@pytest.mark.parametrize("width", [0.75, 0.5])
def test_widths_are_int_of_the_product(width):
    """Howard et al.: 0.75 MobileNet-224 has 2.6M parameters and 325M MACs, 0.50 has 1.3M and 149M."""
    params, macs = {0.75: (2.6, 325), 0.5: (1.3, 149)}[width]
    cost = uc.network_cost("mv1", width=width)
    assert (round(cost.params / 1e6, 1), round(cost.macs / 1e6)) == (params, macs)


def test_ulsams_cost_does_not_depend_on_the_subspaces():
    costs = [uc.network_cost("mv1", positions="8:1,9:1,11", groups=g) for g in (1, 2, 4, 8, 16, 512)]
    assert {(cost.macs, cost.params) for cost in costs} == {(517_059_072, 3_966_248)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": -1}, "width = -1"),
        ({"width": 0.01}, "leaves no channel of 32"),
        ({"width": float("nan")}, "width = nan"),
        ({"classes": 0}, "classes = 0"),
        ({"batch": 1.5}, "batch = 1.5"),
        ({"resolution": 0}, "resolution (height) = 0"),
        ({"attention": "cbem"}, "did you mean 'cbam'"),
        ({"positions": "8:1", "gropus": 4}, "did you mean 'groups'"),
    ],
)
def test_bad_sizes_are_refused(options, said):
    with pytest.raises(CostError) as caught:
        uc.network_cost("mv1", **options)
    assert said in str(caught.value)


def test_attention_none_is_the_plain_network():
    assert uc.network_cost("mv1", positions="8:1", attention="none") == uc.network_cost("mv1")


def test_layers_carry_their_output():
    spec = network_spec("mv2", positions="9:1", resolution=(100, 60), batch=2)
    outputs = {layer.layer: layer.output for layer in network_layers(spec)}
    assert outputs["9"] == outputs["9:1"] == (2, 64, 7, 4)
    assert outputs["20"] == (2, 1000)
    assert replace(spec, batch=1).input_shape == (1, 3, 100, 60)


@pytest.mark.parametrize("network", REGISTERED)
def test_the_numbered_layers_do_not_depend_on_what_attends_in_them(network):
    plain = network_spec(network, batch=2, resolution=256)
    attended = replace(plain, placement=Placement(inserted=((4, 1),)), attention="se", sites="block", connection="dca")
    for spec in (plain, attended, replace(attended, attention="ulsam", batch=3, resolution=(320, 288))):
        assert get_network(network).slots(spec) == slots_of(spec)


@pytest.mark.parametrize("network", REGISTERED)
def test_the_numbered_layers_name_the_convolutions_in_the_order_in_which_they_run(network):
    model, ran = build_network(network_spec(network)).to("meta"), {}

    def hear(path, module, args):
        ran[path] = module, args[0].shape if isinstance(args[0], torch.Tensor) else None

    for path, module in model.named_modules():
        module.register_forward_pre_hook(partial(hear, path))
    model(torch.empty(1, 3, 224, 224, device="meta"))
    numbered = slots_of(network_spec(network))
    assert [slot.layer for slot in numbered] == list(range(1, len(numbered) + 1))
    assert [slot.kind for slot in numbered if slot.fixed] == [
        slot.kind for slot in (numbered[0], numbered[-1]) if slot.kind in ("stem", "classifier")
    ]
    assert numbered[0].kind == "stem"
    named = {conv.path: (slot, conv) for slot in numbered for conv in slot.convolutions}
    assert [path for path in ran if path in named] == list(named)
    for path, (slot, conv) in named.items():
        module, shape = ran[path]
        assert (conv.in_channels, conv.out_channels) == (module.in_channels, module.out_channels)
        assert (conv.stride, conv.stride) == module.stride
        assert ran[slot.path][1][2] == shape[2] * conv.before
    for slot in numbered:
        if slot.convolutions and slot.path in ran:
            main = [conv for conv in slot.convolutions if ran[conv.path][0].kernel_size != (1, 1)]
            assert [conv for conv in slot.convolutions if conv.spatial] == ([] if slot.kind == "stem" else main[-1:])


def test_the_channels_of_the_mobilenets_are_those_of_their_papers():
    # MobileNetV2, Table 2: t, c, n, s; MobileNet, Table 1. Times 8, so that nothing is rounded.
    mv2 = [32, *[16], *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, *[320]]
    mv1 = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    for network, printed in (("mv2", [*mv2, 1280]), ("mv1", mv1)):
        slots = slots_of(network_spec(network, width=8.0))
        assert [slot.out_channels for slot in slots if slot.kind != "classifier"] == [8 * c for c in printed]


def test_the_stem_of_a_small_resnet_keeps_the_size_of_the_map():
    # He et al., CVPR 2016, 4.2: a 3 x 3 convolution and no pool, on maps of 32 x 32
    stem, first, *_ = network_layers(network_spec("resnet50", variant="cifar", resolution=32, classes=10))
    assert (stem.output, stem.cost.macs) == ((1, 64, 32, 32), 64 * 3 * 3 * 3 * 32 * 32)
    taps = 64 * 64 + 64 * 64 * 3 * 3 + 2 * 64 * 256  # down, spatial, up and the shortcut
    assert (first.output, first.cost.macs) == ((1, 256, 32, 32), taps * 32 * 32)


def test_the_numbered_layers_are_those_of_the_width_and_the_classes():
    for width, classes in ((1.0, 1000), (0.5, 1000), (0.5, 10)):
        spec = network_spec("mv2", width=width, classes=classes)
        assert slots_of(spec)[-1].out_channels == classes
        assert slots_of(spec)[1].out_channels == 16 * width
