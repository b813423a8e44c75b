"""The fast path: common functions answered from the shapes of their operands, without running them.

An entry says what a function gives, and by which rule it is recorded: the dispatcher's own. Where it does not know the
result for certain, or whether there is one, it gives None, or raises TypeError, and the function runs on the meta
device like any other: an error in the user's model is torch's own.
"""

from ulsam_cost.counting.fast.results import Made as Made
from ulsam_cost.counting.fast.table import FAST as FAST
from ulsam_cost.counting.fast.table import Fast as Fast
