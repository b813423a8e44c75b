"""A runtime's process, from outside: started for a job, heard, and ended in any case."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

import ulsam_cost
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.files import ERRORS, JOB

SILENT_SECONDS = 600.0
_WORKER = "ulsam_cost.measuring.runtimes.worker"


def messages_of(folder: Path, title: str, job: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Have a process of its own do a job in a folder, and give what it tells; closing the iterator ends the process.

    Raises:
        CostError: for what the process says to be wrong, and if it dies or is silent for too long.
    """
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
    with (folder / ERRORS).open("wb") as errors:
        # a session of its own: Ctrl-C is the caller's to answer
        process = subprocess.Popen(
            [sys.executable, "-m", _WORKER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
        )
    lines: SimpleQueue[bytes] = SimpleQueue()
    assert process.stdout is not None
    listener = Thread(target=_listen, args=(process.stdout, lines), daemon=True)
    listener.start()
    try:
        while line := _next(lines, title):
            message = json.loads(line)
            if "error" in message:
                raise CostError(message["error"])
            yield message
        if process.wait():
            raise CostError(f"{title}: {_end(process.returncode, folder)}")
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()


def _environment() -> dict[str, str]:
    """That of this process, in which the same ulsam_cost is found."""
    here = str(Path(ulsam_cost.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _listen(stream: IO[bytes], lines: "SimpleQueue[bytes]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(b"")


def _next(lines: "SimpleQueue[bytes]", title: str) -> bytes:
    try:
        return lines.get(timeout=SILENT_SECONDS)
    except Empty:
        raise CostError(f"{title}: its process did nothing for {SILENT_SECONDS:g} seconds, and was stopped") from None


def _end(status: int, folder: Path) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return f"its process was killed by {name}{', as when memory runs out' * (name == 'SIGKILL')}"
    said = (folder / ERRORS).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"its process ended with status {status}: {said[-1].strip() if said else 'without a word'}"
