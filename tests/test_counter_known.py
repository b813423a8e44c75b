"""Values that are known are used: small inputs of a model on the meta device, and constants that the run makes."""

import json

import pytest
import torch
from click.testing import CliRunner
from counting import Call, count_both_ways
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main

IDS = torch.tensor([[1, 2, 0, 3]])
MASK = torch.tensor([True, False, True, True])
PRODUCT = 4 * 5 * 4


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def product(x):
    return x @ x.T


# name: (forward of a [4, 5] map without values and of an input with them, that input, MACs)
READ = {
    "in": (lambda x, ids: product(x) if 0 in ids else x, IDS, PRODUCT),
    "if": (lambda x, ids: product(x) if (ids == 3).any() else x, IDS, PRODUCT),
    "if not": (lambda x, ids: product(x) if (ids == 9).any() else x, IDS, 0),
    "item": (lambda x, ids: x[: ids.max().item()] @ x.T, IDS, 3 * 5 * 4),
    "size": (lambda x, ids: x.view(ids[0, 1], -1) @ x.view(2, 10).T, IDS, 2 * 10 * 2),
    "size in a tuple": (lambda x, ids: x.view((ids[0, 1], -1)) @ x.view(2, 10).T, IDS, 2 * 10 * 2),
    "slice": (lambda x, ids: x[: ids[0, 3]] @ x.T, IDS, 3 * 5 * 4),
    "mask": (lambda x, mask: x[mask] @ x.T, MASK, 3 * 5 * 4),
    "nonzero": (lambda x, mask: x[mask.nonzero().squeeze(1)] @ x.T, MASK, 3 * 5 * 4),
    "masked_select": (lambda x, mask: x.masked_select(mask[:, None]).view(-1, 5) @ x.T, MASK, 3 * 5 * 4),
    "repeats": (lambda x, ids: torch.repeat_interleave(x, ids[0], dim=0) @ x.T, IDS, (1 + 2 + 0 + 3) * 5 * 4),
    "other dtype": (lambda x, ids: product(x) if (ids.to(x) > 2.5).any() else x, IDS, PRODUCT),
    "other device": (lambda x, ids: product(x) if (ids.to(x.device) > 2).any() else x, IDS, PRODUCT),
    "a float mask": (lambda x, mask: product(x) if mask.sum() == 3 else x, MASK.float(), PRODUCT),
}


@pytest.mark.parametrize("name", READ)
def test_the_values_of_inputs(name):
    forward, given, macs = READ[name]
    before = given.clone()
    count = count_both_ways(Call(forward), (meta(4, 5), given))
    assert (count.macs, count.real_run, count.uncounted) == (macs, "", ())
    assert count.inputs_read
    assert torch.equal(given, before)


def covariance(x):
    places = torch.ones(256, 256, device=x.device).triu().reshape(-1).nonzero().squeeze(1)
    return x[:, places] @ x[:, places].T


def used_with_the_map(x):
    one = torch.ones(1)
    _ = x + one
    return product(x) if one.sum() == 1 else x


CONSTANTS = {
    "arange": lambda x: product(x) if torch.arange(4).sum() == 6 else x,
    "on the device of the map": lambda x: product(x) if torch.arange(4, device=x.device).sum() == 6 else x,
    "ones like the map": lambda x: product(x) if torch.ones_like(x).sum() == 20 else x,
    "new zeros": lambda x: product(x) if not x.new_zeros(3).any() else x,
    "used with the map, too": used_with_the_map,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_values_of_constants(name):
    count = count_both_ways(Call(CONSTANTS[name]), meta(4, 5))
    assert (count.macs, count.real_run, count.inputs_read) == (PRODUCT, "", "")


def test_indices_that_a_model_makes():
    pairs = 256 * 257 // 2
    assert count_both_ways(Call(covariance), meta(2, 256 * 256)).macs == 2 * 2 * pairs


def in_place(x, c):
    c.add_(x[0, :3].sum())
    return c


def by_index(x, c):
    c[0] = x.sum()
    return c


def through_a_view(x, c):
    c[1:].add_(x.sum())
    return c


def seen_by_a_view(x, c):
    view = c[1:]
    c.copy_(x[0, :3])
    return view


def into_a_result(x, c):
    torch.sum(x[:3], 1, out=c)
    return c


def random(x, c):
    return c.uniform_()


def by_a_function(x, c):
    nn.functional.relu(c.add_(x.sum()), inplace=True)
    return c


WRITES = [in_place, by_index, through_a_view, seen_by_a_view, into_a_result, random, by_a_function]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("given", [False, True], ids=["constant", "input"])
def test_what_was_written_to_without_values_has_none(write, given):
    def forward(x, *rest):
        c = rest[0] if rest else torch.zeros(3)
        return product(x) if write(x, c).sum() > 0 else x

    inputs = (meta(4, 5), torch.zeros(3)) if given else meta(4, 5)
    with pytest.raises(uc.CostError, match="asks for values"):
        uc.count(Call(forward), inputs)


def test_what_is_written_with_values_is_followed():
    def forward(x, c):
        view = c[1:]
        c[1] = 5
        view.add_(1)
        return product(x) if c.tolist() == [0, 6, 1] else x

    given = torch.zeros(3)
    assert count_both_ways(Call(forward), (meta(4, 5), given)).macs == PRODUCT
    assert given.tolist() == [0, 0, 0]


def test_inputs_that_share_memory():
    given = torch.tensor([1, 2])

    def forward(x, whole, part):
        whole.add_(1)
        return product(x) if part.item() == 2 else x

    assert count_both_ways(Call(forward), (meta(4, 5), given, given[:1])).macs == PRODUCT


def test_what_depends_on_weights_is_not_computed():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(4, 5, device="meta")

        def forward(self, ids):
            x = self.table(ids)[0]
            return product(x) if x.sum() > 0 else x

    with pytest.raises(uc.CostError, match="asks for values"):
        uc.count(Model(), IDS)


def test_everything_says_the_models_device():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3, device="meta")

        def forward(self, x, ids):
            assert ids.device == x.device == self.layer.weight.device == (ids + 1).device
            return self.layer(x) if ids.sum() == 6 else x

    assert count_both_ways(Model(), (meta(4, 5), IDS)).macs == 4 * 5 * 3


