"""Which rule an operator has."""

from __future__ import annotations  # OpOverload takes no type arguments in older releases of PyTorch

from typing import Any

import torch

from ulsam_cost.counting.rules.elements import pointwise
from ulsam_cost.counting.rules.registry import NAMED, RULES, Rule
from ulsam_cost.torch_private import OpOverload, qualified_name


def rule_of(operator: OpOverload[..., Any]) -> Rule | None:
    """The rule of a dispatched operator; one that torch tags as pointwise goes element by element."""
    found = RULES.get(operator.overloadpacket)
    if found is None:
        found = NAMED.get(qualified_name(operator.overloadpacket))
    if found is None and torch.Tag.pointwise in operator.tags:
        return pointwise
    return found
