"""A network under a placement, beside the plain one: counted, derived, layer by layer."""

from dataclasses import asdict
from textwrap import fill
from typing import Any

from ulsam_cost.counting.count import Count
from ulsam_cost.counting.networks import count_network
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import (
    NO_ATTENTION,
    PAPERS_SITES,
    LayerCost,
    NetworkSpec,
    layer_of,
    layers_cost,
    network_layers,
    split_by_layer,
)
from ulsam_cost.placement import EMPTY
from ulsam_cost.report.formats import COMPLETE, Table, exact, number, signed, signed_pct, words
from ulsam_cost.report.views.measured import WIDTH, mebibytes
from ulsam_cost.units import AtLeast, at_least, difference


def profile_network(spec: NetworkSpec) -> dict[str, Any]:
    """Everything about a network but its latency; keys as the command's JSON."""
    counted, baseline = count_network(spec), count_network(spec.plain())
    layers = network_layers(spec)
    derived = layers_cost(layers)
    options = dict(spec.attention_options)
    if spec.attention != NO_ATTENTION:
        options = get_mechanism(spec.attention).options | options
    return {
        "network": spec.network,
        "width": spec.width,
        "resolution": spec.resolution[0] if len(set(spec.resolution)) == 1 else list(spec.resolution),
        "classes": spec.classes,
        "batch": spec.batch,
        "positions": str(spec.placement),
        "groups": options.get("groups"),
        "attention": spec.attention,
        "style": options.get("style"),
        "variant": spec.variant or None,
        "sites": spec.sites or None,
        "connection": spec.connection or None,
        "params": counted.params,
        "macs": (macs := at_least(counted.macs, unless=counted.complete)),
        "flops": at_least(counted.number("flops"), unless=counted.complete),
        "activations": at_least(counted.activations, unless=counted.complete),
        "complete": counted.complete,
        "left_out": counted.left_out(),
        "baseline": {
            "params": baseline.params,
            "macs": (plain_macs := at_least(baseline.macs, unless=baseline.complete)),
            "complete": baseline.complete,
            "left_out": baseline.left_out(),
        },
        "delta": {"params": counted.params - baseline.params, "macs": difference(macs, plain_macs)},
        "derived": {"params": derived.params, "macs": derived.macs},
        "layers": layer_records(layers, counted),
        "uncounted": [asdict(operation) for operation in counted.uncounted],
        "memory": None,
        "latency": None,
    }


def layer_records(layers: tuple[LayerCost, ...], counted: Count) -> list[dict[str, Any]]:
    """A record a layer, its costs counted."""
    split = split_by_layer(counted.cost, layers)
    layer_at = layer_of(layers)
    incomplete = {layer_at(operation.path) for operation in counted.uncounted_products}
    return [
        {
            "layer": layer.layer,
            "path": layer.path,
            "kind": layer.kind,
            "params": split[layer.layer].params,
            "macs": at_least(split[layer.layer].macs, unless=layer.layer not in incomplete),
            "output": list(layer.output),
            "complete": layer.layer not in incomplete,
        }
        for layer in layers
    ]


def check_profile(record: dict[str, Any]) -> None:
    """Hold the counted cost against the derived one.

    Raises:
        CostError: if they differ, with both numbers, or if the count is incomplete.
    """
    if not record["complete"]:
        raise CostError(f"the count is incomplete ({record['left_out']}) and cannot be held against the derived cost")
    for unit in ("params", "macs"):
        if record[unit] != record["derived"][unit]:
            raise CostError(f"counted {unit} {record[unit]:,} differ from derived ones {record['derived'][unit]:,}")


def memory_sentence(memory: dict[str, int | None]) -> str:
    """The memory in one line."""
    named = ((key.removesuffix("_bytes").replace("_", " "), value) for key, value in memory.items())
    return "memory in MiB: " + ", ".join(f"{name} {mebibytes(value)}" for name, value in named if value)


def incomplete_lines(record: dict[str, Any]) -> str:
    """Which of network and baseline leave products out, a line each."""
    return "\n".join(
        f"the {name} is incomplete: {costs['left_out']}"
        for name, costs in (("network", record), ("baseline", record["baseline"]))
        if not costs["complete"]
    )


def summary_table(record: dict[str, Any]) -> Table:
    """Network, baseline, and their difference."""
    records = []
    for unit, heading in (("params", "parameters"), ("macs", "MACs")):
        was, now = record["baseline"][unit], record[unit]
        records.append(
            {
                "cost": heading,
                "network": now,
                "baseline": was,
                "delta": (change := record["delta"][unit]),
                "delta_pct": None if change is None else 100 * change / was,
                "derived": record["derived"][unit],
                "complete": not any(isinstance(each, AtLeast) for each in (was, now)),
            }
        )
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


def layer_table(record: dict[str, Any]) -> Table:
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
    return Table(columns=columns, records=record["layers"])


def latency_table(latency: dict[str, Any]) -> Table:
    """Median, spread and the paired ratio."""
    records = [{"model": name, **latency[name]} for name in ("baseline", "network")]
    columns = (
        words("model", f"latency on {latency['device']}, batch {latency['batch']}, {latency['dtype']}"),
        number("median_ms", "median ms", _milliseconds),
        number("p10_ms", "p10 ms", _milliseconds),
        number("p90_ms", "p90 ms", _milliseconds),
        number("runs", "runs", exact),
    )
    return Table(columns=columns, records=records)


def title(record: dict[str, Any]) -> str:
    """What was profiled, in one line."""
    size = record["resolution"]
    shape = f"{size}x{size}" if isinstance(size, int) else "x".join(map(str, size))
    parts = [
        f"{record['network']} x{record['width']:g}",
        f"{record['batch']}x3x{shape}",
    ]
    if any(layer["kind"] == "classifier" for layer in record["layers"]):
        parts.append(f"{record['classes']} classes")
    if record["attention"] != NO_ATTENTION:
        sites = "its paper's places" if record["sites"] == PAPERS_SITES else record["sites"]
        place = record["positions"] if record["positions"] != EMPTY else sites
        parts.append(f"{record['attention']} at {place}")
    if record["connection"]:
        parts.append(f"connection {record['connection']}")
    return ", ".join(parts)


def ratio_sentence(latency: dict[str, Any]) -> str:
    """What the paired ratio shows, with its interval."""
    ratio = latency["ratio"]
    interval = f"{ratio['median']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"
    why = f" ({latency['busy']})" if latency["busy"] else ""
    return fill(f"network / baseline, pair by pair: {interval}: {latency['verdict']}{why}", WIDTH)


def _milliseconds(value: float) -> str:
    return f"{value:.2f}"
