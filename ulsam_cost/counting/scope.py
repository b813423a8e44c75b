"""Which submodule is running: the calls of modules are heard while something counts, in its own thread only.

They are heard where nn.Module.__call__ looks for a compiled call: setting __call__ itself would touch every subclass
of nn.Module there is, which takes longer than a small network.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import nn

from ulsam_cost.counting.model_index import layer_class
from ulsam_cost.torch_private import COMPILED_CALL, call_uncompiled

UNANSWERED: Any = object()
_running: dict[int, "Scope"] = {}  # by thread
_lock = threading.Lock()
_entered = 0


def no_answer(module: nn.Module, x: Any) -> Any:
    """The answer for leaves that are run."""
    return UNANSWERED


class Heard:
    """Is told that a run begins, after one that failed as well, and of each call of a submodule in it."""

    def begin(self) -> None:
        """Forget what was told of an earlier run."""

    def __call__(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, ran: slice) -> None:
        """Take notice of a call that has ended: its operations stand at `ran` among those of the run."""


NOT_HEARD = Heard()


def _run_plainly(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call_uncompiled(module, *args, **kwargs)  # type: ignore[no-untyped-call]


class Scope:
    """While entered, `path` is the name of the submodule that runs, `module` its torch.nn class if it is a layer.

    A module that stands in the model under several names goes by its first; one that does not stand in the
    model goes by the path of its caller. `answer` may give the result of a leaf in place of running it;
    `in_another_thread` runs a module of the model that another thread calls. `heard` is told of each call that is
    run here: the path of its module, its arguments, its result, and the places of its operations among those that
    `recorded` tells the number of.
    After an exception, `failed(error)` is the path at which it was raised.
    """

    def __init__(self, names: dict[int, tuple[str, str]], heard: Heard = NOT_HEARD) -> None:
        self.path = self.module = ""
        self.answer: Callable[[nn.Module, Any], Any] = no_answer
        self.in_another_thread: Callable[[nn.Module, Any, Any], Any] = _run_plainly
        self.heard = heard
        self.recorded: Callable[[], int] = int
        self.names = names
        self._failure: tuple[BaseException, str] | None = None

    def __enter__(self) -> "Scope":
        global _entered  # noqa: PLW0603
        self._thread = threading.get_ident()
        with _lock:
            self._outer = _running.get(self._thread)
            _running[self._thread] = self
            _entered += 1
            if _entered == 1:
                setattr(nn.Module, COMPILED_CALL, _call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _entered  # noqa: PLW0603
        # They refer to this scope: what was recorded would live until it is collected.
        self.answer, self.in_another_thread, self.recorded = no_answer, _run_plainly, int
        with _lock:
            if self._outer is None:
                del _running[self._thread]
            else:
                _running[self._thread] = self._outer
            _entered -= 1
            if not _entered:
                setattr(nn.Module, COMPILED_CALL, None)

    def failed(self, error: BaseException) -> str | None:
        """The path of the module in which this exception was raised, None where it was not in a module."""
        return self._failure[1] if self._failure is not None and self._failure[0] is error else None

    def run(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a module under its name."""
        path, leaf, before = self.path, self.module, self.recorded()
        own = self.names.get(id(module))
        self.path, self.module = own or (path, layer_class(module))
        try:
            result = call_uncompiled(module, *args, **kwargs)  # type: ignore[no-untyped-call]
        except BaseException as error:
            if self.failed(error) is None:
                self._failure = error, self.path
            raise
        else:
            if own is not None and self.heard is not NOT_HEARD:
                self.heard(self.path, args, kwargs, result, slice(before, self.recorded()))
            return result
        finally:
            self.path, self.module = path, leaf


def _call(module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
    scope = _running.get(threading.get_ident())
    if scope is None:
        owner = next((running for running in list(_running.values()) if id(module) in running.names), None)
        run = _run_plainly if owner is None else owner.in_another_thread
        return run(module, args, kwargs)
    if not kwargs and len(args) == 1:
        before = 0 if scope.heard is NOT_HEARD else scope.recorded()
        answer = scope.answer(module, args[0])
        if answer is not UNANSWERED:
            if scope.heard is not NOT_HEARD and (own := scope.names.get(id(module))) is not None:
                scope.heard(own[0], args, kwargs, answer, slice(before, scope.recorded()))
            return answer
    return scope.run(module, args, kwargs)
