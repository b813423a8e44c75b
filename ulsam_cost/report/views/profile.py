"""A network under a placement, beside the plain one, as tables and sentences."""

from textwrap import fill

from ulsam_cost.counting.loading import Inserted
from ulsam_cost.formulas.networks import NO_ATTENTION, PAPERS_SITES
from ulsam_cost.measuring.memory import Memory
from ulsam_cost.measuring.profile import Profile
from ulsam_cost.measuring.timing import PairTiming
from ulsam_cost.placement import EMPTY
from ulsam_cost.report.formats import COMPLETE, Table, exact, milliseconds, number, signed, signed_pct, words
from ulsam_cost.report.views import measured
from ulsam_cost.report.views.measured import WIDTH
from ulsam_cost.units import at_least, difference, format_mib


def memory_sentence(memory: Memory) -> str:
    """The memory in one line."""
    named = ((key.removesuffix("_bytes").replace("_", " "), value) for key, value in memory.to_dict().items())
    return "memory in MiB: " + ", ".join(f"{name} {format_mib(value)}" for name, value in named if value)


def incomplete_lines(profile: Profile) -> str:
    """Which of network and baseline leave products out, a line each."""
    return "\n".join(
        f"the {name} is incomplete: {counted.left_out()}"
        for name, counted in (("network", profile.count), ("baseline", profile.baseline))
        if not counted.complete
    )


def summary_table(profile: Profile) -> Table:
    """Network, baseline, and their difference."""
    counted, plain, derived = profile.count, profile.baseline, profile.derived
    complete = counted.complete and plain.complete
    costs = (
        ("parameters", counted.params, plain.params, derived and derived.params, True),
        (
            "MACs",
            at_least(counted.macs, unless=counted.complete),
            at_least(plain.macs, unless=plain.complete),
            derived and derived.macs,
            complete,
        ),
    )
    records = [
        {
            "cost": heading,
            "network": now,
            "baseline": was,
            "delta": (change := difference(now, was)),
            "delta_pct": None if change is None else 100 * change / was,
            "derived": derived,
            "complete": whole,
        }
        for heading, now, was, derived, whole in costs
    ]
    columns = (
        words("cost", "cost"),
        number("network", "network (counted)"),
        number("derived", "derived"),
        number("baseline", "baseline (counted)"),
        number("delta", "difference", signed),
        number("delta_pct", "%", signed_pct),
        COMPLETE,
    )
    return Table(columns=columns, records=records)


def layer_table(profile: Profile) -> Table:
    """The layers with their counted costs."""
    columns = (
        words("layer", "layer"),
        words("path", "path"),
        words("kind", "kind"),
        number("params", "params"),
        number("macs", "MACs"),
        number("output", "output", lambda shape: "x".join(map(str, shape))),
        COMPLETE,
    )
    return Table(columns=columns, records=[layer.to_dict() for layer in profile.layers])


def latency_table(latency: PairTiming) -> Table:
    """Median, spread and the paired ratio."""
    timings = {"baseline": latency.baseline, "network": latency.network}
    where = latency.setting.to_dict(batch=latency.batch, dtype=latency.dtype)
    columns = (
        words("model", "latency on {device}, batch {batch}, {dtype}".format(**where)),
        milliseconds("median_ms", "median ms"),
        milliseconds("p10_ms", "p10 ms"),
        milliseconds("p90_ms", "p90 ms"),
        number("runs", "runs", exact),
    )
    return Table(columns=columns, records=[{"model": name, **timing.to_dict()} for name, timing in timings.items()])


def runtime_tables(profile: Profile) -> list[Table]:
    """The times in each runtime, the ratios, and what is known of the exported files."""
    rows = profile.runtimes
    tables = [measured.times_table(rows), measured.ratios_table(rows), measured.exported_table(rows)]
    return [table for table in tables if table.records]


def runtime_sentences(profile: Profile) -> str:
    """What the numbers of exported files are, and why a runtime has no times, or no verdict."""
    rows = profile.runtimes
    said = (measured.exported_notes(rows), measured.busy_sentences(rows), measured.error_sentences(rows))
    return "\n".join(filter(None, said))


def title(profile: Profile) -> str:
    """What was profiled, in one line."""
    if isinstance(profile.subject, Inserted):
        return profile.subject.changed.name
    spec = profile.subject
    parts = [f"{spec.network} x{spec.width:g}", "x".join(map(str, (spec.batch, 3, *spec.resolution)))]
    if any(layer.kind == "classifier" for layer in profile.layers):
        parts.append(f"{spec.classes} classes")
    if spec.attention != NO_ATTENTION:
        sites = "its paper's places" if spec.sites == PAPERS_SITES else spec.sites
        placed = str(spec.placement)
        parts.append(f"{spec.attention} at {placed if placed != EMPTY else sites}")
    if spec.connection:
        parts.append(f"connection {spec.connection}")
    return ", ".join(parts)


def ratio_sentence(latency: PairTiming) -> str:
    """What the paired ratio shows, with its interval."""
    why = f" ({latency.busy})" if latency.busy else ""
    return fill(f"network / baseline, pair by pair: {latency.ratio}: {latency.verdict}{why}", WIDTH)
