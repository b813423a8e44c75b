"""The attention mechanisms: what each one prints about itself and what it costs.

One file a mechanism, and one line of `REGISTERED`: the commands' choices, the tables, the tests and the
report follow from it. `ulsam_cost.nn.attention` has a module of the same name in a file of the same name.
A user's mechanism is named by its code, `FILE.py:NAME`, wherever a name is accepted, and is never registered.
"""

from importlib import import_module
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, UnknownNameError, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.formulas.attention.user import user_mechanism
from ulsam_cost.user_code import names_code

REGISTERED = (
    "non_local",
    "a2",
    "se",
    "bam",
    "cbam",
    "ulsam",
    "aw",
    "ge",
    "gc",
    "sk",
    "eca",
    "coord",
    "triplet",
    "simam",
    "sge",
    "shuffle",
    "ema",
    "gct",
    "nam",
    "gam",
    "psa",
    "splat",
    "mhsa",
    "strip",
    "ela",
    "lsk",
    "fca",
)
CODE = "FILE.py:NAME"


def get_mechanism(name: str) -> Mechanism:
    """The mechanism of that name, or of the user's code that `FILE.py:NAME` or `package.module:NAME` names.

    Raises:
        UnknownNameError: with the nearest name.
        CostError: for code that does not import, or that makes no module from a number of channels.
    """
    if names_code(name):
        return user_mechanism(name)
    if name not in REGISTERED:
        raise UnknownNameError.among("attention mechanism", name, [*REGISTERED, CODE])
    mechanism: Mechanism = import_module(f"{__name__}.{name}").MECHANISM
    return mechanism


def mechanisms() -> tuple[Mechanism, ...]:
    """Every registered mechanism, in the order of Table 1."""
    return tuple(map(get_mechanism, REGISTERED))


def attention_cost(name: str, *, channels: Any, height: Any, width: Any, batch: Any = 1, **options: Any) -> Cost:
    """The exact cost of a mechanism on a map [batch, channels, height, width].

    Sizes are ints, integer NumPy arrays or sympy symbols.

    Args:
        name: a registered mechanism.
        channels: channels m of the map.
        height: its height h.
        width: its width w.
        batch: maps n.
        **options: the mechanism's own, as its docstring lists them; None stands for the default.

    Raises:
        UnknownNameError: for a mechanism or an option that does not exist.
        SizeError: for sizes that the mechanism cannot take.
        CostError: for a user's own mechanism, which has no closed form.

    Example:
        >>> import ulsam_cost as uc
        >>> cost = uc.attention_cost("se", channels=512, height=14, width=14, reduction=16)
        >>> cost.macs == 2 * 512 * 512 // 16
        True
    """
    mechanism = get_mechanism(name)
    given = mechanism.chosen(options)
    if mechanism.cost is None:
        raise CostError(f"{name} has no closed form: it is counted, and a registered mechanism is derived")
    return mechanism.cost(
        channels=require_size("channels", channels),
        height=require_size("height", height),
        width=require_size("width", width),
        batch=require_size("batch", batch),
        **given,
    )
