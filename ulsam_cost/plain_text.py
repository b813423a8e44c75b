r"""Text that a terminal shows and does not obey: control characters written out, as in `\x1b[31m`."""

import re

# C0 and C1 controls, marks that reorder or break lines, halves of characters; tabs and line feeds apart.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")


def visible(text: str) -> str:
    """The text with its control characters written out; tabs and line feeds stay."""
    return _OBEYED.sub(_written_out, text)


def visible_line(text: str) -> str:
    """The text on one line: tabs and line feeds are written out as well."""
    return _BREAKS.sub(_written_out, visible(text))


def visible_json(text: str) -> str:
    """JSON whose strings hold no raw control character, and mean the same."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
