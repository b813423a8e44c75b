"""The grammar of positions: what it reads, what it prints, what it refuses and how."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ulsam_cost.errors import CostError, PlacementError
from ulsam_cost.formulas.networks import network_spec
from ulsam_cost.placement import Placement, parse_placement

layers = st.sets(st.integers(0, 9999), max_size=12)


@st.composite
def placements(draw):
    chosen = sorted(draw(layers))
    counts = [draw(st.integers(0, 16)) for _ in chosen]
    return Placement(
        replaced=tuple(layer for layer, count in zip(chosen, counts, strict=True) if not count),
        inserted=tuple((layer, count) for layer, count in zip(chosen, counts, strict=True) if count),
    )


@given(placements())
def test_what_is_printed_is_read_back(placement):
    assert parse_placement(str(placement)) == placement


@given(placements().filter(bool), st.randoms(use_true_random=False))
def test_order_spaces_and_brackets_do_not_matter(placement, random):
    items = str(placement).split(",")
    random.shuffle(items)
    spaced = " , ".join(item.replace(":", " : ") for item in items)
    assert parse_placement(f" ( {spaced} ) ") == parse_placement(f"[{spaced}]") == placement


@settings(max_examples=10_000)
@given(st.one_of(st.text(), st.text(alphabet="0123456789:,()[] n", max_size=12)))
@example("8:1,9:1,11")
@example("٨:1")
@example("1" * 5000)
def test_any_string_is_read_or_refused_with_the_projects_own_error(text):
    try:
        placement = parse_placement(text)
    except CostError:
        return
    assert parse_placement(str(placement)) == placement


def test_the_papers_example():
    assert parse_placement("(8:1, 9:1, 11)") == Placement(replaced=(11,), inserted=((8, 1), (9, 1)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty item"),
        ("8:1,,11", "an empty item"),
        ("8:1,", "an empty item"),
        ("()", "an empty item"),
        ("8:", "malformed item '8:'"),
        ("8:1:1", "malformed item '8:1:1'"),
        ("-8", "malformed item '-8'"),
        ("8.5", "malformed item '8.5'"),
        ("(8:1", "malformed item '(8:1'"),
        ("8:0", "0 modules after layer 8"),
        ("8:17", "1 to 16 are accepted"),
        ("11,11", "layer 11 is replaced twice"),
        ("8:1,8:2", "layer 8 is followed twice"),
        ("11,11:1", "layer 11 is both replaced and followed"),
    ],
)
def test_refused_by_the_grammar(text, said):
    with pytest.raises(PlacementError) as caught:
        parse_placement(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("network", "positions", "said"),
    [
        ("mv1", "15", "mv1 has no layer 15: layers 1 to 14 exist"),
        ("mv1", "0:1", "mv1 has no layer 0"),
        ("mv1", "1:1", "layer 1 of mv1 is its stem"),
        ("mv2", "20", "layer 20 of mv2 is its classifier"),
        ("mv1", "13", "layer 13 of mv1 changes the shape (512 to 1024 channels, stride 2)"),
        ("mv2", "19", "layer 19 of mv2 changes the shape (320 to 1280 channels, stride 1)"),
    ],
)
def test_refused_by_the_network_with_what_it_accepts(network, positions, said):
    with pytest.raises(PlacementError) as caught:
        network_spec(network, positions=positions)
    assert said in str(caught.value)
    assert "replace" in str(caught.value) or "attention may follow" in str(caught.value)


def test_subspaces_that_do_not_divide_are_refused_with_the_layer():
    with pytest.raises(
        PlacementError, match=r"ulsam at 8:1 of mv1: g = 3 does not divide m = 512; accepted values are 1, 2"
    ):
        network_spec("mv1", positions="8:1", groups=3)


def test_replaceable_layers_are_those_of_the_papers_tables():
    with pytest.raises(PlacementError, match=r"accepted values are 4, 6, 8, 9, 10, 11, 12, 14$"):
        network_spec("mv1", positions="2")
    with pytest.raises(PlacementError, match=r"accepted values are 4, 6, 7, 9, 10, 11, 13, 14, 16, 17$"):
        network_spec("mv2", positions="2")
