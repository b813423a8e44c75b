"""`ulsam-cost measure`."""

from pathlib import Path
from typing import Any

import click

from ulsam_cost.cli.options import POSITIVE, SIZE, format_option, options, progress_bar
from ulsam_cost.errors import DeviceError
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.formulas.networks import network_spec
from ulsam_cost.placement import EMPTY


class Listed(click.ParamType):  # type: ignore[type-arg]
    """Several values of a kind, with commas between them."""

    def __init__(self, kind: click.ParamType) -> None:  # type: ignore[type-arg]
        self._kind = kind
        self.name = f"{kind.name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Read each, or say what is accepted."""
        if isinstance(value, tuple):
            return value
        return tuple(self._kind.convert(item.strip(), param, ctx) for item in str(value).split(","))


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share: `1%` or `0.01`."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or say what is accepted."""
        if isinstance(value, float):
            return value
        body, percent, rest = str(value).partition("%")
        try:
            share = float(body) / (100 if percent else 1)
        except ValueError:
            share = 0.0
        if rest or not 0 < share < 1:
            self.fail(f"{value!r} is no share between 0 and 1: 1% or 0.01 is accepted", param, ctx)
        return share


@click.command("measure")
@click.argument("model")
@options(
    click.option("--positions", default=EMPTY, help="Where attention stands: 8:1,9:1,11 as the paper writes it."),
    click.option("--attention", default="ulsam", show_default=True, help="Which mechanism."),
    click.option("--groups", type=POSITIVE, help="Subspaces g of ULSAM.  [default: 4]"),
    click.option("--style", type=click.Choice(STYLES), help="Style of ULSAM.  [default: equation]"),
    click.option("--width", type=float, default=1.0, show_default=True, help="Width multiplier."),
    click.option("--resolution", type=SIZE, default=(224, 224), show_default="224", help="Of the input."),
    click.option("--classes", type=POSITIVE, default=1000, show_default=True, help="Of the classifier."),
    click.option("--batch", "batches", type=Listed(POSITIVE), default="1", show_default=True, help="1,8,64."),
    click.option("--dtype", "dtypes", default="float32", show_default=True, help="float32,float16,bfloat16."),
    click.option(
        "--memory-format",
        type=click.Choice(["contiguous", "channels_last"]),
        default="contiguous",
        show_default=True,
        help="How maps lie in memory.",
    ),
    click.option(
        "--mode", "modes", default="eager", show_default=True, help="eager,graph,compile: a CUDA graph, torch.compile."
    ),
    click.option("--train", is_flag=True, help="A step (forward, backward, SGD) instead of a forward pass."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--repeats", type=POSITIVE, help="Runs of each model; instead of precision and seconds."),
    click.option(
        "--precision",
        type=Share(),
        default="1%",
        show_default=True,
        help="Run until the intervals of the medians are narrower.",
    ),
    click.option("--max-seconds", type=float, default=10.0, show_default=True, help="But not longer than this, a row."),
    click.option("--memory", is_flag=True, help="Peak memory, and the least for the activations."),
    click.option("--layers", is_flag=True, help="Time of each layer, and what the hooks cost."),
    click.option("--roofline", is_flag=True, help="Measured over least time of each layer."),
    click.option("--recalibrate", is_flag=True, help="Measure the device's limits again."),
    click.option("--picture", type=click.Path(path_type=Path), help="PNG of the layers on the roofline."),
    click.option("--kernels", is_flag=True, help="Kernels and operators by module, from torch.profiler."),
    click.option("--energy", is_flag=True, help="Joules an image, where NVIDIA's driver counts them."),
    click.option("--output", type=click.Path(path_type=Path), help="JSON file, written anew after each row."),
    format_option,
)
def command(
    model: str,
    batches: tuple[int, ...],
    dtypes: str,
    modes: str,
    memory_format: str,
    train: bool,
    device: str,
    repeats: int | None,
    precision: float,
    max_seconds: float,
    memory: bool,
    layers: bool,
    roofline: bool,
    recalibrate: bool,
    picture: Path | None,
    kernels: bool,
    energy: bool,
    output: Path | None,
    style_of_output: str,
    **network: Any,
) -> None:
    """Measure a network's time and memory, and how far it is from the device's limit.

    MODEL is a network's name. With --positions, the network with attention and the plain one are measured in
    turn, and their ratio is given pair by pair.
    """
    spec = network_spec(model, **network)
    from ulsam_cost.profiler.latency import make_effort
    from ulsam_cost.report import measure

    wanted = measure.Wanted(
        memory=memory,
        layers=layers,
        roofline=roofline or recalibrate or picture is not None,
        recalibrate=recalibrate,
        kernels=kernels,
        energy=energy,
    )
    effort = make_effort(repeats=repeats, precision=precision, max_seconds=max_seconds)
    cases = measure.make_cases(
        device=device,
        batches=batches,
        dtypes=[name.strip() for name in dtypes.split(",")],
        modes=[name.strip() for name in modes.split(",")],
        memory_format=memory_format,
        train=train,
        wanted=wanted,
    )
    _require_writable(output, picture)
    subject = measure.network_subject(spec)
    baseline = measure.network_subject(spec.plain()) if spec.placement else None
    record = measure.new_record(subject, baseline, device)
    try:
        with progress_bar("Measuring") as progress:
            measure.sweep(
                record,
                subject,
                baseline,
                cases,
                effort=effort,
                wanted=wanted,
                progress=progress,
                save=lambda: _save(output, record),
            )
    finally:
        _show(record, style_of_output)
        _draw(picture, record)
    errors = [row["error"] for row in record["rows"] if not row["network"]]
    if len(errors) == len(record["rows"]):
        raise DeviceError(errors[0])


def _require_writable(*files: Path | None) -> None:
    from ulsam_cost.report.files import require_writable

    for file in files:
        if file is not None:
            require_writable(file.parent)


def _save(output: Path | None, record: dict[str, Any]) -> None:
    if output is not None:
        from ulsam_cost.report.files import write_files
        from ulsam_cost.report.formats import to_json

        write_files(output.parent, {output.name: to_json(record).encode()})


def _draw(picture: Path | None, record: dict[str, Any]) -> None:
    rows = [row for row in record["rows"] if row["layers"] and row["layers"]["roof"]]
    if picture is not None and rows:
        from ulsam_cost.report.figures_measured import roofline_figure
        from ulsam_cost.report.files import write_files

        write_files(picture.parent, {picture.name: roofline_figure(rows, record["model"])})


def _show(record: dict[str, Any], style: str) -> None:
    from ulsam_cost.report import measured
    from ulsam_cost.report.formats import render

    rows = record["rows"]
    if style in ("json", "csv"):
        click.echo(render(measured.latency_table(rows), style, record))
        return
    parts = [render(measured.latency_table(rows), style)]
    if any(row["memory"] for row in rows):
        parts += [render(measured.memory_table(rows), style), measured.memory_notes()]
    for row in rows:
        if row["layers"]:
            parts += [render(measured.layer_table(row["layers"]), style), measured.layer_sentences(row)]
        if row["kernels"]:
            parts.append(render(measured.kernel_table(row), style))
    if any(row["energy"] for row in rows):
        parts.append(render(measured.energy_table(rows), style))
    if style == "table":
        against = f", in turn with {record['baseline']}" if record["baseline"] else ""
        parts.insert(0, f"{record['model']}{against}\n{measured.machine_sentence(record['machine'])}")
    click.echo("\n\n".join(parts))
