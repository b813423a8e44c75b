"""A search: its front and its counts are those of all placements derived one by one as networks."""

from itertools import product

import numpy as np
import pytest

import ulsam_cost as uc
from ulsam_cost import search
from ulsam_cost.counting.networks import count_network
from ulsam_cost.formulas.networks import get_network, layers_cost, network_layers
from ulsam_cost.searching.budget import METRICS
from ulsam_cost.searching.printed import printed_accuracy


def costs_of(cost):
    return {
        "macs": cost.macs,
        "params": cost.params,
        "activations": cost.activations,
        "traffic": cost.reads + cost.writes,
    }


def every_placement(network, layers, mechanisms, *, mix, **sizes):
    """Each placement of the grammar once, as (positions, attention), from what the network says of its layers."""
    slots = {slot.layer: slot for slot in get_network(network).slots(uc.network_spec(network, **sizes))}
    for names in [mechanisms] if mix else [[name] for name in mechanisms]:
        options = []
        for layer in layers:
            items = [f"{layer}:1", f"{layer}:2"] + ([str(layer)] if slots[layer].keeps_shape else [])
            options.append([None, *product(items, names)])
        for chosen in product(*options):
            taken = [item for item in chosen if item]
            if taken:
                yield ",".join(item for item, _ in taken), ",".join(name for _, name in taken)
    yield "none", "none"


def brute_force(network, layers, mechanisms, *, mix, widths, resolutions, budget, minimise, **options):
    """How many placements there are and keep the budget, and the least costs: all derived by `network_cost`."""
    considered, feasible = 0, []
    for width, resolution in product(widths, resolutions):
        sizes = {"width": width, "resolution": resolution}
        for positions, attention in every_placement(network, layers, mechanisms, mix=mix, **sizes):
            considered += 1
            own = {} if positions == "none" else options
            costs = costs_of(uc.network_cost(network, positions=positions, attention=attention, **sizes, **own))
            if all(costs[name] <= limit for name, limit in budget.items()):
                feasible.append(tuple(costs[name] for name in minimise))
    return considered, len(feasible), undominated(feasible)


def undominated(points):
    """Of all points in order, those that none before them dominates."""
    front = []
    for point in sorted(set(points)):
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front.append(point)
    return front


SPACES = {
    # 3 * 4 ** 6 placements
    "mv1": {
        "network": "mv1",
        "layers": range(8, 15),
        "mechanisms": ["se"],
        "mix": False,
        "widths": [0.25],
        "resolutions": [64],
    },
    # 4 mixes of 1 + 3 * 2 choices at 3 layers, and two kinds of networks
    "mix": {
        "network": "mv2",
        "layers": [13, 14, 16],
        "mechanisms": ["ulsam", "se"],
        "mix": True,
        "widths": [0.5, 1.0],
        "resolutions": [96],
    },
    # what costs least of all breaks the budget in what is not minimised
    "tight": {
        "network": "mv2",
        "layers": [13, 14, 16],
        "mechanisms": ["ulsam", "se"],
        "mix": True,
        "widths": [1.0],
        "resolutions": [224],
    },
    # what stands alone in each network, and what is shared by two branches
    "two": {
        "network": "mv2",
        "layers": [9, 17, 18, 19],
        "mechanisms": ["ulsam", "se"],
        "mix": False,
        "widths": [0.75],
        "resolutions": [96, 128],
    },
}
BUDGETS = {
    "mv1": ({"macs": 5_400_000, "params": 420_000}, ("macs", "params")),
    "mix": ({"macs": 50_000_000, "traffic": 9_000_000}, ("params", "activations", "macs")),
    "tight": ({"params": 2_950_500}, ("macs",)),
    "two": ({"params": 2_637_000, "activations": 1_090_000}, ("macs", "traffic")),
}


