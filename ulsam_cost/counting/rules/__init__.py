"""What each operation does: its kind, its MACs, what it reads.

A rule is called after the operation, with what went in and what came out, and records what it did; the
result's shape stands beside every product. An operation is ruled here, declared free here, or reported
as uncounted: none is zero by default.
"""

from ulsam_cost.counting.rules import attention as attention
from ulsam_cost.counting.rules import backward as backward
from ulsam_cost.counting.rules import elements as elements
from ulsam_cost.counting.rules import fourier as fourier
from ulsam_cost.counting.rules import linalg as linalg
from ulsam_cost.counting.rules import products as products
from ulsam_cost.counting.rules import quantized as quantized
from ulsam_cost.counting.rules import vision as vision
from ulsam_cost.counting.rules.free import FREE as FREE
from ulsam_cost.counting.rules.free import VIEWS as VIEWS
from ulsam_cost.counting.rules.lookup import rule_of as rule_of
from ulsam_cost.counting.rules.registry import RULES as RULES
from ulsam_cost.counting.rules.registry import Record as Record
from ulsam_cost.counting.rules.registry import Rule as Rule
from ulsam_cost.counting.rules.registry import name_of as name_of
from ulsam_cost.counting.rules.registry import operands_of as operands_of
from ulsam_cost.counting.rules.registry import register_rule as register_rule
from ulsam_cost.counting.rules.sparse import SPARSE as SPARSE
