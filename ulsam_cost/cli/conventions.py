"""`ulsam-cost conventions`."""

from textwrap import fill

from ulsam_cost.cli.options import format_option
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.report.formats import Table, render, words

COLUMNS = ("name", "unit", "counts", "source")


@data_command("conventions")
@format_option
def command(style_of_output: str) -> None:
    """What each tool and each paper calls FLOPs: the counting rules, and where each comes from."""
    records = [{key: getattr(convention, key) for key in COLUMNS} for convention in CONVENTIONS.values()]
    if style_of_output == "table":
        echo("\n\n".join(map(_paragraph, records)))
    else:
        echo(render(Table(columns=tuple(words(key, key) for key in COLUMNS), records=records), style_of_output))


def _paragraph(record: dict[str, str]) -> str:
    lines = (f"counts: {record['counts']}", f"source: {record['source']}")
    wrapped = [fill(line, 98, initial_indent="  ", subsequent_indent="    ") for line in lines]
    return "\n".join((f"{record['name']} ({record['unit']})", *wrapped))
