"""Files are written whole or not at all, and keep their permissions; only regular files are replaced."""

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ulsam_cost.errors import OutputError

SCRATCH = ".writing"
_AT_WORKING_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def write_file(path: Path, content: bytes) -> None:
    """Write one file, making its folder if need be: beside its place first, then moved.

    A symbolic link is followed; a pipe or a character device is written into.

    Raises:
        OutputError: if the file cannot be written; what stood there stands.
    """
    require_file(path)
    with _refusals(path):
        if _is_stream(path):
            _write_into(path, content)
            return
        place = Path(os.path.realpath(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_name(f"{SCRATCH}-{place.name}")
        try:
            _write_new(scratch, content, like=place)
            os.replace(scratch, place)
        finally:
            scratch.unlink(missing_ok=True)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write a set of files into a folder, making it if need be; what else is in the folder stays.

    The folder is exchanged for a new one in one step, where the system can do that: on Linux, for a folder without
    subfolders that is neither a mount point nor the working folder. Elsewhere all files are written first, then
    moved one by one. What a run that was killed has left behind is cleared.

    Raises:
        OutputError: if the folder or a file cannot be written; no file is left half-written.
    """
    with _refusals(folder):
        folder = Path(os.path.realpath(folder))
        folder.mkdir(parents=True, exist_ok=True)
        for name in contents:
            if not _is_free(folder / name):
                raise OutputError(f"cannot write into {folder}: {name} there is not a regular file that may be written")
        for left in (*folder.glob(f"{SCRATCH}*"), folder.parent / f"{SCRATCH}-{folder.name}"):
            if left.is_dir():
                shutil.rmtree(left)
        if not _exchanged(folder, contents):
            _moved(folder, contents)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written before any work is done for it; nothing is made yet.

    Raises:
        OutputError: if a file could not be made in it.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise OutputError(f"cannot write into {folder}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission in {nearest}")


def require_file(path: Path) -> None:
    """Refuse a file that cannot be written before any work is done for it; nothing is made yet.

    Raises:
        OutputError: for a folder, a block device, a socket, a file without permission, and in a folder without it.
    """
    with _refusals(path):
        place = Path(os.path.realpath(path))
        if _is_stream(path):
            allowed = os.access(path, os.W_OK)
        else:
            allowed = _is_free(place)
            require_writable(place.parent)
    if not allowed:
        raise OutputError(f"cannot write {path}: it is neither a writable regular file nor a pipe")


def _is_free(place: Path) -> bool:
    """Whether nothing stands there, or a regular file that may be written."""
    if not os.path.lexists(place):
        return True
    return stat.S_ISREG(place.lstat().st_mode) and os.access(place, os.W_OK)


def _is_stream(path: Path) -> bool:
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _write_into(path: Path, content: bytes) -> None:
    # Not to wait for ever for a reader that a pipe does not have.
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(content)


def _write_new(path: Path, content: bytes, *, like: Path) -> None:
    """Write a file that is not there, with the owner and the permissions of one that may be."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        if like.exists():
            known = like.stat()
            with suppress(OSError, AttributeError):
                os.chown(path, known.st_uid, known.st_gid)
            path.chmod(stat.S_IMODE(known.st_mode))
        file.write(content)


def _exchanged(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Whether the folder could be exchanged for one with these files, and with links to all others that it has."""
    beside = folder.parent / f"{SCRATCH}-{folder.name}"
    try:
        if folder.samefile(Path.cwd()):  # the shell would stand in the old one
            return False
        beside.mkdir()
        shutil.copystat(folder, beside)
        for other in folder.iterdir():
            if other.name not in contents:
                os.link(other, beside / other.name, follow_symlinks=False)  # a subfolder is refused
        for name, content in contents.items():
            _write_new(beside / name, content, like=folder / name)
        _exchange(beside, folder)
    except OSError:
        return False
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return True


def _exchange(one: Path, other: Path) -> None:
    """Give each of two folders the other's name, in one step.

    Raises:
        OSError: where the system cannot.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    names = (_AT_WORKING_FOLDER, os.fsencode(one), _AT_WORKING_FOLDER, os.fsencode(other))
    if rename is None or rename(*names, _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), f"{one} and {other} cannot be exchanged")


def _moved(folder: Path, contents: Mapping[str, bytes]) -> None:
    scratch = folder / SCRATCH
    try:
        scratch.mkdir()
        for name, content in contents.items():
            _write_new(scratch / name, content, like=folder / name)
        for name in contents:
            os.replace(scratch / name, folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _refusals(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into {place}: {error.strerror or error}") from error