def test_large_results_are_not_computed():
    def forward(x, ids):
        pairs = ids[:, None] * ids[None]
        return product(x) if pairs.any() else x

    with pytest.raises(uc.CostError, match="asks for values"):
        uc.count(Call(forward), (meta(4, 5), torch.arange(60_000)))


def test_values_that_no_kernel_takes_are_not_looked_at():
    count = count_both_ways(Call(lambda x, ids: torch.zeros(3)[ids] + product(x)[0]), (meta(4, 5), IDS + 7))
    assert count.macs == PRODUCT


@pytest.mark.parametrize(("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_begin_with_states_that_have_no_values(layer, gates):
    count = count_both_ways(layer(5, 4, device="meta").requires_grad_(False), meta(7, 3, 5))
    assert count.macs == 7 * 3 * gates * 4 * (5 + 4)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_packed_sequences(layer):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer(5, 4, batch_first=True, device="meta")

        def forward(self, x, lengths):
            rnn = nn.utils.rnn
            packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]

    gates = {nn.LSTM: 4, nn.GRU: 3}[layer] * 4
    for fast in (True, False):
        count = uc.count(Model(), (meta(3, 7, 5), torch.tensor([3, 7, 2])), fast=fast)
        assert count.macs == (3 + 7 + 2) * gates * (5 + 4)
        assert count.inputs_read


def test_attention_of_packed_sequences():
    kernel = torch.ops.aten._flash_attention_forward
    model = Call(lambda q, k, v, ends: kernel(q, k, v, ends, ends, 7, 7, 0.0, False, False))
    q = meta(10, 4, 8, dtype=torch.bfloat16)
    count = uc.count(model, (q, q, q, torch.tensor([0, 3, 10], dtype=torch.int32)))
    assert count.macs == 4 * (3 * 3 + 7 * 7) * (8 + 8)
    assert count.uncounted == ()


def test_training_with_known_inputs():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3, device="meta")

        def forward(self, x, mask):
            y = self.layer(x)[mask]
            return y * torch.ones_like(y) if mask.any() else y

    count = uc.count(Model(), (meta(4, 5), MASK), train=True)
    assert count.macs == 4 * 5 * 3 + 3 * 4 * 5


def test_a_model_that_can_really_run_does():
    count = uc.count(Call(lambda x, ids: product(x) if 0 in ids else x), (torch.ones(4, 5), IDS))
    assert count.macs == PRODUCT
    assert "Tensor.__contains__" in count.real_run


LOOKS = """
import torch
from torch import nn

class Looks(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(100, 5), nn.Linear(5, 3)

    def forward(self, ids):
        x = self.table(ids)
        return self.layer(x) if 1 in ids and ids.max() < 100 else x

def looks():
    with torch.device("meta"):
        return Looks()

def exported():
    return torch.export.export(nn.Linear(5, 3), (torch.zeros(2, 5),))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "looks.py").write_text(LOOKS)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, ["count", *args])


@pytest.mark.parametrize(
    ("values", "macs"), [("ones", 8 * 5 * 3), ("arange", 8 * 5 * 3), ("random:0-1", 8 * 5 * 3), ("random:7-99", 0)]
)
def test_values_on_the_command_line(run, values, macs):
    result = run("looks.py:looks", "--input", f"2x4:int64={values}", "--format", "json")
    record = json.loads(result.stdout)
    assert (record["macs"], result.exit_code) == (macs, 0)
    assert "Tensor.__contains__ reads them" in record["inputs_read"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2x4:int64", "--input 1x64:int64=ones"),
        ("2x4:int64=zero", "=ones, =arange or =random:0-30521"),
        ("2x4:int64=random:5", "=ones, =arange or =random:0-30521"),
        ("2x4:int64=random:5-4", "the lower bound comes first"),
        ("2x400:uint8=arange", "uint8 holds at most 255, but 799 is asked for"),
        ("2x4:bool=random:0-2", "bool holds at most 1, but 2 is asked for"),
        ("999999999x999999999:int64=ones", "does not fit into memory"),
    ],
)
def test_values_that_are_refused(run, given, message):
    result = run("looks.py:looks", "--input", given)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_an_exported_program_on_the_command_line(run):
    result = run("looks.py:exported", "--input", "2x5", "--format", "json")
    assert json.loads(result.stdout)["macs"] == 2 * 5 * 3
