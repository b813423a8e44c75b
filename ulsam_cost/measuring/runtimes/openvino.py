"""OpenVINO on the CPU: https://docs.openvino.ai."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.runtime import (
    WARM_UP,
    Arrays,
    NodeTime,
    Profiled,
    Runtime,
    Session,
    mean_ms,
    require_inputs,
)

FILE = "model.xml"  # the weights are in model.bin beside it
_PRECISION = {"float32": "f32", "int8": "f32", "float16": "f16", "bfloat16": "bf16"}  # of what is not quantized
_MACS = ["ulsam_cost", "macs"]
_AND, _OF = "+", "::"  # features.0.0+features.0.1::node_Conv_484
_MILLISECOND = timedelta(milliseconds=1)


def export(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path, dtype: str, shared: Path) -> None:
    """Convert what PyTorch's exporter writes for ONNX."""
    import openvino

    from ulsam_cost.counting.onnx.modules import exported_nodes
    from ulsam_cost.measuring.runtimes.exporting import onnx_file, onnx_macs

    file = onnx_file(model, args, kwargs, "float32", shared)
    converted = openvino.convert_model(file)
    _name_by_modules(converted, exported_nodes(file))
    if (number := onnx_macs(file)) is not None:
        converted.set_rt_info(str(number), _MACS)
    openvino.save_model(converted, folder / FILE, compress_to_fp16=dtype == "float16")


def start() -> None:
    """Load the plugin of the CPU."""
    import openvino

    openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")


def load(folder: Path, inputs: Arrays, *, threads: int, dtype: str) -> Session:
    """One request at a time, by so many threads; what is not int8 in the number format that is asked for.

    OpenVINO itself would take bfloat16 wherever the processor has it, also for a float32 model.
    """
    compiled, request = _open(folder, inputs, threads, dtype)

    def run() -> Arrays:
        request.infer()
        return [request.get_output_tensor(place).data for place in range(len(compiled.outputs))]

    return Session(
        run=run,
        settings={
            "performance_hint": "LATENCY",
            "inference_precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "inference_num_threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "num_streams": compiled.get_property("NUM_STREAMS"),
            "cpu_pinning": compiled.get_property("ENABLE_CPU_PINNING"),
        },
    )


def _open(folder: Path, inputs: Arrays, threads: int, dtype: str, *, profile: bool = False) -> tuple[Any, Any]:
    """A compiled model, and a request that has its inputs."""
    import openvino

    precision = _PRECISION[dtype]
    asked = {
        "PERF_COUNT": profile,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(folder / FILE, "CPU", asked)
    computed = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if computed != precision:
        raise CostError(f"this processor computes {computed} in place of {precision}")
    require_inputs(len(compiled.inputs), len(inputs))
    request = compiled.create_infer_request()
    for place, (port, array) in enumerate(zip(compiled.inputs, inputs, strict=True)):
        request.set_input_tensor(place, openvino.Tensor(array.astype(port.element_type.to_dtype())))
    return compiled, request


def profile(folder: Path, inputs: Arrays, *, threads: int, dtype: str, runs: int) -> Profiled:
    """What its counters say; they are means over all runs of a compiled model, the first ones among them."""
    compiled, request = _open(folder, inputs, threads, dtype, profile=True)
    for _ in range(WARM_UP):
        request.infer()
    first = {each.node_name: each.real_time for each in request.profiling_info}
    ms = mean_ms(request.infer, runs, warm_up=0)
    modules = {node.get_friendly_name(): _modules(node) for node in compiled.get_runtime_model().get_ops()}

    def time_of(node: Any) -> float:
        total: timedelta = node.real_time * (WARM_UP + runs) - first[node.node_name] * WARM_UP
        return max(0.0, total / _MILLISECOND / runs)  # both are cut off to microseconds

    nodes = [
        NodeTime(kind=each.node_type, modules=modules.get(each.node_name, ()), ms=time_of(each))
        for each in request.profiling_info
        if each.status == each.Status.EXECUTED
    ]
    return Profiled(nodes=nodes, ms=ms)


def _modules(node: Any) -> tuple[str, ...]:
    """The modules of a node that runs: of those that were fused into it, each named after its own by `export`."""
    names = str(node.get_rt_info()["originalLayersNames"].astype(str)).split(",")
    named = (name.partition(_OF) for name in names)
    return tuple(dict.fromkeys(path for paths, of, _ in named if of for path in paths.split(_AND)))


def _name_by_modules(graph: Any, nodes: Sequence[Any]) -> None:
    """Begin the names of operations with their modules; one that has none of its own is its taker's."""
    from ulsam_cost.counting.onnx.modules import known_name, modules_by_name

    known = modules_by_name(nodes)
    for node in reversed(graph.get_ordered_ops()):
        if node.get_type_name() in ("Constant", "Parameter", "Result"):
            continue
        name = node.get_friendly_name()
        found = known_name(name, known)
        takers = (
            each.get_node().get_friendly_name() for output in node.outputs() for each in output.get_target_inputs()
        )
        paths = (
            _AND.join(known[found]) if found else next((one.partition(_OF)[0] for one in takers if _OF in one), None)
        )
        if paths is not None:
            node.set_friendly_name(f"{paths}{_OF}{name}")


def quantize(folder: Path, samples: Sequence[Arrays]) -> None:
    """Post-training quantization at NNCF's defaults: int8 activations, int8 weights with a scale a channel."""
    import nncf
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the files are written over
    floats = core.read_model(folder / FILE)
    quantized = nncf.quantize(floats, nncf.Dataset(samples, tuple), subset_size=len(samples))
    openvino.save_model(quantized, folder / FILE, compress_to_fp16=False)


def macs(folder: Path) -> int | None:
    """Those of the ONNX graph that was converted, which the file tells."""
    import openvino

    graph = openvino.Core().read_model(folder / FILE)
    return int(graph.get_rt_info(_MACS).astype(str)) if graph.has_rt_info(_MACS) else None


RUNTIME = Runtime(
    name="openvino",
    title="OpenVINO",
    packages=("openvino", "nncf", "onnx", "onnxscript"),
    dtypes=("float32", "float16", "bfloat16", "int8"),
    start=start,
    export=export,
    load=load,
    quantize=quantize,
    macs=macs,
    profile=profile,
)
