"""The command line: one file a command, loaded when the command runs."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from ulsam_cost.cli.output import leave_output_to_nobody, say
from ulsam_cost.errors import CostError, OutputError, first_line, says_too_large

# torch's profiler, which measures memory, would speak on standard error
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

COMMANDS = {
    "table1": "Overheads of the attention mechanisms: printed, derived, counted.",
    "overhead": "What attention adds, swept over channels and map sizes, as a table and a picture.",
    "profile": "What a network with attention at given positions costs, and how long it takes.",
    "layers": "The layers of a model, and whether attention may follow or replace each.",
    "compare": "Networks side by side, and the layers in which they differ.",
    "measure": "Time, memory and energy of a model, and how far it is from the device's limit.",
    "search": "Placements of attention that keep a budget and cost least, out of all of them.",
    "review": "Candidates of a design beside its baseline, under a budget: a report, or a check.",
    "sweep": "The costs of many models, a row each, on all processors or a cluster.",
    "count": "What any PyTorch model costs, under every convention, and what was not counted.",
    "conventions": "What each tool and each paper calls FLOPs.",
    "crosscheck": "Compare every printed cost with the computed one.",
    "explain": "How a printed cell can be computed, and which counting rule gives a number.",
    "report": "Write the report, or check that it is up to date.",
}


class CommandGroup(click.Group):
    """A group whose commands are imported when they are asked for, and whose errors are one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, with only its own file loaded."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # type: ignore[override]
        self, args: Any = None, prog_name: Any = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run the program: bad input ends with 2, what cannot be written with 1, each with one sentence."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            with _interrupted_once():
                status = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.Abort:
            _fail("interrupted", 130)
        except NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except OSError as error:
            _fail(f"cannot write: {error.strerror or error}", 1)
        except CostError as error:
            _fail(str(error), 1 if isinstance(error, OutputError) else 2)
        except Exception as error:
            if not says_too_large(error):
                raise
            _fail(f"{first_line(error)}: smaller sizes are accepted", 2)
        leave_output_to_nobody()
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    say(f"Error: {message}")
    leave_output_to_nobody()
    sys.exit(status)


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Let Ctrl-C interrupt the program as ever; a second one, while it ends, ends it at once without a word."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ulsam-cost", prog_name="ulsam-cost")
def main() -> None:
    """What a convolutional network with attention costs: derived, counted, measured."""
