"""`ulsam-cost measure`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ulsam_cost.cli.networks import given_options, network_options
from ulsam_cost.cli.options import POSITIVE, Listed, format_option, input_option, options, progress_bar, runtime_options
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED, network_spec
from ulsam_cost.formulas.networks.text import inserts, names_network, spec_from_text

if TYPE_CHECKING:
    from ulsam_cost.measuring.sweep import Measurements


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
            self.fail(f"{value!r} is not a share between 0 and 1: 1% or 0.01 is accepted", param, ctx)
        return share


@data_command("measure")
@click.argument("model")
@options(
    *network_options,
    input_option(" of a model"),
    click.option("--baseline", metavar="MODEL", help="Model to compare with, instead of the plain network."),
    click.option(
        "--batch",
        "batches",
        type=Listed(POSITIVE),
        help="Batch sizes, as in 1,8,64.  [default: 1, or that of the example inputs]",
    ),
    *runtime_options,
    click.option(
        "--memory-format",
        type=click.Choice(["contiguous", "channels_last"]),
        default="contiguous",
        show_default=True,
        help="Memory format of the maps.",
    ),
    click.option(
        "--mode",
        "modes",
        default="eager",
        show_default=True,
        help="Modes of PyTorch: one or more of eager,graph,compile,compile-graph.",
    ),
    click.option(
        "--train", is_flag=True, help="Measure a training step (forward, backward, SGD), not only a forward pass."
    ),
    click.option(
        "--allocator",
        type=click.Choice(["keep", "system"]),
        help="Keep freed memory for the next run, or leave it to the system.  [default: keep, where available]",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--repeats", type=POSITIVE, help="Runs of each model, instead of --precision and --max-seconds."),
    click.option(
        "--precision",
        type=Share(),
        default="1%",
        show_default=True,
        help="Run until the intervals of the medians are narrower than this.",
    ),
    click.option(
        "--max-seconds", type=float, default=10.0, show_default=True, help="Longest time to measure each row."
    ),
    click.option("--memory", is_flag=True, help="Measure peak memory, and give the minimum that the activations need."),
    click.option("--layers", is_flag=True, help="Time each layer, and give the overhead of the hooks."),
    click.option(
        "--roofline",
        is_flag=True,
        help="Time of each layer over its roofline estimate, which caches, fused kernels and padding can beat.",
    ),
    click.option("--recalibrate", is_flag=True, help="Measure the device's limits again."),
    click.option("--picture", type=click.Path(path_type=Path), help="Write a PNG of the layers on the roofline."),
    click.option("--kernels", is_flag=True, help="List kernels and operators by module, from torch.profiler."),
    click.option("--energy", is_flag=True, help="Measure energy per image, where NVIDIA's driver reports it."),
    click.option("--output", type=click.Path(path_type=Path), help="Write a JSON file, and rewrite it after each row."),
    format_option,
)
def command(
    model: str,
    inputs: tuple[str, ...],
    baseline: str | None,
    batches: tuple[int, ...] | None,
    runtimes: tuple[str, ...],
    dtypes: tuple[str, ...],
    calibration: str | None,
    threads: int | None,
    modes: str,
    memory_format: str,
    train: bool,
    allocator: str | None,
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
    """Measure a model's time and memory, and how far it is from the device's limit.

    MODEL is a network's name, alone or with its options as in "resnet50 --attention se", or FILE.py:NAME, with
    attention inserted or without, as in "net.py:net --attention se --after layers.5". A network with attention and the
    plain one are measured in turn, and their ratio is given pair by pair; --baseline compares with any other model
    instead. A runtime other than torch measures exported copies in a process of its own, after their outputs were
    compared with PyTorch's; where that fails the row says so, and the others are measured. If other programs kept the
    machine busy, the times are shown without a verdict.
    """
    from ulsam_cost.measuring import sweep as measure
    from ulsam_cost.measuring.rounds import make_effort
    from ulsam_cost.measuring.runtimes.calibration import asked_calibration

    subject, other = _subjects(model, baseline, inputs, given_options(network))
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
        batches=batches or (subject.example_batch,),
        dtypes=dtypes,
        modes=[name.strip() for name in modes.split(",")],
        memory_format=memory_format,
        train=train,
        allocator=allocator,
        wanted=wanted,
        runtimes=runtimes,
        threads=threads,
        calibration=asked_calibration(calibration, dtypes),
    )
    _require_writable(output, picture)
    done: list[Measurements] = []

    def save(measured: "Measurements") -> None:
        done[:] = [measured]
        _save(output, measured)

    try:
        with progress_bar("Measuring") as progress:
            measure.sweep(subject, other, cases, effort=effort, wanted=wanted, progress=progress, save=save)
    finally:
        for measured in done:
            _show(measured, style_of_output)
            _draw(picture, measured)
    rows = done[0].rows
    if not any(row.latency for row in rows):
        raise CostError(str(rows[0].error))


def _subjects(model: str, baseline: str | None, inputs: tuple[str, ...], network: dict[str, Any]) -> Any:
    """What is measured, and what it is compared with."""
    from ulsam_cost.measuring import sweep as measure

    if network and model not in REGISTERED:
        options = ", ".join(f"--{key}" for key in network)
        raise CostError(f"{options} with {model!r}: these options are accepted only with a network's name alone")
    plain = None
    if inserts(model):
        subject, plain = measure.measured_inserted(model, inputs=inputs)
    elif inputs or not names_network(model):
        subject = measure.measured_model(model, inputs=inputs)
    else:
        spec = network_spec(model, **network) if network else spec_from_text(model)
        subject = measure.measured_network(spec)
        plain = measure.measured_network(spec.plain()) if spec != spec.plain() else None
    return subject, measure.measured_model(baseline, inputs=inputs) if baseline else plain


def _require_writable(*files: Path | None) -> None:
    from ulsam_cost.report.files import require_file

    for file in filter(None, files):
        require_file(file)


def _save(output: Path | None, measured: "Measurements") -> None:
    if output is not None:
        from ulsam_cost.report.files import write_file
        from ulsam_cost.report.formats import to_json

        write_file(output, to_json(measured.to_dict()).encode())


def _draw(picture: Path | None, measured: "Measurements") -> None:
    if picture is None:
        return
    from ulsam_cost.report.figures.measured import roofline_figure
    from ulsam_cost.report.files import write_file
    from ulsam_cost.report.views.measured import roofline_panel

    panels = [
        roofline_panel(row, row.layers, row.layers.roof) for row in measured.rows if row.layers and row.layers.roof
    ]
    if panels:
        write_file(picture, roofline_figure(panels, measured.model))


def _show(measured: "Measurements", style: str) -> None:
    from ulsam_cost.measuring.sweep import INTERRUPTED
    from ulsam_cost.report.formats import prose, render
    from ulsam_cost.report.views import measured as views

    rows = measured.rows
    if not any(row.latency or row.error == INTERRUPTED for row in rows):
        return
    if style in ("json", "csv"):
        echo(render(views.latency_table(rows), style, measured.to_dict()))
        return
    parts = [render(views.times_table(rows), style)]
    if any(row.latency and row.latency.ratio for row in rows):
        parts.append(render(views.ratios_table(rows), style))
    parts += [prose(said(rows), style) for said in (views.busy_sentences, views.error_sentences)]
    if views.exported_table(rows).records:
        parts += [render(views.exported_table(rows), style), prose(views.exported_notes(rows), style)]
    if any(row.memory for row in rows):
        parts += [render(views.memory_table(rows), style), prose(views.memory_notes(rows), style)]
    for row in rows:
        if row.layers:
            records = [layer.to_dict() for layer in row.layers.rows]
            parts += [
                render(views.layer_table(records), style),
                prose(views.layer_sentences(row, row.layers), style),
            ]
        if row.kernels:
            parts.append(render(views.kernel_table(row.kernels), style))
    if any(row.energy for row in rows):
        parts.append(render(views.energy_table(rows), style))
    if style == "table":
        against = f", in turn with {measured.baseline}" if measured.baseline else ""
        machine = views.machine_sentence(measured.machine)
        parts.insert(0, f"{measured.model}{against}\n{machine}\n{views.case_sentence(rows)}")
    echo("\n\n".join(filter(None, parts)))
