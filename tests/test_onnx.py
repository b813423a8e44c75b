"""ONNX files: as much as the PyTorch models that they were exported from, and what a file alone says."""

import csv
import json
import re
import subprocess
import sys
import warnings
from collections import Counter

import pytest
import torch
from click.testing import CliRunner
from mechanisms import fitted
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.cost import OpKind
from ulsam_cost.counting.severity import Severity
from ulsam_cost.formulas.attention import REGISTERED as MECHANISMS
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.nn.attention import build_attention

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from ulsam_cost.counting.given import read_inputs  # noqa: E402
from ulsam_cost.counting.onnx.count import count_graph  # noqa: E402
from ulsam_cost.counting.onnx.graph import graph_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("onnx_operators")

NETWORKS = [  # one of each kind of block
    ("mv1", {"positions": "8:1,9:1,11", "width": 0.25}),
    ("mv2", {"width": 0.35}),
    ("resnet18", {"attention": "cbam"}),
    ("resnet50", {"attention": "se", "connection": "dca"}),
    ("resnext50_32x4d", {}),
    ("mnasnet1_0", {}),
    ("resnet101_fpn", {}),
    ("mobilenet_v3_small", {}),
    ("efficientnet_b0", {}),
    ("shufflenet_v2_x0_5", {}),
]


def exported(model, *inputs, **options):
    """The program of PyTorch's exporter, whose warnings are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(model, inputs, dynamo=True, optimize=False, verbose=False, **options)


def counted(proto, inputs=()):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return count_graph(graph_of(copy, inputs=read_inputs(inputs)))


def by_path(count):
    """The MACs of each module: an export does not change where a product stands."""
    sums = Counter()
    for op in count.cost:
        sums[op.path] += op.macs
    return +sums


def assert_same_cost(model, x):
    model.eval()
    plain, program = uc.count(model, x), exported(model, x)
    file = counted(program.model_proto)
    used = plain.params - plain.cost.of_kind(OpKind.UNUSED).params  # the others are not exported
    assert (file.macs, file.params, file.activations) == (plain.macs, used, plain.activations)
    assert by_path(file) == by_path(plain)
    assert (file.uncounted, file.outputs) == ((), plain.outputs)
    program.optimize()
    folded = counted(program.model_proto)
    assert (by_path(folded).total(), folded.uncounted) == (plain.macs, ())


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_mechanism_costs_what_it_does_in_pytorch(name):
    shape = fitted(name, (2, 48, 7, 5))
    assert_same_cost(build_attention(name, shape[1], **built_for(name, shape)), sample(shape))


def built_for(name, shape):
    options = {"extent": 0} if name == "ge" else {}
    return options | get_mechanism(name).built_for(shape[2:], **options)


def sample(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_a_network_costs_what_it_does_in_pytorch(name, options):
    assert_same_cost(without_repeats(uc.build(name, resolution=64, **options)), sample((1, 3, 64, 64)))


def without_repeats(model):
    """The network with two blocks in each stage of a ResNet or ShuffleNet: the others are the second one again."""
    for path, stage in model.named_modules():
        if re.search(r"(^|\.)(layer|stage)\d$", path):
            del stage[2:]
    return model


def test_every_convention_counts_an_export_as_it_counts_the_model():
    model, x = uc.build("mv1", width=0.25, resolution=64).eval(), sample((1, 3, 64, 64))
    plain, file = uc.count(model, x), counted(exported(model, x).model_proto)
    names = ("macs", "flops", "strict", "fvcore", "thop", "torch", "ptflops")
    assert [file.number(name) for name in names] == [plain.number(name) for name in names]


def test_a_folded_batch_norm_leaves_a_bias():
    """Of the weight and the bias of 5 channels a bias remains, and no norm."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)).eval()
    nn.init.normal_(model[1].bias)
    program = exported(model, sample((2, 3, 7, 6)))
    before = counted(program.model_proto)
    program.optimize()
    after = counted(program.model_proto)
    assert before.macs == after.macs == 2 * 5 * 5 * 4 * 3 * 3 * 3
    assert (before.params, after.params) == (5 * 3 * 3 * 3 + 5 + 5, 5 * 3 * 3 * 3 + 5)
    assert [op.kind for op in before.cost] == [OpKind.CONV, OpKind.NORM]
    assert [op.kind for op in after.cost] == [OpKind.CONV, OpKind.BIAS]