@pytest.mark.parametrize("name", SPACES)
def test_front_and_counts_are_brute_force(name):
    space, (budget, minimise) = SPACES[name], BUDGETS[name]
    considered, feasible, front = brute_force(**space, budget=budget, minimise=minimise)
    found = search(
        space["network"],
        attention=space["mechanisms"],
        **{key: space[key] for key in ("layers", "mix", "widths", "resolutions")},
        budget=budget,
        minimise=minimise,
    )
    assert 0 < feasible < considered  # the budget cuts the space
    assert (found.considered, found.feasible) == (considered, feasible)
    assert [tuple(answer.costs[metric] for metric in minimise) for answer in found.front] == front


def test_the_large_space_has_more_than_ten_thousand_placements():
    space = SPACES["mv1"]
    assert sum(1 for _ in every_placement("mv1", space["layers"], ["se"], mix=False)) == 3 * 4**6 > 10_000


@pytest.mark.parametrize("name", SPACES)
def test_every_placement_of_a_front_is_derived_again_and_counted(name):
    space, (_, minimise) = SPACES[name], BUDGETS[name]
    found = search(
        space["network"],
        attention=space["mechanisms"],
        **{key: space[key] for key in ("layers", "mix", "widths", "resolutions")},
        minimise=minimise,
    )
    for answer in found.front:
        assert costs_of(layers_cost(network_layers(answer.spec))) == answer.costs
        counted = count_network(answer.spec)
        assert counted.complete
        assert costs_of(counted.cost) == answer.costs
        plain = costs_of(uc.network_cost(space["network"], width=answer.spec.width, resolution=answer.spec.resolution))
        assert answer.delta == {metric: answer.costs[metric] - plain[metric] for metric in METRICS}


@pytest.mark.parametrize("network", ["mv1", "mv2", "resnet50", "mnasnet1_0", "resnet101_fpn"])
@pytest.mark.parametrize("attention", ["ulsam", "bam"])
def test_random_placements_of_every_network_cost_the_sum(network, attention):
    (branch,) = search(network, attention=attention, resolutions=[(96, 64)]).branches
    generator = np.random.default_rng(0)
    chosen = np.stack([generator.integers(len(layer.choices), size=5) for layer in branch.layers], axis=1)
    for row, costs in zip(chosen, branch.costs_of(chosen).tolist(), strict=True):
        derived = costs_of(layers_cost(network_layers(branch.spec_of(row))))
        assert list(derived.values()) == costs


def test_a_layer_that_refuses_a_mechanism_is_left_out_and_named():
    """8 channels cannot be reduced 16 times: SE stands after the wider layers of a thin network alone."""
    found = search("mv2", attention="se", widths=[0.35])
    slots = get_network("mv2").slots(uc.network_spec("mv2", width=0.35))
    narrow = [slot.layer for slot in slots if not slot.fixed and slot.out_channels < 16]
    assert narrow == [2, 3, 4]
    assert found.branches[0].refused == tuple(("se", layer) for layer in narrow)
    assert [len(layer.choices) for layer in found.branches[0].layers[:3]] == [1, 1, 1]
    assert {"attention": "se", "layer": 3, "width": 0.35} in found.to_dict()["space"]["refused"]


def test_a_mechanism_that_can_stand_nowhere_leaves_the_others_theirs():
    found = search("mv2", attention=["se", "ulsam"], widths=[0.35], layers=[2, 3])
    assert found.considered == search("mv2", attention="ulsam", widths=[0.35], layers=[2, 3]).considered == 9
    assert found.branches[0].refused == (("se", 2), ("se", 3))


def test_a_space_in_which_no_mechanism_can_stand_is_refused():
    with pytest.raises(uc.CostError, match="reduction r = 16 leaves no channel of m = 8"):
        search("mv2", attention="se", widths=[0.35], layers=[2, 3])


