"""The runtimes by name, one line each."""

from importlib import import_module
from importlib.util import find_spec

from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.measuring.runtimes.runtime import Runtime

TORCH = "torch"
REGISTERED = {  # name -> its file
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "executorch": "executorch",
}


def require_runtime(name: str) -> None:
    """Refuse a name that is not PyTorch's or that of a runtime.

    Raises:
        UnknownNameError: with those that are accepted.
    """
    if name != TORCH and name not in REGISTERED:
        raise UnknownNameError.among("runtime", name, (TORCH, *REGISTERED))


def get_runtime(name: str) -> Runtime:
    """A runtime other than PyTorch by its name."""
    runtime: Runtime = import_module(f"ulsam_cost.measuring.runtimes.{REGISTERED[name]}").RUNTIME
    return runtime


def require_profiler(name: str) -> None:
    """Refuse a runtime that does not tell the times of nodes.

    Raises:
        CostError: naming it.
    """
    runtime = get_runtime(name)
    if runtime.profile is None:
        raise CostError(f"{runtime.title} does not tell the times of layers: leave out --layers, or runtime {name!r}")


def require_installed(runtime: Runtime) -> None:
    """Refuse a runtime that is not installed.

    Raises:
        CostError: saying how to install it.
    """
    for package in runtime.packages:
        if not _is_importable(package):
            raise CostError(f"{package} is not installed: pip install 'ulsam-cost[{runtime.name}]'")


def _is_importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it is None in sys.modules, or a module without a spec
        return False


def version_of(runtime: Runtime) -> str:
    """The version that is installed."""
    from importlib.metadata import version  # a tenth of the time that --help takes

    return version(runtime.packages[0])
