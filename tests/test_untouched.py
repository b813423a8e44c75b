"""What is counted or measured is as it was, and computes what it would have computed; inputs and process too."""

import functools
import io
import pickle
import random
import threading
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from restless import ACTIONS, Part, Restless, inputs
from torch import nn

import ulsam_cost as uc
from ulsam_cost.counting.twin import Twins, view_of
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.memory import measure_memory
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.timing import measure_alone
from ulsam_cost.peers import run_peer


class Pickler(pickle.Pickler):
    """Gives equal bytes for equal states: torch's own pickles of tensors hold addresses."""

    def reducer_override(self, value):
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        data = "none" if value.is_meta else value.detach().numpy().tobytes()
        own = (type(value).__name__, str(value.dtype), tuple(value.shape), value.stride(), value.requires_grad, data)
        return tuple, ((*own, value.grad, value.__dict__),)


def pickled(value):
    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()


def process():
    """What a forward can change beside its model."""
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
        {name: pickled(value) for name, value in vars(Part).items() if isinstance(value, list | int)},
        sorted(vars(Part)),
        torch.is_grad_enabled(),
        nn.Module._compiled_call_impl,
    )


def computed(model, given):
    """The outputs of two runs, the second of which sees what the first left behind."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    with torch.no_grad():
        found = [model(**given) for _ in range(2)]
    Part.shared.clear()
    Part.calls = 0
    if "new" in vars(Part):
        del Part.new
    return found


def assert_untouched(model, given, run):
    """A run leaves the state as it was, and the outputs are those of a model that was never run this way."""
    never, its_inputs = pickle.loads(pickle.dumps((model, given)))
    before, state = pickled((model, given)), process()
    run(model, given)
    assert process() == state
    assert pickled((model, given)) == before
    model.fails_at = never.fails_at = None
    for one, other in zip(computed(model, given), computed(never, its_inputs), strict=True):
        assert torch.equal(one, other)


def fast(model, given):
    uc.count(model, given)


def slow(model, given):
    uc.count(model, given, fast=False)


def train(model, given):
    uc.count(model, given, train=True)


def timed(model, given):
    measure_alone(model, given, setting=make_setting(device="cpu"))


def in_memory(model, given):
    measure_memory(model, given, setting=make_setting(device="cpu"))


def by_a_peer(model, given):
    with suppress(Exception):  # it does not run all of these on the meta device
        run_peer("torch", model, given)


COUNTS = (fast, slow, train)


def named(runs):
    return pytest.mark.parametrize("run", runs, ids=lambda run: run.__name__)


@named(COUNTS)
@pytest.mark.parametrize("name", ACTIONS)
def test_a_count_leaves_all_as_found(name, run):
    assert_untouched(Restless([name, name]), inputs(), run)


@named(COUNTS)
@pytest.mark.parametrize("name", ACTIONS)
def test_a_count_that_fails_leaves_all_as_found(name, run):
    def fails(model, given):
        with pytest.raises(KeyError, match="run_a_part"):
            run(model, given)

    assert_untouched(Restless([name, "run_a_part"], fails_at=1), inputs(), fails)


@settings(max_examples=60)
@given(
    actions=st.lists(st.sampled_from(sorted(ACTIONS)), max_size=7), training=st.booleans(), run=st.sampled_from(COUNTS)
)
def test_any_sequence_of_actions_leaves_all_as_found(actions, training, run):
    assert_untouched(Restless(actions).train(training), inputs(), run)


@settings(max_examples=20)
@given(actions=st.lists(st.sampled_from(sorted(ACTIONS)), min_size=1, max_size=5), run=st.sampled_from(COUNTS))
def test_any_sequence_that_asks_for_values_leaves_all_as_found(actions, run):
    ACTIONS["ask"] = lambda m, x, cache, more: x * 2 if x.sum() > -1e9 else x
    try:
        model = Restless([*actions, "ask"])
        assert uc.count(model, inputs()).real_run
        assert_untouched(model, inputs(), run)
    finally:
        del ACTIONS["ask"]


@named([timed, in_memory, by_a_peer])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_measurement_leaves_all_as_found(name, run, monkeypatch):
    monkeypatch.setattr("ulsam_cost.measuring.rounds.FEWEST_RUNS", 2)
    assert_untouched(Restless([name]), inputs(), run)


class Counted(nn.Module):
    """Keeps its state where pickle does not reach: in closures, in caches of functions, in a generator."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        calls, seen = 0, []

        def step(x):
            nonlocal calls
            calls += 1
            seen.append(x)
            return calls

        @functools.lru_cache
        def scale(width):
            seen.append(torch.ones(width))
            return torch.ones(width)

        self.step, self.scale, self.seen = step, scale, lambda: (calls, list(seen))
        self.numbers = (number for number in range(9))
        self.draws = False
        self.linear.register_forward_hook(lambda module, args, out: out + self.step(out))

    def forward(self, x):
        return self.linear(x) * self.scale(4) + (next(self.numbers) if self.draws else 0)


