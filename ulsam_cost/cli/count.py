"""`ulsam-cost count`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ulsam_cost.cli.options import POSITIVE, format_option, input_option, options
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.errors import CostError
from ulsam_cost.report.formats import prose, render

if TYPE_CHECKING:
    from ulsam_cost.counting.calls import Calls
    from ulsam_cost.counting.count import Count
    from ulsam_cost.counting.loaded import LoadedModel
    from ulsam_cost.peers import PeerNumber
    from ulsam_cost.report.formats import Table

# What a model says that does not run, and the option that may help.
_WAYS = {
    r"(same|mixed) dtype|\bBF16\b|\bHalf\b|b?float16": (
        "--dtype float32, float16 or bfloat16 counts a copy in that data type"
    ),
    r"'?indices'? .*(Long|int64)": "--input 1x64:int64=ones gives whole numbers, such as token ids",
    r"must specify|both decoder_input_ids|missing \d+ required": (
        "--input mask=1x64:int64=ones gives an input by its name"
    ),
}


@data_command("count")
@click.argument("model")
@options(
    input_option(),
    click.option(
        "--dtype",
        type=click.Choice(("float32", "float16", "bfloat16")),
        help="Count a copy whose parameters, buffers and inputs of floating-point numbers are of this data type.",
    ),
    click.option("--depth", type=POSITIVE, default=2, show_default=True, help="Depth of the module tree."),
    click.option(
        "--by",
        type=click.Choice(("module", "call", "kind", "operator")),
        default="module",
        show_default=True,
        help="How the rows are grouped.",
    ),
    click.option("--train", is_flag=True, help="Count the forward and the backward pass, not only the forward pass."),
    click.option(
        "--peers", is_flag=True, help="Run the installed tools on copies of the model, and explain the differences."
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Exit with status 1 if an operation that looks like a matrix product is not counted.",
    ),
    click.option(
        "--figure", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG that shows where the cost is."
    ),
    format_option,
)
def command(
    model: str,
    inputs: tuple[str, ...],
    dtype: str | None,
    depth: int,
    by: str,
    train: bool,
    peers: bool,
    strict: bool,
    figure: Path | None,
    style_of_output: str,
) -> int:
    """What any model costs: its MACs, parameters and activations, and its number under each convention.

    MODEL is a network's name with its options in one string, FILE.py:NAME or package.module:NAME, where NAME is an
    nn.Module, or a callable without arguments that gives one or a pair of it and its example inputs; or FILE.onnx,
    whose nodes are counted, with --input where the file leaves sizes open.
    """
    from ulsam_cost.counting.loaded import count_loaded
    from ulsam_cost.counting.loading import load_model, load_to_count
    from ulsam_cost.counting.modules import call_costs, module_costs
    from ulsam_cost.peers import peer_numbers
    from ulsam_cost.report.files import require_file, write_file
    from ulsam_cost.report.views import count

    if train and peers:
        raise CostError("--peers or --train is accepted, not both: the other tools count a forward pass")
    if train and by == "call":
        raise CostError("--by call or --train is accepted, not both: a backward pass has no calls of modules")
    if figure is not None:
        require_file(figure)
    # a file has no module that could run
    runs, device = peers or by == "call", "cpu" if peers else "meta"
    module = load_model(model, inputs=inputs, device=device, dtype=dtype) if runs else None
    loaded = module or load_to_count(model, inputs=inputs, dtype=dtype)
    with _way_out(dtype):
        calls = _calls(module) if module and by == "call" else None
        counted = calls.counted if calls else count_loaded(loaded, train=train)
    modules = module_costs(loaded.classes, counted, depth)
    record = count.count_record(loaded, counted, modules)
    if by == "module":
        rows = (count.flat_table if style_of_output == "csv" else count.tree_table)(modules)
    elif calls:
        called = call_costs(loaded.classes, calls, depth)
        record["calls"], rows = [call._asdict() for call in called], count.call_table(called)
    else:
        rows = count.group_table(counted, by)
    numbers = peer_numbers(module.model, module.inputs, counted.cost) if module and peers else []
    if figure is not None:
        from ulsam_cost.report.figures.count import count_figure

        write_file(figure, count_figure(loaded.name, counted, modules))
    _print(rows, record, counted, numbers, style_of_output, by_module=by == "module")
    if strict and not counted.complete:
        say(f"the count is incomplete: {counted.left_out()}")
        return 1
    return 0


@contextmanager
def _way_out(dtype: str | None) -> Iterator[None]:
    """Name what may help with what a model raises."""
    try:
        yield
    except CostError as error:
        found = [way for said, way in _WAYS.items() if re.search(said, str(error), re.IGNORECASE)]
        if not found or (dtype and "--dtype" in found[0]):
            raise
        raise CostError(f"{error}; {found[0]}") from error


def _calls(loaded: "LoadedModel") -> "Calls":
    from ulsam_cost.counting.calls import count_calls
    from ulsam_cost.counting.loaded import in_a_sentence

    with in_a_sentence(loaded.name):
        return count_calls(loaded.model, loaded.inputs)


def _print(
    rows: "Table", record: dict[str, Any], counted: "Count", numbers: "list[PeerNumber]", style: str, *, by_module: bool
) -> None:
    from ulsam_cost.report.views import count

    if style == "json":
        peers = {"peers": list(count.peers_table(numbers, counted).records)} if numbers else {}
        echo(render(rows, style, record | peers))
        return
    if style == "csv":
        echo(render(count.peers_table(numbers, counted) if numbers else rows, style))
        return
    parts = [count.head_lines(record)] if style == "table" else []
    parts += [render(rows, style)]
    if record["different_shapes"] and by_module:
        parts += [prose(count.different_shapes_sentence(record["different_shapes"]), style)]
    parts += [render(count.totals_table(record), style)]
    if numbers:
        parts += [render(count.peers_table(numbers, counted), style)]
        parts += [prose(count.peers_text(numbers, counted), style)]
    if record["uncounted"]:
        parts += ["Not counted:", render(count.uncounted_table(counted.uncounted), style)]
        parts += [prose(advice, style) for advice in [count.uncounted_advice(counted.uncounted)] if advice]
    echo("\n\n".join(parts))
