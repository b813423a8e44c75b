"""`ulsam-cost profile`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ulsam_cost.cli.networks import batch_options, network_options, spec_of
from ulsam_cost.cli.options import POSITIVE, format_option, options, progress_bar, runtime_options
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks.text import inserts
from ulsam_cost.measuring.runtimes.registry import TORCH
from ulsam_cost.report.formats import render, to_json

if TYPE_CHECKING:
    from ulsam_cost.counting.loading import Inserted
    from ulsam_cost.measuring.profile import Profile
    from ulsam_cost.measuring.runtimes.calibration import Calibration


@data_command("profile")
@click.argument("network")
@options(
    *network_options,
    *batch_options,
    click.option("--layers", is_flag=True, help="Also show each layer."),
    click.option("--device", default="auto", show_default=True, help="Where latency is measured: auto, cpu or cuda."),
    click.option("--repeats", type=POSITIVE, default=30, show_default=True, help="Number of pairs of runs."),
    *runtime_options,
    click.option("--no-latency", is_flag=True, help="Measure neither latency nor memory."),
    format_option,
)
def command(
    network: str,
    layers: bool,
    device: str,
    repeats: int,
    runtimes: tuple[str, ...],
    dtypes: tuple[str, ...],
    calibration: str | None,
    threads: int | None,
    no_latency: bool,
    style_of_output: str,
    **given: Any,
) -> None:
    """What a network with attention at the given positions costs, and how long it takes.

    NETWORK is one of mv1, mv2, resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d, resnext101_32x4d,
    resnext101_32x8d, mnasnet1_0, resnet101_fpn, mobilenet_v3_large, mobilenet_v3_small, efficientnet_b0,
    shufflenet_v2_x0_5, shufflenet_v2_x1_0; `ulsam-cost layers NETWORK` shows its layers. Or it is any MODEL with
    attention inserted, as in "net.py:net --attention se --after layers.5", beside the same without. Parameters and MACs
    are counted from the real network and compared with the derived ones, where there are any; latency is that of
    baseline and network, measured in turn, in PyTorch or in other runtimes. Where other programs kept the machine busy,
    the times are shown and no verdict is given.
    """
    spec = None if inserts(network) else spec_of(network, given)
    from ulsam_cost.measuring.device import resolve_device
    from ulsam_cost.measuring.profile import profile_inserted, profile_network
    from ulsam_cost.measuring.runtimes.calibration import asked_calibration

    how: dict[str, Any] = {"device": device, "repeats": repeats, "runtimes": runtimes, "dtypes": dtypes}
    if not no_latency:
        resolve_device(device)
        how |= {"threads": threads, "calibration": asked_calibration(calibration, dtypes)}
    if spec is None:
        profile = profile_inserted(_inserted(network, given, measured=not no_latency))
    else:
        profile = profile_network(spec)
    try:
        for measured in () if no_latency else _measured(profile, **how):
            profile = measured
    except KeyboardInterrupt:
        _print(profile, layers, style_of_output)
        raise
    _print(profile, layers, style_of_output)
    profile.require_derived()


def _inserted(text: str, given: dict[str, Any], *, measured: bool) -> "Inserted":
    """The model of a text that inserts attention; on the CPU, where it is measured from."""
    from ulsam_cost.counting.loading import load_inserted

    inputs = given.pop("inputs")
    if beside := [f"--{name}" for name, value in given.items() if value]:
        raise CostError(f"{beside[0]} beside {text!r}: options in the text are accepted, and --input")
    return load_inserted(text, inputs=inputs, device="cpu" if measured else "meta")


def _measured(
    profile: "Profile",
    *,
    runtimes: tuple[str, ...],
    dtypes: tuple[str, ...],
    threads: int | None,
    calibration: "Calibration | None",
    **how: Any,
) -> Iterator["Profile"]:
    """The profile with its latency, then with its memory; on an interrupt, with the latency of the runs until then."""
    if runtimes != (TORCH,) or len(dtypes) > 1 or threads:
        how |= {"runtimes": runtimes, "dtypes": dtypes, "threads": threads, "calibration": calibration}
        yield from _in_runtimes(profile, how)
        return
    from ulsam_cost.measuring import networks
    from ulsam_cost.measuring.timing import InterruptedMeasurement

    try:
        with progress_bar("Measuring") as progress:
            latency = networks.measure_against_plain(profile.subject, dtype=dtypes[0], progress=progress, **how)
    except InterruptedMeasurement as interrupt:
        yield replace(profile, latency=interrupt.partial)
        raise
    yield (profile := replace(profile, latency=latency))
    yield replace(profile, memory=networks.measure_network_memory(profile.subject, setting=latency.setting))


def _in_runtimes(profile: "Profile", how: dict[str, Any]) -> Iterator["Profile"]:
    """The profile with the times in each runtime, of which one that failed says so; and with PyTorch's memory."""
    from ulsam_cost.measuring import networks
    from ulsam_cost.measuring.sweep import Measurements
    from ulsam_cost.measuring.timing import PairTiming

    done: list[Measurements] = []

    def so_far() -> "Profile":
        rows = done[-1].rows if done else ()
        timed = (row.latency for row in rows if isinstance(row.latency, PairTiming))
        return replace(profile, runtimes=rows, latency=next(timed, None))

    try:
        with progress_bar("Measuring") as progress:
            networks.measure_in_runtimes(profile.subject, **how, progress=progress, save=done.append)
    except KeyboardInterrupt:
        yield so_far()
        raise
    if not so_far().latency:
        raise CostError(str(done[-1].rows[0].error))
    yield (measured := so_far())
    in_torch = (row.latency.setting for row in measured.runtimes if row.latency and row.latency.setting.in_torch)
    if setting := next(in_torch, None):
        yield replace(measured, memory=networks.measure_network_memory(profile.subject, setting=setting))


def _print(profile: "Profile", layers: bool, style: str) -> None:
    from ulsam_cost.report.views import profile as view
    from ulsam_cost.report.views.count import uncounted_table

    tables = [view.layer_table(profile)] if layers else []
    if style == "json":
        echo(to_json(profile.to_dict()))
        return
    if not (style == "csv" and layers):  # CSV is one table
        tables.insert(0, view.summary_table(profile))
    if profile.runtimes and style != "csv":
        tables += view.runtime_tables(profile)
    elif profile.latency and style != "csv":
        tables.append(view.latency_table(profile.latency))
    if style == "table":
        echo("\n".join(filter(None, (view.title(profile), view.incomplete_lines(profile)))))
    echo("\n\n".join(render(table, style) for table in tables))
    if style == "table" and profile.runtimes:
        echo(view.runtime_sentences(profile))
    elif style == "table" and profile.latency:
        echo(view.ratio_sentence(profile.latency))
    if style == "table" and profile.memory:
        echo(view.memory_sentence(profile.memory))
    if style == "table" and profile.count.uncounted:
        echo(f"uncounted:\n{render(uncounted_table(profile.count.uncounted), style)}")
