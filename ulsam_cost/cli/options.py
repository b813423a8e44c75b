"""Options that several commands share, and the types that read them."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from textwrap import fill
from typing import Any

import click

from ulsam_cost.cli.output import echo
from ulsam_cost.measuring.runtimes.registry import REGISTERED, TORCH
from ulsam_cost.report.formats import FORMATS, Table, prose, render

_TOO_LARGE = 10**18
_SIZE = re.compile(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", re.ASCII)


class PositiveInt(click.IntRange):
    """A positive whole number."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, or say what is accepted."""
        with suppress(click.BadParameter):
            if (number := int(super().convert(value, param, ctx))) < _TOO_LARGE:
                return number
        text = str(value)
        return self.fail(f"{text!r} is not a positive whole number of at most 18 digits", param, ctx)


class MapSize(click.ParamType):  # type: ignore[type-arg]
    """A map's size: `14` for 14 x 14, `14x7` for height 14 and width 7."""

    name = "H[xW]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read it, or say what is accepted."""
        if isinstance(value, tuple):
            return value
        match = _SIZE.fullmatch(str(value))
        height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not height or not width:
            self.fail(
                f"{value!r} is not a size: 14 for 14 x 14, or 14x7 for height 14 and width 7, is accepted", param, ctx
            )
        return height, width


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


POSITIVE = PositiveInt(min=1)
SIZE = MapSize()

format_option = click.option(
    "--format",
    "style_of_output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Output format.",
)


def input_option(of: str = "") -> Callable[[Any], Any]:
    """What each input of a MODEL is; `of` begins with a space and says of which models."""
    shown = "1x3x224x224, or with a name and values, ids=1x128:int64=random:0-30521 (or =ones, =arange)."
    return click.option("--input", "inputs", multiple=True, help=f"Shape of each input{of}: {shown}")


runtime_options = (
    click.option(
        "--runtime",
        "runtimes",
        type=Listed(click.STRING),
        default="torch",
        show_default=True,
        help=f"What runs the model: one or more of {','.join((TORCH, *REGISTERED))}.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=Listed(click.STRING),
        default="float32",
        show_default=True,
        help="Data types: one or more of float32,float16,bfloat16,int8; PyTorch has no int8 here.",
    ),
    click.option(
        "--calibration",
        metavar="FILE.py:NAME",
        help="Inputs that int8 is calibrated with, a list or what gives one.  [default: random ones]",
    ),
    click.option("--threads", type=POSITIVE, help="Threads of every runtime on the CPU.  [default: PyTorch's number]"),
)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """A bar on standard error, when that is a terminal, that hears the share of the work that is done."""
    with click.progressbar(length=1000, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield lambda share: bar.update(int(1000 * share) - bar.pos)


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several option decorators as one, in the order given."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def show(table: Table, style: str, data: Any = None, *, notes: str = "") -> None:
    """Print a table; notes below it belong to the terminal alone."""
    echo(render(table, style, data))
    if notes and style == "table":
        echo("\n" + "\n".join(fill(line, 98, subsequent_indent="  ") for line in notes.splitlines()))


def sentences_and_tables(sentences: Sequence[str], tables: Sequence[Table], style: str) -> str:
    """Sentences, as far as the format has room for them, and tables below them; empty tables are left out."""
    shown = [render(table, style) for table in tables if table.records]
    if style == "csv":
        return "\n\n".join(shown)
    if style == "markdown":
        verdict, *others = (prose(sentence, style) for sentence in sentences)
        said = "\n".join((f"**{verdict}**", "", *(f"- {other}" for other in others)))
    else:
        said = "\n".join(prose(fill(sentence, 98, subsequent_indent="  "), style) for sentence in sentences)
    return "\n\n".join((said.strip(), *shown))
