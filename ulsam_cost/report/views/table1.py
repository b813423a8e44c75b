"""The ULSAM paper's Table 1 for any map: printed formulas beside exact costs and counted modules."""

from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING, Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import SizeError, require_divides, require_size
from ulsam_cost.formulas.attention import attention_cost, get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism, hidden_width, whole
from ulsam_cost.report.formats import COMPLETE, Column, Table, exact, factor, number, words
from ulsam_cost.units import at_least, format_factor

if TYPE_CHECKING:
    from ulsam_cost.counting.count import Count

REFERENCE = "ulsam"
PRINTED = ("non_local", "a2", "se", "bam", "cbam", "ulsam")
TABLE1_NOTE = "ratio: to the printed cost of ULSAM"
EXACT_NOTE = "ratio: exact to printed"


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


def table1_records(
    letters: dict[str, int],
    *,
    style: str = "equation",
    chosen: tuple[Mechanism, ...] | None = None,
    with_exact: bool = False,
    with_counted: bool = False,
) -> list[dict[str, Any]]:
    """A record a mechanism, in the order of the registry; keys as the command's JSON."""
    reference = get_mechanism(REFERENCE).printed
    assert reference is not None
    unit = reference.evaluate(**letters)
    chosen = printed_mechanisms() if chosen is None else chosen
    return [_record(mechanism, letters, style, unit, with_exact, with_counted) for mechanism in chosen]


def printed_mechanisms() -> tuple[Mechanism, ...]:
    """The six mechanisms that Table 1 prints."""
    return tuple(map(get_mechanism, PRINTED))


def _record(
    mechanism: Mechanism,
    letters: dict[str, int],
    style: str,
    unit: tuple[int | Fraction, int | Fraction],
    with_exact: bool,
    with_counted: bool,
) -> dict[str, Any]:
    printed = mechanism.printed
    params, macs = printed.evaluate(**letters) if printed else (None, None)
    record: dict[str, Any] = {
        "mechanism": mechanism.name,
        "printed_params": params,
        "printed_macs": macs,
        "params_ratio": None if params is None else float(Fraction(params) / Fraction(unit[0])),
        "macs_ratio": None if macs is None else float(Fraction(macs) / Fraction(unit[1])),
        "params_formula": printed.params_text if printed else None,
        "macs_formula": printed.macs_text if printed else None,
        "group": mechanism.group,
    }
    if with_exact or with_counted:
        try:
            record |= _module_costs(mechanism, letters, style, (params, macs), with_exact, with_counted)
        except SizeError as error:  # the others may take this map
            names = ["exact_params", "exact_macs"] * with_exact + ["counted_params", "counted_macs"] * with_counted
            record |= {**dict.fromkeys(names), "why": f"not on this map: {error}"}
            if with_counted:
                record |= {"complete": True, "left_out": ""}
    return record | {"source": mechanism.source}


def _module_costs(
    mechanism: Mechanism,
    letters: dict[str, int],
    style: str,
    printed: tuple[int | Fraction | None, int | Fraction | None],
    with_exact: bool,
    with_counted: bool,
) -> dict[str, Any]:
    record: dict[str, Any] = {}
    params, macs = printed
    options = mechanism.from_table1(**letters, style=style)
    plain = replaced_cost(mechanism, letters, options)
    if with_exact and mechanism.cost is None:
        record |= {"exact_params": None, "exact_macs": None, "why": "no closed form: counted"}
    elif with_exact:
        cost = exact_cost(mechanism, letters, options)
        record |= {"exact_params": cost.params - plain.params, "exact_macs": cost.macs - plain.macs}
        if params:
            record["exact_params_ratio"] = float(Fraction(cost.params) / Fraction(params))
            record["exact_macs_ratio"] = float(Fraction(cost.macs) / Fraction(macs or 1))
        record["why"] = explain(mechanism, cost, letters)
    if with_counted:
        counted = counted_module(mechanism, letters, options)
        record |= {
            "counted_params": counted.params - plain.params,
            "counted_macs": at_least(counted.macs - plain.macs, unless=counted.complete),
            "complete": counted.complete,
            "left_out": counted.left_out(),
        }
    return record


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


def explanations(records: list[dict[str, Any]]) -> str:
    """The explanations, a line each; mechanisms of which the same is said share one."""
    names: dict[str, list[str]] = {}
    for record in records:
        if "why" in record:
            names.setdefault(record["why"], []).append(record["mechanism"])
    return "\n".join(f"{', '.join(same)}: {why}" for why, same in names.items())


def _difference(kind: OpKind, unit: str, said: int | Fraction, done: int) -> str:
    if not said:
        return f"leaves out {kind} {unit} ({exact(done)})"
    if not done:
        return f"prints {kind} {unit} that the module does not have ({exact(said)})"
    ratio = Fraction(done) / Fraction(said)
    if ratio == 2:
        return f"prints {kind} {unit} once that the module has twice ({exact(said)} of {exact(done)})"
    return f"{kind} {unit}: prints {exact(said)}, the module has {exact(done)} ({format_factor(float(ratio))})"


def table1_table(records: list[dict[str, Any]]) -> Table:
    """The records as a table: with formulas, or with exact and counted costs in their place."""
    columns: list[Column] = [words("mechanism", "mechanism")]
    if not {"exact_params", "counted_params"} & records[0].keys():
        columns += [words("params_formula", "params formula"), words("macs_formula", "MACs formula")]
        columns += [number("printed_params", "params"), number("printed_macs", "MACs")]
        columns += [number("params_ratio", "params\nratio"), number("macs_ratio", "MACs\nratio")]
        return Table(columns=tuple(columns), records=records)
    for unit, word in (("params", "params"), ("macs", "MACs")):
        columns.append(number(f"printed_{unit}", f"printed\n{word}"))
        if "exact_params" in records[0]:
            columns += [
                number(f"exact_{unit}", f"exact\n{word}"),
                factor(f"exact_{unit}_ratio", f"{word}\nratio"),
            ]
        if "counted_params" in records[0]:
            columns.append(number(f"counted_{unit}", f"counted\n{word}"))
    if "complete" in records[0]:
        columns.append(COMPLETE)
    return Table(columns=tuple(columns), records=records)


def incomplete_lines(records: list[dict[str, Any]]) -> str:
    """The modules whose counted MACs leave products out, a line each."""
    return "\n".join(
        f"{record['mechanism']} is incomplete: {record['left_out']}" for record in records if record.get("left_out")
    )
