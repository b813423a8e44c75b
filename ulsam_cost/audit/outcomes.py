"""What gives each printed number: classes that exclude each other, so that their counts add up."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from ulsam_cost.audit.finding import EXACT_VERDICTS, Finding, Verdict
from ulsam_cost.published import Cell, Claim


class Outcome(StrEnum):
    """What gives a printed number, best first; one word for the verdict and the reading that it is based on.

    Example:
        >>> import ulsam_cost as uc
        >>> uc.Outcome.NETWORK_TRUNCATED.words, uc.Outcome.NETWORK.meaning
        ('network, truncated', "the network's own cost, rounded")
    """

    NETWORK = "network"
    NETWORK_TRUNCATED = "network_truncated"
    PRINTED_FORMULA = "printed_formula"
    PAPERS_ARITHMETIC = "papers_arithmetic"
    COUNTING_RULE = "counting_rule"
    LAST_DIGIT = "last_digit"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    INCOMPLETE = "incomplete"
    NOT_HELD = "not_held"

    @property
    def words(self) -> str:
        """The outcome as a person writes it."""
        return _WORDS.get(self, self.replace("_", " "))

    @property
    def meaning(self) -> str:
        """What it says of a printed number."""
        return _MEANINGS[self]


_WORDS = {Outcome.NETWORK_TRUNCATED: "network, truncated", Outcome.PAPERS_ARITHMETIC: "paper's arithmetic"}
_MEANINGS = {
    Outcome.NETWORK: "the network's own cost, rounded",
    Outcome.NETWORK_TRUNCATED: "the network's own cost, truncated",
    Outcome.PRINTED_FORMULA: "the formula that the paper prints",
    Outcome.PAPERS_ARITHMETIC: "arithmetic on the paper's rounded numbers",
    Outcome.COUNTING_RULE: "a named counting rule, not plain MACs",
    Outcome.LAST_DIGIT: "nothing; the last digit is off by one",
    Outcome.EXPLAINED: "nothing; the reason is known and checked",
    Outcome.UNEXPLAINED: "nothing",
    Outcome.INCOMPLETE: "not judged; the count leaves operations out",
    Outcome.NOT_HELD: "not judged; this project does not have the network",
}
# The outcomes of numbers that are judged, as all of the four documents' are.
JUDGED = tuple(outcome for outcome in Outcome if outcome not in (Outcome.INCOMPLETE, Outcome.NOT_HELD))
# What is computed under plain MACs; any other reading is a counting rule with a name.
_BY_READING = {
    "network": Outcome.NETWORK,
    "real network": Outcome.NETWORK,
    "printed formula": Outcome.PRINTED_FORMULA,
    "paper's arithmetic": Outcome.PAPERS_ARITHMETIC,
    "printed ratio": Outcome.PAPERS_ARITHMETIC,
    "printed numbers": Outcome.PAPERS_ARITHMETIC,
}


def outcome_of(finding: Finding[Cell] | Finding[Claim]) -> Outcome:
    """The outcome of a printed number, by its verdict and by the reading and convention that gave it.

    Example:
        >>> import ulsam_cost as uc
        >>> [uc.outcome_of(finding).words for finding in uc.crosscheck(source="ulsam", table="Table 8")][:3]
        ['last digit', 'network, truncated', "paper's arithmetic"]
    """
    if finding.computed is None or finding.verdict not in EXACT_VERDICTS:
        return Outcome(finding.verdict)
    if finding.computed.convention != "macs":
        return Outcome.COUNTING_RULE
    outcome = _BY_READING.get(finding.computed.reading, Outcome.COUNTING_RULE)
    truncated = outcome is Outcome.NETWORK and finding.verdict is Verdict.TRUNCATED
    return Outcome.NETWORK_TRUNCATED if truncated else outcome


def count_outcomes(findings: Iterable[Finding[Cell] | Finding[Claim]]) -> Counter[Outcome]:
    """How many printed numbers fall in each class."""
    return Counter(map(outcome_of, findings))
