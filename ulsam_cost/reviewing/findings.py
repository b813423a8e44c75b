"""What a review found, in sentences that are computed from its numbers."""

from collections.abc import Iterable, Sequence

from ulsam_cost.reviewing.budget import LATENCY, UNCOUNTED, Judgement, Verdict
from ulsam_cost.reviewing.costs import Latency
from ulsam_cost.reviewing.review import Review, Reviewed
from ulsam_cost.units import format_ms, format_pct, format_ratio

UNDERCUT = ("macs", "params")


def findings(review: Review) -> tuple[str, ...]:
    """The sentences: the verdict first, then what is behind it."""
    return (
        verdict_sentence(review),
        *(broken_sentence(each, judgement) for each in review.candidates for judgement in each.broken),
        *(_undecided_sentence(each, judgement) for each in review.candidates for judgement in _undecided(each)),
        *_cheapest_sentences(review),
        *_time_sentences(review),
        *_busy_sentences(review),
        *_untimed_sentences(review),
        *_calibration_sentences(review),
        _uncounted_sentence(review),
        *(f"{failure.name} could not be reviewed: {failure.error}." for failure in review.failures),
    )


def verdict_sentence(review: Review) -> str:
    """How many candidates keep the budget, and which."""
    judged = [each for each in review.candidates if each.verdict]
    if not judged:
        return "No budget is given, so there is no verdict."
    by_verdict = {verdict: [each.name for each in judged if each.verdict is verdict] for verdict in Verdict}
    kept = by_verdict[Verdict.WITHIN]
    if len(kept) == len(judged):
        return f"{kept[0]} keeps the budget." if len(kept) == 1 else f"All {len(kept)} candidates keep the budget."
    said = f"{len(kept)} of {len(judged)} candidates keep{'s'[: len(kept) == 1]} the budget"
    said += f": {row_of_names(kept)}." if kept else "."
    if over := by_verdict[Verdict.OVER]:
        said += f" {row_of_names(over)} break{'s'[: len(over) == 1]} it."
    if undecided := by_verdict[Verdict.UNDECIDED]:
        said += f" There is no verdict on {row_of_names(undecided)}."
    return said


def broken_sentence(each: Reviewed, judgement: Judgement) -> str:
    """By how much a limit is broken, and which layer adds most."""
    if judgement.metric == LATENCY:
        first = each.costs.first_latency
        assert first is not None
        low, high = format_ms(first.network.low_ms), format_ms(first.network.high_ms)
        return (
            f"{each.name} takes {format_ms(first.network.median_ms)} ms [{low}, {high}] on {first.device} at "
            f"{first.where}: the whole interval is over {format_ms(judgement.limit)} ms."
        )
    value, limit = int(judgement.value or 0), int(judgement.limit)
    least = "at least " if each.costs.left_out(judgement.metric) else ""
    over = f"{value - limit:,} ({format_pct(value - limit, limit)})" if limit else f"{value:,}"
    where = _where(each, judgement.metric, limit)
    return f"{each.name} has {least}{value:,} {judgement.words}, {over} over {limit:,}{where}."


def _where(each: Reviewed, metric: str, limit: int) -> str:
    """To what a broken limit is due: the layer that adds most to the baseline, or the baseline itself."""
    if metric == UNCOUNTED:
        return f": {row_of_names(sorted({_place(operation.path) for operation in each.costs.uncounted}))}"
    number = each.baseline.number(metric)
    already = f"; the baseline alone has {number:,}" if number > limit else ""
    added = max(each.layers, key=lambda layer: getattr(layer.numbers, metric), default=None)
    if added and (more := getattr(added.numbers, metric)) > 0:
        return f"{already}; {_place(added.path)} adds the most, {more:+,}"
    return f"{already}; no layer adds to the baseline"


def _undecided(each: Reviewed) -> Iterable[Judgement]:
    """The limits of which it is not known whether they are kept; a busy machine has a sentence of its own."""
    is_busy = (first := each.costs.first_latency) is not None and first.busy
    undecided = (judgement for judgement in each.judgements if judgement.verdict is Verdict.UNDECIDED)
    return (judgement for judgement in undecided if judgement.metric != LATENCY or not is_busy)


