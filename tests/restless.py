"""A module whose forward does whatever it is told to do to its own state, its inputs and the process."""

import functools
import random
import weakref
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn


class Plain:
    def __init__(self):
        self.seen = []


class Slotted:
    __slots__ = ("last", "seen")

    def __init__(self):
        self.last, self.seen = None, []


@dataclass
class Data:
    seen: list = field(default_factory=list)
    total: int = 0


class Cache:
    """A cache of keys, as a transformer's."""

    def __init__(self):
        self.keys, self.length = [], 0

    def update(self, keys):
        self.keys.append(keys)
        self.length += keys.shape[0]
        return torch.cat(self.keys)


class Stack(list):
    """A list with an attribute."""


class Hook:
    """A hook that keeps what it sees, as those that collect feature maps do."""

    def __init__(self):
        self.maps = []

    def __call__(self, module, args, out):
        self.maps.append(out)


class Part(nn.Module):
    shared = []  # noqa: RUF012 - that a class holds a list is what is tested
    calls = 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return self.linear(x)


class Restless(nn.Module):
    """Does what `actions` name, in order; `fails_at` is the number of the action before which it raises."""

    def __init__(self, actions=(), fails_at=None):
        super().__init__()
        self.actions, self.fails_at = tuple(actions), fails_at
        self.body, self.part, self.act = nn.Linear(4, 4), Part(), nn.ReLU()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("table", torch.arange(8.0))
        self.register_buffer("large", torch.ones(5000))
        self.list, self.set, self.dict = [], set(), {"inner": {"deep": []}}
        self.alias = self.list
        self.deque, self.default, self.ordered = deque(maxlen=3), defaultdict(list), OrderedDict()
        self.nested, self.stack = ([], {"a": []}), Stack()
        self.plain, self.slotted, self.data = Plain(), Slotted(), Data()
        self.generator = torch.Generator().manual_seed(3)
        self.dice, self.numpy_dice = random.Random(5), np.random.default_rng(7)
        self.array = np.zeros(3)
        self.call_later = functools.partial(self.list.append)
        self.bound = self.plain.seen.append
        self.installed, self.hook = False, Hook()
        self.handle = self.act.register_forward_hook(self.hook)

    def forward(self, x, cache=None, more=None):
        x = self.act(self.body(x))
        for number, name in enumerate(self.actions):
            if number == self.fails_at:
                raise KeyError(name)
            x = ACTIONS[name](self, x, cache, more)
        return x


ACTIONS = {}


def action(function):
    ACTIONS[function.__name__] = function
    return function


@action
def append_to_a_list(m, x, cache, more):
    m.list.append(x)
    return x


@action
def read_the_list_under_its_other_name(m, x, cache, more):
    return x + len(m.alias)


@action
def add_to_a_set(m, x, cache, more):
    m.set.add(len(m.set))
    return x


@action
def write_to_a_nested_dict(m, x, cache, more):
    m.dict["inner"]["deep"].append(x)
    m.dict["new"] = x
    return x


@action
def fill_other_containers(m, x, cache, more):
    m.deque.append(x)
    m.default["a"].append(x)
    m.ordered["last"] = x
    m.nested[0].append(x)
    m.nested[1]["a"].append(x)
    m.stack.append(x)
    m.stack.note = "changed"
    return x


@action
def write_to_objects(m, x, cache, more):
    m.plain.seen.append(x)
    m.plain.new = x
    m.slotted.last = x
    m.slotted.seen.append(x)
    m.data.seen.append(x)
    m.data.total += 1
    return x


@action
def call_what_is_bound_to_a_container(m, x, cache, more):
    m.call_later(x)
    m.bound(x)
    return x


@action
def install_a_hook(m, x, cache, more):
    if not m.installed:
        m.body.register_forward_hook(m.hook)
        m.part.register_forward_pre_hook(lambda module, args: m.list.append(args))
        m.installed = True
    return m.part(x)


@action
def remove_a_hook(m, x, cache, more):
    m.handle.remove()
    return m.act(x)


@action
def make_a_submodule(m, x, cache, more):
    if not hasattr(m, "made"):
        m.made = nn.Linear(4, 4)
        nn.init.constant_(m.made.weight, 0.5)
        nn.init.zeros_(m.made.bias)
    return m.made(x)


@action
def swap_submodules(m, x, cache, more):
    m.body, m.part.linear = m.part.linear, m.body
    return m.body(x)


@action
def remove_a_submodule(m, x, cache, more):
    if hasattr(m, "norm"):
        del m.norm
    return x


@action
def change_a_leaf(m, x, cache, more):
    m.body.note = [1]
    m.body.eval()
    m.norm_eps = getattr(m, "norm", m.body)
    m.act.inplace = True
    return x


@action
def replace_a_parameter(m, x, cache, more):
    m.body.weight = nn.Parameter(m.body.weight * 2)
    return m.body(x)


@action
def change_a_parameter(m, x, cache, more):
    m.body.weight.data.mul_(2)
    m.body.weight.tag = "seen"
    m.part.linear.bias.data = m.part.linear.bias.data + 1
    m.part.linear.weight.requires_grad_(False)
    m.part.linear.bias.grad = torch.ones_like(m.part.linear.bias)
    return m.body(x)


@action
def change_buffers(m, x, cache, more):
    m.table += 1
    m.table[0] = 7
    m.table[2:4].mul_(3)
    m.large.add_(1)
    m.register_buffer("fresh", x.sum())
    return x + m.table[:4]


@action
def write_through_numpy(m, x, cache, more):
    m.table.numpy()[1] = 9
    m.large.detach().numpy()[1] = 9
    m.array[0] += 1
    return x + m.table[1]


@action
def run_a_part(m, x, cache, more):
    return m.part(x)


@action
def change_a_class(m, x, cache, more):
    Part.shared.append(x)
    Part.calls += 1
    Part.new = x
    return x


@action
def draw_random_numbers(m, x, cache, more):
    x = x + torch.rand(4, generator=m.generator) + m.dice.random() + m.numpy_dice.random()
    return x + torch.rand(4) + random.random() + np.random.rand()


@action
def seed_generators(m, x, cache, more):
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)
    return x + torch.rand(4)


@action
def change_the_mode(m, x, cache, more):
    m.train(not m.training)
    return x


@action
def fill_the_cache(m, x, cache, more):
    return x + cache.update(x).sum(0) if cache is not None else x


@action
def change_other_inputs(m, x, cache, more):
    if more is not None:
        more["list"].append(x)
        more["tensor"].mul_(2)
        more["new"] = x
    return x


@action
def keep_a_weak_reference(m, x, cache, more):
    m.reference = weakref.ref(m.plain)
    m.reference().seen.append(x)
    del m.reference  # or it cannot be pickled
    return x


def inputs():
    cache = Cache()
    cache.update(torch.ones(1, 4))
    return {"x": torch.linspace(-1, 1, 8).reshape(2, 4), "cache": cache, "more": {"list": [], "tensor": torch.ones(3)}}
