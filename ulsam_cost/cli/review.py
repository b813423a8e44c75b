"""`ulsam-cost review`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ulsam_cost.cli.options import POSITIVE, Listed, format_option, options, progress_bar, sentences_and_tables
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.report.formats import to_json

if TYPE_CHECKING:
    from ulsam_cost.reviewing.design import Design
    from ulsam_cost.reviewing.review import Review


@data_command("review")
@click.argument("design_file", metavar="DESIGN.toml", type=click.Path(path_type=Path))
@options(
    click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: DESIGN_review]"),
    click.option(
        "--check", is_flag=True, help="Write nothing; exit with status 1 if a cost changed or is over the budget."
    ),
    click.option(
        "--accept", is_flag=True, help="As --check, and then accept the new costs: later checks compare with them."
    ),
    click.option(
        "--keep-going", is_flag=True, help="Review the candidates that work, and exit with status 1 if one fails."
    ),
    click.option(
        "--runtime",
        "runtimes",
        type=Listed(click.STRING),
        help="What runs the models, in place of what the design says; values as for `measure --runtime`.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=Listed(click.STRING),
        help="Data types, in place of what the design says; values as for `measure --dtype`.",
    ),
    click.option(
        "--calibration",
        metavar="FILE.py:NAME",
        help="Inputs that int8 is calibrated with, instead of what the design says.",
    ),
    click.option("--threads", type=POSITIVE, help="Threads of every runtime, instead of what the design says."),
    format_option,
)
def command(
    design_file: Path,
    out: Path | None,
    check: bool,
    accept: bool,
    keep_going: bool,
    runtimes: tuple[str, ...] | None,
    dtypes: tuple[str, ...] | None,
    calibration: str | None,
    threads: int | None,
    style_of_output: str,
) -> int:
    """Review a design: candidates beside a baseline, under a budget, as a report in a folder.

    DESIGN.toml names a baseline, candidates (each a MODEL) and a budget; paths in it start at its own folder. The
    report is README.md, index.html, pictures and costs.json, which --check reads: counts have no noise, so the costs
    have to equal those of costs.json to the last operation. Times are measured if the file has a table [measure], but
    not with --check; the times of candidates whose costs did not change are kept.

    Exits with status 1 if a candidate failed, or, with --check or --accept, if a limit of the budget is broken; with
    --check also if a cost changed, is new or is gone.
    """
    from ulsam_cost.measuring.runtimes.calibration import load_calibration
    from ulsam_cost.report.files import require_writable
    from ulsam_cost.reviewing.design import measured_as, read_design
    from ulsam_cost.reviewing.review import count_design

    design = measured_as(
        read_design(design_file, keep_going=keep_going),
        runtimes=runtimes,
        dtypes=dtypes,
        calibration=load_calibration(calibration) if calibration else None,
        threads=threads,
    )
    folder = out or design_file.with_name(f"{design_file.stem}_review")
    if not check or accept:
        require_writable(folder)
    review = count_design(design, keep_going=keep_going)
    if check or accept:
        return _check(review, folder, accept=accept, style=style_of_output)
    review = _measured(review, design)
    _write(review, folder)
    _print(review, style_of_output)
    return 1 if review.failures else 0


def _measured(review: "Review", design: "Design") -> "Review":
    if design.wish is None or not review.candidates:
        return review
    from ulsam_cost.reviewing.review import measure_design

    with progress_bar("Measuring") as progress:
        return measure_design(review, design, progress=progress)


def _write(review: "Review", folder: Path) -> None:
    from ulsam_cost.report.files import write_files
    from ulsam_cost.report.site.review import left_files, review_files

    files = review_files(review)
    write_files(folder, files)
    for name in left_files(files):
        (folder / name).unlink(missing_ok=True)
    say(f"Wrote {len(files)} files into {folder}")


def _print(review: "Review", style: str) -> None:
    from ulsam_cost.report.site.review import review_record
    from ulsam_cost.report.views.review import candidates_table, narrow_candidates_table
    from ulsam_cost.reviewing.findings import findings

    if style == "json":
        echo(to_json(review_record(review)))
        return
    table = narrow_candidates_table(review) if style == "table" else candidates_table(review)
    echo(sentences_and_tables([review.title, *findings(review)], [table], style))


def _check(review: "Review", folder: Path, *, accept: bool, style: str) -> int:
    from ulsam_cost.report.site.review import review_record
    from ulsam_cost.report.views.changes import changes_table, check_sentences, narrow_changes_tables
    from ulsam_cost.reviewing.check import COSTS_FILE, check_review, passes, read_accepted, with_accepted_times

    accepted = read_accepted(folder / COSTS_FILE)
    review, changes = with_accepted_times(review, accepted), check_review(review, accepted)
    if style == "json":
        echo(to_json(review_record(review) | {"changes": [change.to_dict() for change in changes]}))
    else:
        tables = [changes_table(changes, every=style == "csv")]
        tables = narrow_changes_tables(changes) if style == "table" else tables
        echo(sentences_and_tables(check_sentences(review, changes, accepted), tables, style))
    if accept:
        _write(review, folder)
        return 1 if review.is_over or review.failures else 0
    return 0 if passes(review, changes) else 1
