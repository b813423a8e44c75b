"""The costs that the doorbell network may have, as tests: run `pytest` here."""

import torch
from gate import ContrastGate
from net import net

from ulsam_cost.testing import assert_within


def test_the_network_keeps_its_budget():
    model, image = net()
    assert_within(model, image, macs="150M", params="300K", uncounted=0)


def test_a_gate_is_light():
    assert_within(ContrastGate(160), torch.empty(1, 160, 5, 5), macs="500K", params="16K")
