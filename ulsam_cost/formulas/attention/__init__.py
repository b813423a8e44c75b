"""The attention mechanisms: what each one prints about itself and what it costs.

One file a mechanism, and one line of `REGISTERED`: the commands' choices, the tables, the tests and the
report follow from it. `ulsam_cost.nn.attention` has a module of the same name in a file of the same name.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import CostError, SizeError, UnknownNameError, holds, require_int, require_size

REGISTERED = ("non_local", "a2", "se", "bam", "cbam", "ulsam", "aw", "ge", "gc", "sk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What a printed formula charges for one kind of operation, as arithmetic on the letters m, h, w, t and r."""

    kind: OpKind
    params: Callable[..., Any]
    macs: Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedFormula:
    """The formulas of the ULSAM paper's Table 1: as text, and term by term, so that they can be held against a Cost."""

    params_text: str
    macs_text: str
    terms: tuple[Term, ...]

    def params(self, **letters: Any) -> Any:
        """Printed parameters; letters are Fractions, arrays or symbols."""
        return sum(term.params(**letters) for term in self.terms)

    def macs(self, **letters: Any) -> Any:
        """Printed MACs; letters are Fractions, arrays or symbols."""
        return sum(term.macs(**letters) for term in self.terms)

    def evaluate(self, **letters: int) -> tuple[int | Fraction, int | Fraction]:
        """Parameters and MACs for these letters, exactly: a Fraction where the formula gives no whole number."""
        exact = {letter: Fraction(value) for letter, value in letters.items()}
        return whole(self.params(**exact)), whole(self.macs(**exact))


def whole(value: Fraction) -> int | Fraction:
    """An int where the value is one."""
    return value.numerator if value.denominator == 1 else value


@lru_cache
def _options(cost: Callable[..., Cost]) -> dict[str, Any]:
    parameters = inspect.signature(cost).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "batch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a mechanism's paper puts it in a network, and with which options.

    `where` is `block`, inside of every block, or `stages`, after each stage but the last, outside of the blocks;
    `source` says which paper or code puts it there.
    """

    where: str = "block"
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """An attention mechanism: its name, where it comes from, its exact cost and, where there is one, its printed cost.

    `cost` takes channels, height, width, batch and the mechanism's own options, and gives a Cost whose
    paths are those of the real module. `from_table1` names the options that Table 1's letters set.
    `replaces` is the cost of the plain layer in whose place the mechanism stands, if it stands in one's
    place: what it adds to a network is its own cost less that one.
    `places` is where its paper puts it.
    """

    name: str
    title: str
    source: str
    cost: Callable[..., Cost]
    printed: PrintedFormula | None = None
    replaces: Callable[..., Cost] | None = None
    places: Places = Places()
    from_table1: Callable[..., dict[str, Any]] = lambda **_: {}

    @property
    def options(self) -> dict[str, Any]:
        """The mechanism's own options with their defaults."""
        return dict(_options(self.cost))

    def chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that are given; None stands for the default.

        Raises:
            UnknownNameError: for one that the mechanism does not have.
        """
        accepted = self.options
        given = {key: value for key, value in options.items() if value is not None}
        for key in given:
            if key not in accepted:
                raise UnknownNameError.among(f"option of {self.name}", key, accepted)
        return given


def get_mechanism(name: str) -> Mechanism:
    """The mechanism of that name.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if name not in REGISTERED:
        raise UnknownNameError.among("attention mechanism", name, REGISTERED)
    mechanism: Mechanism = import_module(f"{__name__}.{name}").MECHANISM
    return mechanism


def mechanisms() -> tuple[Mechanism, ...]:
    """Every registered mechanism, in the order of Table 1."""
    return tuple(map(get_mechanism, REGISTERED))


def attention_cost(name: str, *, channels: Any, height: Any, width: Any, batch: Any = 1, **options: Any) -> Cost:
    """The exact cost of a mechanism on a map [batch, channels, height, width].

    Sizes are ints, integer NumPy arrays or sympy symbols.

    Args:
        name: a registered mechanism.
        channels: channels m of the map.
        height: its height h.
        width: its width w.
        batch: maps n.
        **options: the mechanism's own, as its docstring lists them; None stands for the default.

    Raises:
        UnknownNameError: for a mechanism or an option that does not exist.
        SizeError: for sizes that the mechanism cannot take.
    """
    mechanism = get_mechanism(name)
    given = mechanism.chosen(options)
    return mechanism.cost(
        channels=require_size("channels", channels),
        height=require_size("height", height),
        width=require_size("width", width),
        batch=require_size("batch", batch),
        **given,
    )


def require_one_of(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those accepted.

    Raises:
        CostError: with the words that are.
    """
    if value not in accepted:
        raise CostError(f"{name} = {value!r}: accepted are {', '.join(accepted)}")


def require_odd_kernel(kernel: int) -> int:
    """Return a kernel whose padding keeps the size of the map.

    Raises:
        SizeError: for an even one.
    """
    if require_int("kernel", kernel) % 2 == 0:
        raise SizeError(f"kernel = {kernel}: an odd one is accepted, so that the map keeps its size")
    return kernel


def hidden_width(channels: Any, reduction: Any) -> Any:
    """The width d = floor(m / r) of a bottleneck.

    Raises:
        SizeError: if r is larger than m, so that nothing is left.
    """
    reduction = require_size("reduction", reduction)
    d = channels // reduction
    if not holds(d > 0):
        raise SizeError(f"reduction r = {reduction} leaves no channel of m = {channels}: 1 to {channels} is accepted")
    return d