def one_node(operator, x, weights, output, *, others=(), opset=23, domain="", **attributes):
    """A model of one node with an input x, further inputs and weights, each a shape or None."""
    names = [f"w{index}" if shape is not None else "" for index, shape in enumerate(weights)]
    further = [f"x{index}" for index in range(len(others))]
    node = helper.make_node(operator, ["x", *further, *names], ["y"], domain=domain, **attributes)
    values = [floats(name, shape) for name, shape in zip(names, weights, strict=True) if name]
    inputs = [tensor(name, shape) for name, shape in (("x", x), *zip(further, others, strict=True))]
    return model_of([node], inputs, [tensor("y", output)], values, opset=opset)


def tensor(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def floats(name, shape, kind=TensorProto.FLOAT):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return numpy_helper.from_array(
        torch.arange(1, 1 + torch.Size(shape).numel()).reshape(shape).numpy().astype(dtype), name
    )


def model_of(nodes, inputs, outputs, values=(), opset=23):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("own", 1)])


N, C, H, W = 2, 6, 7, 5
PRODUCTS = {
    "strided convolution in groups": (
        one_node("Conv", (N, C, H, W), [(4, 3, 3, 3), (4,)], None, group=2, strides=[2, 1], pads=[1, 1, 1, 1]),
        N * 4 * (4 * 5) * 3 * 3 * 3, 4 * 3 * 3 * 3 + 4,
    ),
    "convolution in one dimension": (one_node("Conv", (N, C, 9), [(4, C, 3)], None), N * 4 * 7 * C * 3, 4 * C * 3),
    "transposed convolution": (
        one_node("ConvTranspose", (N, C, H, W), [(C, 4, 2, 2)], None, strides=[2, 2]),
        N * C * H * W * 4 * 2 * 2, C * 4 * 2 * 2,
    ),
    "Gemm": (one_node("Gemm", (3, 5), [(5, 4), (4,)], None), 3 * 5 * 4, 5 * 4 + 4),
    "Gemm, both transposed": (one_node("Gemm", (5, 3), [(4, 5)], None, transA=1, transB=1), 3 * 5 * 4, 4 * 5),
    "product with a matrix": (one_node("MatMul", (2, 3, 5), [(5, 4)], None), 2 * 3 * 5 * 4, 5 * 4),
    "product with a vector": (one_node("MatMul", (2, 3, 5), [(5,)], None), 2 * 3 * 5, 5),
    "product of activations": (one_node("MatMul", (2, 3, 5), [], None, others=[(2, 5, 4)]), 2 * 3 * 5 * 4, 0),
    "einsum": (
        one_node("Einsum", (2, 3, 5), [(4, 3, 5)], None, equation="b h i, o h i -> b o h"), 2 * 4 * 3 * 5, 4 * 3 * 5,
    ),
    "einsum that sums nothing": (one_node("Einsum", (2, 3), [(3,)], None, equation="ij,j->ij"), 0, 3),
    "LSTM of two directions": (
        one_node(
            "LSTM", (7, 2, 5), [(2, 16, 5), (2, 16, 4), (2, 32)], None, hidden_size=4, direction="bidirectional"
        ),
        7 * 2 * 2 * (16 * 5 + 16 * 4), 2 * (16 * 5 + 16 * 4 + 32),
    ),
    "GRU": (one_node("GRU", (7, 2, 5), [(1, 12, 5), (1, 12, 4)], None, hidden_size=4), 7 * 2 * 12 * (5 + 4), 12 * 9),
    "attention": (
        one_node("Attention", (2, 3, 7, 8), [], None, others=[(2, 3, 9, 8), (2, 3, 9, 6)]), 2 * 3 * 7 * 9 * (8 + 6), 0,
    ),
    "attention with fewer keys": (
        one_node(
            "Attention", (2, 7, 4 * 8), [], None, others=[(2, 9, 2 * 8), (2, 9, 2 * 6)], q_num_heads=4, kv_num_heads=2
        ),
        2 * 4 * 7 * 9 * (8 + 6), 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PRODUCTS)
def test_products_by_hand(case):
    model, macs, params = PRODUCTS[case]
    count = counted(model)
    assert (count.macs, count.params, count.uncounted) == (macs, params, ())


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (one_node("MatMul", (2, 7), [(4, 5)], (2, 5)), "2x7 and 4x5"),
        (one_node("MatMul", (3, 2, 7), [], (3, 2, 5), others=[(4, 7, 5)]), "3x2x7 and 4x7x5"),
        (one_node("Gemm", (2, 7), [(7, 5)], (2, 5), transB=1), "2x7 and 5x7"),
        (one_node("Conv", (2, 3, 7, 7), [(4, 5, 3, 3)], None), "2x3x7x7 and a weight of 4x5x3x3"),
        (one_node("ConvTranspose", (2, 3, 7, 7), [(5, 4, 3, 3)], None), "2x3x7x7 and a weight of 5x4x3x3"),
    ],
    ids=["matrices", "batches", "Gemm", "Conv", "ConvTranspose"],
)
def test_products_of_operands_that_do_not_fit_are_not_counted(model, shapes):
    count = counted(model)
    [missing] = count.uncounted
    assert count.macs == 0
    assert f"{shapes} do not fit" in missing.error


