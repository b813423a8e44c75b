"""Every arithmetic operation; a comparison, a division, an exp, log, erf or tanh is one."""

from ulsam_cost.conventions.registry import Convention, register
from ulsam_cost.cost import PRODUCT_KINDS, OpCost, OpKind

# Operations an element of an activation, from its definition in the documentation of torch.nn.
ACTIVATIONS = {
    "relu": 1,  # max(x, 0)
    "threshold": 1,
    "hardtanh": 2,  # min(max(x, a), b): ReLU6 too
    "relu6": 2,
    "leaky_relu": 2,  # x < 0, a x
    "prelu": 2,
    "sigmoid": 4,  # 1 / (1 + exp(-x))
    "tanh": 1,
    "silu": 5,  # x sigmoid(x)
    "hardsigmoid": 4,  # min(max(x + 3, 0), 6) / 6
    "hardswish": 5,  # x hardsigmoid(x)
    "gelu": 5,  # x (1 + erf(x / sqrt 2)) / 2
    "elu": 4,  # x < 0, a (exp(x) - 1)
    "celu": 5,
    "selu": 5,
    "softplus": 3,  # log(1 + exp(x))
    "log_sigmoid": 5,
    "mish": 5,  # x tanh(softplus(x))
    "glu": 5,
}
GIVEN_STATISTICS = 2  # a x + b an element, with a and b folded beforehand
OWN_STATISTICS = 8  # mean 1, variance 3, normalise 2, scale and shift 2


def _strict(op: OpCost) -> int:
    kind, elements, n = op.kind, op.elements, op.reduction
    if op.operations:
        return op.operations
    if kind in PRODUCT_KINDS:
        return 2 * op.macs
    if kind is OpKind.NORM:
        return elements * (GIVEN_STATISTICS if op.operator == "batch_norm" and n == 1 else OWN_STATISTICS)
    if kind is OpKind.ACTIVATION:
        return elements * ACTIVATIONS.get(op.operator.removeprefix("torch.").rstrip("_"), 1)
    if kind is OpKind.SOFTMAX:  # a row: n - 1 comparisons, n subtractions, n exp, n - 1 additions, n divisions
        return elements // n * (5 * n - 2) if n else 0
    if kind in (OpKind.POOL_MAX, OpKind.REDUCE):
        return elements * max(n - 1, 0)
    if kind is OpKind.POOL_AVG:
        return elements * n
    if kind is OpKind.UPSAMPLE:
        return elements * (2 * n - 1 if n > 1 else 0)
    return elements if kind in (OpKind.BIAS, OpKind.MULTIPLY, OpKind.ADD, OpKind.ELEMENTWISE) else 0


STRICT = register(
    Convention(
        name="strict",
        source="the definitions: torch.nn's documentation for activations, Ioffe and Szegedy (2015), algorithms 1 and "
        "2, for norms, softmax with its maximum subtracted",
        unit="operations",
        counts="2 per MAC, bias 1; batch norm in evaluation 2 per element (folded), norms that compute statistics 8; "
        "activations 1 (ReLU) to 5 (SiLU, GELU); softmax 5n - 2 per row; pools of n: n - 1 (max), n (average); "
        "elementwise products and sums 1; interpolation of n: 2n - 1; solvers as in LAPACK Working Note 41; a complex "
        "Fourier transform of n 5n log2 n, a real one half of that; a complex MAC 8, other work on complex elements "
        "as on real ones; a comparison, division, exp, log, erf or tanh is one operation; moving data is none",
        weigh=_strict,
        per_mac=2,
    )
)
