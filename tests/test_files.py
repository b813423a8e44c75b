"""What is written: whole or not at all, over regular files only, with the permissions that stand."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.errors import OutputError
from ulsam_cost.report import files
from ulsam_cost.report.files import require_file, write_file, write_files

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "count": ("count", "mv1 --resolution 32", "--figure"),
    "overhead": ("overhead", "--m", "64", "--picture"),
    "measure": ("measure", "mv1", "--resolution", "32", "--repeats", "2", "--output"),
}
by_command = pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@by_command
def test_permissions_and_links_stay(args, tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")
    kept.chmod(0o600)
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to("../kept")
    result = run(*args, link)
    assert result.exit_code == 0, result.stderr
    assert link.is_symlink()
    assert mode(kept) == 0o600
    assert kept.read_bytes() not in (b"old", b"")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "kept", "link"]


@by_command
def test_a_pipe_is_written_into(args, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    result = run(*args, pipe)
    if result.exit_code:  # let the reader end
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    reader.join(timeout=60)
    assert result.exit_code == 0, result.stderr
    assert heard[0].startswith((b"\x89PNG", b"{"))
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_pipe_that_nothing_reads_is_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="cannot write"):
        write_file(pipe, b"new")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_device_is_written_into_and_stays(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    write_file(device, b"new")
    assert run(*COMMANDS["count"], device).exit_code == 0
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


@by_command
def test_a_folder_in_a_files_place_is_refused_before_any_work(args, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    result = run(*args, tmp_path / "folder")
    assert result.exit_code in (1, 2)
    assert len(result.stderr.splitlines()) == 1 or "Usage" in result.stderr
    assert not result.stdout
    assert os.listdir(tmp_path) == ["folder"]


@by_command
def test_a_file_in_a_folders_place_is_refused_before_any_work(args, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    result = run(*args, tmp_path / "file" / "new")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot write into")
    assert not result.stdout


def test_a_figure_is_refused_before_the_model_is_looked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    result = run("count", "none.py:none", "--figure", tmp_path / "file" / "new.png")
    assert "cannot write into" in result.stderr


def test_a_dangling_link_and_a_socket(tmp_path):
    import socket

    (tmp_path / "link").symlink_to("new")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "new").read_bytes() == b"new"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for refuse in (require_file, lambda path: write_file(path, b"new")):
            with pytest.raises(OutputError, match="neither a writable regular file nor a pipe"):
                refuse(tmp_path / "socket")
    assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / ".writing-a").write_bytes(b"left by a run that was killed")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(OutputError, match="No space left"):
            write_file(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
    write_file(tmp_path / "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new"}


@pytest.fixture
def folder(tmp_path):
    """A folder with two files of a set, of one of them the permissions, and what others put there."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("a", "b", "other"):
        (folder / name).write_bytes(b"old")
    (folder / "a").chmod(0o600)
    (folder / "other").chmod(0o640)
    (folder / "link").symlink_to("other")
    return folder


def state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("way", ["exchanged", "one by one", "with a subfolder"])
def test_a_set_is_written_and_the_rest_stays(folder, tmp_path, monkeypatch, way):
    if way == "one by one":
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    if way == "with a subfolder":
        (folder / "sub").mkdir()
        (folder / "sub" / "own").write_bytes(b"own")
    (folder / ".writing-x1").mkdir()
    (folder / ".writing-x1" / "a").write_bytes(b"left by a run that was killed")
    (tmp_path / ".writing-set").mkdir()
    before = (folder / "other").stat().st_ino
    write_files(folder, {"a": b"new", "c": b"new"})
    assert state(folder) == {"a": b"new", "b": b"old", "c": b"new", "other": b"old", "link": b"old"}
    assert (mode(folder / "a"), mode(folder / "other"), (folder / "other").stat().st_ino) == (0o600, 0o640, before)
    assert (folder / "link").is_symlink()
    assert os.listdir(tmp_path) == ["set"]
    assert not list(folder.glob(".writing*"))
    assert way != "with a subfolder" or (folder / "sub" / "own").read_bytes() == b"own"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("a")])
def test_a_set_is_refused_whole_where_no_regular_file_is(folder, tmp_path, make):
    make(folder / "c")
    with pytest.raises(OutputError, match="c there is not a regular file"):
        write_files(folder, {"a": b"new", "c": b"new"})
    assert (folder / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["set"]
    assert not list(folder.glob(".writing*"))


@pytest.mark.skipif(sys.platform != "linux", reason="folders are exchanged in one step on Linux alone")
@pytest.mark.parametrize("call", range(12))
def test_a_run_that_is_killed_leaves_all_old_or_all_new_files(folder, tmp_path, call):
    """Killed at the start of each call that makes, links, moves or exchanges: no set is a mix of both."""
    script = f"""
import os, pathlib, shutil, sys
from ulsam_cost.report import files
calls = 0
def killing(function):
    def call(*args, **kwargs):
        global calls
        if calls == {call}:
            os._exit(9)
        calls += 1
        return function(*args, **kwargs)
    return call
for place, name in ((os, "replace"), (os, "rename"), (os, "link"), (files, "_exchange"), (files, "_write_new"),
                    (os, "mkdir"), (shutil, "rmtree"), (os, "unlink")):
    setattr(place, name, killing(getattr(place, name)))
files.write_files(pathlib.Path({str(folder)!r}), {{"a": b"new", "b": b"new", "c": b"new"}})
"""
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode in (0, 9)
    found = {name: content for name, content in state(folder).items() if name in "abc"}
    assert found in ({"a": b"old", "b": b"old"}, {"a": b"new", "b": b"new", "c": b"new"})
    assert done.returncode or found["a"] == b"new"
    write_files(folder, {"a": b"newer", "b": b"newer", "c": b"newer"})
    assert state(folder) == {**dict.fromkeys("abc", b"newer"), "other": b"old", "link": b"old"}
    assert os.listdir(tmp_path) == ["set"]
    assert not list(folder.glob(".writing*"))


def test_the_working_folder_stays_where_it_is(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write_files(Path("."), {"a": b"new"})
    assert Path("a").read_bytes() == b"new"
    assert folder.samefile(os.getcwd())
