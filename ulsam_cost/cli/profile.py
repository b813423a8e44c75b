"""`ulsam-cost profile`."""

import click

from ulsam_cost.cli.options import POSITIVE, SIZE, format_option, options, progress_bar
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.formulas.networks import NetworkSpec, network_spec
from ulsam_cost.placement import EMPTY
from ulsam_cost.report.formats import render


@click.command("profile")
@click.argument("network")
@options(
    click.option("--positions", default=EMPTY, help="Where attention stands: 8:1,9:1,11 as the paper writes it."),
    click.option(
        "--attention", default="ulsam", show_default=True, help="Which mechanism; none for the plain network."
    ),
    click.option("--groups", type=POSITIVE, help="Subspaces g of ULSAM.  [default: 4]"),
    click.option("--style", type=click.Choice(STYLES), help="Style of ULSAM.  [default: equation]"),
    click.option("--width", type=float, default=1.0, show_default=True, help="Width multiplier."),
    click.option(
        "--resolution", type=SIZE, default=(224, 224), show_default="224", help="Of the input: 224 or 192x160."
    ),
    click.option("--classes", type=POSITIVE, default=1000, show_default=True, help="Of the classifier."),
    click.option("--batch", type=POSITIVE, default=1, show_default=True, help="Inputs at once; costs are the batch's."),
    click.option("--layers", is_flag=True, help="Show each layer."),
    click.option("--device", default="auto", show_default=True, help="Where latency is measured: auto, cpu or cuda."),
    click.option("--repeats", type=POSITIVE, default=30, show_default=True, help="Pairs of runs that are measured."),
    click.option("--no-latency", is_flag=True, help="Measure nothing."),
    format_option,
)
def command(
    network: str,
    positions: str,
    attention: str,
    groups: int | None,
    style: str | None,
    width: float,
    resolution: tuple[int, int],
    classes: int,
    batch: int,
    layers: bool,
    device: str,
    repeats: int,
    no_latency: bool,
    style_of_output: str,
) -> None:
    """What a network costs under a placement, and how long it takes.

    NETWORK is mv1 or mv2. Parameters and MACs are counted from the real network and held against the
    derived ones; latency is that of baseline and network, measured in turn.
    """
    spec = network_spec(
        network,
        positions=positions,
        attention=attention,
        width=width,
        resolution=resolution,
        classes=classes,
        batch=batch,
        groups=groups,
        style=style,
    )
    from ulsam_cost.profiler.device import resolve_device
    from ulsam_cost.report import profile

    if not no_latency:
        resolve_device(device)
    record = profile.profile_network(spec)
    if not no_latency:
        record["latency"] = _measured(spec, device, repeats)
    _print(record, layers, style_of_output)
    profile.check_profile(record)


def _measured(spec: NetworkSpec, device: str, repeats: int) -> dict[str, object]:
    from ulsam_cost.report import profile

    with progress_bar("Measuring") as progress:
        return profile.measure_profile(spec, device=device, repeats=repeats, progress=progress)


def _print(record: dict[str, object], layers: bool, style: str) -> None:
    from ulsam_cost.report import profile

    tables = [profile.layer_table(record)] if layers else []
    if style == "json":
        click.echo(render(profile.layer_table(record), style, record))
        return
    if not (style == "csv" and layers):  # CSV is one table
        tables.insert(0, profile.summary_table(record))
    latency = record["latency"]
    if isinstance(latency, dict) and style != "csv":
        tables.append(profile.latency_table(latency))
    if style == "table":
        click.echo(profile.title(record))
    click.echo("\n\n".join(render(table, style) for table in tables))
    if style == "table" and isinstance(latency, dict):
        click.echo(profile.ratio_sentence(latency))
    if style == "table" and record["uncounted"]:
        click.echo(f"uncounted: {record['uncounted']}")
