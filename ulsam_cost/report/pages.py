"""Markdown: a page of headings, paragraphs, tables and pictures, escaped where it shows other people's text."""

from collections.abc import Iterable

from ulsam_cost.report.formats import Table, render

GENERATED = "<!-- Written by `ulsam-cost report`: do not edit, run it again. -->"


def page(title: str, *parts: str) -> bytes:
    """A page: its title and its parts, a blank line between them."""
    return ("\n\n".join((GENERATED, f"# {title}", *parts)) + "\n").encode()


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return "\n\n".join((f"## {title}", *parts))


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def table(value: Table) -> str:
    """A table."""
    return render(value, "markdown")


def picture(name: str, caption: str) -> str:
    """A picture with its caption."""
    return f"![{caption}]({name})\n\n*{caption}*"