OTHERS = {
    "batch norm": (one_node("BatchNormalization", (N, C, H, W), [(C,)] * 4, None), OpKind.NORM, 2 * C, 1),
    "layer norm": (one_node("LayerNormalization", (N, C, H), [(C, H), (C, H)], None, axis=1), OpKind.NORM, 84, 42),
    "group norm": (
        one_node("GroupNormalization", (N, C, H, W), [(C,), (C,)], (N, C, H, W), num_groups=3),
        OpKind.NORM, 2 * C, 2 * H * W,
    ),
    "old softmax": (one_node("Softmax", (N, C, H), [], None, opset=11), OpKind.SOFTMAX, 0, C * H),
    "softmax": (one_node("Softmax", (N, C, H), [], None), OpKind.SOFTMAX, 0, H),
    "max pool": (one_node("MaxPool", (N, C, H, W), [], None, kernel_shape=[3, 2]), OpKind.POOL_MAX, 0, 6),
    "global pool": (one_node("GlobalAveragePool", (N, C, H, W), [], None), OpKind.POOL_AVG, 0, H * W),
    "PReLU": (one_node("PRelu", (N, C, H, W), [(C, 1, 1)], None), OpKind.ACTIVATION, C, 1),
    "scale": (one_node("Mul", (N, C), [(C,)], None), OpKind.MULTIPLY, C, 1),
    "a number": (one_node("Mul", (N, C), [()], None), OpKind.MULTIPLY, 0, 1),
    "limits": (one_node("Clip", (N, C), [(), ()], None), OpKind.ACTIVATION, 0, 1),
    "bilinear": (
        one_node("Resize", (1, C, H, W), [None, (4,)], (1, C, 14, 10), mode="linear"), OpKind.UPSAMPLE, 0, 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_operators(case):
    model, kind, params, reduction = OTHERS[case]
    count = counted(model)
    [op] = count.cost
    assert (op.kind, op.params, op.reduction, count.macs, count.uncounted) == (kind, params, reduction, 0, ())


def test_weights_in_constant_nodes_and_quantized_weights_are_parameters():
    weight = helper.make_node("Constant", [], ["w"], value=floats("", (5, 4)))
    offset = helper.make_node("Constant", [], ["c"], value=floats("", (4,)))
    stored = [floats("q", (4, 3), TensorProto.INT8), floats("scale", (3,)), floats("zero", (3,), TensorProto.INT8)]
    nodes = [
        weight, offset,
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "c"], ["k"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["v"], axis=1),
        helper.make_node("MatMul", ["k", "v"], ["y"]),
    ]  # fmt: skip
    count = counted(model_of(nodes, [tensor("x", (2, 5))], [tensor("y", None)], stored))
    assert (count.params, count.macs) == (5 * 4 + 4 * 3, 2 * 5 * 4 + 2 * 4 * 3)
    assert [op.kind for op in count.cost] == [OpKind.LINEAR, OpKind.ADD, OpKind.LINEAR]


def test_shared_parameters_count_once_and_unused_ones_too():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    values = [floats("w", (5, 5)), floats("part.unused", (7,))]
    count = counted(model_of(nodes, [tensor("x", (2, 5))], [tensor("y", None)], values))
    assert (count.params, count.macs) == (5 * 5 + 7, 2 * 2 * 5 * 5)
    assert [(op.path, op.params) for op in count.cost.of_kind(OpKind.UNUSED)] == [("part", 7)]


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        (one_node("FusedConv", (N, C, H, W), [(4, C, 3, 3)], (N, 4, 5, 3), domain="own"), "onnx::own::FusedConv"),
        (one_node("Mystery", (2, 3), [], None, domain="own"), "onnx::own::Mystery"),
        (one_node("Einsum", (2, 3, 3), [], None, equation="bii->b"), "onnx::Einsum"),
        (one_node("DFT", (1, 8, 1), [], None, opset=17), "onnx::DFT"),
    ],
)
def test_what_has_no_rule_is_listed_as_a_product(model, operator):
    count = counted(model)
    assert [(row.operator, row.severity) for row in count.uncounted] == [(operator, Severity.PRODUCT)]
    assert not count.complete


