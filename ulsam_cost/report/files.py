"""Files are written whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ulsam_cost.errors import OutputError


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a folder, making it if need be: all are written beside their places first, then moved.

    Raises:
        OutputError: if the folder or a file cannot be written; no file is left half-written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            for name, content in contents.items():
                (Path(scratch) / name).write_bytes(content)
            for name in contents:
                os.replace(Path(scratch) / name, folder / name)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


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
