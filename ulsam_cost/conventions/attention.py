"""What tools count of a call of nn.MultiheadAttention as a whole: its operations, taken together, say its sizes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ulsam_cost.cost import Cost, OpCost, OpKind

ATTENTION = "MultiheadAttention"


class AttentionCall(NamedTuple):
    """The sizes of a call of nn.MultiheadAttention.

    `keys` are those that it is given, `zero_keys` those that `add_zero_attn` adds. `shared` says whether keys and
    values are one tensor that is not that of the queries, `whole` whether the layer is the whole model.
    """

    batch: int
    queries: int
    keys: int
    width: int
    key_width: int
    value_width: int
    heads: int
    has_bias: bool
    shared: bool
    whole: bool
    zero_keys: int


def attention_to_ptflops(call: AttentionCall) -> int:
    """Scaling, projections, biases, softmax and products.

    The widths are those of the inputs, as if each were projected to its own; the layer's own keys are left out.
    """
    queries, keys, width, value_width = call.queries, call.keys, call.width, call.value_width
    projections = queries * width**2 + keys * call.key_width**2 + keys * value_width**2
    biases = (queries + keys + keys) * width if call.has_bias else 0
    heads = call.heads * (queries * keys * (width // call.heads + 1 + value_width // call.heads))
    return call.batch * (queries * width + projections + biases + heads + queries * value_width * (value_width + 1))


def attention_to_torchprofile(call: AttentionCall) -> int:
    """1 for each product of sizes: for three operands, the result and added zeros, and of the widths of shared weights.

    Where the layer is the whole model, keys and values are traced as two tensors though they are one.
    """
    of_weights = 1 + call.has_bias if call.shared and not call.whole else 0
    return 4 + call.zero_keys + of_weights


def with_attention_weighed(weigh: Callable[[AttentionCall], int]) -> Callable[[Cost], Iterator[OpCost]]:
    """The operations of a cost, where the last product of each call of nn.MultiheadAttention has a weight of its own.

    It stands in `operations`, which no operation of attention has otherwise.
    """

    def weighed(cost: Cost) -> Iterator[OpCost]:
        ran: list[OpCost] = []  # of a call that has begun, which it does with a projection
        for op in cost:
            projects = op.module == ATTENTION and op.operator == "linear" and op.kind is OpKind.LINEAR
            if projects and any(earlier.kind is OpKind.MATMUL for earlier in ran):
                yield op._replace(operations=weigh(_call(ran)) if op.elements else 0)
                ran = []
                continue
            if projects or (ran and op.module == ATTENTION):
                ran.append(op)
            yield op

    return weighed


def _call(ops: Sequence[OpCost]) -> AttentionCall:
    """The sizes of the call whose operations these are, up to the last projection.

    Queries, keys and values are projected by one product where they are one tensor, by two where keys and values are
    one, else by three.
    """
    scores = next(place for place, op in enumerate(ops) if op.kind is OpKind.MATMUL)
    projections = [op for op in ops[:scores] if op.kind is OpKind.LINEAR]
    of_queries, of_keys, of_values = projections[0], projections[:2][-1], projections[-1]
    width, queries, all_keys = of_queries.reduction, *ops[scores].output[-2:]
    batch = _rows(of_queries) // queries
    keys = _rows(of_keys) // batch
    biased_keys = int(any(op.operator == "repeat" for op in ops))
    return AttentionCall(
        batch=batch,
        queries=queries,
        keys=keys,
        width=width,
        key_width=of_keys.reduction,
        value_width=of_values.reduction,
        heads=width // ops[scores].reduction,
        has_bias=any(op.kind is OpKind.BIAS and op.output == of_queries.output for op in ops[:scores]),
        shared=len(projections) == 2,
        whole=not of_queries.path,
        zero_keys=all_keys - keys - biased_keys,
    )


def _rows(product: OpCost) -> int:
    return product.elements // product.output[-1]
