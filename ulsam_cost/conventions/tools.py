"""What the known counters count, operation by operation, blind spots included.

Each rule is read off the tool's own source and held against the live tool or its recorded totals. A rule sees
the function as it was called, which is what tells those tools apart that patch functions, and the torch.nn class
of the layer that ran it, which is what those tools see that hook modules.
Not reproduced: what `misses` of each convention says; sparse products, which tools that see them count as dense;
`x.mul(y)` and the like, which cannot be told from `x * y`. A complex MAC is one MAC to every tool.
"""

from collections.abc import Callable
from math import prod

from ulsam_cost.conventions.attention import (
    ATTENTION,
    attention_to_ptflops,
    attention_to_torchprofile,
    with_attention_weighed,
)
from ulsam_cost.conventions.registry import FUSED_ATTENTION, Convention, register
from ulsam_cost.cost import PRODUCT_KINDS, OpCost, OpKind

POOLS = (OpKind.POOL_MAX, OpKind.POOL_AVG)
NORMS_OF_MODULES = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "LayerNorm")
INSTANCE_NORMS = ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
CELLS = {"LSTMCell": 4, "GRUCell": 3, "RNNCell": 1}  # gates
CELL_FUNCTIONS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
RECURRENT = ("LSTM", "GRU", "RNN", *CELLS)
TRANSFORMER_LAYERS = ("TransformerEncoderLayer", "TransformerDecoderLayer")
FAST_PATH = (
    "layers of torch.nn that take PyTorch's fast path (attention and transformer encoders do if no parameter "
    "requires gradients)"
)
VECTOR_KERNELS = (":mv", ":dot", ":vdot", ":addmv")  # matmul:mv is a matmul that is a matrix and a vector's
PADDED_BY_A_WORD = (":same", ":valid")  # conv2d:same is a conv2d whose padding is given by a word
MULTIPLICATIONS = ("mul", "mul_", "torch.mul", "__mul__", "__rmul__", "__imul__")


def _known_to_tools(weigh: Callable[[OpCost], int]) -> Callable[[OpCost], int]:
    """The rule of a tool: none knows the operators of other libraries, such as `quantized::linear`, nor solvers."""

    def known(op: OpCost) -> int:
        unknown = op.kind is OpKind.SOLVE or "::" in op.operator or op.operator.startswith("quantized_")
        return 0 if unknown else weigh(op)

    return known


def affine(op: OpCost) -> bool:
    """Whether a norm has a scale and a shift: it reads them beside the map, and a batch norm's statistics."""
    extra = op.reads - op.writes
    if op.operator == "batch_norm" and op.reduction == 1:
        return extra >= 4 * op.output[1]
    return extra > 0


def _is_transposed(op: OpCost) -> bool:
    return op.operator.startswith("conv_transpose")


def _norm_in_inference(op: OpCost) -> int:
    """2 an element of a batch norm with given statistics, 5 of one that takes its own; 1 less without a scale."""
    if op.operator == "batch_norm" and op.reduction == 1:
        return op.elements * (2 if affine(op) else 1)
    return op.elements * (5 if affine(op) else 4)


def _patched(op: OpCost) -> bool:
    """Whether a tool that patches functions sees an activation: layers of transformers hold the function itself."""
    return op.module not in TRANSFORMER_LAYERS


def _between_gates(op: OpCost) -> int:
    """What ptflops and calflops count of a recurrent layer beside products and biases: 10 of an LSTM's state, 7, 1."""
    if op.module.startswith("LSTM"):
        return 2 * op.elements if op.kind is OpKind.ACTIVATION else 0
    return op.elements if op.kind in (OpKind.ADD, OpKind.MULTIPLY) else 0


def _transposed_weight(op: OpCost) -> int:
    """Elements of the weight of a transposed convolution: what it reads beside its map."""
    return op.reads - op.macs // op.reduction


