"""What attention modules add to a map, printed, derived and counted: a table of mechanisms, or of a sweep's points."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import CostError, SizeError, require_divides, require_size
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism, hidden_width, whole
from ulsam_cost.units import at_least, format_exact, format_factor

if TYPE_CHECKING:
    from ulsam_cost.counting.count import Count

REFERENCE = "ulsam"
PRINTED = ("non_local", "a2", "se", "bam", "cbam", "ulsam")
MOST_ROWS = 20_000
Number = int | Fraction | None


class Derived(NamedTuple):
    """What a real module adds by its closed form, and its whole cost over the printed one; None where unknown."""

    params: int | None = None
    macs: int | None = None
    params_ratio: float | None = None
    macs_ratio: float | None = None


class Counted(NamedTuple):
    """What a real module adds by its count, and what the count leaves out; None where it does not take the map."""

    params: int | None = None
    macs: int | None = None
    complete: bool = True
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table1Row:
    """A mechanism's row of Table 1: printed on this map, and, where they were asked for, derived and counted.

    The ratios are those of the printed costs to ULSAM's. `why` says in a line where the printed formula and the real
    module part, or why the module does not take the map; None where neither was asked for.
    """

    mechanism: Mechanism
    params: Number
    macs: Number
    params_ratio: float | None
    macs_ratio: float | None
    derived: Derived | None = None
    counted: Counted | None = None
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        printed = self.mechanism.printed
        record: dict[str, Any] = {
            "mechanism": self.mechanism.name,
            "printed_params": self.params,
            "printed_macs": self.macs,
            "params_ratio": self.params_ratio,
            "macs_ratio": self.macs_ratio,
            "params_formula": printed.params_text if printed else None,
            "macs_formula": printed.macs_text if printed else None,
            "group": self.mechanism.group,
        }
        if self.derived is not None:
            record |= {"exact_params": self.derived.params, "exact_macs": self.derived.macs}
            if self.derived.params_ratio is not None:
                record["exact_params_ratio"] = self.derived.params_ratio
                record["exact_macs_ratio"] = self.derived.macs_ratio
        if self.why is not None:
            record["why"] = self.why
        if self.counted is not None:
            record |= {f"counted_{key}": getattr(self.counted, key) for key in ("params", "macs")}
            record |= {"complete": self.counted.complete, "left_out": self.counted.left_out}
        return record | {"source": self.mechanism.source}


class OverheadRow(NamedTuple):
    """What a mechanism adds to a map of m channels, h x w: a point of a sweep.

    Where it stands in place of a convolution, `params` and `macs` are its own cost less that one's; `whole_params` and
    `whole_macs` are its own. All are None where it does not take the map, and `refused` says why.
    """

    mechanism: str
    group: str
    m: int
    h: int
    w: int
    params: int | None
    macs: int | None
    whole_params: int | None
    whole_macs: int | None
    replaces_convolution: bool
    refused: str | None = None


def table1_letters(
    m: int, h: int, w: int, *, t: int | None = None, r: int | None = None, dilation: int = 4, g: int | None = None
) -> dict[str, int]:
    """The letters of Table 1, checked: t is m / 8 unless given, r 16 or m, g 4 or what of it divides m.

    Raises:
        SizeError: for a letter that is not a positive whole number, and for a g that does not divide m.
    """
    letters = {
        "m": m,
        "h": h,
        "w": w,
        "t": max(1, m // 8) if t is None else t,
        "r": min(16, m) if r is None else r,
        "dilation": dilation,
    }
    letters["g"] = gcd(4, m) if g is None else g
    for letter, value in letters.items():
        require_size(letter, value)
    require_divides("g", letters["g"], "m", m)
    hidden_width(m, letters["r"])
    return letters


def table1_rows(
    letters: dict[str, int],
    *,
    style: str = "equation",
    chosen: Sequence[Mechanism] | None = None,
    with_derived: bool = False,
    with_counted: bool = False,
) -> tuple[Table1Row, ...]:
    """A row a mechanism, in the order of the registry."""
    reference = get_mechanism(REFERENCE).printed
    assert reference is not None
    unit = reference.evaluate(**letters)
    chosen = printed_mechanisms() if chosen is None else chosen
    return tuple(_row(mechanism, letters, style, unit, with_derived, with_counted) for mechanism in chosen)


def printed_mechanisms() -> tuple[Mechanism, ...]:
    """The six mechanisms that Table 1 prints."""
    return tuple(map(get_mechanism, PRINTED))


def _row(
    mechanism: Mechanism,
    letters: dict[str, int],
    style: str,
    unit: tuple[int | Fraction, int | Fraction],
    with_derived: bool,
    with_counted: bool,
) -> Table1Row:
    printed: tuple[Number, Number] = mechanism.printed.evaluate(**letters) if mechanism.printed else (None, None)
    ratios = [_over(cost, each) for cost, each in zip(printed, unit, strict=True)]
    derived = counted = why = None
    if with_derived or with_counted:
        try:
            options = mechanism.from_table1(**letters, style=style)
            plain = replaced_cost(mechanism, letters, options)
            if with_derived:
                derived, why = _derived(mechanism, letters, options, plain, printed)
            if with_counted:
                counted = _counted(counted_module(mechanism, letters, options), plain)
        except SizeError as error:  # the others may take this map
            why = f"not on this map: {error}"
            derived, counted = Derived() if with_derived else None, Counted() if with_counted else None
    return Table1Row(
        mechanism=mechanism,
        params=printed[0],
        macs=printed[1],
        params_ratio=ratios[0],
        macs_ratio=ratios[1],
        derived=derived,
        counted=counted,
        why=why,
    )


def _over(cost: Number, other: int | Fraction) -> float | None:
    return None if cost is None else float(Fraction(cost) / Fraction(other))


def _derived(
    mechanism: Mechanism, letters: dict[str, int], options: dict[str, Any], plain: Cost, printed: tuple[Number, Number]
) -> tuple[Derived, str]:
    if mechanism.cost is None:
        return Derived(), "no closed form: counted"
    cost = exact_cost(mechanism, letters, options)
    params, macs = printed
    return Derived(
        cost.params - plain.params,
        cost.macs - plain.macs,
        float(Fraction(cost.params) / Fraction(params)) if params else None,
        float(Fraction(cost.macs) / Fraction(macs or 1)) if params else None,
    ), explain(mechanism, cost, letters)


def _counted(counted: "Count", plain: Cost) -> Counted:
    macs = at_least(counted.macs - plain.macs, unless=counted.complete)
    return Counted(counted.params - plain.params, macs, counted.complete, counted.left_out())


def exact_cost(mechanism: Mechanism, letters: dict[str, int], options: dict[str, Any]) -> Cost:
    """What the real module costs on the map of these letters."""
    return attention_cost(mechanism.name, channels=letters["m"], height=letters["h"], width=letters["w"], **options)


def replaced_cost(mechanism: Mechanism, letters: dict[str, int], options: dict[str, Any]) -> Cost:
    """What the plain convolution costs in whose place a mechanism stands; nothing for the others."""
    sizes = {"channels": letters["m"], "height": letters["h"], "width": letters["w"]}
    return mechanism.replaces(**sizes, **options) if mechanism.replaces else Cost()


def counted_module(mechanism: Mechanism, letters: dict[str, int], options: dict[str, Any]) -> "Count":
    """The same, counted from the real module on the meta device."""
    from ulsam_cost.counting.networks import count_mechanism

    sizes = {"channels": letters["m"], "height": letters["h"], "width": letters["w"]}
    return count_mechanism(mechanism.name, **sizes, **options)


def explain(mechanism: Mechanism, cost: Cost, letters: dict[str, int]) -> str:
    """Where the printed formula and the exact cost part, kind by kind, in one line."""
    if mechanism.printed is None:
        place = " (over the 3 x 3 convolution in whose place it stands)" if mechanism.replaces else ""
        return f"no printed formula{place}"
    values = {letter: Fraction(value) for letter, value in letters.items()}
    printed = {term.kind: term for term in mechanism.printed.terms}
    by_kind = cost.by_kind()
    parts = []
    for unit in ("params", "macs"):
        word = "MACs" if unit == "macs" else unit
        for kind in dict.fromkeys((*printed, *by_kind)):
            said = getattr(printed[kind], unit)(**values) if kind in printed else 0
            done = getattr(by_kind.get(kind, Cost()), unit)
            if said != done:
                parts.append(_difference(kind, word, whole(Fraction(said)), done))
    return "; ".join(parts) or "the same"


def _difference(kind: OpKind, unit: str, said: int | Fraction, done: int) -> str:
    if not said:
        return f"leaves out {kind} {unit} ({format_exact(done)})"
    if not done:
        return f"prints {kind} {unit} that the module does not have ({format_exact(said)})"
    ratio = Fraction(done) / Fraction(said)
    if ratio == 2:
        return f"prints {kind} {unit} once that the module has twice ({format_exact(said)} of {format_exact(done)})"
    times = format_factor(float(ratio))
    return f"{kind} {unit}: prints {format_exact(said)}, the module has {format_exact(done)} ({times})"


def overhead_rows(
    chosen: Sequence[Mechanism],
    channels: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    *,
    t: int | None = None,
    r: int | None = None,
    g: int | None = None,
    style: str = "equation",
) -> tuple[OverheadRow, ...]:
    """A row for each number of channels, map size and mechanism, in this order.

    Args:
        chosen: the mechanisms.
        channels: every m.
        sizes: every (h, w).
        t: attention maps of A2-Net, as in `table1_letters`.
        r: reduction, as in `table1_letters`.
        g: subspaces of ULSAM, as in `table1_letters`.
        style: of ULSAM.

    Raises:
        CostError: for more than 20,000 rows, and with the mechanism's name for maps none of which it can take.
    """
    count = len(chosen) * len(channels) * len(sizes)
    if count > MOST_ROWS:
        raise SizeError(f"a sweep of {count:,} rows: at most {MOST_ROWS:,} are accepted; choose a larger step")
    rows = tuple(
        _point(mechanism, table1_letters(m, *size, t=t, r=r, g=g), style)
        for m, size, mechanism in product(channels, sizes, chosen)
    )
    if all(row.refused for row in rows):
        raise CostError(str(rows[0].refused))
    return rows


def _point(mechanism: Mechanism, letters: dict[str, int], style: str) -> OverheadRow:
    options = mechanism.from_table1(**letters, style=style)
    m, h, w = (letters[letter] for letter in "mhw")
    sizes = {"channels": m, "height": h, "width": w}
    replaces = mechanism.replaces is not None
    place = mechanism.name, mechanism.group, m, h, w
    try:
        cost = _cost(mechanism, sizes, options)
    except CostError as error:
        return OverheadRow(*place, *(None,) * 4, replaces, f"{mechanism.name} on {m} x {h} x {w}: {error}")
    plain = mechanism.replaces(**sizes, **options) if mechanism.replaces else Cost()
    added = cost.params - plain.params, cost.macs - plain.macs
    return OverheadRow(*place, *added, cost.params, cost.macs, replaces)


def _cost(mechanism: Mechanism, sizes: dict[str, int], options: dict[str, Any]) -> Cost:
    """The derived cost of a mechanism; that of a user's own, which has no closed form, is counted."""
    if mechanism.cost is not None:
        return attention_cost(mechanism.name, **sizes, **options)
    from ulsam_cost.counting.networks import count_mechanism

    counted = count_mechanism(mechanism.name, **sizes, **options)
    if not counted.complete:
        raise CostError(f"its count is incomplete ({counted.left_out()})")
    return counted.cost
