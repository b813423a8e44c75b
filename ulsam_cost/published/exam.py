"""The public exam: every row of timm's published table of costs, beside what was counted here.

`timm_exam.csv` holds the printed numbers of timm's table `results/benchmark-infer-amp-nchw-pt291-cu128-4090.csv`
(Apache-2.0) and those that `analyses/timm_exam.py` counted, under fvcore's conventions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ulsam_cost.published import read_rows

EXAM, LATER = "timm_exam.csv", "timm_exam_later.csv"
OF_THE_TABLE = "1.0.24"  # the release of timm whose networks the table is of
PRINTED = {"params": "params_m", "fvcore": "gmacs", "fvcore_activations": "mact_m"}
UNITS = {"params": 10**6, "fvcore": 10**9, "fvcore_activations": 10**6}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamRow:
    """A row of the table: parameters in M, GMACs and activations in M as they are printed, and as they were counted."""

    model: str
    size: int
    release: str
    printed: dict[str, float]
    counted: dict[str, int]

    @property
    def differs(self) -> tuple[str, ...]:
        """The numbers that are not the printed ones, rounded to two decimals."""
        return tuple(name for name, printed in self.printed.items() if self.rounded(name) != printed)

    def rounded(self, name: str) -> float:
        """A number in the unit of the table, rounded as timm rounds it: a half is what it is in binary."""
        return round(self.counted[name] / UNITS[name], 2)


@lru_cache
def exam_rows() -> tuple[ExamRow, ...]:
    """Every row, in the order of timm's table."""
    return tuple(map(exam_row, read_rows(EXAM)))


@lru_cache
def later_rows() -> tuple[ExamRow, ...]:
    """The rows whose networks a later release of timm defines otherwise, as they were counted with that."""
    return tuple(map(exam_row, read_rows(LATER)))


def exam_row(row: Mapping[str, str]) -> ExamRow:
    """A row from the columns of a file."""
    return ExamRow(
        model=row["model"],
        size=int(row["size"]),
        release=row.get("release", OF_THE_TABLE),
        printed={name: float(row[key]) for name, key in PRINTED.items()},
        counted={name: int(row[name]) for name in PRINTED},
    )
