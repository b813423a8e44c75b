"""What each operation does: its kind, its MACs, what it reads.

A rule is called after the operation, with what went in and what came out, and records what it did; the
result's shape stands beside every product. An operation is ruled here, declared free here, or reported
as uncounted: none is zero by default.
"""

from ulsam_cost.profiler.rules import attention as attention
from ulsam_cost.profiler.rules import backward as backward
from ulsam_cost.profiler.rules import elements as elements
from ulsam_cost.profiler.rules import products as products
from ulsam_cost.profiler.rules.free import FREE as FREE
from ulsam_cost.profiler.rules.free import VIEWS as VIEWS
from ulsam_cost.profiler.rules.registry import RULES as RULES
from ulsam_cost.profiler.rules.registry import SPARSE_LAYOUTS as SPARSE_LAYOUTS
from ulsam_cost.profiler.rules.registry import Record as Record
from ulsam_cost.profiler.rules.registry import Rule as Rule
from ulsam_cost.profiler.rules.registry import first_tensor as first_tensor
from ulsam_cost.profiler.rules.registry import is_plain as is_plain
from ulsam_cost.profiler.rules.registry import operands_of as operands_of
from ulsam_cost.profiler.rules.registry import register_rule as register_rule
from ulsam_cost.profiler.rules.registry import rule_of as rule_of
from ulsam_cost.profiler.rules.registry import shape_of as shape_of
from ulsam_cost.profiler.rules.registry import stored_elements as stored_elements
from ulsam_cost.profiler.rules.registry import tensors_of as tensors_of
from ulsam_cost.profiler.rules.sparse import SPARSE as SPARSE