PRODUCTS_WITH_A_SUMMAND = ("addmm", "baddbmm")  # what is added counts as large as it is given
MATMULS = ("@", "matmul", "__rmatmul__", "linalg_matmul")
SEEN_BY_FVCORE = (
    *(*MATMULS, "bmm", "addmm", "einsum"),
    *("linear", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),  # the trace of a cell has linear layers
)


def _is_convolution_to_fvcore(op: OpCost) -> bool:
    return op.kind is OpKind.CONV and op.operator != "conv_tbc" and not op.operator.endswith(PADDED_BY_A_WORD)


def _matmul_to_fvcore(op: OpCost) -> int:
    """The elements of the first operand times the columns of the second: where one matrix meets many, it counts once.

    The sizes do not tell that from many that meet one where a result has as many rows as columns: that is more usual.
    """
    *stack, rows, columns = (1, 1, *op.output)
    one, many = rows * op.reduction, prod(stack) * op.reduction * columns
    return one * columns if rows != columns and op.reads == one + many else op.own_macs


def _fvcore(op: OpCost) -> int:
    if op.operator in MATMULS:
        return _matmul_to_fvcore(op)
    if op.kind in PRODUCT_KINDS:
        seen = op.operator == "mm" or op.operator in SEEN_BY_FVCORE or _is_convolution_to_fvcore(op)
        return op.own_macs if seen else 0
    if op.kind is OpKind.NORM and op.operator in NORMS:
        return _norm_in_inference(op)
    if op.operator == "adaptive_avg_pool2d":
        return op.reads
    if op.kind is OpKind.UPSAMPLE and len(op.output) == 4:
        return {1: 1, 4: 4}.get(op.reduction, 0) * op.elements
    return 0


def _fvcore_activations(op: OpCost) -> int:
    if op.operator == "einsum" and op.kind is OpKind.MULTIPLY:  # one that sums nothing
        return op.elements
    seen = op.operator.partition(":")[0] in SEEN_BY_FVCORE  # products with vectors, too
    return op.elements if (seen and op.kind in PRODUCT_KINDS) or _is_convolution_to_fvcore(op) else 0


FVCORE = register(
    Convention(
        name="fvcore",
        source="fvcore 0.1.5.post20221221, fvcore/nn/jit_handles.py: FlopCountAnalysis.total()",
        unit="MACs, called flops",
        counts="1 per MAC, no bias; batch norm 2 per element, other norms 5; adaptive average pool 1 per element read; "
        "interpolation 1 (nearest) or 4 (bilinear) per element; does not see attention kernels, padding='same', "
        "products with vectors and recurrent layers",
        misses="products that broadcast, but for one matrix with many, einsums that sum first or are of one or three "
        f"operands, and {FAST_PATH}",
        weigh=_known_to_tools(_fvcore),
    )
)
FVCORE_ACTIVATIONS = register(
    Convention(
        name="fvcore_activations",
        source="fvcore 0.1.5.post20221221, fvcore/nn/activation_count.py: ActivationCountAnalysis.total()",
        unit="activations",
        counts="elements that convolutions, linear layers, matmul, bmm, addmm and einsum write; does not see mm, "
        "baddbmm, attention kernels, padding='same' and recurrent layers",
        misses="einsums of one or three operands",
        weigh=_known_to_tools(_fvcore_activations),
        per_mac=0,
        products_only=True,
    )
)


