"""`ulsam-cost crosscheck`."""

from pathlib import Path
from textwrap import fill
from typing import Any

import click

from ulsam_cost.cli.options import format_option, options
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.report.formats import render


@data_command("crosscheck")
@options(
    click.option("--source", help="One paper alone: ulsam, ulsam_poster, aw or dca."),
    click.option("--table", "table_name", help="One of its tables alone, as in 'Table 8'."),
    click.option(
        "--only",
        help="One verdict alone (match, truncated, last_digit, explained, unexplained, incomplete), or one outcome of "
        "the summary (network, network_truncated, printed_formula, papers_arithmetic, counting_rule).",
    ),
    click.option(
        "--cells",
        type=click.Path(path_type=Path),
        help="Your own table: a CSV file with a MODEL column. A MODEL that is FILE.py:NAME or package.module:NAME "
        "imports that code and runs it: check a file from elsewhere with --no-code.",
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
    """Every printed cost beside the computed one, and whether the paper is right.

    Ends with 1 if a number is unexplained, or cannot be judged because the count of its model is incomplete.
    """
    from ulsam_cost.audit import Verdict, check_cell
    from ulsam_cost.audit.cells_file import check_cells
    from ulsam_cost.audit.claims import check_claim
    from ulsam_cost.audit.outcomes import Outcome, outcome_of
    from ulsam_cost.published import cost_cells, published_claims
    from ulsam_cost.report.views import crosscheck

    findings: list[Any]
    if cells is not None:
        if claims:
            raise CostError("--cells or --claims is accepted, not both")
        own = {finding.subject: finding for finding in check_cells(cells, allow_code=not no_code)}
        findings = [own[cell] for cell in crosscheck.chosen(list(own), source, table_name)]
    elif claims:
        findings = [check_claim(claim) for claim in crosscheck.chosen(published_claims(), source, table_name)]
    else:
        findings = [check_cell(cell) for cell in crosscheck.chosen(cost_cells(), source, table_name)]
    accepted = {*Verdict, *Outcome}
    if only is not None and only not in accepted:
        raise UnknownNameError.among("verdict or outcome", only, accepted)
    shown = [finding for finding in findings if only in (None, finding.verdict, outcome_of(finding))]
    if style_of_output == "table":
        echo(render(crosscheck.terminal_table(shown), style_of_output))
        for line in crosscheck.explanation_lines(shown):
            echo(f"\n{fill(line, 98)}")
        echo(f"\n{render(crosscheck.summary_table(findings), style_of_output)}")
    else:
        echo(render(crosscheck.findings_table(shown), style_of_output))
    return int(any(finding.verdict in (Verdict.UNEXPLAINED, Verdict.INCOMPLETE) for finding in findings))
