"""Programs in Python that begin at once: forks of one process that has imported PyTorch, which is most of their time.

    python warm.py SOCKET -m ulsam_cost count mv1

is a process like that of `python -m ulsam_cost count mv1`: it has the caller's folder, environment, input and outputs,
and ends with the same status. The fixture `warm` gives the words before `-m`.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path


def begin(path: str) -> None:
    """Import PyTorch, then run what is asked for, one program after the other, until standard input is closed."""
    import torch  # noqa: F401

    gc.freeze()  # a fork would copy each page whose objects its collector marks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while select.select([listener, sys.stdin], [], [])[0] == [listener]:
        connection, _ = listener.accept()
        request, descriptors, *_ = socket.recv_fds(connection, 2**20, 3)
        program = os.fork()
        if not program:
            listener.close()
            connection.close()
            run(json.loads(request), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(program, 0)
        connection.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())
        connection.close()


def run(request: dict, descriptors: list[int]) -> None:
    """Run a program as the interpreter does that is started for it."""
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    first, *rest = request["words"]
    if first == "-m":
        sys.path[0], sys.argv = request["folder"], rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(first).parent), request["words"]
        runpy.run_path(first, run_name="__main__")


def ask(path: str, words: list[str]) -> int:
    """Have a program run, and give the status with which it ended."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        return int(connection.recv(64))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        begin(sys.argv[1])
    else:
        status = ask(sys.argv[1], sys.argv[2:])
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        sys.exit(status)
