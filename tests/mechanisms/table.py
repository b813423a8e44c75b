"""What a row of the table of mechanisms says, and how one is added."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from ulsam_cost.formulas.attention import get_mechanism

# the networks whose maps are narrow at first
MOBILE = (
    "mv1",
    "mv2",
    "mnasnet1_0",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
)
REDUCTION, FLAG = st.integers(1, 40), st.booleans()
CASES: dict[str, "Case"] = {}


@dataclass(frozen=True, kw_only=True)
class Formula:
    """The docstring's closed form as it stands there: options (symbols as text), terms, biases, definitions."""

    params: list[str]
    macs: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    biases: str | None = None
    where: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A mechanism in the tests.

    `plain` is its reference forward, with the module for its parameters alone; `draws` gives what each of its options
    is drawn from on a map of m x h x w; `by_hand` has options, parameters and MACs on n = 2 maps of 20 channels, 7 x 5;
    `runs` the options under which the reference runs, on 12 channels, 5 x 4; `refused` options that neither formula
    nor module take for 20 channels, and what they say. It takes maps of `least` positions or more. `not_in` are the
    networks that refuse it at its paper's places, and what they say.
    """

    plain: Callable[..., Any]
    draws: Callable[[int, int, int], dict[str, st.SearchStrategy]]
    by_hand: list[tuple[dict[str, Any], int, int]]
    runs: list[dict[str, Any]]
    formula: Formula
    refused: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    least: int = 1
    not_in: dict[str, str] = field(default_factory=dict)


def case(**row: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the row of the mechanism that the decorated reference forward is named after."""

    def add(plain: Callable[..., Any]) -> Callable[..., Any]:
        CASES[plain.__name__] = Case(plain=plain, **row)
        return plain

    return add


def divisors(number: int) -> st.SearchStrategy[int]:
    """A divisor of a number."""
    return st.sampled_from([d for d in range(1, number + 1) if number % d == 0])


def too_narrow(**others: Any) -> tuple[dict[str, Any], str]:
    """A reduction that leaves no channel of 20."""
    return {"reduction": 21, **others}, "r = 21 leaves no channel of m = 20: 1 to 20 is accepted"


def fitted(name: str, shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The nearest shape, upward, that a mechanism takes by default."""
    (n, m, h, w), multiple, least = shape, get_mechanism(name).multiple, CASES[name].least
    return n, -(-m // multiple) * multiple, h, w if h * w >= least else least
