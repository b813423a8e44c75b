"""How long the first count of a network takes, beside torch's FlopCounterMode on the meta device.

    python benchmarks/first_counts.py [--timm 200] [--transformers 100] [--seed 0]

Architectures of timm and of transformers are drawn, as far as these are installed, built on the meta device, and each
is counted once with nothing remembered of any other: by the one and by the other in turn, in one process, the order
alternating; what others left to Python's garbage collector is collected before. The times are CPU times of the process;
what other programs do disturbs the ratios little.
"""

import gc
import importlib
import random
import statistics
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any

import click
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import ulsam_cost as uc
from ulsam_cost.counting.function_mode import FunctionMode
from ulsam_cost.counting.memo import forget

Build = Callable[[], tuple[nn.Module, Any]]
# What torchvision's compiled part registers, where a torch without a GPU has no such part: timm imports them.
TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
    "-> (Tensor, Tensor)",
    "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
    "-> (Tensor, Tensor)",
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, "
    "SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, "
    "SymInt offset_groups, bool use_mask) -> Tensor",
)


@dataclass(frozen=True)
class Times:
    """Seconds that a first count takes of one architecture."""

    name: str
    own: float
    peer: float

    @property
    def ratio(self) -> float:
        """How much longer the peer takes."""
        return self.peer / self.own


def declare_torchvision() -> Any:
    """Let torchvision be imported, also without its compiled part; what is returned must live as long as it is used."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return None
    except RuntimeError:  # an operator that does not exist
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for schema in TORCHVISION_OPERATORS:
            library.define(schema)
        return library


def timm_architectures() -> dict[str, Build]:
    """The networks of timm, each at its own resolution."""
    timm = importlib.import_module("timm")

    def build(name: str) -> tuple[nn.Module, Any]:
        model = timm.create_model(name, pretrained=False)
        return model, torch.empty(1, *model.default_cfg["input_size"])

    return {name: partial(build, name) for name in timm.list_models()}


def transformers_architectures() -> dict[str, Build]:
    """The models of transformers with the sizes that their configurations have by default, on a row of 64 tokens."""
    library: Any = importlib.import_module("transformers")
    names = importlib.import_module("transformers.models.auto.modeling_auto").MODEL_MAPPING_NAMES

    def build(name: str) -> tuple[nn.Module, Any]:
        config = library.CONFIG_MAPPING[name]()
        model = library.AutoModel.from_config(config)
        wanted = model.main_input_name
        if wanted == "input_ids":
            inputs = {wanted: torch.zeros(1, 64, dtype=torch.int64)}
        elif wanted == "pixel_values":
            size = getattr(config, "image_size", 224)
            height, width = size if isinstance(size, list | tuple) else (size, size)
            inputs = {wanted: torch.empty(1, getattr(config, "num_channels", 3), height, width)}
        else:
            raise ValueError(f"no input is made for {wanted!r}")
        return model, inputs

    return {name: partial(build, name) for name in names}


def seconds(function: Callable[[], Any]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def peer_count(model: nn.Module, inputs: Any) -> None:
    """Count with FlopCounterMode."""
    with FlopCounterMode(display=False), torch.no_grad():
        model(**inputs) if isinstance(inputs, dict) else model(inputs)


def own_count(model: nn.Module, inputs: Any) -> None:
    """Count with this project's counter, with nothing remembered of other counts."""
    forget()
    uc.count(model, inputs)


def timed(name: str, build: Build, *, own_first: bool) -> Times:
    """Count an architecture once by each counter."""
    with torch.device("meta"):
        model, inputs = build()
    model.eval()
    taken = {}
    for count in (own_count, peer_count) if own_first else (peer_count, own_count):
        gc.collect()
        taken[count] = seconds(partial(count, model, inputs))
    return Times(name, taken[own_count], taken[peer_count])


