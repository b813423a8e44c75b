"""`ulsam-cost report`."""

from pathlib import Path

import click

from ulsam_cost.cli.options import POSITIVE, options, progress_bar
from ulsam_cost.cli.output import data_command, echo, say


@data_command("report")
@options(
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("reports"),
        show_default=True,
        help="Folder of the report.",
    ),
    click.option(
        "--check", is_flag=True, help="Write nothing; exit with status 1 if the files are not what would be written."
    ),
    click.option("--device", default="auto", show_default=True, help="Where latency is measured: auto, cpu or cuda."),
    click.option("--repeats", type=POSITIVE, default=30, show_default=True, help="Number of pairs of runs."),
    click.option("--no-latency", is_flag=True, help="Measure nothing, and leave the pages of timings as they are."),
)
def command(out: Path, check: bool, device: str, repeats: int, no_latency: bool) -> int:
    """Write the report, or check that it is up to date.

    The report compares the papers' printed costs with derived, counted and measured ones: Markdown and PNG, and one
    index.html that needs no network.
    """
    from ulsam_cost.audit.evidence import measure_placements, run_audit
    from ulsam_cost.measuring.device import resolve_device
    from ulsam_cost.report.files import require_writable, write_files
    from ulsam_cost.report.site import build

    if check:
        files = build.report_files(out, run_audit())
        stale, left = build.stale_files(out, files), build.left_files(out, files)
        for name in stale:
            say(f"{out / name} is not what would be written now")
        for name in left:
            say(f"{out / name} is no longer written: it can be removed")
        if stale or left:
            return 1
        echo(f"{out} is what would be written now")
        return 0
    resolve_device(device)
    require_writable(out)
    files = build.report_files(out, run_audit(), measured=not no_latency)
    if not no_latency:
        with progress_bar("Measuring") as progress:
            measured = measure_placements(device=device, repeats=repeats, progress=progress)
        files |= build.measured_files(measured)
    write_files(out, files)
    echo(f"Wrote {len(files)} files into {out}")
    return 0