def _thop(op: OpCost) -> int:
    module = op.module
    if op.kind is OpKind.CONV and module.startswith("ConvTranspose"):
        return op.elements * _transposed_weight(op) // op.output[1]
    if module in ("Conv1d", "Conv2d", "Conv3d", "Linear"):
        return op.own_macs
    if module in RECURRENT:
        return op.elements if op.kind in (OpKind.BIAS, OpKind.ADD, OpKind.MULTIPLY) else op.own_macs
    if op.kind is OpKind.NORM and module in (*NORMS_OF_MODULES, *INSTANCE_NORMS):
        return op.elements * (4 if affine(op) else 2)
    if op.kind is OpKind.SOFTMAX and module == "Softmax":
        return op.elements // op.reduction * (3 * op.reduction - 1)
    if op.kind is OpKind.POOL_AVG and module.startswith("AvgPool"):
        return op.elements
    if op.kind is OpKind.POOL_AVG and module.startswith("AdaptiveAvgPool"):
        return op.reads + op.elements
    if op.kind is OpKind.UPSAMPLE and module in ("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"):
        return {1: 1, 2: 5, 4: 11, 16: 224 + 35}.get(op.reduction, 0) * op.elements
    return 0


THOP = register(
    Convention(
        name="thop",
        source="thop 0.1.1.post2209072238, thop/vision/calc_func.py: profile()",
        unit="MACs",
        counts="only modules of known classes: 1 per MAC, no bias, transposed convolutions as if their input were as "
        "large as their output; norms 4 per element; average pool 1 per element; adaptive average pool 1 per element "
        "read and 1 per element written; softmax 3n - 1 per row; interpolation 1 (nearest) or 11 (bilinear) per "
        "element",
        weigh=_known_to_tools(_thop),
    )
)


UNSEEN_BY_TORCH = (
    *("mv", "dot", "vdot", "vecdot", "addmv", "addr", "addbmm", "bilinear", "_trilinear", "conv_tbc"),
    *("cdist", "addmm_", "baddbmm_", "addmv_", "addr_", "addbmm_"),
    *("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2", "_scaled_mm_v2", "_int_mm", "_addmm_activation"),
    *("_weight_int8pack_mm", "_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu", "_dyn_quant_matmul_4bit"),
)


def _torch(op: OpCost) -> int:
    return 0 if op.operator in UNSEEN_BY_TORCH or op.operator.endswith(VECTOR_KERNELS) else 2 * op.own_macs


TORCH = register(
    Convention(
        name="torch",
        source="torch 2.13, torch/utils/flop_counter.py: FlopCounterMode, on the meta device or a GPU",
        unit="FLOPs",
        counts="2 per MAC of convolutions and matrix products; does not see products with vectors, in-place "
        "ones, grouped ones, and those of int8 and int4",
        weigh=_known_to_tools(_torch),
        per_mac=2,
        products_only=True,
    )
)


def _ptflops(op: OpCost) -> int:
    """What its hooks count of modules, and what it counts of functions; of attention both, as it does of ReLU."""
    return _of_modules_and_functions(op) + (op.operations if op.module == ATTENTION else 0)


def _of_modules_and_functions(op: OpCost) -> int:
    module = op.module
    if module in RECURRENT:
        products = op.own_macs if op.kind in PRODUCT_KINDS else op.elements if op.kind is OpKind.BIAS else 0
        return products + _between_gates(op)
    if op.kind in PRODUCT_KINDS:
        if module.startswith("Conv") or module == "Linear":
            return op.own_macs
        seen = ("matmul", "mm", "bmm", *PRODUCTS_WITH_A_SUMMAND)
        return op.own_macs if op.operator in seen else 0
    if op.kind is OpKind.BIAS and op.operator in PRODUCTS_WITH_A_SUMMAND:
        return op.reads
    if op.kind is OpKind.BIAS:
        return op.elements if module.startswith("Conv") or module == "Linear" else 0
    if op.kind is OpKind.NORM:
        if module in (*NORMS_OF_MODULES, *INSTANCE_NORMS, "GroupNorm"):
            return op.elements * (2 if affine(op) and module != "LayerNorm" else 1)
        return 0
    if op.kind is OpKind.ACTIVATION:
        hooked = module in ("ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6", "GELU")
        patched = op.operator in ("relu", "prelu", "elu", "relu6", "gelu", "silu")
        return op.elements * (hooked + (patched and _patched(op)))
    if op.kind in POOLS:
        patched = op.operator.startswith(("avg_pool", "max_pool", "adaptive_"))
        return op.reads * (patched + (patched and bool(module)))
    if op.kind is OpKind.SOFTMAX:
        return op.elements if op.operator == "softmax" else 0
    if op.kind is OpKind.UPSAMPLE:
        return op.elements * ((op.operator == "interpolate") + (module == "Upsample"))
    return op.elements if op.operator in ("torch.mul", "torch.add") else 0


