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


def flat_table(records: Sequence[dict[str, Any]]) -> Table:
    """The layers for programs: a column a key."""
    return Table(columns=tuple(words(key, key) for key in records[0]), records=records)


def places_table(records: Sequence[dict[str, Any]]) -> Table:
    """The layers for people: their costs and what attention may do, or where it stands, if that is asked for."""
    stands = any("attention" in record for record in records)
    shown = [{**record, "may": _may(record), "stands": _stands(record)} for record in records]
    columns: list[Column] = [number("layer", "layer", str)] if "layer" in records[0] else []
    columns.append(words("path", "path"))
    if stands:
        columns += [number("output", "output", _shape), words("stands", "attention")]
    else:
        columns += [words("class", "class"), number("output", "output", _shape)]
        columns += [number("params", "params"), number("macs", "MACs"), words("may", "attention may")]
    return Table(columns=tuple(columns), records=shown)


def _stands(record: dict[str, Any]) -> str:
    """The paths of a layer's attention, from the layer on where they are inside it: {conv1,conv2}.attention."""
    paths = [path.removeprefix(f"{record['path']}.") for path in record.get("attention", ())]
    if len(paths) > 1 and all(path.endswith(BESIDE) for path in paths):
        return "{" + ",".join(path.removesuffix(BESIDE) for path in paths) + "}" + BESIDE
    return ", ".join(paths)


def _may(record: dict[str, Any]) -> str:
    if record["may_follow"]:
        return "follow, replace" if record["may_replace"] else "follow"
    return f"no: {record['why_not']}"


def _shape(sizes: Sequence[int] | None) -> str:
    return "" if sizes is None else "x".join(map(str, sizes))
