"""OpenVINO on the CPU: https://docs.openvino.ai."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.runtime import Arrays, Runtime, Session

FILE = "model.xml"  # the weights are in model.bin beside it
_PRECISION = {"float32": "f32", "int8": "f32", "float16": "f16", "bfloat16": "bf16"}  # of what is not quantized
_MACS = ["ulsam_cost", "macs"]


def export(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path, dtype: str) -> None:
    """Convert what PyTorch's exporter writes for ONNX."""
    import openvino

    from ulsam_cost.measuring.runtimes.exporting import onnx_macs, write_onnx

    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "model.onnx"
        write_onnx(model, args, kwargs, file)
        converted = openvino.convert_model(file)
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
    import openvino

    precision = _PRECISION[dtype]
    asked = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(folder / FILE, "CPU", asked)
    computed = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if computed != precision:
        raise CostError(f"this processor computes {computed} in place of {precision}")
    if len(compiled.inputs) != len(inputs):
        raise CostError(f"the exported graph takes {len(compiled.inputs)} inputs, and the model {len(inputs)}")
    request = compiled.create_infer_request()
    for place, (port, array) in enumerate(zip(compiled.inputs, inputs, strict=True)):
        request.set_input_tensor(place, openvino.Tensor(array.astype(port.element_type.to_dtype())))

    def run() -> Arrays:
        request.infer()
        return [request.get_output_tensor(place).data for place in range(len(compiled.outputs))]

    return Session(
        run=run,
        settings={
            "performance_hint": "LATENCY",
            "inference_precision": computed,
            "inference_num_threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "num_streams": compiled.get_property("NUM_STREAMS"),
            "cpu_pinning": compiled.get_property("ENABLE_CPU_PINNING"),
        },
    )


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
)
