"""What a caller names and what it means: which attention stands where, set as the papers set it.

At the papers' places the options are the papers', where none are given: SE, CBAM and GC have biases there, BAM is
its authors' code, and each backbone has its reductions (DCANet, Section 4 and Table 4, as its cost columns count
them; AW-convolution, Section 4.1). At chosen positions they are the mechanism's own.
"""

from collections.abc import Mapping
from typing import Any

from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.formulas.attention import get_mechanism, mechanisms
from ulsam_cost.formulas.attention.mechanism import Places
from ulsam_cost.formulas.connections import aw, dca
from ulsam_cost.formulas.networks.spec import (
    AROUND,
    MIX,
    NO_ATTENTION,
    NO_POSITIONS,
    PAPERS_SITES,
    Network,
    NetworkSpec,
    chooses,
    may_stand_as,
    slots_of,
)
from ulsam_cost.placement import Placement, standings

DEFAULT_ATTENTION = "ulsam"
CONNECTION_OPTIONS = {"dca": dca.OPTIONS, "aw": aw.OPTIONS}
# what the AW mechanism and the AW connection call the same
AW_NAMES = {"reduction": "aw_reduction", "literal": "aw_literal"}
# what a mechanism that stands for a convolution takes over from it
CONVOLUTION_OPTIONS = {"unit": ("groups", "stride", "kernel", "activation"), "instead": ("stride",)}
BIASED = ("se", "cbam", "gc")
# (network, attention, connection) -> the options of the attention and those of the connection
PAPER_REDUCTIONS = {
    ("mv2", "se", ""): 8,
    ("mv2", "se", "dca"): 8,
    ("mv2", "cbam", ""): 8,
    ("mv2", "cbam", "dca"): 8,
    ("mv2", "sk", ""): 8,
    ("mv2", "sk", "dca"): 8,
    ("mnasnet1_0", "cbam", "dca"): 8,
}
PAPER_MATCHINGS = {("mnasnet1_0", "se"): 8, ("mv2", "se"): 8, ("mv2", "sk"): 8}


