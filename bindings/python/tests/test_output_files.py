"""Files that commands write are there whole or not at all, and are never what a command reads."""

import contextlib
import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import child_environment
from eplb import FileError, Rebalancer, write_placement
from eplb._output_file import check_output, refuse_inputs, write_file

FULL = Path("/dev/full")
SMALL = 512


def only(folder):
    (path,) = folder.iterdir()
    return path


@contextlib.contextmanager
def full_disk():
    """Files end after a few bytes, as on a full disk. Python ignores the signal that comes with it.

    Not a fixture: what pytest prints of a test may be a file, too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_replaced_once_it_is_complete(tmp_path, monkeypatch):
    path, seen = tmp_path / "plan.json", []
    write_file(path, b"first")
    synchronise = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synchronise(file), seen.append(path.read_bytes())))
    write_file(path, b"second")
    assert seen == [b"first"]
    assert only(tmp_path).read_bytes() == b"second"


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_a_fault_leaves_what_was_there(tmp_path, monkeypatch, fault):
    def fail(file):
        raise fault

    path = tmp_path / "plan.json"
    write_file(path, b"first")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else FileError):
        write_file(path, b"second")
    assert only(tmp_path).read_bytes() == b"first"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "plan.json"
    write_file(path, b"first")
    with full_disk(), pytest.raises(FileError, match=r"plan\.json: file too large"):
        write_file(path, bytes(2 * SMALL))
    assert only(tmp_path).read_bytes() == b"first"


@pytest.mark.parametrize("is_refused", ["folder", "name"])
def test_a_full_disk_where_no_other_file_can_be(tmp_path, monkeypatch, is_refused):
    """The folder takes no other file, or the name stays, as that of a file in a container."""
    path = tmp_path / "plan.json"
    write_file(path, b"first")
    if is_refused == "folder":
        monkeypatch.setattr(os, "access", lambda *arguments: False)
    else:
        monkeypatch.setattr(Path, "replace", lambda *paths: os.rename(tmp_path / "none", path))
    with full_disk(), pytest.raises(FileError, match=r"plan\.json: file too large"):
        write_file(path, bytes(2 * SMALL))
    assert only(tmp_path).read_bytes() == b"first"
    for content in (b"more than the first", b"less", b""):
        write_file(path, content)
        assert only(tmp_path).read_bytes() == content


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_of_others(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_file(tmp_path / "plan.json", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(only(tmp_path).stat().st_mode) == 0o666 & ~mask


def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "plan.json", tmp_path / "latest.json"
    path.touch()
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 1235)
    before = path.stat()
    link.symlink_to(path)
    write_file(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_a_link_to_nothing_is_filled(tmp_path):
    path, link = tmp_path / "plan.json", tmp_path / "latest.json"
    link.symlink_to(path)
    write_file(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_names_that_no_file_can_have(tmp_path):
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    for path in (loop, tmp_path / ("a" * 300), tmp_path / "a\0b", tmp_path / "a\ud800"):
        for write in (check_output, lambda path: write_file(path, b"new")):
            with pytest.raises(FileError):
                write(path)
                write_file(path, b"new")
    write_file(tmp_path / ("a" * 255), b"as long as can be")


def test_what_is_no_file_is_written_to(tmp_path):
    write_file(Path("/dev/null"), b"nothing")
    assert not Path("/dev/null").is_file()
    if FULL.exists():
        with pytest.raises(FileError, match="/dev/full: no space left on device"):
            write_file(FULL, b"nothing")
    pipe = tmp_path / "plan.json"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_file(pipe, b"through a pipe")
        assert reader.stdout.read() == b"through a pipe"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_goes_on_where_it_is(tmp_path, name):
    """A pipe has no name, and a file that is opened once more is written from its beginning."""
    if name == "link":
        name = tmp_path / "link.csv"
        name.symlink_to("/dev/stdout")
    command = [sys.executable, "-m", "eplb", "sample", "--layers", "1", "--experts", "2", "-o", name]
    expected = f"33554432,33554432\n{name}: 1 layers, 2 experts, made up\n"
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (expected, "")
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("a") as log:
        subprocess.run(command, env=child_environment(), stdout=log, check=True)
    assert path.read_text() == f"before\n{expected}"


def test_inputs_are_not_written(tmp_path):
    given, link, other = tmp_path / "weights.npz", tmp_path / "link.npz", tmp_path / "plan.npz"
    given.touch()
    link.symlink_to(given)
    os.link(given, tmp_path / "hard.npz")
    refuse_inputs([None, other], [given])
    for output in (given, link, tmp_path / "hard.npz", tmp_path / ".." / tmp_path.name / "weights.npz"):
        with pytest.raises(FileError, match="is an input of this command"):
            refuse_inputs([output], [other, given])


def test_what_says_the_size_is_an_input_too(run, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    meta = tmp_path / "meta_info.json"
    meta.write_text('{"num_experts": 4}')
    (tmp_path / "rank0.safetensors").write_bytes(safetensors.save({"1_3": np.array([1, 2, 3, 4])}))
    code, _, err = run("solve", tmp_path, "--slots", "4", "--gpus", "2", "-o", meta)
    assert (code, meta.read_text()) == (2, '{"num_experts": 4}')
    assert "is an input of this command" in err


def test_no_output_is_written_twice(tmp_path):
    path, link = tmp_path / "a.csv", tmp_path / "b.csv"
    link.symlink_to(path)
    for second in (path, link):
        with pytest.raises(FileError, match="would be written twice"):
            refuse_inputs([path, None, second], [])


def test_what_python_writes_survives_a_full_disk(tmp_path):
    pytest.importorskip("matplotlib")
    from eplb.picture import Picture, write_picture

    rows = np.random.default_rng(1).permuted(np.tile(np.arange(4096), (2, 1)), axis=1)
    state = Rebalancer("never", rows, num_gpus=1)
    writes = {
        "plan.npz": lambda path: write_placement(path, rows, num_gpus=1),
        "plan.json": lambda path: write_placement(path, rows, num_gpus=1),
        "plan.yaml": lambda path: write_placement(path, rows, num_gpus=1),
        "state.npz": state.save,
        "picture.png": lambda path: write_picture(Picture(), path),
    }
    for name, write in writes.items():
        path = tmp_path / name
        path.write_bytes(b"kept")
        with full_disk(), pytest.raises(FileError, match=f"{name}: file too large"):
            write(path)
        assert path.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(writes)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--layers", "2", "--experts", "8", "-o", "out.csv"],
        ["solve", "in.csv", "--slots", "16", "--gpus", "8", "-o", "out.json"],
        ["solve", "in.csv", "--slots", "16", "--gpus", "8", "--picture", "out.png"],
        ["rebalance", "in.csv", "--current", "plan.npz", "-o", "out.yaml"],
        ["rebalance", "in.csv", "--current", "plan.npz", "--moves", "out.csv"],
        ["rebalance", "in.csv", "--current", "plan.npz", "--picture", "out.png"],
        ["sweep", "in.csv", "--gpus", "8", "--redundant", "8", "-o", "out.csv"],
        ["convert", "plan.npz", "-o", "out.json"],
    ],
)
def test_every_command_writes_another_file_and_renames_it(run, tmp_path, monkeypatch, arguments):
    """Another name of the file that was there keeps what was in it."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("600,560,120,120,20,10,10,10\n")
    assert run("solve", "in.csv", "--slots", "16", "--gpus", "8", "-o", "plan.npz")[0] == 0
    (output,) = (word for word in arguments if word.startswith("out."))
    Path(output).write_text("kept")
    os.link(output, "other")
    assert run(*arguments)[0] == 0
    assert Path("other").read_text() == "kept"
    assert Path(output).stat().st_size > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.csv", "plan.npz", output, "other"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "in.csv", "--slots", "16", "--gpus", "8", "--before", "plan.json", "-o", "plan.json"],
        ["rebalance", "in.csv", "--current", "plan.json", "-o", "plan.json"],
        ["rebalance", "in.csv", "--current", "plan.json", "--moves", "in.csv"],
        ["rebalance", "in.csv", "--current", "plan.json", "--speeds", "speeds.csv", "--moves", "speeds.csv"],
        ["rebalance", "in.csv", "--current", "plan.json", "--gpu-slots", "speeds.csv", "--moves", "speeds.csv"],
        ["sweep", "in.csv", "--gpus", "8", "-o", "in.csv"],
        ["replay", "in.csv", "plan.json", "--slots", "16", "--gpus", "8", "-o", "plan.json"],
        ["convert", "plan.json", "-o", "plan.json"],
        ["convert", "/dev/stdin", "-o", "plan.json"],
    ],
)
def test_every_command_refuses_its_inputs(tmp_path, arguments):
    for name in ("in.csv", "plan.json", "speeds.csv"):
        (tmp_path / name).write_text("kept")
    command = [sys.executable, "-m", "eplb", *arguments]
    with (tmp_path / "plan.json").open() as given:
        done = subprocess.run(
            command, env=child_environment(), cwd=tmp_path, stdin=given, capture_output=True, text=True
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"eplb: {arguments[-1]}: is an input of this command: give the output another name\n"
    assert {path.read_text() for path in tmp_path.iterdir()} == {"kept"}
