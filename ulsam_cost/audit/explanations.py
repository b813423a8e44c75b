"""Why a printed number cannot be reproduced: one entry a number, each with evidence that must hold."""

from dataclasses import dataclass
from functools import lru_cache

from ulsam_cost.audit.expressions import evaluate
from ulsam_cost.published import Cell, Claim, read_toml

FILES = ("explanations.toml", "field_explanations.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The reason in a sentence, and an expression that is true as long as the reason holds."""

    reason: str
    evidence: str

    @property
    def holds(self) -> bool:
        """Whether the evidence is true now."""
        return evaluate(self.evidence) is True


@lru_cache
def explanations() -> dict[tuple[str, ...], Explanation]:
    """Every explanation, by the number that it explains; `rows` stands for several of one table."""
    found: dict[tuple[str, ...], Explanation] = {}
    for entry in (entry for file in FILES for entry in read_toml(file)["explanation"]):
        for row in entry.get("rows") or [entry["row"]]:
            key = (entry["source"], entry["table"], row, entry["model"], entry["metric"])
            if key in found:
                raise ValueError(f"{key} is explained twice")
            found[key] = Explanation(reason=entry["reason"], evidence=entry["evidence"])
    return found


def key_of(subject: Cell | Claim) -> tuple[str, ...]:
    """What an explanation names: source, table, row, model and metric; a claim stands in the table `claims`."""
    if isinstance(subject, Claim):
        return (subject.source, "claims", subject.id, "", subject.metric)
    return (subject.source, subject.table, subject.row, subject.model, subject.metric)


def explanation_of(subject: Cell | Claim) -> str:
    """The reason why a number cannot be reproduced, or nothing; an explanation whose evidence fails is none."""
    entry = explanations().get(key_of(subject))
    return entry.reason if entry and entry.holds else ""