def settings(
    network: Network,
    *,
    placement: Placement,
    sites: str | None,
    attention: str | None,
    connection: str | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of a NetworkSpec that say which attention stands where.

    Raises:
        CostError: for a name, a place or an option that is not accepted.
    """
    if attention and MIX in attention:
        return _mixed(attention, placement=placement, sites=sites, connection=connection, options=options)
    given = {key: value for key, value in options.items() if value is not None}
    connection = _checked_connection(connection)
    attention = attention or (DEFAULT_ATTENTION if placement or sites else NO_ATTENTION)
    if attention == "aw" and not placement:
        connection, attention = _aw_as_connection(connection), NO_ATTENTION
        given = {AW_NAMES.get(key, key): value for key, value in given.items()}
    if attention == NO_ATTENTION:
        placement, sites, at_papers_places = NO_POSITIONS, "", False
    else:
        placement, sites, at_papers_places = _placed(network, attention, placement, sites, connection)
        attention = attention if placement or sites else NO_ATTENTION
    attends, connects = _routed(attention, connection, given)
    _require_connection_of(network, connection)
    if connection == "dca":
        dca.require_dca_options(attention, connects)
    elif connection == "aw":
        aw.require_aw_options(attention, connects)
    if at_papers_places:
        attends = _paper_attention(network.name, attention, connection) | attends
    if connection == "dca":
        connects = _paper_connection(network.name if sites else "", attention) | connects
    if sites:
        _refuse_convolution_options(attention, attends)
    return {
        "placement": placement,
        "sites": sites,
        "attention": attention,
        "attention_options": tuple(sorted(attends.items())),
        "connection": connection,
        "connection_options": tuple(sorted(connects.items())),
    }


def _mixed(
    attention: str, *, placement: Placement, sites: str | None, connection: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The same for a mechanism at each position, `ulsam,se`."""
    names, layers = [name.strip() for name in attention.split(MIX)], placement.layers
    chosen = [get_mechanism(name) for name in names]
    if sites or connection not in (None, "", "none"):
        raise CostError(
            f"attention {attention!r}: several mechanisms are accepted at positions only, without sites or connection"
        )
    if len(names) != len(layers):
        raise CostError(
            f"attention {attention!r} at positions {placement}: {len(names)} mechanisms and {len(layers)} positions; "
            f"one mechanism, or one for each position, is accepted"
        )
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if not any(mechanism.accepts(key) for mechanism in chosen):
            known = {option for mechanism in chosen for option in mechanism.options}
            raise UnknownNameError.among(f"option of {' or '.join(dict.fromkeys(names))}", key, known)
    return {
        "placement": placement,
        "attention": names[0] if len(set(names)) == 1 else MIX.join(names),
        "attention_options": tuple(sorted(given.items())),
    }


def _checked_connection(connection: str | None) -> str:
    if connection in (None, "", "none"):
        return ""
    if connection not in CONNECTION_OPTIONS:
        raise UnknownNameError.among("connection", str(connection), (*CONNECTION_OPTIONS, "none"))
    return str(connection)


def _require_connection_of(network: Network, connection: str) -> None:
    if connection and connection not in network.connections:
        raise CostError(f"connection {connection}: {network.name} takes {', '.join(network.connections) or 'none'}")


def _aw_as_connection(connection: str) -> str:
    if connection == "dca":
        raise CostError(f"connection dca is not defined for aw: accepted values are {', '.join(dca.MECHANISMS)}")
    return "aw"


def _placed(
    network: Network, attention: str, placement: Placement, sites: str | None, connection: str
) -> tuple[Placement, str, bool]:
    """Where attention stands: at positions, or at sites; and whether these are its paper's places."""
    places = get_mechanism(attention).places
    if placement:
        if sites:
            raise CostError(f"positions {placement} and sites {sites!r}: one of the two is accepted")
        return placement, "", False
    if sites:
        accepted = (*network.sites, PAPERS_SITES) if network.in_blocks else network.sites
        if sites not in accepted and not (network.in_blocks and not connection and may_stand_as(attention, sites)):
            raise UnknownNameError.among(f"sites of {network.name}", sites, accepted)
        return placement, sites, True
    if attention in network.by_positions:
        return placement, "", False
    if places.where == "layers":
        return _after_layers(network, places), "", True
    chosen = places.blocks is not None or places.where in AROUND
    if chosen and connection != "dca" and network.in_blocks:
        return placement, PAPERS_SITES, True
    return placement, "depthwise" if places.where == "unit" and "depthwise" in network.sites else network.sites[0], True


def _after_layers(network: Network, places: Places) -> Placement:
    """One module after each of the layers that its paper chooses."""
    standing = standings(slots_of(NetworkSpec(network=network.name)))
    chosen = [layer for layer, at in standing.items() if chooses(places, network.name, at)]
    return Placement(inserted=tuple((layer, 1) for layer in chosen))


def _routed(attention: str, connection: str, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the attention and those of the connection."""
    mechanism = None if attention == NO_ATTENTION else get_mechanism(attention)
    own = mechanism.options if mechanism else {}
    joining = CONNECTION_OPTIONS.get(connection, ())
    attends: dict[str, Any] = {}
    connects: dict[str, Any] = {}
    for key, value in given.items():
        if key in own:
            attends[key] = value
        elif key in joining:
            connects[key] = value
        elif mechanism and mechanism.accepts(key):
            attends[key] = value
        elif attention != NO_ATTENTION or connection:
            owner = " or ".join(name for name in (attention, connection) if name and name != NO_ATTENTION)
            raise UnknownNameError.among(f"option of {owner}", key, (*own, *joining))
        else:
            _require_known(key)
    return attends, connects


def _require_known(key: str) -> None:
    """An option of some mechanism or connection says nothing about a plain network; any other is a mistake."""
    known = {name for mechanism in mechanisms() for name in mechanism.options}
    known.update(name for names in CONNECTION_OPTIONS.values() for name in names)
    if key not in known:
        raise UnknownNameError.among("option", key, known)


def _paper_attention(network: str, attention: str, connection: str) -> dict[str, Any]:
    options: dict[str, Any] = {"bias": True} if attention in BIASED else {}
    if attention != NO_ATTENTION:
        options |= get_mechanism(attention).places.options
    reduction = PAPER_REDUCTIONS.get((network, attention, connection))
    return options if reduction is None else {**options, "reduction": reduction}


def _paper_connection(network: str, attention: str) -> dict[str, Any]:
    reduction = PAPER_MATCHINGS.get((network, attention))
    if reduction is not None:
        return {"matching": 2, "matching_reduction": reduction}
    return {"matching": 2 if attention == "gc" else 1}


def _refuse_convolution_options(attention: str, options: dict[str, Any]) -> None:
    for key in CONVOLUTION_OPTIONS.get(get_mechanism(attention).places.where, ()):
        if key in options:
            raise CostError(
                f"{key} = {options[key]!r}: {attention} takes the {key} of the convolution that it replaces, "
                f"and the option is not accepted"
            )
