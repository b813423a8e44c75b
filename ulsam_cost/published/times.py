"""What others measured: timm's published times of networks with and without attention, beside what these cost.

`timm_pairs.csv` names the pairs, `timm_times.csv` holds the times that timm publishes, `timm_counts.csv` what the
networks cost by kind; `analyses/attention_times.py` wrote the last two. Nothing was measured here.
"""

from dataclasses import dataclass
from functools import lru_cache

from ulsam_cost.cost import OpKind
from ulsam_cost.published import read_rows

# what the elements that move are moved by, in the order of the page
SHARES: dict[str, tuple[OpKind, ...]] = {
    "products": (OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL, OpKind.BIAS),
    "elementwise": (OpKind.MULTIPLY, OpKind.ADD, OpKind.ELEMENTWISE, OpKind.ACTIVATION),
    "pools and sums": (OpKind.POOL_AVG, OpKind.POOL_MAX, OpKind.REDUCE, OpKind.UPSAMPLE),
    "norms, softmax": (OpKind.NORM, OpKind.SOFTMAX),
    "copies": (OpKind.MOVEMENT,),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A published table: the device, and how the networks ran on it."""

    table: str
    device: str
    precision: str
    layout: str
    mode: str
    batch: int

    @property
    def title(self) -> str:
        """The setting in a few words."""
        return f"{self.device}, {self.precision}, {self.layout}, {self.mode}, batch {self.batch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A network's parameters and MACs, and the elements that it reads and writes, by share."""

    params: int
    macs: int
    moved: dict[str, int]

    @property
    def traffic(self) -> int:
        """Elements read and written."""
        return sum(self.moved.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPair:
    """A network without and with attention: their costs, and their published images a second where both are known."""

    plain: str
    changed: str
    attention: str
    size: int
    before: Counted
    after: Counted
    speeds: dict[Setting, tuple[float, float]]

    @property
    def macs_pct(self) -> float:
        """The added MACs, in per cent of the plain network's."""
        return 100 * (self.after.macs - self.before.macs) / self.before.macs

    @property
    def traffic_pct(self) -> float:
        """The added reads and writes, in per cent of the plain network's."""
        return 100 * (self.after.traffic - self.before.traffic) / self.before.traffic

    def speed_pct(self, setting: Setting) -> float:
        """The published change of images a second, in per cent."""
        plain, changed = self.speeds[setting]
        return 100 * (changed - plain) / plain


@lru_cache
def timed_pairs() -> tuple[TimedPair, ...]:
    """Every pair, in the order of the data."""
    counts, speeds = _counts(), _speeds()
    pairs = []
    for row in read_rows("timm_pairs.csv"):
        before, after = ((row[which], int(row["size"])) for which in ("plain", "changed"))
        both = {setting: (of[before], of[after]) for setting, of in speeds.items() if before in of and after in of}
        pairs.append(
            TimedPair(
                plain=row["plain"],
                changed=row["changed"],
                attention=row["attention"],
                size=int(row["size"]),
                before=counts[before],
                after=counts[after],
                speeds=both,
            )
        )
    return tuple(pairs)


def _counts() -> dict[tuple[str, int], Counted]:
    share_of = {str(kind): share for share, kinds in SHARES.items() for kind in kinds}
    rows: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in read_rows("timm_counts.csv"):
        rows.setdefault((row["model"], int(row["size"])), []).append(row)
    found = {}
    for key, kinds in rows.items():
        moved = dict.fromkeys(SHARES, 0)
        for row in kinds:
            moved[share_of[row["kind"]]] += int(row["reads"]) + int(row["writes"])
        params, macs = (sum(int(row[unit]) for row in kinds) for unit in ("params", "macs"))
        found[key] = Counted(params=params, macs=macs, moved=moved)
    return found


def _speeds() -> dict[Setting, dict[tuple[str, int], float]]:
    found: dict[Setting, dict[tuple[str, int], float]] = {}
    for row in read_rows("timm_times.csv"):
        named = {name: row[name] for name in ("table", "device", "precision", "layout", "mode")}
        setting = Setting(**named, batch=int(row["batch"]))
        found.setdefault(setting, {})[row["model"], int(row["size"])] = float(row["images_per_second"])
    return found
