"""Which submodule is running: `nn.Module.__call__` is wrapped while something counts, in its own thread only."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import nn

from ulsam_cost.profiler.index import leaf_class

UNANSWERED: Any = object()

_running: dict[int, "Scope"] = {}  # by thread
_lock = threading.Lock()
_entered = 0
_plain_call: Callable[..., Any] = nn.Module.__call__


class Scope:
    """While entered, `path` is the name of the submodule that runs, `module` its torch.nn class if it is a leaf.

    A module that stands in the model under several names goes by its first; one that does not stand in the
    model goes by the path of its caller. `answer` may give the result of a leaf in place of running it.
    After an exception, `failed(error)` is the path at which it was raised.
    """

    def __init__(self, names: dict[int, tuple[str, str]]) -> None:
        self.path = self.module = ""
        self.answer: Callable[[nn.Module, tuple[Any, ...]], Any] = lambda *_: UNANSWERED
        self._names = names
        self._failure: tuple[BaseException, str] | None = None

    def __enter__(self) -> "Scope":
        global _entered, _plain_call  # noqa: PLW0603
        self._thread = threading.get_ident()
        self._outer = _running.get(self._thread)
        with _lock:
            if not _entered and nn.Module.__call__ is not _call:
                _plain_call = nn.Module.__call__
                nn.Module.__call__ = _call  # type: ignore[method-assign]
            _entered += 1
            _running[self._thread] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _entered  # noqa: PLW0603
        with _lock:
            if self._outer is None:
                del _running[self._thread]
            else:
                _running[self._thread] = self._outer
            _entered -= 1
            if not _entered and nn.Module.__call__ is _call:  # else another tool wrapped it since
                nn.Module.__call__ = _plain_call  # type: ignore[method-assign]

    def failed(self, error: BaseException) -> str | None:
        """The path of the module in which this exception was raised, None where it was not in a module."""
        return self._failure[1] if self._failure is not None and self._failure[0] is error else None

    def run(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a module, or answer for it, under its name."""
        path, leaf = self.path, self.module
        self.path, self.module = self._names.get(id(module)) or (path, leaf_class(module))
        try:
            if self.module and not kwargs:
                answer = self.answer(module, args)
                if answer is not UNANSWERED:
                    return answer
            if "_compiled_call_impl" in module.__dict__:  # module.compile() was called: run it as it was written
                return module._call_impl(*args, **kwargs)
            return _plain_call(module, *args, **kwargs)
        except BaseException as error:
            if self.failed(error) is None:
                self._failure = error, self.path
            raise
        finally:
            self.path, self.module = path, leaf


def _call(module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
    scope = _running.get(threading.get_ident())
    return _plain_call(module, *args, **kwargs) if scope is None else scope.run(module, args, kwargs)
