"""`insert`: attention in anybody's model, by path; the model is left as found, and so is all that is not touched."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import ulsam_cost as uc
from ulsam_cost.counting.layers import model_layers
from ulsam_cost.counting.loaded import LoadedModel
from ulsam_cost.errors import CostError, PlacementError

X = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


class Gate(nn.Module):
    """A gate of the reader's: 2 c^2 / r weights, and c + c / r biases."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // reduction, 1)
        self.up = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Looks(Gate):
    """A gate that looks at values, which the meta device does not have."""

    def forward(self, x):
        return super().forward(x) if float(x.detach().sum()) < 1e9 else x


class TokenGate(nn.Linear):
    takes_tokens = True

    def __init__(self, channels):
        super().__init__(channels, channels)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(self.relu(self.norm(self.conv1(x))))


class Net(nn.Module):
    """A stem, blocks of a ModuleList, layers of a Sequential, a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(8) for _ in range(3))
        self.layers = nn.Sequential(*(nn.Conv2d(8, 8, 1) for _ in range(12)))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.layers(x).mean((2, 3)))


def net():
    torch.manual_seed(0)
    return Net()


def gates(model):
    return [path for path, module in model.named_modules() if isinstance(module, Gate)]


def test_costs_are_those_of_the_model_and_of_each_module():
    plain, x = net(), X
    changed = uc.insert(
        plain, x, Gate, after=["stem", "blocks.[0-1]", "blocks.2.conv1"], replace="layers.11", reduction=2
    )
    assert gates(changed) == [
        "blocks.2.conv1_attention",
        "layers.11",
        "stem_attention",
        "blocks_0_attention",
        "blocks_1_attention",
    ]
    before, after = uc.count(plain, x), uc.count(changed, x)
    gate_macs, gate_params = 2 * (8 * 4 + 4 * 8), 8 * 4 + 4 + 4 * 8 + 8  # of two images
    assert after.macs - before.macs == 5 * gate_macs - 2 * (8 * 6) * (8 * 8)
    assert after.params - before.params == 5 * gate_params - (8 * 8 + 8)
    assert not after.uncounted
    assert after.by_path(1)["stem_attention"].params == gate_params


def test_attention_runs_where_it_stands():
    """With gates that double the map, each place can be told from the result."""

    class Double(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.channels = channels

        def forward(self, x):
            return 2 * x

    body = nn.Sequential(nn.Identity(), nn.Identity(), nn.Sequential(nn.Identity()))
    x = torch.ones(1, 3, 2, 2)
    assert uc.insert(body, x, Double, after="0")(x).unique().tolist() == [2]
    assert uc.insert(body, x, Double, after=["0", "2.0"], replace="1")(x).unique().tolist() == [8]
    plain = net().eval()
    changed = uc.insert(plain, X, Double, after="stem")
    expected = plain.layers(plain.blocks[2](plain.blocks[1](plain.blocks[0](2 * plain.stem(X)))))
    assert torch.equal(changed(X), plain.head(expected.mean((2, 3))))
    assert changed.stem_attention.channels == 8


def test_the_model_is_left_as_found_and_the_names_of_its_state_too():
    plain = net().train()
    plain.blocks[1].eval()
    seen = []
    plain.stem.register_forward_hook(lambda module, args, result: seen.append(tuple(result.shape)))
    state = {key: value.clone() for key, value in plain.state_dict().items()}
    changed = uc.insert(plain, X, Gate, after=["stem", "layers.*", "blocks.1"])
    assert list(plain.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    assert gates(plain) == []
    assert seen == []
    new = changed.state_dict()
    assert {key for key in new if "_attention." not in key} == set(state)
    assert all(torch.equal(new[key], value) for key, value in state.items())
    missing, unexpected = changed.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("_attention." in key for key in missing)
    assert {
        key: module.training for key, module in changed.named_modules() if "_attention" in key and "." not in key
    } == {
        "stem_attention": True,
        "blocks_1_attention": False,
    }
    changed(X)
    assert seen == [(2, 8, 8, 6)]


def test_a_copy_and_a_pickle_run_attention_of_their_own():
    changed = uc.insert(net().eval(), X, Gate, after=["stem", "blocks.1", "layers.3"])
    for other in (copy.deepcopy(changed), pickle.loads(pickle.dumps(changed))):
        assert torch.equal(other(X), changed(X))
        with torch.no_grad():
            other.stem_attention.up.bias.add_(1)
        assert not torch.equal(other(X), changed(X))


def test_it_trains():
    changed = uc.insert(net().train(), X, Gate, after=["stem", "blocks.1", "layers.3"])
    changed(X).square().sum().backward()
    assert all(parameter.grad is not None for parameter in changed.parameters())
    for path in gates(changed):
        assert changed.get_submodule(path).up.bias.grad.abs().sum() > 0


@pytest.mark.parametrize("strict", [True, False])
def test_it_exports(strict):
    changed = uc.insert(net().eval(), X, Gate, after=["stem", "blocks.1", "layers.3"])
    exported = torch.export.export(changed, (X,), strict=strict)
    assert set(exported.state_dict) == set(changed.state_dict())
    torch.testing.assert_close(exported.module()(X), changed(X))


def test_it_compiles_and_is_taken_out_of_what_was_compiled():
    plain = net().eval()
    changed = uc.insert(torch.compile(plain, backend="eager"), X, Gate, after=["stem", "layers.3"])
    assert type(changed) is Net
    torch.testing.assert_close(torch.compile(changed, backend="eager", fullgraph=True)(X), changed(X))


def test_its_state_is_saved_and_loaded():
    changed = uc.insert(net().eval(), X, "se", after="blocks.*", reduction=4)
    file = io.BytesIO()
    torch.save(changed.state_dict(), file)
    file.seek(0)
    again = uc.insert(net().eval(), X, "se", after="blocks.*", reduction=4)
    again.load_state_dict(torch.load(file))
    assert torch.equal(again(X), changed(X))


def test_it_has_the_number_format_and_the_device_of_the_map():
    half = uc.insert(net().eval().half(), X.half(), Gate, after=["stem", "blocks.0.norm"])
    assert {value.dtype for key, value in half.state_dict().items() if "attention" in key} == {torch.float16}
    with torch.device("meta"):
        model = Net().eval()
    on_meta = uc.insert(model, torch.empty(1, 3, 16, 12, device="meta"), "se", after="blocks.0.relu", reduction=2)
    assert {value.device.type for value in on_meta.state_dict().values()} == {"meta"}


def test_random_numbers_are_drawn_for_what_is_inserted_alone():
    model = net()
    torch.manual_seed(0)
    uc.insert(model, X, Looks, after=["stem", "blocks.1"])
    drawn = torch.rand(3)
    torch.manual_seed(0)
    Looks(8), Looks(8)
    assert torch.equal(torch.rand(3), drawn)


def test_a_second_insertion_stands_behind_the_first():
    first = uc.insert(net(), X, Gate, after=["layers.3", "stem"])
    second = uc.insert(first, X, "se", after=["layers.3", "stem"], reduction=2)
    names = [name for name, _ in second.layers.named_children()]
    assert names[3:7] == ["3", "3_attention", "3_attention_2", "4"]
    assert {"stem_attention", "stem_attention_2"} <= {name for name, _ in second.named_children()}


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = self.second = nn.Conv2d(3, 3, 1)
        self.act = nn.ReLU()
        self.body = nn.Sequential(self.act, nn.Conv2d(3, 3, 1), self.act)

    def forward(self, x):
        return self.body(self.second(self.first(x)))


def test_a_submodule_at_several_paths_is_one():
    model, x = Shared(), torch.zeros(1, 3, 4, 4)
    after = uc.insert(model, x, nn.BatchNorm2d, after=["first", "second", "act"])
    assert uc.count(after, x).params - uc.count(model, x).params == 2 * (3 + 3)
    assert [name for name, _ in after.body.named_children()] == ["0", "0_attention", "1"]  # each once
    assert len(after.body) == 5
    instead = uc.insert(model, x, nn.BatchNorm2d, replace="first")
    assert instead.first is instead.second
    assert uc.count(instead, x).macs == uc.count(model, x).macs - 2 * 4 * 4 * 3 * 3


def test_shared_parameters_stay_shared():
    model = net()
    model.layers[0].weight = model.layers[1].weight
    changed = uc.insert(model, X, Gate, after="layers.0")
    assert changed.layers[0].weight is changed.layers.get_submodule("1").weight
    with pytest.raises(PlacementError, match=r"'layers.0': it shares a parameter with 'layers.1.weight'"):
        uc.insert(model, X, Gate, replace="layers.0")


def test_a_block_of_a_dictionary_that_runs_all_it_holds_is_followed():
    class Dense(nn.ModuleDict):
        def forward(self, x):
            for _, layer in self.items():
                x = torch.cat([x, layer(x)], 1)
            return x

    model = nn.Sequential(Dense({"a": nn.Conv2d(3, 2, 1), "b": nn.Conv2d(5, 2, 1)}), nn.Identity())

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = model[0]

        def forward(self, x):
            return self.dense(x)

    changed = uc.insert(Around(), torch.zeros(1, 3, 4, 4), nn.BatchNorm2d, after="dense.*")
    assert [name for name, _ in changed.named_children()] == ["dense", "dense_a_attention", "dense_b_attention"]


def test_tokens_are_for_those_that_take_them():
    model, x = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 6)), torch.zeros(2, 49, 8)
    changed = uc.insert(model, x, TokenGate, after="0", replace="1")
    assert uc.count(changed, x).macs == 2 * 49 * (8 * 6 + 2 * 6 * 6)
    with pytest.raises(PlacementError, match="attention cannot follow '0': its output has 3 dimensions, not 4"):
        uc.insert(model, x, Gate, after="0")


class Hard(nn.Module):
    """A submodule for each reason why attention cannot stand somewhere."""

    def __init__(self):
        super().__init__()
        self.functional = nn.Conv2d(3, 3, 1)
        self.twice = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.pair = nn.MaxPool2d(1, return_indices=True)
        self.loop = Loop(nn.Conv2d(3, 3, 1))
        self.head = nn.Conv2d(3, 8, 1)
        self.hidden = [self.head]

    def forward(self, x):
        x = nn.functional.conv2d(x, self.functional.weight)
        x = self.loop(self.twice(self.twice(x)))
        return self.hidden[0](self.pair(x)[0])


class Loop(nn.Module):
    def __init__(self, *modules):
        super().__init__()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"after": "functional"}, "attention cannot follow 'functional': not called"),
        ({"after": "twice"}, "attention cannot follow 'twice': it runs 2 times, and the shape of its output differs"),
        ({"after": "pair"}, "attention cannot follow 'pair': its output is not a tensor"),
        ({"replace": "head"}, "attention cannot replace 'head': changes the shape"),
        ({"after": "loop.0"}, "attention cannot stand at 'loop.0': it would run 2 times, the submodule runs 1 times"),
        ({"after": "nothing"}, "'nothing' is not a submodule"),
        ({"after": "loop.[1-3]"}, "'loop.\\[1-3\\]' matches no submodule"),
        ({"after": "loop.[a]"}, "brackets hold whole numbers and ranges"),
        ({}, "no submodule is named"),
        ({"after": "loop.0", "replace": "loop"}, "'loop.0' stands in 'loop', which is replaced"),
        ({"after": "loop", "replace": "loop"}, "'loop' is both replaced and followed"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(place, message):
    with pytest.raises(PlacementError, match=message):
        uc.insert(Hard(), torch.zeros(1, 3, 8, 8), Gate, **place, reduction=1)


def test_what_is_replaced_must_be_reached_by_its_path_alone():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.order = [self.conv]

        def forward(self, x):
            for module in self.order:
                x = module(x)
            return x

    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(PlacementError, match="'conv': it would run 0 times, the submodule runs 1 times"):
        uc.insert(Listed(), x, nn.BatchNorm2d, replace="conv")
    assert uc.insert(Listed(), x, nn.BatchNorm2d, after="conv").conv_attention.num_features == 3


class Halves(Gate):
    def forward(self, x):
        return x[:, ::2]


class Pair(Gate):
    def forward(self, x):
        return x, x


class Raises(Gate):
    def forward(self, x):
        raise RuntimeError("no map like this")


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (Halves, "attention at 'stem': Halves gives 2x4x8x6 for 2x8x8x6"),
        (Pair, "Pair gives tuple for 2x8x8x6: one tensor of the same shape is accepted"),
        (Raises, "Raises raises on 2x8x8x6: RuntimeError: no map like this"),
        (lambda channels: 3, r"gives int: an nn.Module is accepted"),
        (Gate(8), "is a module, Gate: a class or a function that takes the number of channels"),
        (lambda: Gate(8), "takes no number of channels"),
        (nn.Conv2d, "Conv2d needs out_channels"),
        (5, "is an int"),
        ("sea", "did you mean 'se'"),
    ],
)
def test_what_is_no_mechanism_is_refused(attention, message):
    with pytest.raises(CostError, match=message):
        uc.insert(net(), X, attention, after="stem")


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(PlacementError, match="unknown option of Gate 'reductions': did you mean 'reduction'"):
        uc.insert(net(), X, Gate, after="stem", reductions=2)
    with pytest.raises(PlacementError, match=r"attention at 'stem': reduction r = 16 leaves no channel of m = 8"):
        uc.insert(net(), X, "se", after="stem")


def test_a_model_that_cannot_be_copied_or_is_scripted_is_refused():
    model = net()
    model.running = (number for number in range(3))
    with pytest.raises(CostError, match="the model cannot be copied: TypeError: cannot pickle 'generator' object"):
        uc.insert(model, X, Gate, after="stem")


def test_a_gate_that_looks_at_values_is_checked_for_real():
    assert gates(uc.insert(net().eval(), X, Looks, after="stem")) == ["stem_attention"]


def test_every_registered_mechanism_goes_into_a_readers_model():
    from ulsam_cost.formulas.attention import mechanisms

    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 128, 1), nn.ReLU(), nn.Conv2d(128, 4, 1)).eval(), torch.zeros(1, 3, 8, 8)
    plain = uc.count(model, x)
    for mechanism in mechanisms():
        changed = uc.count(uc.insert(model, x, mechanism.name, after="0"), x)
        cost = uc.attention_cost(mechanism.name, channels=128, height=8, width=8, **mechanism.built_for((8, 8)))
        assert (changed.params - plain.params, changed.macs - plain.macs) == (cost.params, cost.macs), mechanism.name


class Permuted(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


class ChannelsLast(nn.Module):
    """A block on maps [n, h, w, c], as Swin has them."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(channels), nn.Linear(channels, channels)

    def forward(self, x):
        return x + self.layer(self.norm(x))


@pytest.mark.parametrize("place", ["after", "replace"])
def test_maps_whose_channels_stand_last_are_refused(place):
    net = nn.Sequential(
        nn.Conv2d(3, 10, 2, 2), Permuted(0, 2, 3, 1), ChannelsLast(10), Permuted(0, 3, 1, 2), nn.Conv2d(10, 10, 1)
    )
    with pytest.raises(PlacementError, match=r"'2': its output \[2, 8, 6, 10\] is a map \[n, h, w, c\]"):
        uc.insert(net, X, "se", **{place: "2"}, reduction=2)
    assert uc.insert(net, X, "se", after="3", reduction=2)(X).shape == (2, 10, 8, 6)
    layers = {layer.path: layer for layer in model_layers(LoadedModel(name="net", model=net, inputs=X))}
    assert [layers[path].may_follow for path in "01234"] == [True, False, False, True, True]


def test_a_linear_layer_along_the_width_of_a_map_leaves_it_one():
    net = nn.Sequential(nn.Conv2d(3, 10, 2, 2), nn.Linear(6, 6), nn.Conv2d(10, 10, 1))
    assert uc.insert(net, X, "se", after="1", reduction=2)(X).shape == (2, 10, 8, 6)