@named(COUNTS)
def test_closures_and_cached_functions_are_left_as_found(run):
    model = Counted()
    run(model, torch.ones(2, 4))
    assert model.seen() == (0, [])
    assert model.scale.cache_info().currsize == 0
    assert model(torch.ones(2, 4)).device.type == "cpu"
    assert model.seen()[0] == 1


@named(COUNTS)
def test_a_generator_that_the_run_would_use_up_is_refused(run):
    model = Counted()
    model.draws = True
    with pytest.raises(CostError, match=r"'generator' object.* cannot be copied"):
        run(model, torch.ones(2, 4))
    assert next(model.numbers) == 0


def test_classes_that_two_counts_use_at_once_are_left_as_found():
    both_run = threading.Barrier(2, timeout=60)
    model = Restless(["change_a_class"])
    model.part.register_forward_hook(lambda *_: both_run.wait() and None)
    model.actions += ("run_a_part",)
    before = process()
    threads = [threading.Thread(target=fast, args=(model, inputs())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert process() == before


@named(COUNTS)
def test_a_scripted_module_is_left_as_found(run):
    class Scripted(nn.Module):
        calls: int

        def __init__(self):
            super().__init__()
            self.linear, self.calls = nn.Linear(4, 4), 0
            self.register_buffer("table", torch.zeros(4))

        def forward(self, x):
            self.calls += 1
            self.table.add_(1)
            return self.linear(x) + self.table

    model = torch.jit.script(Scripted())
    run(model, torch.ones(2, 4))
    assert model.calls == 0
    assert torch.equal(model.table, torch.zeros(4))


def test_no_weight_is_copied():
    model = nn.Sequential(nn.Linear(4, 4), Part())
    twins = Twins(view_of)
    own = twins.of(model)
    for one, other in zip(model.parameters(), own.parameters(), strict=True):
        assert one is not other
        assert one.data_ptr() == other.data_ptr()


def test_what_is_shared_is_shared_in_the_twin():
    model = Restless()
    own = Twins(view_of).of(model)
    assert own.alias is own.list
    assert own.bound.__self__ is own.plain.seen
    assert own.call_later.func.__self__ is own.list
    assert own.handle.hooks_dict_ref() is own.act._forward_hooks


def transformers_model(name, **options):
    transformers = pytest.importorskip("transformers")
    config = transformers.CONFIG_MAPPING[name](**options)
    return transformers.AutoModel.from_config(config).eval()


BERT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 11}


@named([fast, slow])
def test_hidden_states_that_hooks_collect_are_as_many_as_before(run):
    model = transformers_model("bert", **BERT, output_hidden_states=True)
    ids = torch.zeros(1, 5, dtype=torch.int64)
    for _ in range(2):
        run(model, {"input_ids": ids})
    with torch.no_grad():
        assert len(model(ids).hidden_states) == 1 + BERT["num_hidden_layers"]


@named([fast, slow])
def test_a_fresh_model_whose_forward_installs_hooks_runs_after_a_count(run):
    options = {"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [8, 8], "num_attention_heads": [1, 1]}
    sizes = {
        "sr_ratios": [1, 1],
        "patch_sizes": [3, 3],
        "strides": [2, 2],
        "mlp_ratios": [1, 1],
        "decoder_hidden_size": 8,
    }
    transformers = pytest.importorskip("transformers")
    model = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**options, **sizes)).eval()
    image = torch.zeros(1, 3, 16, 16)
    run(model, image)
    with torch.no_grad():
        assert not model(image).logits.is_meta


@named([fast, slow])
def test_a_key_value_cache_of_transformers_is_left_as_found(run):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 11,
    }
    model = transformers_model("llama", **sizes, num_key_value_heads=1)
    cache, ids = transformers.DynamicCache(), torch.zeros(1, 3, dtype=torch.int64)
    with torch.no_grad():
        model(ids, past_key_values=cache)
    before = pickled([layer.keys for layer in cache.layers])
    run(model, {"input_ids": ids[:, :1], "past_key_values": cache})
    assert cache.get_seq_length() == 3
    assert pickled([layer.keys for layer in cache.layers]) == before


class Noting(nn.Module):
    """Writes into lists that its leaves hold, some of them under other names than the first leaf of their class."""

    def __init__(self):
        super().__init__()
        self.leaves = nn.ModuleList(nn.ReLU() for _ in range(5))
        first, same, other, more, deep = self.leaves
        first.note, same.note, other.notes, deep.note = 1, [], [], ([],)
        more.note, more.others = 2, []

    def forward(self, x):
        first, same, other, more, deep = self.leaves
        for notes in (same.note, other.notes, more.others, *deep.note):
            notes.append(1)
        return deep(more(other(same(first(x)))))


@named((fast, slow))
def test_lists_that_leaves_of_one_class_hold_are_left_as_found(run):
    model = Noting()
    before = pickled(model)
    run(model, torch.ones(2, 3))
    assert pickled(model) == before