def test_a_node_with_a_graph_of_its_own_is_listed():
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "branch", [], [tensor("z", (2,))])
    node = helper.make_node("If", ["is"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [tensor("is", (), TensorProto.BOOL), tensor("x", (2,))]
    [row] = counted(model_of([node], inputs, [tensor("y", (2,))])).uncounted
    assert (row.operator, row.severity) == ("onnx::If", Severity.PRODUCT)


def test_sizes_that_a_file_names_take_those_that_are_given():
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    ends = [tensor("x", ("n", 3, "a", "b"))], [tensor("y", ("n", 4, "c", "d"))]
    model = model_of(nodes, *ends, [floats("w", (4, 3, 3, 3))])
    model.graph.value_info.append(tensor("h", ("n", 4, "c", "d")))
    count = counted(model, ["2x3x7x8"])
    assert (count.macs, count.outputs, count.uncounted) == (2 * 5 * 6 * 4 * 3 * 3 * 3, ((2, 4, 5, 6),), ())


def test_paths_of_names():
    names = ["/layer1/layer1.0/conv1/Conv", "/Relu", "", "head"]
    places = ["x", "a", "b", "c", "y"]
    nodes = [
        helper.make_node("Relu", [places[at]], [places[at + 1]], name=name) for at, name in enumerate(names)
    ]  # fmt: skip
    count = counted(model_of(nodes, [tensor("x", (2,))], [tensor("y", (2,))]))
    assert [op.path for op in count.cost] == ["layer1.0.conv1", "Relu", "Relu_2", "head"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, list(words))


def open_model(folder):
    """A convolution over maps of any size, a reshaping that follows it, and a linear layer."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="conv"),
        helper.make_node("Shape", ["h"], ["s"], end=2),
        helper.make_node("Concat", ["s", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["h", "t"], ["r"]),
        helper.make_node("Transpose", ["r"], ["p"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["p", "v"], ["y"], name="head"),
    ]
    values = [
        floats("w", (4, 3, 3, 3)),
        floats("v", (4, 6)),
        numpy_helper.from_array(torch.tensor([-1]).numpy(), "rest"),
    ]
    model = model_of(nodes, [tensor("x", ("batch", 3, "height", 8))], [tensor("y", None)], values)
    onnx.save(model, folder / "net.onnx")
    return 4 * 3 * 3 * 3, 4 * 6


def test_open_sizes_are_asked_for_and_given(folder):
    weight, head = open_model(folder)
    done = run("count", "net.onnx")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "input x of net.onnx is batchx3xheightx8: give the shape of each input" in done.stderr
    assert "--input 1x3x1x8" in done.stderr
    done = run("count", "net.onnx", "--input", "2x3x7x8", "--format", "json", "--by", "kind")
    record = json.loads(done.stdout)
    assert record["macs"] == 2 * (5 * 6) * weight + 2 * (5 * 6) * head
    assert (record["params"], record["params_split"]) == (weight + head, {"in the file": weight + head})
    typed = run("count", "net.onnx", "--input", "2x3x7x8:float32=ones", "--format", "json", "--by", "kind")
    assert typed.stdout == done.stdout
    named = run("count", "net.onnx", "--input", "x=2x3x7x8", "--format", "json", "--by", "kind")
    assert named.stdout == done.stdout
    assert record["complete"]
    assert [layer["path"] for layer in record["layers"]] == ["", "conv", "Transpose_4", "head"]


@pytest.mark.parametrize(
    "given", [["b=4x6"], ["b=4x6", "a.0=5x4"], ["a.0=5x4", "b=4x6"], ["5x4", "4x6"], ["5x4", "b=4x6"]]
)
def test_a_name_chooses_the_input(folder, given):
    model = model_of(
        [helper.make_node("MatMul", ["a.0", "b"], ["y"])],
        [tensor("a.0", (5, 4)), tensor("b", (4, "n"))],
        [tensor("y", None)],
    )
    onnx.save(model, folder / "product.onnx")
    options = [word for text in given for word in ("--input", text)]
    assert json.loads(run("count", "product.onnx", *options, "--format", "json").stdout)["macs"] == 5 * 4 * 6
    for wrong in (["c=4x6"], ["5x4", "a.0=5x4"], ["a.0=5x4", "b=4x6", "5x4"], ["5x4"]):
        done = run("count", "product.onnx", *(word for text in wrong for word in ("--input", text)))
        assert (done.exit_code, done.stdout) == (2, "")
        assert "product.onnx takes a.0, b: --input once for each" in done.stderr
        assert f"some of them by name, and {' and '.join(wrong)} were given" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["count", "net.onnx", "--input", "2x4x7x8"], "input 2x4x7x8 does not fit x of net.onnx, which is batchx3x"),
        (["count", "net.onnx", "--input", "2x3x7"], "input 2x3x7 does not fit x of net.onnx"),
        (["count", "net.onnx", "--input", "2x3x7x8", "--input", "1"], "net.onnx takes x: --input once for each"),
        (["count", "net.onnx", "--input", "2x3x7x8:int64"], "input x of net.onnx is float32, and int64 was given"),
        (["count", "net.onnx", "--input", "2x3x7x8", "--train"], "which has no backward pass"),
        (["count", "net.onnx --attention se --after conv"], "attention is inserted into modules, and net.onnx is"),
        (["count", "none.onnx"], "cannot read none.onnx: No such file or directory"),
        (["count", "text.onnx"], "text.onnx is not an ONNX model"),
        (["count", "empty.onnx"], "empty.onnx is not an ONNX model"),
        (["count", "net.onnx", "--peers"], "net.onnx is an ONNX file, which is counted without being run"),
        (["layers", "net.onnx"], "net.onnx is an ONNX file, which is counted without being run"),
        (["measure", "net.onnx"], "net.onnx is an ONNX file, which is counted without being run"),
    ],
)
def test_bad_input_is_one_sentence(folder, words, said):
    open_model(folder)
    (folder / "text.onnx").write_text("This is no model at all.\n")
    (folder / "empty.onnx").touch()
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_beside_the_file_are_not_needed_but_integers_are(folder):
    weight, head = open_model(folder)
    model = onnx.load("net.onnx")
    onnx.save(model, "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    assert json.loads(run("count", "split.onnx", "--input", "2x3x7x8", "--format", "json").stdout)["macs"] == 60 * (
        weight + head
    )
    (folder / "split.data").unlink()
    done = run("count", "split.onnx", "--input", "2x3x7x8")
    assert done.exit_code == 2
    assert "split.onnx keeps rest in 'split.data' beside it, which cannot be read" in done.stderr
    onnx.save(onnx.load("net.onnx"), "floats.onnx", save_as_external_data=True, location="f.data", size_threshold=64)
    (folder / "f.data").unlink()
    assert run("count", "floats.onnx", "--input", "2x3x7x8").exit_code == 0


def test_a_file_is_compared_and_swept(folder):
    weight, head = open_model(folder)
    onnx.save(one_node("Conv", (2, 3, 7, 8), [(4, 3, 3, 3)], None), "conv.onnx")
    done = run("compare", "conv.onnx", "net.onnx --input 2x3x7x8", "--format", "json")
    assert [network["macs"] for network in json.loads(done.stdout)["networks"]] == [60 * weight, 60 * (weight + head)]
    (folder / "models.txt").write_text("conv.onnx\nnet.onnx --input 2x3x7x8\n")
    assert run("sweep", "models.txt", "--out", "rows.csv", "--workers", "1").exit_code == 0
    with open("rows.csv", encoding="utf-8") as rows:
        macs = {row["model"]: int(row["macs"]) for row in csv.DictReader(rows)}
    assert macs == {"conv.onnx": 60 * weight, "net.onnx --input 2x3x7x8": 60 * (weight + head)}


def test_an_export_is_the_model_module_by_module(folder):
    exported(uc.build("mv1", width=0.25, resolution=64).eval(), sample((1, 3, 64, 64))).save("mv1.onnx")
    done = run("compare", "mv1 --width 0.25 --resolution 64", "mv1.onnx", "--format", "json")
    assert json.loads(done.stdout)["networks"][1]["modules"] == []


def test_without_onnx_a_sentence_says_how_to_get_it(folder):
    open_model(folder)
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from ulsam_cost.cli import main; main(['count', 'net.onnx', '--input', '2x3x7x8'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "onnx is not installed: pip install 'ulsam-cost[onnxruntime]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_names_the_column_of_the_inputs(folder):
    open_model(folder)
    (folder / "cells.csv").write_text("source,table,row,metric,printed,MODEL\nmine,T,1,macs,7M,net.onnx\n")
    done = run("crosscheck", "--cells", "cells.csv")
    assert done.exit_code == 2
    assert "with --input, such as --input 1x3x1x8, which is the column 'input' of this file" in done.stderr
