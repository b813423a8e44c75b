"""`ulsam-cost search`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ulsam_cost.cli.mechanisms import chosen_mechanisms
from ulsam_cost.cli.options import POSITIVE, SIZE, Listed, format_option, options, progress_bar, show
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks.text import options_from_text, read_option
from ulsam_cost.user_code import names_code

if TYPE_CHECKING:
    from ulsam_cost.counting.loading import Inserted
    from ulsam_cost.searching.search import Answer, SearchResult
    from ulsam_cost.searching.space import PlacedModel

_SPAN = re.compile(r"([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?", re.ASCII)


class Layers(click.ParamType):  # type: ignore[type-arg]
    """Layers by number: `8-17`, or `8,11,13-17`."""

    name = "LAYERS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read them, each once, or say what is accepted."""
        if isinstance(value, tuple):
            return value
        found: dict[int, None] = {}
        for part in str(value).split(","):
            match = _SPAN.fullmatch(part.strip())
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if first > last:
                self.fail(f"{part.strip()!r} is neither a layer nor a range of layers: 8-17 or 8,11,13-17 is accepted")
            found |= dict.fromkeys(range(first, last + 1))
        return tuple(found)


@data_command("search")
@click.argument("network")
@options(
    click.option("--attention", default="ulsam", show_default=True, help="Mechanisms or groups of them: ulsam,se."),
    click.option("--mix", is_flag=True, help="Let each layer choose its own mechanism."),
    click.option("--budget", help="The most that a placement may cost: macs=240M,params=3M."),
    click.option(
        "--minimise",
        default="macs,params",
        show_default=True,
        help="Metrics of the front: macs, params, activations, traffic.",
    ),
    click.option(
        "--layers",
        help="Layers that may be replaced or followed: 8-17; of a MODEL, paths or patterns: layers.*.  [default: all]",
    ),
    click.option("--widths", type=Listed(click.FLOAT), help="Width multipliers: 0.75,1.0.  [default: 1]"),
    click.option("--resolutions", type=Listed(SIZE), help="Input sizes: 192,224 or 192x160.  [default: 224]"),
    click.option(
        "--option", "extra", multiple=True, metavar="NAME=VALUE", help="Option of the mechanisms that have it."
    ),
    click.option(
        "--most", type=POSITIVE, default=20, show_default=True, help="Placements of the front to show and count."
    ),
    click.option("--measure", type=POSITIVE, metavar="N", help="Time the first N of the front against the plain one."),
    click.option("--device", default="auto", show_default=True, help="Where latency is measured: auto, cpu or cuda."),
    click.option("--repeats", type=POSITIVE, default=30, show_default=True, help="Number of pairs of runs."),
    click.option("--picture", type=click.Path(path_type=Path), help="Write a PNG of all costs and the front."),
    format_option,
)
def command(
    network: str,
    attention: str,
    mix: bool,
    budget: str | None,
    minimise: str,
    layers: str | None,
    widths: tuple[float, ...] | None,
    resolutions: tuple[tuple[int, int], ...] | None,
    extra: tuple[str, ...],
    most: int,
    measure: int | None,
    device: str,
    repeats: int,
    picture: Path | None,
    style_of_output: str,
) -> int:
    """Find the placements of attention that keep a budget and cost least, out of all of them.

    Each layer is left alone, replaced, or followed by one or two modules. The placements shown are the Pareto front
    of the minimised metrics; the front is exact, and so are the counts. NETWORK is a network's name, alone or with its
    options, as in "resnet50 --classes 100", or a MODEL, FILE.py:NAME, whose places --layers names: each is counted
    once.

    Metrics are macs, params, activations (elements written by convolutions and matrix products) and traffic (elements
    read and written). Only costs are computed: an accuracy is one that a paper printed for that placement.

    Exits with status 1 if nothing keeps the budget, and names the nearest placement.
    """
    from ulsam_cost.report.views import search as view
    from ulsam_cost.searching.budget import parse_budget
    from ulsam_cost.searching.search import search

    if picture is not None:
        _require_picture(picture, minimise)
    if measure is not None:
        from ulsam_cost.measuring.device import resolve_device

        resolve_device(device)
    name, given = options_from_text(network)
    if names_code(name):
        name, given = network, {}
    result = search(
        name,
        attention=[mechanism.name for mechanism in chosen_mechanisms(attention)],
        mix=mix,
        budget=parse_budget(budget) if budget is not None else None,
        minimise=minimise.split(","),
        layers=None if layers is None else _layers(layers, name),
        **_sizes(given, widths, resolutions),
        **_merged(network, given, dict(map(read_option, extra))),
    )
    record = result.to_dict()
    rows = record["front"]
    own = dict(result.branches[0].options)
    _count(result.front[:most], rows, own)
    if measure is not None:
        _measure(result.front[:measure], rows, own, device, repeats)
    if picture is not None and result.front:
        from ulsam_cost.report.figures.search import search_figure
        from ulsam_cost.report.files import write_file

        write_file(picture, search_figure(result))
    if not result.front:
        if style_of_output == "json":
            show(view.front_table(result, rows), style_of_output, record)
        say(f"Error: {view.nothing_found(result)}")
        return 1
    _show(result, record, most, style_of_output)
    return 0


