"""What a mechanism says about itself, and what the files of several share."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import CostError, SizeError, UnknownNameError, holds, require_int, require_size
from ulsam_cost.formulas.layers import conv2d_cost

GROUPS = {
    "channel": "a weight for each channel",
    "spatial": "a weight for each position",
    "both": "weights for channels and positions",
    "replacing": "in place of a convolution",
    "dot-product": "each position attends to others",
}


WHERE = {
    "block": "inside of a block, after its last norm, before the shortcut is added",
    "layers": "after a block",
    "unit": "in place of a block's spatial convolution with its norm and activation",
    "instead": "in place of a block's spatial convolution alone",
    "spatial": "between a block's spatial convolution and its norm",
    "last": "before a block's last convolution",
    "each": "before every convolution",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What a printed formula charges for one kind of operation, as arithmetic on the letters m, h, w, t and r."""

    kind: OpKind
    params: Callable[..., Any]
    macs: Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedFormula:
    """The formulas of the ULSAM paper's Table 1: as text, and term by term, comparable with a Cost."""

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

    `where` is one of WHERE; `blocks` says of which blocks, from what is known of each: the network, its channels, the
    stride of its map from the input on, its index in its stage, whether it ends the stage, whether the stage is the
    last. None stands for all. `options` are set everywhere, `at` gives those of one place from its network, channels
    and stride. `source` names the paper or code that puts it there.
    """

    where: str = "block"
    blocks: Callable[..., bool] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    at: Callable[..., dict[str, Any]] = lambda **_: {}
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCode:
    """A user's mechanism: what makes its module from the number of channels, and the options that it takes.

    `options` has the default of each; `required` names those that must be given. `takes_any` says whether options of
    other names are passed on as well, `takes_tokens` whether the module takes [n, tokens, c].
    """

    make: Callable[..., Any]
    options: Mapping[str, Any]
    required: tuple[str, ...] = ()
    takes_any: bool = False
    takes_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """An attention mechanism: its name, where it comes from, its exact cost and, where there is one, its printed cost.

    `group` is one of GROUPS: what it weighs, or how; empty where that is not known.

    `cost` takes channels, height, width, batch and the mechanism's own options, and gives a Cost whose
    paths are those of the real module. `from_table1` names the options that Table 1's letters set.
    `replaces` is the cost of the plain layer in whose place the mechanism stands, if it stands in one's
    place: what it adds to a network is its own cost less that one.
    With its default options it takes channels that are a multiple of `multiple`.
    A user's mechanism has no closed form: its `cost` is None, and `code` makes its module, which is counted.
    `places` is where its paper puts it. `built_for` gives, for the size of a map and the options, those options that
    the module needs to know the map by.
    """

    name: str
    title: str
    source: str
    group: str
    cost: Callable[..., Cost] | None
    code: UserCode | None = None
    printed: PrintedFormula | None = None
    replaces: Callable[..., Cost] | None = None
    multiple: int = 1
    places: Places = Places()
    built_for: Callable[..., dict[str, Any]] = lambda size, /, **options: {}
    from_table1: Callable[..., dict[str, Any]] = lambda **_: {}

    @property
    def options(self) -> dict[str, Any]:
        """The mechanism's own options with their defaults."""
        if self.code is not None:
            return dict(self.code.options)
        return dict(_options(self.cost)) if self.cost else {}

    def accepts(self, option: str) -> bool:
        """Whether the mechanism has an option of that name, or takes any."""
        return option in self.options or (self.code is not None and self.code.takes_any)

    def chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that are given; None stands for the default.

        Raises:
            UnknownNameError: for one that the mechanism does not have.
        """
        given = {key: value for key, value in options.items() if value is not None}
        for key in given:
            if not self.accepts(key):
                raise UnknownNameError.among(f"option of {self.name}", key, self.options or ["none"])
        return given


def require_one_of(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those accepted.

    Raises:
        CostError: with the words that are.
    """
    if value not in accepted:
        raise CostError(f"{name} = {value!r}: accepted values are {', '.join(accepted)}")


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


def convolution_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, stride: int = 1, **_: Any) -> Cost:
    """The plain 3 x 3 convolution in whose place a mechanism stands."""
    return conv2d_cost("", (batch, channels, height, width), channels, kernel=3, stride=stride, padding=1)


def at_least(minimum: int, value: Any) -> Any:
    """The larger of a number and a value: an int, an array of ints or a symbol."""
    if isinstance(value, int):
        return max(minimum, value)
    if hasattr(value, "free_symbols"):
        import sympy

        return sympy.Max(minimum, value)
    return value + (minimum - value) * (value < minimum)


def require_several_positions(height: Any, width: Any) -> Any:
    """Return the positions p = h w of a map that must have more than one.

    Raises:
        SizeError: for a map of one position, whose deviation is 0 / 0.
    """
    p = height * width
    if not holds(p > 1):
        raise SizeError(f"a map of {height} x {width} has no deviation: 2 positions or more are accepted")
    return p