def times_of(architectures: dict[str, Build], seed: int, skipped: list[str]) -> Iterator[Times]:
    """The times of the architectures in a drawn order; those that one of the two cannot count are skipped."""
    names = sorted(architectures)
    random.Random(seed).shuffle(names)
    for at, name in enumerate(names):
        try:
            yield timed(name, architectures[name], own_first=at % 2 == 0)
        except Exception as error:  # another project's, whatever it raises
            skipped.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


class FunctionTimes:
    """While entered, adds up how long each torch function takes that the counter sees."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> "FunctionTimes":
        self._original = original = FunctionMode.__torch_function__
        inside = 0

        def timed_function(mode: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal inside
            start, inside = time.perf_counter(), inside + 1
            try:
                return original(mode, func, types, args, kwargs)
            finally:
                inside -= 1
                if not inside:
                    name = getattr(func, "__qualname__", str(func))
                    name = f"{name} {func.__self__!r}" if name.endswith("__get__") else name
                    self.seconds[name] += time.perf_counter() - start
                    self.calls[name] += 1

        setattr(FunctionMode, "__torch_function__", timed_function)  # noqa: B010
        return self

    def __exit__(self, *_: object) -> None:
        setattr(FunctionMode, "__torch_function__", self._original)  # noqa: B010


def print_times(library: str, times: list[Times]) -> None:
    """The ratios of a library's architectures, and the slowest of them."""
    if not times:
        return
    ratios = sorted(one.ratio for one in times)
    tenth = ratios[len(ratios) // 10]
    own, peer = sum(one.own for one in times), sum(one.peer for one in times)
    slower = sum(ratio < 1 for ratio in ratios)
    click.echo(
        f"{library}: {len(times)} architectures; FlopCounterMode's time over ours: median "
        f"{statistics.median(ratios):.1f}, tenth percentile {tenth:.1f}, lowest {ratios[0]:.1f}; slower: {slower}; "
        f"all of them: {own:.1f} s, FlopCounterMode {peer:.1f} s"
    )
    for one in sorted(times, key=lambda one: one.ratio)[:12]:
        click.echo(f"  {one.name:40} {1e3 * one.own:9.1f} ms  {1e3 * one.peer:9.1f} ms  {one.ratio:6.1f}")


def print_functions(architectures: dict[str, Build], times: list[Times]) -> None:
    """Which functions took the counter longest, with the calls of each, over a second count of the same."""
    with FunctionTimes() as functions:
        for one in times:
            with torch.device("meta"):
                model, inputs = architectures[one.name]()
            own_count(model.eval(), inputs)
    total = sum(one.own for one in times)
    click.echo(f"  the functions that took longest, of {total:.1f} s in all")
    for name, taken in sorted(functions.seconds.items(), key=itemgetter(1), reverse=True)[:30]:
        calls = functions.calls[name]
        click.echo(f"  {name[:60]:60} {taken:8.2f} s  {calls:8,} calls  {1e6 * taken / calls:8.1f} us each")


@click.command()
@click.option("--timm", "of_timm", default=200, show_default=True, help="Architectures of timm.")
@click.option("--transformers", "of_transformers", default=100, show_default=True, help="Those of transformers.")
@click.option("--seed", default=0, show_default=True)
@click.option("--functions/--no-functions", default=True, help="Print which functions took longest.")
def main(of_timm: int, of_transformers: int, seed: int, *, functions: bool) -> None:
    """Print the ratios, library by library."""
    warnings.simplefilter("ignore")
    kept = declare_torchvision()  # noqa: F841
    libraries = (("timm", timm_architectures, of_timm), ("transformers", transformers_architectures, of_transformers))
    for library, list_architectures, size in libraries:
        if not size:
            continue
        try:
            architectures = list_architectures()
        except ImportError as error:
            click.echo(f"{library} is not there: {error}")
            continue
        gc.freeze()  # what is imported is not looked through before each count
        skipped: list[str] = []
        times = list(islice(times_of(architectures, seed, skipped), size))
        print_times(library, times)
        click.echo(f"  not compared: {len(skipped)}")
        for line in skipped:
            click.echo(f"    {line[:160]}", err=True)
        if functions:
            print_functions(architectures, times)


if __name__ == "__main__":
    main()
