"""`ulsam-cost crosscheck`."""

from pathlib import Path
from textwrap import fill

import click

from ulsam_cost.cli.options import format_option, options
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.report.formats import render


@data_command("crosscheck")
@options(
    click.option("--source", help="Only this paper (ulsam, ulsam_poster, aw or dca) or repository, such as ecanet."),
    click.option("--table", "table_name", help="Only this table, as in 'Table 8'."),
    click.option(
        "--only",
        help="Only this verdict (match, truncated, last_digit, explained, unexplained, incomplete, not_held), or one "
        "outcome of the summary (network, network_truncated, printed_formula, papers_arithmetic, counting_rule).",
    ),
    click.option(
        "--cells",
        type=click.Path(path_type=Path),
        help="Your own table: a CSV file with a MODEL column; a unit column may hold K, M, G, Ki, Mi or Gi. A MODEL "
        "that is FILE.py:NAME or package.module:NAME imports that code and runs it: check a file from elsewhere with "
        "--no-code.",
    ),
    click.option(
        "--no-code", is_flag=True, help="Refuse a MODEL of --cells that is not the name of one of the networks."
    ),
    click.option("--claims", is_flag=True, help="The numbers of the papers' text instead of their tables."),
    format_option,
)
def command(
    source: str | None,
    table_name: str | None,
    only: str | None,
    claims: bool,
    cells: Path | None,
    no_code: bool,
    style_of_output: str,
) -> int:
    """Compare every printed cost with the computed one.

    Exits with status 1 if a number is unexplained, or cannot be judged because the count of its model is incomplete.
    """
    from ulsam_cost.audit.crosscheck import crosscheck
    from ulsam_cost.report.views import crosscheck as views

    found = crosscheck(source=source, table=table_name, claims=claims, cells=cells, allow_code=not no_code)
    shown = (found if only is None else found.only(only)).findings
    if style_of_output == "table":
        echo(render(views.terminal_table(shown), style_of_output))
        for line in views.explanation_lines(shown):
            echo(f"\n{fill(line, 98)}")
        echo(f"\n{render(views.summary_table(found.findings), style_of_output)}")
    else:
        echo(render(views.findings_table(shown), style_of_output))
    return int(not found.passes)
