"""`ulsam-cost profile`."""

from typing import Any

import click

from ulsam_cost.cli.networks import LIST, batch_options, network_options, numbered_layers, spec_of
from ulsam_cost.cli.options import POSITIVE, format_option, options, progress_bar, show
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.report.formats import render


@data_command("profile")
@click.argument("network")
@options(
    *network_options,
    *batch_options,
    click.option("--layers", is_flag=True, help="Show each layer."),
    click.option("--device", default="auto", show_default=True, help="Where latency is measured: auto, cpu or cuda."),
    click.option("--repeats", type=POSITIVE, default=30, show_default=True, help="Pairs of runs that are measured."),
    click.option("--no-latency", is_flag=True, help="Measure nothing."),
    format_option,
)
def command(
    network: str, layers: bool, device: str, repeats: int, no_latency: bool, style_of_output: str, **given: Any
) -> None:
    """What a network costs under a placement, and how long it takes.

    NETWORK is one of those that `--positions list` shows the layers of: mv1, mv2, resnet50, resnet101, resnet152,
    mnasnet1_0, resnet101_fpn. Parameters and MACs are counted from the real network and held against the derived
    ones; latency is that of baseline and network, measured in turn. Where other programs kept the machine busy, the
    times are shown and no verdict is given.
    """
    if given["positions"] == LIST:
        show(numbered_layers(network, given), style_of_output)
        return
    spec = spec_of(network, given)
    from ulsam_cost.measuring.device import resolve_device
    from ulsam_cost.report.views import profile

    if not no_latency:
        resolve_device(device)
    record = profile.profile_network(spec)
    try:
        if not no_latency:
            _measure(record, spec, device, repeats)
    except KeyboardInterrupt:
        _print(record, layers, style_of_output)
        raise
    _print(record, layers, style_of_output)
    profile.check_profile(record)


def _measure(record: dict[str, Any], spec: NetworkSpec, device: str, repeats: int) -> None:
    """Set latency and memory into the record; on an interrupt, the latency of the runs until then."""
    from ulsam_cost.measuring import networks
    from ulsam_cost.measuring.timing import InterruptedMeasurement

    try:
        with progress_bar("Measuring") as progress:
            record["latency"] = networks.measure_against_plain(spec, device=device, repeats=repeats, progress=progress)
    except InterruptedMeasurement as interrupt:
        record["latency"] = interrupt.partial.to_dict()
        raise
    record["memory"] = networks.measure_network_memory(spec, device=device)


def _print(record: dict[str, Any], layers: bool, style: str) -> None:
    from ulsam_cost.report.views import profile
    from ulsam_cost.report.views.count import uncounted_table

    tables = [profile.layer_table(record)] if layers else []
    if style == "json":
        echo(render(profile.layer_table(record), style, record))
        return
    if not (style == "csv" and layers):  # CSV is one table
        tables.insert(0, profile.summary_table(record))
    latency = record["latency"]
    if isinstance(latency, dict) and style != "csv":
        tables.append(profile.latency_table(latency))
    if style == "table":
        echo("\n".join(filter(None, (profile.title(record), profile.incomplete_lines(record)))))
    echo("\n\n".join(render(table, style) for table in tables))
    if style == "table" and isinstance(latency, dict):
        echo(profile.ratio_sentence(latency))
    if style == "table" and record["memory"]:
        echo(profile.memory_sentence(record["memory"]))
    if style == "table" and record["uncounted"]:
        echo(f"uncounted:\n{render(uncounted_table(record), style)}")
