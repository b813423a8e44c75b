"""The numbers that the papers state in their text, each computed by an expression or several."""

from fractions import Fraction
from functools import lru_cache

from ulsam_cost.audit.expressions import evaluate
from ulsam_cost.audit.finding import Computed, Finding
from ulsam_cost.audit.judging import explained, judge
from ulsam_cost.published import Claim, read_toml


@lru_cache
def claim_expressions() -> dict[str, tuple[tuple[str, str], ...]]:
    """For each claim its (reading, expression) pairs, in the order in which they are tried."""
    return {claim: tuple(expressions.items()) for claim, expressions in read_toml("claim_expressions.toml").items()}


def compute_claim(claim: Claim) -> list[Computed]:
    """What each reading gives for a claim."""
    return [
        Computed(reading=reading, convention="macs", number=Fraction(evaluate(expression)))
        for reading, expression in claim_expressions().get(claim.id, ())
    ]


def check_claim(claim: Claim) -> Finding[Claim]:
    """The verdict on a claim."""
    return explained(judge(claim, compute_claim(claim)))
