"""AW: convolutions of the backbone whose weights are attended.

Source: Zhu et al., ICANN 2021, Section 3.4.
"""

from typing import Any

from ulsam_cost.errors import CostError, require_size
from ulsam_cost.formulas.attention.mechanism import hidden_width

OPTIONS = ("aw_reduction", "aw_literal")


def require_aw_options(attention: str, options: dict[str, Any]) -> None:
    """Refuse an attention that wants the same place, and options that the connection does not have.

    Raises:
        CostError: with what is accepted.
    """
    if attention == "sk":
        raise CostError("connection aw with sk: both replace the same convolution, and only one of them is accepted")
    require_size("aw_reduction", options.get("aw_reduction", 1))


def aw_sizes(out_channels: int, aw_reduction: int = 16, aw_literal: bool = False) -> dict[str, Any]:
    """What an AW-convolution has beside a plain one: a hidden width of floor(out / r), and its form.

    The paper gives r alone; measured from the output channels it gives the printed parameters of ResNet50 and
    MobileNet.
    """
    return {"hidden": hidden_width(out_channels, aw_reduction), "literal": aw_literal}
