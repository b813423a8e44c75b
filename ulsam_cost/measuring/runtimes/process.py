"""A runtime's process, from outside: started, given jobs, heard, and ended in any case."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any

import ulsam_cost
from ulsam_cost.errors import CostError

Messages = Generator[dict[str, Any], None, None]
SILENT_SECONDS = 600.0
_WORKER = "ulsam_cost.measuring.runtimes.worker"


class RuntimeProcess:
    """A process of a runtime, which does jobs one after the other."""

    def __init__(self, title: str) -> None:
        self.is_idle = True
        self._title = title
        self._errors = TemporaryFile()  # noqa: SIM115 (`close` closes it)
        # a session of its own: Ctrl-C is the caller's to answer
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._stream = self._process.stdin, self._process.stdout
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._listener = Thread(target=_listen, args=(self._stream, self._lines), daemon=True)
        self._listener.start()

    def messages(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Have it do a job, and give what it tells."""
        self.is_idle = False
        with suppress(BrokenPipeError):  # it has ended, which its lines tell
            self._jobs.write(json.dumps(job).encode() + b"\n")
            self._jobs.flush()
        while True:
            message = self._next()
            self.is_idle = "done" in message or "error" in message
            if "error" in message:
                raise CostError(message["error"])
            if self.is_idle:
                return
            yield message

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._stream.close()
        with suppress(BrokenPipeError):
            self._jobs.close()
        self._errors.close()

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=SILENT_SECONDS)
        except Empty:
            said = f"its process did nothing for {SILENT_SECONDS:g} seconds, and was stopped"
            raise CostError(f"{self._title}: {said}") from None
        if not line:
            raise CostError(f"{self._title}: {self._end(self._process.wait())}")
        message: dict[str, Any] = json.loads(line)
        return message

    def _end(self, status: int) -> str:
        if status < 0:
            name = signal.Signals(-status).name
            return f"its process was killed by {name}{', as when memory runs out' * (name == 'SIGKILL')}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with status {status}: {said[-1].strip() if said else 'without a word'}"


class KeptProcesses:
    """Processes that stay for the next job, one for each runtime and task."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], RuntimeProcess] = {}

    def messages_of(self, title: str, job: Mapping[str, Any]) -> Messages:
        """As the function `messages_of`; a process that has done its job stays."""
        process = self._idle.pop((title, job["task"]), None) or RuntimeProcess(title)
        try:
            yield from process.messages(job)
        finally:
            if process.is_idle:
                self._idle[title, job["task"]] = process
            else:
                process.close()

    def close(self) -> None:
        """End them."""
        while self._idle:
            self._idle.popitem()[1].close()


def messages_of(title: str, job: Mapping[str, Any]) -> Messages:
    """Have a process of its own do a job, and give what it tells; closing the iterator ends the process.

    Raises:
        CostError: for what the process says to be wrong, and if it dies or is silent for too long.
    """
    with closing(RuntimeProcess(title)) as process:
        yield from process.messages(job)


def _environment() -> dict[str, str]:
    """That of this process, in which the same ulsam_cost is found."""
    here = str(Path(ulsam_cost.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _listen(stream: IO[bytes], lines: "SimpleQueue[bytes]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(b"")
