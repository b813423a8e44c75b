"""Compare printed numbers with computed ones: which reading gives a number, and how exactly.

A printed number can be computed in more than one honest way; each way is a `Reading`, and the order of
`READINGS` is the order in which they are tried, strictest first. The printed digits decide: there is no tolerance.
A number that no reading reproduces is explained, by an entry of `explanations.toml` whose evidence holds, or it
stands as unexplained.
"""

from ulsam_cost.audit.finding import DIGIT_VERDICTS as DIGIT_VERDICTS
from ulsam_cost.audit.finding import EXACT_VERDICTS as EXACT_VERDICTS
from ulsam_cost.audit.finding import CellOrClaim as CellOrClaim
from ulsam_cost.audit.finding import Computed as Computed
from ulsam_cost.audit.finding import Finding as Finding
from ulsam_cost.audit.finding import Reading as Reading
from ulsam_cost.audit.finding import Verdict as Verdict
from ulsam_cost.audit.judging import check_cell as check_cell
from ulsam_cost.audit.judging import compute_cell as compute_cell
from ulsam_cost.audit.judging import explained as explained
from ulsam_cost.audit.judging import judge as judge
from ulsam_cost.audit.judging import meets as meets
from ulsam_cost.audit.registry import READINGS as READINGS
from ulsam_cost.audit.registry import register_reading as register_reading
