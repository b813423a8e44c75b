"""What the pictures share: the same colours for the same things in all of them, the same bytes on every run."""

import io
import textwrap
from typing import Any, Literal

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ulsam_cost.audit.outcomes import Outcome
from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.plain_text import visible_line
from ulsam_cost.units import format_tick

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    "figure.dpi": 130,
}
HEADING_LETTERS = 10  # of a title, an inch
PLAIN, CHANGED = "#9aa5b1", "#c2410c"
# Paul Tol's muted scheme, which colour-blind readers tell apart; ULSAM has the accent, the plain network grey. Where
# it ends it starts again, a third darker and then a third lighter.
_PALETTE = ("#332288", "#88ccee", "#117733", "#882255", "#aa4499", "#44aa99", "#999933", "#ddcc77", "#cc6677")
GROUP_COLOURS = {
    "channel": "#332288",
    "spatial": "#c2410c",
    "both": "#117733",
    "replacing": "#aa4499",
    "dot-product": "#2f7fa8",
}
OUTCOME_COLOURS = {
    Outcome.NETWORK: "#0f766e",
    Outcome.NETWORK_TRUNCATED: "#6fc2b4",
    Outcome.PRINTED_FORMULA: "#1d4f91",
    Outcome.PAPERS_ARITHMETIC: "#8fb8e8",
    Outcome.COUNTING_RULE: "#8a8f3c",
    Outcome.LAST_DIGIT: "#d9a520",
    Outcome.EXPLAINED: "#6d4fc4",
    Outcome.UNEXPLAINED: "#c81e1e",
}


def mechanism_colour(name: str) -> str:
    """The colour of a mechanism, by its place in the registry; grey of none."""
    if name not in REGISTERED:
        return PLAIN
    if name == "ulsam":
        return CHANGED
    return numbered_colour([other for other in REGISTERED if other != "ulsam"].index(name))


def numbered_colour(number: int) -> str:
    """The colour of the thing of that number, from 0, among those that have no colour of their own."""
    turn, place = divmod(number, len(_PALETTE))
    return to_hex(_shaded(to_rgb(_PALETTE[place]), turn))


def _shaded(colour: tuple[float, float, float], turn: int) -> tuple[float, float, float]:
    """A colour as it is, then darker and lighter by turns, and more so each time."""
    towards, share = (0.0 if turn % 2 else 1.0), 1 - (2 / 3) ** ((turn + 1) // 2)
    red, green, blue = (part + (towards - part) * share for part in colour)
    return red, green, blue


def set_grid(axis: Axes, which: Literal["both", "x", "y"]) -> None:
    """Faint lines below what is drawn."""
    axis.grid(axis=which, alpha=0.3)
    axis.set_axisbelow(True)


class _Decades(LogLocator):
    """Ticks at the powers of ten, and at 2 and 5 between them where these are few."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        self.set_params(subs=(1, 2, 5) if vmax < 1000 * vmin else (1,))
        return super().tick_values(vmin, vmax)


def set_counts(*sides: Axis) -> None:
    """Ticks in K, M, G and T."""
    for side in sides:
        if side.get_scale() == "log":
            side.set_major_locator(_Decades())
        side.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))
        side.set_minor_formatter(NullFormatter())


def plain_label(text: str) -> str:
    """Other people's words as matplotlib's text: no dollar of them begins a formula, no control character is kept."""
    return visible_line(text).replace("$", r"\$")


def set_heading(figure: Figure, title: str) -> None:
    """The title of a picture, in as many lines as it needs."""
    lines = textwrap.fill(visible_line(title), width=int(figure.get_figwidth() * HEADING_LETTERS))
    figure.suptitle(lines.replace("$", r"\$"), x=0.01, ha="left", fontweight="bold", fontsize=12)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, without the metadata that changes from run to run."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


def same_picture(one: bytes, other: bytes) -> bool:
    """Whether two PNGs show the same, up to a rounding of their colours; what is no PNG shows nothing."""
    try:
        a, b = (plt.imread(io.BytesIO(content)) for content in (one, other))
    except (OSError, SyntaxError, ValueError):
        return False
    return a.shape == b.shape and float(abs(a - b).max()) < 2 / 255