@pytest.mark.parametrize(
    ("layers", "mechanisms", "budget", "wanted"),
    [
        ([8, 9], ["ulsam"], {"macs": 200_000_000, "params": 3_300_000}, ("9", "ulsam")),
        ([13, 14, 16], ["ulsam", "se"], {"macs": 239_000_000, "params": 2_940_000}, ("13,14,16", "se,se,ulsam")),
    ],
)
def test_the_nearest_placement_of_a_budget_that_nothing_keeps(layers, mechanisms, budget, wanted):
    """All placements one by one: the one whose worst share of its limit is least."""
    found = search("mv2", attention=mechanisms, mix=True, layers=layers, budget=budget)
    assert (found.feasible, found.front) == (0, ())
    shares = {}
    for positions, attention in every_placement("mv2", layers, mechanisms, mix=True):
        costs = costs_of(uc.network_cost("mv2", positions=positions, attention=attention))
        shares[positions, attention] = max(costs[name] / limit for name, limit in budget.items())
    positions, attention = min(shares, key=shares.get)
    costs = costs_of(uc.network_cost("mv2", positions=positions, attention=attention))
    assert (str(found.nearest.spec.placement), found.nearest.spec.attention) == wanted
    assert found.excess == {name: costs[name] - limit for name, limit in budget.items()}


def test_a_budget_that_is_met_to_the_last_operation():
    costs = costs_of(uc.network_cost("mv2", positions="16,17"))
    budget = {"macs": costs["macs"], "params": costs["params"]}
    found = search("mv2", layers=[16, 17], budget=budget)
    assert (found.feasible, [str(answer.spec.placement) for answer in found.front]) == (1, ["16,17"])
    assert search("mv2", layers=[16, 17], budget={**budget, "macs": costs["macs"] - 1}).feasible == 0


def test_without_a_budget_all_are_feasible():
    found = search("mv2", attention=["ulsam", "se"], layers=[16, 17, 18])
    assert found.considered == found.feasible == 2 * (4 * 4 * 3 - 1) + 1


def test_what_papers_measured_stands_beside():
    spec = uc.network_spec("mv2", positions="13,14,16,17")
    rows = printed_accuracy(spec)
    where = {"source": "ulsam", "table": "Table 8", "row": "4", "dataset": "ImageNet-1K"}
    assert {**where, "metric": "top1", "printed": "69.72"} in rows
    assert all(row["printed"] != "71.52" for row in rows)
    (answer,) = search("mv2", layers=[13, 14, 16, 17]).front
    assert answer.to_dict()["printed_accuracy"] == rows


@pytest.mark.parametrize(
    "other",
    [
        {"positions": "13,14,16"},
        {"positions": "13,14,16,17", "resolution": 192},
        {"positions": "13,14,16,17", "width": 0.75},
        {"positions": "13,14,16,17", "classes": 10},
        {"positions": "13,14,16,17", "attention": "se"},
        {"positions": "13,14,16,17", "groups": 32},
        {"positions": "13,14", "attention": "ulsam,se"},
    ],
)
def test_no_accuracy_is_made_up(other):
    assert printed_accuracy(uc.network_spec("mv2", **other)) == []


def test_the_groups_of_a_printed_accuracy_count():
    printed = {
        groups: {row["printed"] for row in printed_accuracy(uc.network_spec("mv2", positions="16,17", groups=groups))}
        for groups in (4, 16)
    }
    assert "82.40" in printed[4]
    assert "83.02" in printed[16] - printed[4]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": []}, "no layer to search: those of mv2 from 2 to 19 are accepted"),
        ({"layers": [1, 8]}, "attention cannot follow layer 1 of mv2: layers from 2 to 19"),
        ({"layers": [99]}, "layer 99"),
        ({"widths": []}, "no width to search"),
        ({"resolutions": []}, "no resolution to search"),
        ({"minimise": []}, "nothing to minimise"),
        ({"minimise": ["mac"]}, "did you mean 'macs'"),
        ({"budget": {"latency": 11}}, "unknown metric of a budget 'latency'"),
        ({"budget": {"macs": 0}}, "a whole number from 1"),
        ({"attention": "ulsma"}, "did you mean 'ulsam'"),
        ({"attention": ["ulsam", "se"], "reductoin": 8}, "did you mean 'reduction'"),
        ({"batch": 10**12}, "smaller sizes are accepted"),
    ],
)
def test_bad_input_is_one_sentence(options, said):
    with pytest.raises(uc.CostError, match=said):
        search("mv2", **options)
