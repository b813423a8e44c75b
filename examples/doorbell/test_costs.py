"""The costs that the doorbell network may have, as tests: run `pytest` here."""

import torch
from gate import ContrastGate
from net import net

from ulsam_cost.testing import assert_within


def test_the_network_keeps_its_budget() -> None:
    """The budget is that of the camera's processor."""
    model, image = net()
    assert_within(model, image, macs="118.2M", params="690K", uncounted=0)


def test_a_gate_is_light() -> None:
    """At the end of the network there are 160 channels of 5 x 5."""
    assert_within(ContrastGate(160), torch.empty(1, 160, 5, 5), macs="500K", params="16K")