PTFLOPS = register(
    Convention(
        name="ptflops",
        source="ptflops 0.7.5, ptflops/pytorch_ops.py: get_model_complexity_info(backend='pytorch'), for a batch of 1",
        unit="MACs",
        counts="1 per MAC of modules, with bias; batch norm 2 per element; ReLU and similar 1; pools 1 per element "
        "read; softmax 1; modules of ReLU and of pools, and nn.MultiheadAttention, twice, because their functions are "
        "counted as well; does not see @, einsum and attention kernels",
        misses=f"an LSTM's projections, sequences without a batch, and {FAST_PATH}",
        weigh=_known_to_tools(_ptflops),
        takes=with_attention_weighed(attention_to_ptflops),
    )
)


def _torchinfo(op: OpCost) -> int:
    module = op.module
    if module in RECURRENT:  # of a cell's result the elements of the batch stand in the place of the steps
        times = op.output[-1] // CELLS[module] if module in CELLS else 1
        return times * (op.elements if op.kind is OpKind.BIAS else op.own_macs)
    if op.kind is OpKind.CONV and module.startswith("ConvTranspose"):
        return op.output[0] * prod(op.output[2:]) * _transposed_weight(op)
    if op.kind is OpKind.CONV:
        return op.own_macs if module else 0
    if op.kind is OpKind.BIAS and module.startswith("Conv"):
        return op.elements
    if module == "Linear":  # the rows between the batch and the features are not seen
        rows = prod(op.output[1:-1])
        return (op.elements if op.kind is OpKind.BIAS else op.own_macs) // rows
    if op.kind is OpKind.NORM and op.operator in NORMS and module:
        statistics = 2 * op.output[1] if op.operator == "batch_norm" and op.reduction == 1 else 0
        return op.output[0] * (op.reads - op.writes - statistics)
    return prod(op.output[:1]) * op.params if op.leaf else 0  # a norm counts its calls in a number of no dimension


TORCHINFO = register(
    Convention(
        name="torchinfo",
        source="torchinfo 1.8.0, torchinfo/layer_info.py: summary().total_mult_adds",
        unit="mult-adds",
        counts="only modules: 1 per MAC of convolutions, with bias, transposed convolutions as if their input were as "
        "large as their output; for other layers their number of parameters, once per element of the batch, and in "
        "recurrent ones once per step",
        misses="weights of modules that are not torch.nn's own, those of an nn.Embedding and the like where it runs "
        "again, and sequences without a batch",
        weigh=_known_to_tools(_torchinfo),
    )
)


TORCHPROFILE_PRODUCTS = ("linear", "matmul", "@", "bmm", "baddbmm", "addmm", "addmv", "einsum", "lstm", FUSED_ATTENTION)


