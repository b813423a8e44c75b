"""The attention modules of a network, site by site, and how they are run."""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.connections.aw import aw_sizes
from ulsam_cost.formulas.networks.sites import Site, link_at, options_at, sites
from ulsam_cost.formulas.networks.spec import NetworkSpec
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.aw import AWConv2d
from ulsam_cost.nn.attention.user import require_same_shape
from ulsam_cost.nn.connections.dca import CONNECTED, Passed
from ulsam_cost.placement import Step


class AttentionModules:
    """Builds a network's attention, site by site."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec, self._sites = spec, sites(spec)
        self._checked: set[tuple[int, ...]] = set()

    def after(self, label: str) -> nn.Module | None:
        """The attention that follows at a site; None where none does."""
        site = self._sites.get(label)
        return None if site is None or site.in_place else self._build(label)

    def instead(self, label: str, **convolution: Any) -> nn.Module | None:
        """The mechanism that stands in place of a convolution, norm and activation; None where none does."""
        site = self._sites.get(label)
        return None if site is None or not site.in_place else self._build(label, **convolution)

    def layer(self, step: Step) -> nn.Module:
        """The attention that is a layer of its own."""
        return self._build(step.label)

    def _build(self, label: str, **convolution: Any) -> nn.Module:
        spec, site = self._spec.at(label), self._sites[label]
        options = {**options_at(spec, site), **convolution}
        if get_mechanism(spec.attention).code is not None:
            return self._readers(spec, site, options)
        if spec.connection != "dca":
            return build_attention(spec.attention, site.channels, **options)
        link = link_at(spec, site, groups=convolution.get("groups", 1))
        return CONNECTED[spec.attention](site.channels, link, **options)

    def _readers(self, spec: NetworkSpec, site: Site, options: dict[str, Any]) -> nn.Module:
        shape = (spec.batch, site.channels, *site.map_size(spec.resolution))
        if shape not in self._checked:
            self._checked.add(shape)
            require_same_shape(get_mechanism(spec.attention), shape, **options)
        return build_attention(spec.attention, site.channels, **options)


def put_at_convolutions(model: nn.Module, spec: NetworkSpec) -> None:
    """Put the attention that stands at convolutions into a network: before each, after it or instead of it."""
    for site in sites(spec).values():
        if not site.side:
            continue
        options = options_at(spec, site)
        shape = (spec.batch, site.channels, *site.map_size(spec.resolution))
        require_same_shape(get_mechanism(spec.attention), shape, **options)
        if site.side == "instead":
            attention = build_attention(spec.attention, site.channels, **options, stride=site.shrinks)
            model.set_submodule(site.convolution, attention)
            continue
        parts = [
            ("attention", build_attention(spec.attention, site.channels, **options)),
            ("conv", model.get_submodule(site.convolution)),
        ]
        if site.side == "after":
            parts.reverse()
        model.set_submodule(site.convolution, nn.Sequential(OrderedDict(parts)))


def dense_conv(spec: NetworkSpec, in_channels: int, out_channels: int, kernel: int, **sizes: Any) -> nn.Conv2d:
    """A convolution that is an AW-convolution under the connection of that name."""
    if spec.connection != "aw":
        return nn.Conv2d(in_channels, out_channels, kernel, **sizes)
    attended = aw_sizes(out_channels, **dict(spec.connection_options))
    return AWConv2d(in_channels, out_channels, kernel, **sizes, **attended)


def is_connected(module: nn.Module | None) -> bool:
    """Whether a module takes what the attention before it passes on, and gives what it passes on itself."""
    return module is not None and bool(vars(module).get("connected", getattr(type(module), "connected", False)))


def holds_connected(module: nn.Module) -> bool:
    """Whether this module, or one in a Sequential, is connected; a block says so for all that stands in it."""
    if not isinstance(module, nn.Sequential):
        return is_connected(module)
    for part in module:  # noqa: SIM110  each forward of each block asks, and a loop is quicker
        if holds_connected(part):
            return True
    return False


def attend(attention: nn.Module | None, x: Tensor, passed: Passed) -> tuple[Tensor, Passed]:
    """A block's attention on the map x, connected or not; without any, x as it is."""
    if attention is None:
        return x, passed
    return attention(x, passed) if is_connected(attention) else (attention(x), passed)


def run(module: nn.Module, x: Tensor) -> Tensor:
    """A network's body, in which what a connected module passes on is handed to the next."""
    return run_one(module, x, None)[0]


def run_one(module: nn.Module, x: Tensor, passed: Passed) -> tuple[Tensor, Passed]:
    """A module, or those of a Sequential in which one is connected."""
    if is_connected(module):
        return module(x, passed)  # type: ignore[no-any-return]
    if isinstance(module, nn.Sequential) and holds_connected(module):
        for part in module:
            x, passed = run_one(part, x, passed)
        return x, passed
    return module(x), passed
