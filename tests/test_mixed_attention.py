"""Several mechanisms in one network, one for each position."""

import pytest
import torch

import ulsam_cost as uc
from ulsam_cost.counting.networks import count_network

MIXES = [
    ("mv1", "8:1,9:1,11", "ulsam,se,eca"),
    ("mv2", "16,8:2,11", "ulsam,se,cbam"),  # in order of the layers, whatever the order of the text
    ("mnasnet1_0", "5:1,7", "gc,ulsam"),
    ("resnet50", "3,9:2", "se,sge"),
    ("resnet101_fpn", "3,9:1", "se,bam"),
]


@pytest.mark.parametrize(("network", "positions", "attention"), MIXES)
def test_derived_is_counted_by_operation(network, positions, attention):
    spec = uc.network_spec(network, positions=positions, attention=attention, resolution=(96, 64))
    counted, derived = (
        count_network(spec),
        uc.network_cost(network, positions=positions, attention=attention, resolution=(96, 64)),
    )
    assert counted.complete
    for unit in ("macs", "params", "activations", "reads", "writes"):
        assert getattr(counted.cost, unit) == getattr(derived, unit)
    assert {op.path for op in counted.cost} == {op.path for op in derived}


def test_each_mechanism_stands_at_its_position():
    model = uc.build("mv2", positions="16,8:2,11", attention="ulsam,se,cbam", groups=2).eval()
    names = [name for name, _ in model.features.named_children() if not name.isdecimal()]
    assert names == ["ulsam8_1", "ulsam8_2", "se11", "cbam16"]
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


def test_a_mix_costs_the_sum_of_what_its_mechanisms_add():
    plain = uc.network_cost("mv2")
    added = {
        (place, name): uc.network_cost("mv2", positions=place, attention=name)
        for place, name in (("8:1", "ulsam"), ("11", "se"))
    }
    mixed = uc.network_cost("mv2", positions="8:1,11", attention="ulsam,se")
    for unit in ("macs", "params", "activations", "reads", "writes"):
        was = getattr(plain, unit)
        assert getattr(mixed, unit) - was == sum(getattr(cost, unit) - was for cost in added.values())


def test_the_same_mechanism_everywhere_is_no_mix():
    assert uc.network_spec("mv2", positions="8:1,11", attention="se,se") == uc.network_spec(
        "mv2", positions="8:1,11", attention="se"
    )


def test_options_go_to_the_mechanisms_that_have_them():
    spec = uc.network_spec("mv2", positions="8:1,11", attention="ulsam,se", groups=2, reduction=8)
    assert dict(spec.at("8:1").attention_options) == {"groups": 2}
    assert dict(spec.at("11").attention_options) == {"reduction": 8}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"positions": "8:1"}, "2 mechanisms and 1 positions"),
        ({}, "2 mechanisms and 0 positions"),
        ({"positions": "8:1,11", "connection": "dca"}, "without sites or connection"),
        ({"sites": "block"}, "without sites or connection"),
        ({"positions": "8:1,11", "reductoin": 8}, "did you mean 'reduction'"),
    ],
)
def test_what_a_mix_cannot_be_is_refused(options, said):
    with pytest.raises(uc.CostError, match=said):
        uc.network_spec("mv2", attention="ulsam,se", **options)


def test_an_unknown_mechanism_of_a_mix_is_named():
    with pytest.raises(uc.CostError, match="did you mean 'ulsam'"):
        uc.network_spec("mv2", positions="8:1,11", attention="se,ulsma")
