"""One page model, rendered as Markdown (`pages_markdown`) and as HTML (`pages_html`).

A page is plain values: no string in it is markup, and each renderer escapes every one of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ulsam_cost.report.formats import Table

PROGRAM = "ulsam-cost report"
CONTENTS = "README.md"


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that stand out; beside a letter Markdown may not see it, beside a space or a stop it does."""

    words: str


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead to a page of the report, `ulsam.md` or `ulsam.md#table-8`, or to another file beside it."""

    words: str
    target: str


Inline = str | Strong | Link
Text = str | tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph."""

    text: Text


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    table: Table


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the report's folder, with the sentence that says what it shows."""

    file: str
    caption: str


Block = Paragraph | Bullets | Grid | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it; in HTML it is folded until the reader opens it, unless it is `open`."""

    title: str
    blocks: tuple[Block, ...]
    open: bool = field(default=False, kw_only=True)

    @property
    def anchor(self) -> str:
        """What a link to this section is called."""
        return slug(self.title)


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its file and title, the verdict with the one picture that shows it, further blocks, and its sections."""

    file: str
    title: str
    opening: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    verdict: tuple[Text, ...] = field(default=(), kw_only=True)
    picture: Picture | None = field(default=None, kw_only=True)

    @property
    def anchor(self) -> str:
        """What a link to this page is called where all pages stand in one file."""
        return slug(self.file.removesuffix(".md"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A table's value that reads as words and sorts as a number."""

    words: str
    order: Any

    def __str__(self) -> str:
        return self.words


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def bullets(items: Sequence[Text]) -> tuple[Block, ...]:
    """A list, or nothing where there is nothing to list."""
    return (Bullets(tuple(items)),) if items else ()