def _undecided_sentence(each: Reviewed, judgement: Judgement) -> str:
    return f"{each.name}: no verdict on its {judgement.words}, because {judgement.why}."


def _cheapest_sentences(review: Review) -> list[str]:
    """What costs least, in MACs and in parameters, of all candidates that are complete."""
    said: dict[str, list[str]] = {}
    for metric, unit in zip(UNDERCUT, ("MACs", "parameters"), strict=True):
        whole = [each for each in review.candidates if each.delta(metric) is not None]
        if len(whole) < 2:
            return []
        least = min(whole, key=lambda each: each.costs.number(metric))
        base = review.baseline.number(metric)
        number = least.costs.number(metric)
        said.setdefault(least.name, []).append(f"the fewest {unit} ({number:,}, {format_pct(number - base, base)})")
    return [f"{name} has {' and '.join(costs)}, compared with the baseline." for name, costs in said.items()]


def _time_sentences(review: Review) -> list[str]:
    """Where fewer MACs take more time, and where more MACs take less."""
    said = []
    for each in review.candidates:
        less = each.delta("macs")
        for timed in each.costs.latency:
            if less and timed.verdict == ("slower" if less < 0 else "faster"):
                verb, time = ("saves", "costs") if less < 0 else ("adds", "saves")
                share = format_pct(abs(less), review.baseline.number("macs")).removeprefix("+")
                said.append(f"{each.name} {verb} {share} of the MACs and {time} time: {ratio_words(timed)}.")
    return said


def ratio_words(timed: Latency) -> str:
    """A ratio of times with its interval and where it was measured."""
    ratio = format_ratio(timed.ratio.median, timed.ratio.low, timed.ratio.high)
    return f"{ratio} times the baseline's on {timed.device} at {timed.where}"


def _busy_sentences(review: Review) -> list[str]:
    times = [(each.name, timed) for each in review.candidates for timed in each.costs.latency]
    busy = [(name, timed) for name, timed in times if timed.busy]
    if not busy:
        return []
    which = row_of_names([f"{name} at {timed.where}" for name, timed in busy])
    which = "any time" if len(busy) == len(times) else f"the time of {which}"
    return [f"There is no verdict on {which}, because the machine was busy: {busy[0][1].busy}. Measure again."]


def _untimed_sentences(review: Review) -> list[str]:
    names: dict[tuple[str, str], list[str]] = {}
    for each in review.candidates:
        for row in each.costs.untimed:
            names.setdefault((row.where, row.error), []).append(each.name)
    return [
        f"{row_of_names(found)} {'has' if len(found) == 1 else 'have'} no time at {where}: {error}."
        for (where, error), found in names.items()
    ]


def _calibration_sentences(review: Review) -> list[str]:
    """With which data int8 was calibrated, in each runtime."""
    runtimes: dict[str, dict[str, None]] = {}
    for each in review.candidates:
        for timed in each.costs.latency:
            if timed.exported and (data := timed.exported["calibration"]):
                runtimes.setdefault(data, {})[timed.runtime] = None
    return [f"int8 in {row_of_names(list(names))} was calibrated with {data}." for data, names in runtimes.items()]


def _uncounted_sentence(review: Review) -> str:
    left = [costs for costs in (review.baseline, *(each.costs for each in review.candidates)) if costs.uncounted]
    if not left:
        return "Every operation was counted."
    said = (f"{costs.uncounted_calls:,} in {costs.name}" for costs in left)
    return f"Operations without a rule, which no number includes: {', '.join(said)}."


def _place(path: str) -> str:
    return path or "the model itself"


def row_of_names(names: Sequence[str]) -> str:
    """Names in a row, in quotation marks where a comma in one would be read as the next."""
    shown = [f'"{name}"' for name in names] if any("," in name for name in names) and len(names) > 1 else list(names)
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
