"""The page of attention's price in time: published times of others beside what was counted here."""

from collections.abc import Sequence
from statistics import correlation, median

from ulsam_cost.published.times import SHARES, Setting, TimedPair, timed_pairs
from ulsam_cost.report.document.model import Grid, Page, Paragraph, Picture, Section, Strong, Text
from ulsam_cost.report.figures.times import published_times_figure
from ulsam_cost.report.formats import Table, number, signed, signed_pct, words

TIMES = "published_times.png"
NO_MACS = 0.1  # per cent
NOT_OURS = "published, not measured here"


def published_pictures() -> dict[str, bytes]:
    """The picture of the page."""
    pairs = timed_pairs()
    title = "The cost of attention in time, as others measured it"
    return {TIMES: published_times_figure(pairs, settings_of(pairs), title)}


def published_times_page() -> Page:
    """Findings first, then the picture, what attention adds, and the times."""
    pairs = timed_pairs()
    return Page(
        "published_times.md",
        f"The cost of attention in time: {NOT_OURS}",
        (
            Paragraph(
                f"{len(pairs)} pairs of timm networks, the same backbone without and with attention. Their costs are "
                f"counted here; their times are those of timm's tables of inference times ({NOT_OURS}), which contain "
                "noise. gcresnet50t, botnet26t, halonet26t and lambda_resnet26t are left out, because their shortcuts "
                "also differ from those of resnet50t and resnet26t."
            ),
        ),
        (
            Section(
                "What attention adds",
                (
                    Grid(_added_table(pairs)),
                    Paragraph("The added reads and writes, by kind of operation:"),
                    Grid(_shares_table(pairs)),
                ),
            ),
            Section(f"Images per second, {NOT_OURS}", (Grid(_speeds_table(pairs)), Grid(_tables_table(pairs)))),
        ),
        verdict=_findings(pairs),
        picture=Picture(
            TIMES,
            "Left: what attention adds to a network, in per cent of its MACs and of the elements that it reads and "
            f"writes. Right: the change in images per second in {len(settings_of(pairs))} settings, {NOT_OURS}.",
        ),
    )


def settings_of(pairs: Sequence[TimedPair]) -> tuple[Setting, ...]:
    """The settings under which any pair was timed."""
    return tuple(dict.fromkeys(setting for pair in pairs for setting in pair.speeds))


def _findings(pairs: Sequence[TimedPair]) -> tuple[Text, ...]:
    return (_without_macs(pairs), _most(pairs), *(_of_setting(pairs, setting) for setting in settings_of(pairs)))


def _without_macs(pairs: Sequence[TimedPair]) -> Text:
    free = [pair for pair in pairs if abs(pair.macs_pct) < NO_MACS]
    traffic = [pair.traffic_pct for pair in free]
    changes = [pair.speed_pct(setting) for pair in free for setting in pair.speeds if "RTX" in setting.device]
    return (
        Strong(f"In {len(free)} of {len(pairs)} networks, attention adds less than {NO_MACS:g} % to the MACs"),
        f", but costs {-max(changes):.1f} to {-min(changes):.1f} % of the images per second on GPUs, with a median of "
        f"{-median(changes):.1f} % ({NOT_OURS}). It also adds {min(traffic):.1f} to {max(traffic):.1f} % to the reads "
        "and writes.",
    )


def _most(pairs: Sequence[TimedPair]) -> Text:
    free = ((pair, setting) for pair in pairs if abs(pair.macs_pct) < NO_MACS for setting in pair.speeds)
    pair, setting = min(free, key=lambda case: case[0].speed_pct(case[1]))
    plain, changed = pair.speeds[setting]
    return (
        f"The most expensive of these: {pair.attention} in {pair.plain} adds {pair.macs_pct:.2f} % to the MACs and "
        f"{pair.traffic_pct:.1f} % to the reads and writes, and costs {-pair.speed_pct(setting):.1f} % of the images "
        f"per second ({plain:,.0f} to {changed:,.0f}) on {setting.title} ({NOT_OURS})."
    )


def _of_setting(pairs: Sequence[TimedPair], setting: Setting) -> Text:
    own = [pair for pair in pairs if setting in pair.speeds]
    losses = [-pair.speed_pct(setting) for pair in own]
    follows = {
        what: rank_correlation(losses, [getattr(pair, name) for pair in own])
        for what, name in (("reads and writes", "traffic_pct"), ("MACs", "macs_pct"))
    }
    gains = sum(loss < 0 for loss in losses)
    said = f"; {gains} of them are faster with attention" if gains else ""
    return (
        Strong(setting.title),
        f": the median loss of {len(own)} pairs is {median(losses):.1f} % of the images per second{said} ({NOT_OURS}). "
        "The rank correlation of the loss is "
        + " and ".join(f"{value:.2f} with the added {what}" for what, value in follows.items())
        + ".",
    )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks; equal values share theirs."""
    return correlation(_ranks(one), _ranks(other))


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(v < value for v in values) + sum(v == value for v in values) / 2 for value in values]


def _added_table(pairs: Sequence[TimedPair]) -> Table:
    records = [
        {
            "plain": pair.plain,
            "changed": pair.changed,
            "attention": pair.attention,
            "size": pair.size,
            "params": pair.after.params - pair.before.params,
            "macs": pair.after.macs - pair.before.macs,
            "macs_pct": pair.macs_pct,
            "traffic": pair.after.traffic - pair.before.traffic,
            "traffic_pct": pair.traffic_pct,
        }
        for pair in pairs
    ]
    columns = (
        words("changed", "network"),
        words("plain", "plain network"),
        words("attention", "attention"),
        number("size", "image"),
        number("params", "parameters", signed),
        number("macs", "MACs", signed),
        number("macs_pct", "MACs, %", signed_pct),
        number("traffic", "reads and writes", signed),
        number("traffic_pct", "reads and writes, %", signed_pct),
    )
    return Table(columns=columns, records=records)


def _shares_table(pairs: Sequence[TimedPair]) -> Table:
    records = [
        {"changed": pair.changed, **{share: pair.after.moved[share] - pair.before.moved[share] for share in SHARES}}
        for pair in pairs
    ]
    columns = (words("changed", "network"), *(number(share, share, signed) for share in SHARES))
    return Table(columns=columns, records=records)


def _speeds_table(pairs: Sequence[TimedPair]) -> Table:
    records = [
        {
            "changed": pair.changed,
            "attention": pair.attention,
            "setting": setting.title,
            "without": plain,
            "with": changed,
            "change": pair.speed_pct(setting),
        }
        for pair in pairs
        for setting, (plain, changed) in pair.speeds.items()
    ]
    columns = (
        words("changed", "network"),
        words("attention", "attention"),
        words("setting", "setting"),
        number("without", "without", _speed),
        number("with", "with", _speed),
        number("change", "change", signed_pct),
    )
    return Table(columns=columns, records=records)


def _speed(images: float) -> str:
    return f"{images:,.2f}"


def _tables_table(pairs: Sequence[TimedPair]) -> Table:
    records = [
        {"title": setting.title, "table": f"results/{setting.table} of timm", "note": NOT_OURS}
        for setting in settings_of(pairs)
    ]
    columns = (words("title", "setting"), words("table", "published in"), words("note", "these times are"))
    return Table(columns=columns, records=records)
