"""The page of the catalogue: what every mechanism costs on two maps, and what each tool sees of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ulsam_cost.conventions.strict import STRICT
from ulsam_cost.conventions.tools import CALFLOPS, FVCORE, PTFLOPS, THOP, TORCH, TORCHINFO, TORCHPROFILE
from ulsam_cost.cost import PRODUCT_KINDS, Cost, OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import attention_cost, mechanisms
from ulsam_cost.formulas.attention.mechanism import GROUPS, Mechanism
from ulsam_cost.report.document.model import Bullets, Grid, Link, Page, Paragraph, Picture, Section, Strong, Text
from ulsam_cost.report.figures.catalogue import Bar, catalogue_figure
from ulsam_cost.report.formats import Table, fixed, known, number, words
from ulsam_cost.report.site.study import MechanismTimes
from ulsam_cost.report.site.times import rank_correlation

MAPS = ((512, 14, 14), (64, 56, 56))
TOOLS = (FVCORE, THOP, TORCH, PTFLOPS, TORCHINFO, TORCHPROFILE, CALFLOPS)
OTHER_KINDS = tuple(kind for kind in OpKind if kind not in PRODUCT_KINDS and kind is not OpKind.UNUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A mechanism on a map: its cost, that of the convolution that it replaces, or why it cannot stand there."""

    mechanism: Mechanism
    elements: int
    cost: Cost
    replaced: Cost
    refused: str = ""

    @property
    def name(self) -> str:
        """The mechanism's name."""
        return self.mechanism.name

    @property
    def passes(self) -> float:
        """The elements that it reads and writes, as a multiple of the map's."""
        return (self.cost.reads + self.cost.writes) / self.elements


def entries(channels: int, height: int, width: int) -> list[Entry]:
    """Every mechanism on a map, with its defaults."""
    sizes = {"channels": channels, "height": height, "width": width}
    found = []
    for mechanism in mechanisms():
        refused, cost, replaced = "", Cost(), Cost()
        try:
            cost = attention_cost(mechanism.name, **sizes)
            replaced = mechanism.replaces(**sizes) if mechanism.replaces else replaced
        except CostError as error:
            refused = str(error)
        elements = channels * height * width
        found.append(Entry(mechanism=mechanism, elements=elements, cost=cost, replaced=replaced, refused=refused))
    return found


def map_words(channels: int, height: int, width: int) -> str:
    """A map as the page writes it."""
    return f"{channels} x {height} x {width}"


def picture_name(channels: int, height: int, width: int) -> str:
    """The file of a map's picture."""
    return f"catalogue_{channels}x{height}x{width}.png"


def catalogue_pictures() -> dict[str, bytes]:
    """A picture for each map."""
    return {
        picture_name(*size): catalogue_figure(
            [Bar(e.name, e.mechanism.group, e.cost.macs, e.passes) for e in entries(*size) if not e.refused],
            f"The mechanisms on {map_words(*size)}",
        )
        for size in MAPS
    }


def catalogue_page(timed: Sequence[MechanismTimes] = ()) -> Page:
    """Findings first, then each map: costs, the rest by kind, what the tools see."""
    on_maps = {size: entries(*size) for size in MAPS}
    return Page(
        "catalogue.md",
        "The catalogue: what each attention mechanism costs",
        (
            Paragraph(
                "The cost of every mechanism with its default settings, derived from closed forms; the tests compare "
                "each with the real module, operation by operation. Reads and writes are numbers of elements, as if "
                "every operation were a kernel of its own that reads each operand once and writes its result once."
            ),
            Bullets(tuple((Strong(name), f": {said}.") for name, said in GROUPS.items())),
        ),
        (
            *(_section(size, own, timed if size == MAPS[0] else ()) for size, own in on_maps.items()),
            Section("Where the papers place them", (Grid(_places_table()),)),
        ),
        verdict=tuple(_findings(on_maps, timed)),
        picture=_picture(MAPS[0]),
    )


def _findings(on_maps: Mapping[tuple[int, int, int], list[Entry]], timed: Sequence[MechanismTimes]) -> list[Text]:
    first, own = next((map_words(*size), [e for e in found if not e.refused]) for size, found in on_maps.items())
    free = sorted((entry for entry in own if not entry.cost.macs), key=lambda entry: entry.passes)
    few = [entry for entry in own if 0 < entry.cost.macs < entry.elements]
    return [
        (
            Strong(f"{len(free)} of {len(own)} mechanisms have no MACs on {first}, but none of them is free"),
            f": {', '.join(entry.name for entry in free)} read and write {free[0].passes:.1f} to "
            f"{free[-1].passes:.1f} times as many elements as the map has.",
        ),
        f"{len(few)} more have less than one MAC per element of the map ({', '.join(entry.name for entry in few)}), "
        f"and read and write {min(e.passes for e in few):.1f} to {max(e.passes for e in few):.1f} times its elements.",
        _unseen(own, first),
        _extremes(own, first),
        *(_timed_sentence(times, own, first) for times in timed),
        *(
            f"Not possible on {map_words(*size)}: {', '.join(entry.name for entry in found if entry.refused)}."
            for size, found in on_maps.items()
            if any(entry.refused for entry in found)
        ),
        (
            "How much attention slows networks down on GPUs: see ",
            Link("published times", "published_times.md"),
            ".",
        ),
    ]


