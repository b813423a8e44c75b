"""`ulsam-cost sweep`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from ulsam_cost.cli.options import POSITIVE, format_option, input_option, options
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.errors import CostError

if TYPE_CHECKING:
    from ulsam_cost.sweeping.summary import Summary


@data_command("sweep")
@click.argument("models")
@options(
    click.option(
        "--out", type=click.Path(path_type=Path), required=True, help="FOLDER.parquet or FILE.csv for the rows."
    ),
    click.option("--conventions", help="Counting rules as further columns: fvcore,thop."),
    input_option(" for models without their own"),
    click.option("--derive", is_flag=True, help="Derive the project's networks from formulas, which is faster."),
    click.option("--measure", is_flag=True, help="Time each model, one at a time."),
    click.option("--device", help="Where models are timed: auto, cpu or cuda.  [default: auto]"),
    click.option("--repeats", type=POSITIVE, help="Timed runs of each model.  [default: until precise]"),
    click.option(
        "--timeout", type=float, default=300.0, show_default=True, help="Seconds after which a model is given up."
    ),
    click.option("--workers", type=POSITIVE, help="Models at once.  [default: processors; 1 with --measure]"),
    click.option("--memory", metavar="GIB", type=float, help="Memory of a worker, in GiB.  [default: an equal share]"),
    click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers do the work."),
    click.option(
        "--axes", default="macs,params", show_default=True, help="Two columns, for the front and the picture."
    ),
    click.option("--page", type=click.Path(path_type=Path), help="Markdown page of the sweep."),
    click.option("--picture", type=click.Path(path_type=Path), help="PNG of the two columns, by family."),
    format_option,
)
def command(
    models: str,
    out: Path,
    conventions: str | None,
    inputs: tuple[str, ...],
    derive: bool,
    measure: bool,
    device: str | None,
    repeats: int | None,
    timeout: float,
    workers: int | None,
    memory: float | None,
    scheduler: str | None,
    axes: str,
    page: Path | None,
    picture: Path | None,
    style_of_output: str,
) -> int:
    """Cost many models, a row each, on all processors or on a Dask cluster.

    MODELS is a text file with one MODEL a line, a CSV file with a column model (and perhaps input), a TOML file with
    model and a table [grid] that lists values of options, or FILE.py:NAME, a callable that gives MODELs.

    Rows are kept as they come. A model that raises, does not end, takes too much memory or kills its process is a row
    whose error says so. Run again, the same command resumes where the earlier one stopped.

    Exits with status 1 if no model has costs.
    """
    from ulsam_cost.report.files import require_file
    from ulsam_cost.sweeping.models import read_models
    from ulsam_cost.sweeping.row import Settings
    from ulsam_cost.sweeping.summary import require_axes, summarise
    from ulsam_cost.sweeping.sweep import sweep

    if not measure and (device or repeats):
        raise CostError("--device and --repeats are about times: accepted with --measure")
    names = tuple(name.strip() for name in conventions.split(",")) if conventions else ()
    timed = (device or "auto") if measure else None
    settings = Settings(conventions=names, derive=derive, device=timed, repeats=repeats, timeout=timeout)
    columns = require_axes([name.strip() for name in axes.split(",")], list(settings.columns))
    for file in filter(None, (page, picture)):
        require_file(file)
    listed = read_models(models)
    with _progress(listed.total) as progress:
        result = sweep(
            listed,
            out=out,
            conventions=names,
            inputs=inputs,
            derive=derive,
            device=timed,
            repeats=repeats,
            timeout=timeout,
            workers=workers,
            memory=None if memory is None else int(memory * 2**30),
            scheduler=scheduler,
            progress=progress,
        )
    summary = summarise(result.to_frame(), columns)
    _write(summary, out, page, picture)
    _show(summary, out, style_of_output)
    if len(summary.failures) == summary.rows:
        say("Error: no model has costs: the column error says why")
        return 1
    return 0


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar with the rate and the time left on standard error, if that is a terminal."""
    began: list[tuple[float, int]] = []

    def rate(rows: int | None) -> str:
        if not began or rows is None:
            return ""
        (start, first), now = began[0], monotonic()
        return f"{(rows - first) / (now - start):,.1f} a second" if rows > first else ""

    with click.progressbar(
        length=total or 0,
        label="Sweeping",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        show_pos=True,
        show_eta=total is not None,
        show_percent=total is not None,
        item_show_func=rate,
    ) as bar:

        def heard(rows: int) -> None:
            if not began:  # rows that were kept took no time now
                began.append((monotonic(), rows))
            bar.update(rows - bar.pos, rows)

        yield heard


def _write(summary: "Summary", out: Path, page: Path | None, picture: Path | None) -> None:
    from ulsam_cost.report.files import write_file
    from ulsam_cost.report.views import sweep as view

    if picture is not None:
        from ulsam_cost.report.figures.sweep import sweep_figure

        write_file(picture, sweep_figure(summary))
    if page is not None:
        beside = None if picture is None else os.path.relpath(picture, page.parent)
        write_file(page, view.page(summary, str(out), beside).encode())


def _show(summary: "Summary", out: Path, style: str) -> None:
    from ulsam_cost.report.formats import render, to_json
    from ulsam_cost.report.views import sweep as view

    if style == "json":
        echo(to_json(view.to_dict(summary, str(out))))
    elif style == "csv":
        echo(render(view.front_table(summary), style))
    else:
        echo(view.shown_in_terminal(summary, style))
