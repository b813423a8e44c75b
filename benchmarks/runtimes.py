"""Does `measure --runtime` give the times of ONNX Runtime's own `session.run`, and of OpenVINO's `benchmark_app`?

    python -m benchmarks.runtimes [--runtime openvino]

Each network is exported once for the other, a plain loop or `benchmark_app` with one stream, which runs in a process
that imports neither torch nor ulsam_cost and takes turns with `uc.measure`. Exits with status 1 if a median of the
ratios is off by more than LIMIT, or if there is none because the machine was busy.
"""

import re
import subprocess
import sys
import warnings
from math import ceil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import torch

import ulsam_cost as uc
from ulsam_cost.measuring.runner import calibrate_batch_norm

LIMIT = 0.05
NETWORKS = {"mv1": "8:1,9:1,11", "mv2": "13,14,16,17"}
SHAPE = (1, 3, 224, 224)
LOOP = """
import sys, time
from statistics import median
import numpy as np
import onnxruntime
file, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
feeds = {session.get_inputs()[0].name: np.load(file + ".npy")}
for _ in range(10):
    session.run(None, feeds)
times, end = [], time.perf_counter() + seconds
while time.perf_counter() < end:
    start = time.perf_counter()
    session.run(None, feeds)
    times.append(time.perf_counter() - start)
print(1e3 * median(times))
"""


def loop_ms(file: Path, threads: int, seconds: float) -> float:
    """The median of a plain loop, in milliseconds."""
    words = [sys.executable, "-c", LOOP, str(file), str(threads), str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout)


def benchmark_app_ms(file: Path, threads: int, seconds: float) -> float:
    """The median that OpenVINO's own tool prints, in milliseconds."""
    setting = "-d CPU -api sync -hint none -nstreams 1 -infer_precision f32 -ip f32 -op f32"
    words = [sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()", "-m", str(file)]
    words += [*setting.split(), "-nthreads", str(threads), "-t", str(ceil(seconds))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"Median: +([0-9.]+) ms", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


OTHERS = {"onnxruntime": loop_ms, "openvino": benchmark_app_ms}


def export(model: torch.nn.Module, x: torch.Tensor, file: Path) -> None:
    """Write the model and its input for the loop."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, (x,), dynamo=True, optimize=True, verbose=False)
    assert program is not None
    program.save(file)
    np.save(f"{file}.npy", x.numpy())


@click.command()
@click.option("--runtime", type=click.Choice(list(OTHERS)), default="onnxruntime", show_default=True)
@click.option("--turns", default=5, show_default=True, help="How often loop and measurement take turns.")
@click.option("--seconds", default=3.0, show_default=True, help="Of each.")
def main(runtime: str, turns: int, seconds: float) -> None:
    """Compare the medians of `measure` with those of the runtime by itself."""
    passes = True
    with TemporaryDirectory() as folder:
        for network, positions in NETWORKS.items():
            x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
            model = calibrate_batch_norm(uc.build(network, positions=positions), x)
            file = Path(folder) / f"{network}.onnx"
            export(model, x, file)
            for threads in sorted({1, torch.get_num_threads()}):
                ratios, busy = [], []
                for _ in range(turns):
                    plain = OTHERS[runtime](file, threads, seconds)
                    timed = uc.measure(model, x, runtime=runtime, threads=threads, precision=0.002, max_seconds=seconds)
                    ratios.append(timed.network.median_ms / plain)
                    busy += [timed.busy] if timed.busy else []
                off = median(ratios) - 1
                passes &= abs(off) <= LIMIT and len(busy) < turns / 2
                shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
                click.echo(f"{network}, {threads} threads: measured / {runtime} by itself {1 + off:.3f} ({shown})")
                for reason in busy:
                    click.echo(f"  busy: {reason}")
    click.echo(f"limit {LIMIT:.0%}: {'kept' if passes else 'NOT kept'}")
    sys.exit(0 if passes else 1)


if __name__ == "__main__":
    main()
