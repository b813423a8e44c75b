"""`ulsam-cost explain`."""

import click

from ulsam_cost.cli.options import POSITIVE, format_option, input_option, options
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.errors import CostError
from ulsam_cost.report.formats import prose, render, to_json


@data_command("explain")
@click.argument("source", required=False)
@click.argument("table", required=False)
@click.argument("row", required=False)
@options(
    click.option("--model", "models", multiple=True, metavar="MODEL", help="A network or FILE.py:NAME; repeatable."),
    click.option(
        "--printed",
        "numbers",
        multiple=True,
        metavar="NUMBER",
        help="The number printed for it, as in 4.122G or 3.86Gi.",
    ),
    input_option(),
    click.option("--most", type=POSITIVE, default=12, show_default=True, help="Number of rules to show."),
    format_option,
)
def command(
    source: str | None,
    table: str | None,
    row: str | None,
    models: tuple[str, ...],
    numbers: tuple[str, ...],
    inputs: tuple[str, ...],
    most: int,
    style_of_output: str,
) -> None:
    """Explain a printed cell, or find the counting rule that gives a number.

    SOURCE TABLE ROW names a row of the papers' tables, as in: explain ulsam "Table 8" 2. With --model and
    --printed, once or several times, it finds the rules that give all of the numbers, the simplest first. K, M and G
    are tried as powers of 1000 and as powers of 1024; Ki, Mi and Gi are powers of 1024.
    """
    if models or numbers:
        if source is not None:
            raise CostError("a cell, or --model with --printed, is accepted, not both")
        _explain_models(models, numbers, inputs, most, style_of_output)
    elif source is None or table is None or row is None:
        raise CostError("SOURCE TABLE ROW, or --model MODEL --printed NUMBER, is accepted")
    else:
        _explain_row(source, table, row, style_of_output)


def _explain_row(source: str, table: str, row: str, style: str) -> None:
    from ulsam_cost.audit.story import cell_story, row_cells
    from ulsam_cost.report.views import explain

    stories = [cell_story(cell) for cell in row_cells(source, table, row)]
    if style == "json":
        echo(to_json([story.to_dict() for story in stories]))
        return
    if style == "csv":  # one table
        echo(render(explain.all_readings_table(stories), style))
        return
    parts = []
    for story in stories:
        parts.append(prose(explain.story_text(story.finding), style))
        parts.append(render(explain.readings_table(story), style))
        if story.by_kind is not None:
            parts.append(render(explain.kinds_table(story.by_kind), style))
        if story.conventions is not None:
            parts.append(render(explain.conventions_table(story.conventions), style))
    echo("\n\n".join(parts))


def _explain_models(
    models: tuple[str, ...], numbers: tuple[str, ...], inputs: tuple[str, ...], most: int, style: str
) -> None:
    if len(models) != len(numbers):
        raise CostError(
            f"models given: {len(models)}, printed numbers given: {len(numbers)}; one number for each model is accepted"
        )
    from ulsam_cost.audit.solve import solve
    from ulsam_cost.counting.loaded import count_loaded
    from ulsam_cost.counting.loading import load_to_count
    from ulsam_cost.report.views import explain
    from ulsam_cost.units import parse_printed

    printed = [parse_printed(text) for text in numbers]
    if any(number.value <= 0 for number in printed):
        raise CostError(f"printed {', '.join(numbers)}: positive numbers are accepted")
    counts = [count_loaded(load_to_count(text, inputs=inputs)) for text in models]
    for text, counted in zip(models, counts, strict=True):
        if not counted.complete:
            raise CostError(
                f"{text}: the count is incomplete ({counted.left_out()}), and no rule can be judged by it: "
                "a model whose products all have rules is accepted; ulsam-cost count names those without"
            )
        if counted.uncounted:
            say(
                f"{text}: {counted.left_out('strict')}, none of which looks like a product: "
                "only rules that count nothing but products are tried"
            )
    partial = any(counted.uncounted for counted in counts)
    rules = solve([counted.cost for counted in counts], printed, products_only=partial)
    if style == "table":
        echo(explain.rules_text(rules, models, numbers, most))
    else:
        echo(render(explain.rules_table(rules[:most]), style))
