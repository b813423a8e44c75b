"""All pages in one HTML file that needs no network: pictures, style and script stand in it.

Jinja2 escapes every word; DataTables sorts and filters the tables (`dataTables.min.js`: datatables.net 3.1.5 of
npm as it stands there, MIT, its licence beside it).
"""

import base64
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ulsam_cost.report.document.model import PROGRAM, Link, Page, Shown, slug
from ulsam_cost.report.figures.style import OUTCOME_COLOURS
from ulsam_cost.report.formats import Column, Table

EXPRESSIONS = ("evidence", "expression")  # columns that show a program's words
VERDICTS = ("outcome", "verdict")  # columns that stay visible, each value with the dot of its colour
VERDICT_COLOURS = {
    **{slug(outcome.words): colour for outcome, colour in OUTCOME_COLOURS.items()},
    **dict.fromkeys(("within", "unchanged"), "#0f766e"),
    "undecided": "#d9a520",
    **dict.fromkeys(("over", "changed", "new", "gone"), "#c81e1e"),
}
SCRIPTS = ("dataTables.min.js", "page.js")


def html(
    pages: Sequence[Page], pictures: Mapping[str, bytes], *, home: Link | None = None, written_by: str = PROGRAM
) -> bytes:
    """The pages as one file that is called as the first one; `home` leads to a file that it belongs to."""
    scripts = [_asset(name) for name in SCRIPTS]
    page = _environment().get_template("page.html.j2")
    text = page.render(
        pages=pages,
        home=home,
        written_by=written_by,
        style=Markup(_asset("page.css")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_hash(script) for script in scripts],
        verdict_colours=VERDICT_COLOURS,
        heads=_heads,
        rows=_rows,
        picture=partial(_picture, pictures),
        href=partial(_href, {page.file: page.anchor for page in pages}),
    )
    return text.encode()


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ulsam_cost.report", "document"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["kind"] = lambda value: type(value).__name__
    return environment


def _asset(name: str) -> str:
    return (files("ulsam_cost.report.document") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the page's security policy calls the only scripts that it lets run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _href(anchors: Mapping[str, str], target: str) -> str:
    file, _, section = target.partition("#")
    if file not in anchors:
        return target
    return f"#{anchors[file]}-{section}" if section else f"#{anchors[file]}"


def _picture(pictures: Mapping[str, bytes], name: str) -> dict[str, Any]:
    content = pictures[name]
    width, height = struct.unpack(">II", content[16:24])  # of the header of a PNG
    return {"width": width, "height": height, "base64": base64.b64encode(content).decode()}


def _heads(table: Table) -> list[dict[str, str]]:
    return [{"words": column.heading, "class": _kind(column)} for column in table.shown]


def _rows(table: Table) -> list[list[dict[str, str | None]]]:
    return [[_cell(column, record.get(column.key)) for column in table.shown] for record in table.records]


def _cell(column: Column, value: Any) -> dict[str, str | None]:
    words = column.show(value)
    return {"words": words, "class": _class(column, words), "order": _order(column, value)}


def _class(column: Column, words: str) -> str:
    kind = _kind(column)
    if kind == "verdict":
        return f"{kind} {slug(words)}"
    return kind or ("words" if re.search("[ -]", words) else "")


def _kind(column: Column) -> str:
    if column.key in VERDICTS:
        return "verdict"
    if column.key in EXPRESSIONS:
        return "expression"
    return "number" if column.is_number else ""


def _order(column: Column, value: Any) -> str | None:
    if isinstance(value, Shown):
        value = value.order
    elif not column.is_number:
        return None
    if value is None:
        return ""
    return str(float(value) if isinstance(value, Fraction) else value)