def _transposed_taps(op: OpCost) -> int:
    """Elements of a transposed convolution's kernel, for the fewest groups under which they are whole."""
    out = op.output[1]
    return next(op.reduction * groups // out for groups in range(1, out + 1) if op.reduction * groups % out == 0)


def _torchprofile(op: OpCost) -> int:
    if op.module != ATTENTION:
        return _traced(op)
    # In a model hardly anything uses the average of the weights, and what nothing uses is not traced.
    return op.operations + (0 if op.path and op.kind is OpKind.POOL_AVG else _traced(op))


def _traced(op: OpCost) -> int:
    if op.operator in CELL_FUNCTIONS:  # traced, a cell is its pieces
        return op.elements if op.kind is OpKind.MULTIPLY else op.own_macs
    if op.operator == "rms_norm":
        return 0
    if op.kind in PRODUCT_KINDS:
        if _is_transposed(op):
            channels = _transposed_weight(op) // op.reduction
            return op.elements * (op.reduction if op.output[1] == channels else channels * _transposed_taps(op))
        seen = op.operator.partition(":")[0] in TORCHPROFILE_PRODUCTS
        return op.own_macs if seen or (op.kind is OpKind.CONV and not op.operator.endswith(PADDED_BY_A_WORD)) else 0
    if op.kind is OpKind.NORM and op.operator in NORMS:
        return op.elements if affine(op) else 0
    if op.kind is OpKind.UPSAMPLE:
        return 4 * op.elements if op.reduction == 4 and len(op.output) == 4 else 0
    return op.elements if op.kind is OpKind.POOL_AVG or op.operator in ("leaky_relu", *MULTIPLICATIONS) else 0


TORCHPROFILE = register(
    Convention(
        name="torchprofile",
        source="torchprofile 0.1.0, torchprofile/handlers.py: profile_macs()",
        unit="MACs",
        counts="1 per MAC, no bias; norms 1 per element; average pools and means 1 per element written; elementwise "
        "products 1; bilinear interpolation 4; does not see mm and padding='same'; wrong for transposed convolutions",
        misses="the arithmetic of sizes, of which it counts 1 per product, branches that nothing uses, the average of "
        f"the weights of nn.MultiheadAttention where a model uses it, {FAST_PATH}, an LSTM's projections, and "
        "transposed convolutions with groups",
        weigh=_known_to_tools(_torchprofile),
        takes=with_attention_weighed(attention_to_torchprofile),
    )
)


def _calflops(op: OpCost) -> int:
    if op.module in RECURRENT:
        products = 2 * op.own_macs - op.elements if op.kind in PRODUCT_KINDS else 0
        return products + (op.elements if op.kind is OpKind.BIAS else _between_gates(op))
    if op.kind is OpKind.CONV:
        return 2 * op.own_macs
    if op.kind in PRODUCT_KINDS:
        seen = ("linear", "matmul", "einsum", *PRODUCTS_WITH_A_SUMMAND)
        return 2 * op.own_macs if op.operator in seen else 0
    if op.kind is OpKind.BIAS and op.operator in PRODUCTS_WITH_A_SUMMAND:
        return op.reads
    if op.kind is OpKind.BIAS:
        return op.elements if op.operator.startswith("conv") else 0
    if op.kind is OpKind.NORM and op.operator in NORMS:
        return _norm_in_inference(op)
    if op.kind is OpKind.ACTIVATION:
        patched = ("relu", "prelu", "elu", "leaky_relu", "relu6", "silu", "gelu")
        return op.elements if op.operator in patched and _patched(op) else 0
    if op.kind in POOLS:
        return op.reads if op.operator.startswith(("avg_pool", "max_pool", "adaptive_")) else 0
    if op.kind is OpKind.SOFTMAX:
        return op.elements if op.operator == "softmax" else 0
    if op.kind is OpKind.UPSAMPLE and op.operator == "interpolate":
        return op.reads if op.module else prod(op.output[2:])
    return op.elements if op.operator in ("torch.mul", "torch.add") else 0


CALFLOPS = register(
    Convention(
        name="calflops",
        source="calflops 0.3.2, calflops/pytorch_ops.py: calculate_flops()",
        unit="FLOPs",
        counts="2 per MAC; biases of convolutions 1 per element; batch norm 2 per element, other norms 5; ReLU and "
        "similar, and softmax 1; pools 1 per element read; does not see @, mm, bmm and attention kernels",
        misses=f"an LSTM's projections, sequences without a batch, and {FAST_PATH}",
        weigh=_known_to_tools(_calflops),
        per_mac=2,
    )
)
