"""The pictures: the same colours everywhere, every number drawn, the same bytes on every run."""

from collections import Counter
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

from ulsam_cost.audit import evidence
from ulsam_cost.audit.evidence import Trained, run_audit, trained_networks
from ulsam_cost.audit.outcomes import JUDGED, Outcome
from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.report.figures import audit as figures_audit
from ulsam_cost.report.figures.audit import (
    Dot,
    accuracy_figure,
    agreement_figure,
    outcomes_figure,
    pareto_front,
)
from ulsam_cost.report.figures.costs import layers_figure, overheads_figure
from ulsam_cost.report.figures.measured import roofline_figure
from ulsam_cost.report.figures.style import OUTCOME_COLOURS, PLAIN, mechanism_colour, same_picture
from ulsam_cost.report.site.networks import layers_pictures
from ulsam_cost.report.site.opening import audit_dots, opening_pictures
from ulsam_cost.report.views.measured import Panel, Point


def drawn(content, colour):
    """How many pixels of a picture have a colour."""
    pixels = plt.imread(BytesIO(content))[:, :, :3]
    return int((abs(pixels - np.array(colors.to_rgb(colour))).max(axis=2) < 2 / 255).sum())


def test_every_mechanism_and_every_outcome_has_a_colour_of_its_own():
    colours = [mechanism_colour(name) for name in REGISTERED]
    assert len({*colours, PLAIN, *OUTCOME_COLOURS.values()}) == len(REGISTERED) + 1 + len(JUDGED)
    assert mechanism_colour("none") == PLAIN


def test_dots_of_each_outcome_are_drawn():
    dots = [
        Dot(quantity="MACs", printed=value, resolution=1e5, computed=value, outcome=outcome)
        for repeat in range(5)
        for step, outcome in enumerate(JUDGED)
        for value in [1e6 * 2 ** (step + len(JUDGED) * repeat)]
    ]
    few, many = (agreement_figure(some, "title") for some in (dots[: len(JUDGED)], dots))
    for colour in OUTCOME_COLOURS.values():
        assert drawn(many, colour) > 1.5 * drawn(few, colour) > 75  # more than the legend alone
    assert same_picture(many, agreement_figure(dots, "title"))
    missing = Dot(quantity="MACs", printed=3e6, resolution=1e5, computed=None, outcome=Outcome.UNEXPLAINED)
    assert not same_picture(few, agreement_figure([*dots[: len(JUDGED)], missing], "title"))


def test_a_wrong_number_stands_off_the_diagonal():
    right, wrong = (
        agreement_figure(
            [Dot(quantity="MACs", printed=1e6, resolution=1e5, computed=computed, outcome=Outcome.NETWORK)], "title"
        )
        for computed in (1e6, 5e6)
    )
    assert not same_picture(right, wrong)


def test_bars_are_as_long_as_the_counts():
    counts = {"cells": {"one": Counter({Outcome.NETWORK: 30, Outcome.EXPLAINED: 10})}}
    picture = outcomes_figure(counts, "title")
    pixels = plt.imread(BytesIO(picture))[:, :, :3]
    lengths = []
    for outcome in (Outcome.NETWORK, Outcome.EXPLAINED):
        right = abs(pixels - np.array(colors.to_rgb(OUTCOME_COLOURS[outcome]))).max(axis=2) < 2 / 255
        lengths.append(right.sum(axis=1).max())
    assert lengths[0] / lengths[1] == pytest.approx(3, abs=0.05)


def test_the_pareto_front_is_what_none_beats():
    points = [(10, 70.0), (20, 69.0), (20, 72.0), (30, 72.0), (40, 75.0), (5, 60.0), (5, 61.0)]
    unbeaten = [p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)]
    assert pareto_front(points) == sorted(unbeaten) == [(5, 61.0), (10, 70.0), (20, 72.0), (40, 75.0)]


