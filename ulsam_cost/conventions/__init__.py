"""Named counting rules, as data: what each tool and each paper calls "FLOPs"."""

# isort: off
# The order in which they are listed: plain ones, then the tools', then the papers'.
from ulsam_cost.conventions import plain as plain
from ulsam_cost.conventions import strict as strict
from ulsam_cost.conventions import tools as tools
from ulsam_cost.conventions import older_thop as older_thop
from ulsam_cost.conventions import papers as papers

# isort: on
from ulsam_cost.conventions.registry import CONVENTIONS as CONVENTIONS
from ulsam_cost.conventions.registry import Convention as Convention
from ulsam_cost.conventions.registry import get_convention as get_convention
from ulsam_cost.conventions.registry import register as register
