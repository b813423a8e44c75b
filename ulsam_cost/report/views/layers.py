"""The layers of a model, and where attention may stand among them."""

from collections.abc import Sequence
from typing import Any

from ulsam_cost.counting.layers import Layer
from ulsam_cost.report.formats import Column, Table, number, words

BESIDE = ".attention"  # how the path of a module before or after a convolution ends


def layer_records(layers: Sequence[Layer], *, attention: bool) -> list[dict[str, Any]]:
    """What `layers` prints as JSON; `layer` for networks of the project, `attention` where it is asked for."""
    return [
        {
            **({"layer": layer.layer} if layer.layer else {}),
            "path": layer.path,
            "class": layer.module_class,
            "output": None if layer.output is None else list(layer.output),
            "params": layer.params,
            "macs": layer.macs,
            "may_follow": layer.may_follow,
            "may_replace": layer.may_replace,
            "why_not": layer.why_not,
            **({"attention": list(layer.attention)} if attention else {}),
        }
        for layer in layers
    ]


def flat_table(layers: Sequence[Layer], *, attention: bool) -> Table:
    """The layers for programs: a column a key."""
    records = layer_records(layers, attention=attention)
    return Table(columns=tuple(words(key, key) for key in records[0]), records=records)


def places_table(layers: Sequence[Layer], *, attention: bool) -> Table:
    """The layers for people: their costs and what attention may do, or where it stands, if that is asked for."""
    shown = [
        {**record, "may": _may(layer), "stands": _stands(layer)}
        for layer, record in zip(layers, layer_records(layers, attention=attention), strict=True)
    ]
    columns: list[Column] = [number("layer", "layer", str)] if any(layer.layer for layer in layers) else []
    columns.append(words("path", "path"))
    if attention:
        columns += [number("output", "output", _shape), words("stands", "attention")]
    else:
        columns += [words("class", "class"), number("output", "output", _shape)]
        columns += [number("params", "params"), number("macs", "MACs"), words("may", "attention may")]
    return Table(columns=tuple(columns), records=shown)


def _stands(layer: Layer) -> str:
    """The paths of a layer's attention, from the layer on where they are inside it: {conv1,conv2}.attention."""
    paths = [path.removeprefix(f"{layer.path}.") for path in layer.attention]
    if len(paths) > 1 and all(path.endswith(BESIDE) for path in paths):
        return "{" + ",".join(path.removesuffix(BESIDE) for path in paths) + "}" + BESIDE
    return ", ".join(paths)


def _may(layer: Layer) -> str:
    if layer.may_follow:
        return "follow, replace" if layer.may_replace else "follow"
    return f"no: {layer.why_not}"


def _shape(sizes: Sequence[int] | None) -> str:
    return "" if sizes is None else "x".join(map(str, sizes))
