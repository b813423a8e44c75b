"""A page as Markdown: text escaped, so that other people's words stay words."""

import re

from ulsam_cost.report.document.model import (
    CONTENTS,
    PROGRAM,
    Block,
    Bullets,
    Grid,
    Inline,
    Link,
    Page,
    Paragraph,
    Picture,
    Section,
    Strong,
    Text,
    bullets,
)
from ulsam_cost.report.formats import escape_markdown as escape
from ulsam_cost.report.formats import render


def markdown(page: Page, written_by: str = PROGRAM) -> bytes:
    """A page as a file: title, the way back, verdict and picture, what opens it, its sections."""
    parts = [f"<!-- Written by `{written_by}`: do not edit, run it again. -->", f"# {escape(page.title)}"]
    if page.file != CONTENTS:
        parts.append(_links(page))
    picture = (page.picture,) if page.picture else ()
    parts += [_block(block) for block in (*bullets(page.verdict), *picture, *page.opening)]
    for section in page.sections:
        parts += [f"## {escape(section.title)}", *(_block(block) for block in section.blocks)]
    return ("\n\n".join(parts) + "\n").encode()


def _links(page: Page) -> str:
    back = _inline(Link("Back to the report", CONTENTS))
    return " · ".join((back, *(_to_section(section) for section in page.sections)))


def _to_section(section: Section) -> str:
    return _inline(Link(section.title, f"#{section.anchor}"))


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return _text(text)
        case Bullets(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Grid(table):
            return render(table, "markdown")
        case Picture(file, caption):
            return f"![{escape(caption)}]({file})\n\n*{escape(caption)}*"


def _text(text: Text) -> str:
    joined = _inline(text) if isinstance(text, str) else "".join(_inline(part) for part in text)
    return re.sub(r"^([#+-]|\d+(?=[.)]))", _as_words, joined)


def _as_words(start: re.Match[str]) -> str:
    """What would open a heading or a list, written so that it does not."""
    return f"&#{ord(start[1][0])};{start[1][1:]}"


def _inline(part: Inline) -> str:
    match part:
        case Strong(words):
            return f"**{escape(words)}**"
        case Link(words, target):
            return f"[{escape(words)}]({target})"
        case str():
            return escape(part)
