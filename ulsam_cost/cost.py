"""What an operation, a module, a network costs: frozen values that add.

No counting convention stands here: an `OpCost` says what happened, `conventions` says what a tool or
a paper calls it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any, ClassVar, NamedTuple

from ulsam_cost.frames import Framed


class OpKind(StrEnum):
    """What an operation does. `multiply` and `add` are apart: tools count one and not the other.

    Example:
        >>> import ulsam_cost as uc
        >>> uc.network_cost("mv1").of_kind(uc.OpKind.LINEAR).macs
        1024000
    """

    CONV = "conv"
    LINEAR = "linear"
    MATMUL = "matmul"
    SOLVE = "solve"
    FFT = "fft"
    BIAS = "bias"
    NORM = "norm"
    ACTIVATION = "activation"
    SOFTMAX = "softmax"
    POOL_MAX = "pool_max"
    POOL_AVG = "pool_avg"
    MULTIPLY = "multiply"
    ADD = "add"
    ELEMENTWISE = "elementwise"
    UPSAMPLE = "upsample"
    REDUCE = "reduce"
    MOVEMENT = "movement"
    UNUSED = "unused"


REAL_MACS = 4  # of a complex MAC: (a + bi)(c + di) is ac - bd and ad + bc
PRODUCT_KINDS = frozenset({OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL})
# Layers of torch.nn that compute something themselves although they have modules of their own.
LAYERS_OF_PARTS = frozenset({"MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer"})


class OpCost(NamedTuple):
    """One operation of one call, in elements; the atom of every count, made with keywords.

    `reads` are the elements of all operands, parameters among them; `writes` those of the result.
    A bias is an operation of its own: it reads its vector and writes nothing, because the product
    that it belongs to writes the result; `elements` then says to how many elements it was added.
    `params` are charged to the operation that uses them first. `reduction` is the number of elements
    that go into one element of the result: a pooling window, the length of a softmax row.
    `module` is the torch.nn class that ran it, empty for a functional call. `macs` are real ones: where a product
    `is_complex`, each of its MACs is 4 of them. `operations` are those of an operation whose arithmetic the other
    fields do not say, such as a solve or a Fourier transform: what `strict` counts.

    Example:
        >>> import ulsam_cost as uc
        >>> stem = uc.network_cost("mv1").ops[0]
        >>> stem.path, stem.kind.value, stem.output, stem.macs == 32 * 3 * 3 * 3 * 112 * 112
        ('features.0.0', 'conv', (1, 32, 112, 112), True)
    """

    path: str
    kind: OpKind
    operator: str
    output: tuple[int, ...]
    macs: int = 0
    reads: int = 0
    writes: int = 0
    params: int = 0
    reduction: int = 1
    module: str = ""
    is_complex: bool = False
    operations: int = 0

    @property
    def own_macs(self) -> int:
        """MACs of the numbers that are multiplied: a complex one counts once, as tools count it."""
        return self.macs // REAL_MACS if self.is_complex else self.macs

    @property
    def leaf(self) -> str:
        """`module` if that has no modules of its own: most tools look at no others."""
        return "" if self.module in LAYERS_OF_PARTS else self.module

    @property
    def elements(self) -> int:
        """Elements of the result."""
        return prod(self.output)

    @property
    def activations(self) -> int:
        """Elements written, if it is a convolution or a matrix product."""
        return self.writes if self.kind in PRODUCT_KINDS else 0


@dataclass(frozen=True, slots=True)
class Cost(Framed):
    """A tuple of operations, in the order in which they run; costs add by concatenation.

    As a table (`to_frame()`) it has one row per operation; its columns of counts add up to the totals.

    Example:
        >>> import ulsam_cost as uc
        >>> cost = uc.attention_cost("ulsam", channels=512, height=14, width=14, groups=4)
        >>> cost.macs, cost.params
        (200704, 1024)
        >>> {kind.value: part.macs for kind, part in cost.by_kind().items() if part.macs}
        {'conv': 200704}
        >>> int(cost.to_frame()["macs"].sum())
        200704
    """

    columns: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("path", "kind", "operator", "module"), "string"),
        "output": "object",
        **dict.fromkeys(("macs", "params", "activations", "reads", "writes"), "Int64"),
    }

    ops: tuple[OpCost, ...] = ()

    def rows(self) -> Iterable[dict[str, Any]]:
        """A row an operation."""
        return (op._asdict() | {"kind": str(op.kind), "activations": op.activations} for op in self.ops)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.ops + other.ops)

    def __iter__(self) -> Iterator[OpCost]:
        return iter(self.ops)

    def scoped(self, prefix: str) -> "Cost":
        """The same operations below the module path `prefix`."""
        return Cost(tuple([op._replace(path=join_path(prefix, op.path)) for op in self.ops]))

    def moved(self, old: str, new: str) -> "Cost":
        """The same operations of a module that stands at `new`, not at `old`."""
        start = len(old)
        return Cost(tuple([op._replace(path=new + op.path[start:]) for op in self.ops]))

    def under(self, prefix: str) -> "Cost":
        """The operations of the module at `prefix` and below it."""
        return Cost(tuple(op for op in self.ops if is_under(op.path, prefix)))

    def of_kind(self, *kinds: OpKind) -> "Cost":
        """The operations of these kinds."""
        return Cost(tuple(op for op in self.ops if op.kind in kinds))

    def by_kind(self) -> dict[OpKind, "Cost"]:
        """The operations by kind, kinds in order of first use."""
        return self._grouped([op.kind for op in self.ops])

    def by_operator(self) -> dict[str, "Cost"]:
        """The operations by operator, in order of first use."""
        return self._grouped([op.operator for op in self.ops])

    def by_path(self, depth: int) -> dict[str, "Cost"]:
        """The operations by the first `depth` names of their module path."""
        return self._grouped([path_at(op.path, depth) for op in self.ops])

    def _grouped(self, keys: list[Any]) -> dict[Any, "Cost"]:
        groups: dict[Any, list[OpCost]] = {}
        for key, op in zip(keys, self.ops, strict=True):
            groups.setdefault(key, []).append(op)
        return {key: Cost(tuple(ops)) for key, ops in groups.items()}

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the last operation's result."""
        return self.ops[-1].output

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers, matrix products and solves."""
        return sum([op.macs for op in self.ops])

    @property
    def params(self) -> int:
        """Learnable scalars, each once."""
        return sum([op.params for op in self.ops])

    @property
    def reads(self) -> int:
        """Elements read, parameters among them."""
        return sum([op.reads for op in self.ops])

    @property
    def writes(self) -> int:
        """Elements written."""
        return sum([op.writes for op in self.ops])

    @property
    def activations(self) -> int:
        """Elements written by convolutions and matrix products."""
        return sum([op.activations for op in self.ops])

    def bytes(self, itemsize: int) -> int:
        """Bytes moved if every operand is read and every result written once, `itemsize` bytes an element."""
        return (self.reads + self.writes) * itemsize


def join_path(prefix: str, path: str) -> str:
    """Two module paths, one below the other; either may be empty."""
    return f"{prefix}.{path}" if prefix and path else prefix or path


def path_at(path: str, depth: int) -> str:
    """The first `depth` names of a module path."""
    return ".".join(path.split(".")[:depth])


def is_under(path: str, prefix: str) -> bool:
    """Whether a module path is `prefix` or stands below it."""
    return not prefix or path == prefix or path.startswith(prefix + ".")