def _layers(text: str, network: str) -> tuple[int, ...] | tuple[str, ...]:
    """The layers of a network by number, or the submodules of a MODEL by path or pattern."""
    if names_code(network.partition(" --")[0]):
        from ulsam_cost.nn.patterns import split_paths

        return split_paths(text)
    option = next(each for each in command.params if each.name == "layers")
    return Layers().convert(text, option, None)


def _show(result: "SearchResult", record: dict[str, Any], most: int, style: str) -> None:
    from ulsam_cost.report.views import search as view

    rows = record["front"] if style in ("json", "csv") else record["front"][:most]
    if style == "table":
        echo(view.summary(result, len(rows)) + "\n")
    show(view.front_table(result, rows), style, record, notes=view.notes(result))


def _require_picture(picture: Path, minimise: str) -> None:
    from ulsam_cost.report.files import require_file

    if "," not in minimise:
        raise CostError(f"--picture with --minimise {minimise}: two metrics or more are accepted")
    require_file(picture)


def _sizes(
    given: dict[str, Any], widths: tuple[float, ...] | None, resolutions: tuple[tuple[int, int], ...] | None
) -> dict[str, Any]:
    """Widths and resolutions, each as an option or, one alone, beside the network's name."""
    sizes = {}
    for name, several in (("width", widths), ("resolution", resolutions)):
        if name in given and several is not None:
            raise CostError(f"{name} is given beside the network and as --{name}s: one of the two is accepted")
        if name in given or several is not None:
            sizes[f"{name}s"] = (given.pop(name),) if several is None else several
    return sizes


def _merged(network: str, given: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    for name in ("attention", "positions", "sites", "connection"):
        if name in given:
            raise CostError(f"{name} in {network!r}: the search chooses it; --attention says from which mechanisms")
    if twice := set(given) & set(extra):
        raise CostError(f"{min(twice)} is given in {network!r} and as an option: one of the two is accepted")
    return given | extra


def _placed(spec: "PlacedModel", options: dict[str, Any], *, device: str = "meta") -> "Inserted":
    """A user's model with a placement, and without."""
    from ulsam_cost.counting.loading import Inserted, load_model
    from ulsam_cost.counting.places import with_attention
    from ulsam_cost.formulas.networks.text import Insertion

    plain = load_model(spec.network, device=device)
    taken = [(path, choice.mechanism, choice.count) for path, choice in spec.taken]
    insertion = Insertion(
        attention=spec.attention,
        after=",".join(path for path, choice in spec.taken if choice.count),
        replace=",".join(path for path, choice in spec.taken if not choice.count),
        options=tuple(options.items()),
    )
    return Inserted(insertion=insertion, plain=plain, changed=with_attention(plain, taken, options))


def _count(answers: "tuple[Answer, ...]", rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """Derive the placements again as networks, where they can be, and count the real ones; `counted` says which were.

    Raises:
        CostError: if a number differs, with both.
    """
    from ulsam_cost.counting.loaded import count_loaded
    from ulsam_cost.counting.networks import count_network
    from ulsam_cost.formulas.networks import layers_cost, network_layers
    from ulsam_cost.searching.budget import METRICS, metrics_of
    from ulsam_cost.searching.space import PlacedModel

    for row in rows:
        row["counted"] = False
    for answer, row in zip(answers, rows, strict=False):
        spec = answer.spec
        if isinstance(spec, PlacedModel):
            ways = {"counted": count_loaded(_placed(spec, options).changed).cost}
        else:
            ways = {} if spec.underived else {"derived": layers_cost(network_layers(spec))}
            ways["counted"] = count_network(spec).cost
        for way, cost in ways.items():
            for name, value in zip(METRICS, metrics_of(cost), strict=True):
                if value != answer.costs[name]:
                    raise CostError(f"{way} {name} {value:,} differ from those of the search, {answer.costs[name]:,}")
        row["counted"] = True


def _measure(
    answers: "tuple[Answer, ...]", rows: list[dict[str, Any]], options: dict[str, Any], device: str, repeats: int
) -> None:
    """Set the latency of placements against the plain network of their size into their rows."""
    from ulsam_cost.measuring.networks import measure_against_plain
    from ulsam_cost.searching.space import PlacedModel

    for row in rows:
        row["latency"] = None
    with progress_bar("Measuring") as progress:
        for place, (answer, row) in enumerate(zip(answers, rows, strict=False)):
            if answer.spec.is_plain:
                continue

            def heard(share: float, place: int = place) -> None:
                progress((place + share) / len(answers))

            spec = answer.spec
            subject = _placed(spec, options, device="cpu") if isinstance(spec, PlacedModel) else spec
            row["latency"] = measure_against_plain(subject, device=device, repeats=repeats, progress=heard).to_dict()
