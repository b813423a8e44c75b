"""What a command prints: its data alone on standard output, everything else on standard error.

Code of other people runs below a command: a model, its import, C code that writes to the descriptor itself. While
it may run, standard output is standard error to everybody but `echo`.
"""

import ctypes
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial
from typing import Any, TextIO

import click

from ulsam_cost.errors import CostError
from ulsam_cost.plain_text import visible

_STDOUT, _STDERR = 1, 2
_data: list[TextIO] = []


def echo(text: str) -> None:
    """Print data to standard output, with no character that a terminal would obey."""
    click.echo(visible(text), file=_data[-1] if _data else None)


def say(text: str) -> None:
    """Print what is not data to standard error, likewise."""
    click.echo(visible(text), err=True)


class DataCommand(click.Command):
    """A command whose data stands alone on standard output, whatever the code prints that it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its status is what it returns.

        Raises:
            CostError: where the code that it runs would end the program.
        """
        with output_for_data():
            try:
                return super().invoke(ctx)
            except (Exception, KeyboardInterrupt):
                raise
            except BaseException as error:  # the commands raise none: SystemExit and its like are the model's
                raise CostError(
                    f"the model ended the program with {type(error).__name__}({error}): one that returns is accepted"
                ) from error


data_command = partial(click.command, cls=DataCommand)


@contextmanager
def output_for_data() -> Iterator[None]:
    """Keep standard output for `echo`: what else is written to it goes to standard error, from C code as well."""
    if _data or sys.stdout is None:
        yield
        return
    with ExitStack() as stack:
        real = is_real(sys.stdout)
        _data.append(stack.enter_context(_own_stream()) if real else sys.stdout)
        stack.callback(_data.clear)
        stack.enter_context(_descriptor_to_stderr())
        # The process's own stream stays, for whoever keeps or wraps it: what it writes goes to standard error now.
        stack.enter_context(redirect_stdout(_by_lines(sys.stdout) if real else sys.stderr))
        yield


def leave_output_to_nobody() -> None:
    """At the end of the process: what is still printed, by what runs at exit, is not data either."""
    stream = sys.__stdout__
    if stream is not None and sys.stdout is stream:
        with suppress(ValueError):  # it was closed by the model
            stream.flush()
        with suppress(OSError):
            os.dup2(_STDERR, _STDOUT)


def is_real(stream: TextIO) -> bool:
    """Whether a stream is the process's own standard output."""
    try:
        return stream.fileno() == _STDOUT
    except (OSError, ValueError):  # one of a test or a notebook
        return False


def _own_stream() -> TextIO:
    """Another stream to where standard output goes now."""
    sys.stdout.flush()
    return open(os.dup(_STDOUT), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def _by_lines(stream: TextIO) -> TextIO:
    """The stream, writing each line at once, as standard error does."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(line_buffering=True)
    return stream


@contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    try:
        saved = os.dup(_STDOUT)
    except OSError:  # it is closed
        yield
        return
    try:
        with suppress(OSError):
            os.dup2(_STDERR, _STDOUT)
        yield
    finally:
        _flush_all()
        os.dup2(saved, _STDOUT)
        os.close(saved)


def _flush_all() -> None:
    """Write out what Python and C code have kept in buffers for standard output."""
    with suppress(AttributeError, OSError, ValueError):
        sys.__stdout__.flush()  # type: ignore[union-attr]
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