def test_accuracies_are_those_that_the_papers_print():
    trained = trained_networks()
    by_cost = {(each.params, each.macs, each.accuracy) for each in trained}
    # Table 6 and Table 8 of the ULSAM paper: MV1 vanilla 70.65, MV2 vanilla 71.25, MV2 at (14,17) 71.52
    assert (4231976, 568740352, 70.65) in by_cost
    assert (3504872, 300774272, 71.25) in by_cost
    assert (3067112, 262659328, 71.52) in by_cost
    picture = accuracy_figure(trained, "title")
    assert drawn(picture, mechanism_colour("ulsam")) > 500
    assert drawn(picture, PLAIN) > 100


def test_more_networks_than_markers_and_unknown_connections_are_drawn_all_the_same():
    trained = [
        Trained(network=f"net{i}", mechanism="se", connection="new", macs=10**i, params=10**i, accuracy=50.0 + i)
        for i in range(1, 12)
    ]
    assert drawn(accuracy_figure(trained, "title"), mechanism_colour("se")) > 500


def test_every_cost_cell_is_a_dot():
    audit = run_audit()
    assert set(figures_audit.MARKERS) == set(JUDGED)
    assert len(audit_dots(audit)) == len(audit.cells) == 350


@contextmanager
def noted():
    """The figures that are written from now on, by their titles."""
    written, save = {}, Figure.savefig

    def note(figure, *args, **options):
        written[figure._suptitle.get_text()] = figure
        return save(figure, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", note)
        yield written


@pytest.fixture
def figures():
    with noted() as written:
        yield written


@pytest.fixture(scope="module")
def of_the_report():
    """The figures of the report."""
    with noted() as written:
        opening_pictures(run_audit())
        layers_pictures()
        overheads_figure(evidence.rows_of_table1(), "Table 1")
    return written


@cache
def words_of(figure):
    """The words that a figure shows, each with its box; ticks beyond the ends of an axis are not shown."""
    figure.draw_without_rendering()
    beyond = set()
    for axis in (side for axes in figure.axes for side in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low * (1 - 1e-9) <= tick.get_loc() <= high * (1 + 1e-9):
                beyond |= {tick.label1, tick.label2}
    shown = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text().strip()]
    return [(each.get_text(), each.get_window_extent()) for each in shown if each not in beyond]


def faults(figure):
    """Words that cover one another, and words that leave the picture."""
    words = words_of(figure)
    assert len(words) > 5
    found = [
        (one, other)
        for (one, a), (other, b) in combinations(words, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    width, height = figure.bbox.size
    return found + [
        text for text, box in words if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]


def test_no_words_of_the_report_cover_others(of_the_report):
    assert len(of_the_report) > 20
    assert {title: found for title, figure in of_the_report.items() if (found := faults(figure))} == {}


def test_no_names_under_a_roofline_cover_others_and_a_long_title_is_broken(figures):
    points = [Point(f"layer {index}", "conv", 10 + 1.6 * index, 3e10 + 5e9 * (index % 3)) for index in range(9)]
    roofline_figure([Panel("here", 1e11, 1e10, tuple(points))], "a network with a long name " * 4)
    (title,) = figures
    assert "\n" in title
    assert faults(figures[title]) == []
    named = ", ".join(text for text, _ in words_of(figures[title])).split(", ")
    assert {f"layer {index}" for index in range(9)} <= {*named}


def test_axes_are_in_thousands_millions_and_billions(figures, of_the_report):
    agreement = [text for text, _ in words_of(of_the_report["Printed and computed costs"])]
    assert {"1K", "100K", "10M", "1G", "10G", "0.1"} <= {*agreement}
    layers = {"1": {"macs": 5_400_000_000, "params": 12}, "2": {"macs": 1_000_000, "params": 1_150}}
    layers_figure({"plain": layers}, {"plain": PLAIN}, "layers")
    assert {"0", "2G", "1K", "200"} <= {text for text, _ in words_of(figures["layers"])}
    for figure in (*figures.values(), *of_the_report.values()):
        assert [text for text, _ in words_of(figure) if "10^" in text or "million" in text] == []