def _unseen(own: Sequence[Entry], where: str) -> Text:
    """How many mechanisms each tool reports 0 for."""
    zeros = {tool.name: sum(tool.number(entry.cost) == 0 for entry in own) for tool in TOOLS}
    return (
        Strong(f"Tools report 0 for up to {max(zeros.values())} of {len(own)} mechanisms"),
        f" on {where}: " + ", ".join(f"{name} for {count}" for name, count in zeros.items()) + ".",
    )


def _extremes(own: Sequence[Entry], where: str) -> Text:
    beside = [entry for entry in own if not entry.replaced.ops]
    least, most = (pick(beside, key=lambda entry: entry.passes) for pick in (min, max))
    return (
        f"Of the mechanisms that do not replace a convolution, {least.name} reads and writes the fewest elements on "
        f"{where}, {least.passes:.1f} times those of the map, and {most.name} the most, {most.passes:.1f} times."
    )


def _timed_sentence(times: MechanismTimes, own: Sequence[Entry], where: str) -> Text:
    timed = [entry for entry in own if entry.name in times.median_ms]
    spent = [times.median_ms[entry.name] for entry in timed]
    by_macs, by_traffic = (
        rank_correlation(spent, values)
        for values in ([entry.cost.macs for entry in timed], [entry.passes for entry in timed])
    )
    free = [(times.median_ms[entry.name], entry.name) for entry in timed if not entry.cost.macs]
    return (
        f"On {times.device}, for {where} at batch 1 in eager mode, the mechanisms without MACs take {min(free)[0]:.3f} "
        f"ms ({min(free)[1]}) to {max(free)[0]:.3f} ms ({max(free)[1]}). The rank correlation of the times of "
        f"{len(timed)} mechanisms is {by_macs:.2f} with their MACs and {by_traffic:.2f} with their reads and writes (",
        Link("measured", times.page),
        ").",
    )


def _section(size: tuple[int, int, int], own: Sequence[Entry], timed: Sequence[MechanismTimes]) -> Section:
    standing = [entry for entry in own if not entry.refused]
    refused = [f"{entry.name}: {entry.refused}." for entry in own if entry.refused]
    where = map_words(*size)
    return Section(
        f"On {where}",
        (
            *((_picture(size),) if size != MAPS[0] else ()),
            *((Bullets(tuple(refused)),) if refused else ()),
            Paragraph(
                "The cost of each mechanism and, if it takes the place of a convolution, the MACs of that convolution. "
                "Reads and writes are also given as a multiple of the map's elements, and as memory traffic in KiB of "
                "float32. Times, if any, are medians at batch 1."
            ),
            Grid(_costs_table(standing, timed)),
            Paragraph("All other operations, in elements that they write:"),
            Grid(_kinds_table(standing)),
            Paragraph(
                "What each tool reports, by its convention and in its own unit (2 per MAC for torch and calflops):"
            ),
            Grid(_tools_table(standing)),
        ),
    )


def _picture(size: tuple[int, int, int]) -> Picture:
    return Picture(
        picture_name(*size),
        f"MACs of each mechanism on {map_words(*size)}, and the elements that it reads and writes as a multiple of the "
        "map's, by group.",
    )


def _costs_table(own: Sequence[Entry], timed: Sequence[MechanismTimes]) -> Table:
    records = [
        {
            "mechanism": entry.name,
            "params": entry.cost.params,
            "macs": entry.cost.macs,
            "replaced_macs": entry.replaced.macs if entry.replaced.ops else None,
            "reads": entry.cost.reads,
            "writes": entry.cost.writes,
            "passes": entry.passes,
            "kib": entry.cost.bytes(4) / 1024,
            **{times.device: times.median_ms.get(entry.name) for times in timed},
        }
        for entry in own
    ]
    columns = [
        words("mechanism", "mechanism"),
        number("params", "parameters"),
        number("macs", "MACs"),
        number("replaced_macs", "MACs replaced"),
        number("reads", "reads"),
        number("writes", "writes"),
        number("passes", "(reads + writes) / map", fixed(1)),
        number("kib", "KiB, float32", fixed(0)),
        *(number(times.device, f"ms, {times.device}", known(lambda ms: f"{ms:.3f}")) for times in timed),
    ]
    return Table(columns=tuple(columns), records=records)


def _kinds_table(own: Sequence[Entry]) -> Table:
    records: list[dict[str, Any]] = []
    for entry in own:
        by_kind = entry.cost.by_kind()
        put_out = {str(kind): sum(op.elements for op in cost) for kind, cost in by_kind.items()}
        records.append({"mechanism": entry.name, **{str(kind): put_out.get(str(kind)) for kind in OTHER_KINDS}})
    used = [kind for kind in OTHER_KINDS if any(record[str(kind)] for record in records)]
    columns = (words("mechanism", "mechanism"), *(number(str(kind), kind.replace("_", " ")) for kind in used))
    return Table(columns=columns, records=records)


def _tools_table(own: Sequence[Entry]) -> Table:
    records = [
        {"mechanism": entry.name, **{rule.name: rule.number(entry.cost) for rule in (STRICT, *TOOLS)}} for entry in own
    ]
    columns = (
        words("mechanism", "mechanism"),
        number("strict", "all operations"),
        *(number(tool.name, tool.name) for tool in TOOLS),
    )
    return Table(columns=columns, records=records)


def _places_table() -> Table:
    records = [
        {"mechanism": m.name, "title": m.title, "group": m.group, "source": m.source, "places": m.places.source}
        for m in mechanisms()
    ]
    headings = {"mechanism": "mechanism", "title": "name", "group": "group", "source": "source"}
    columns = (words(key, heading) for key, heading in (headings | {"places": "places in its paper"}).items())
    return Table(columns=tuple(columns), records=records)
