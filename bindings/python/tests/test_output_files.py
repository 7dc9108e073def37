"""Files that commands write are there whole or not at all, and are never what a command reads."""

import os
import stat
from pathlib import Path

import pytest
from eplb import FileError
from eplb._output_file import refuse_inputs


def write(path, content, *, fault=None):
    with replacing(path) as file:
        file.write(content)
        if fault:
            raise fault


def test_a_file_is_replaced_once_it_is_complete(tmp_path):
    path = tmp_path / "plan.json"
    write(path, b"first")
    with replacing(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("what was to be written")])
def test_a_fault_leaves_what_was_there(tmp_path, fault):
    path = tmp_path / "plan.json"
    write(path, b"first")
    with pytest.raises(type(fault)):
        write(path, b"half", fault=fault)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(FileError, match=r"plan\.json: no space left on device"):
        write(path, b"half", fault=OSError(28, os.strerror(28)))
    assert list(tmp_path.iterdir()) == []


def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "plan.json", tmp_path / "latest.json"
    path.touch()
    path.chmod(0o640)
    link.symlink_to(path)
    write(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_device_is_written_to():
    write(Path("/dev/null"), b"nothing")
    assert not Path("/dev/null").is_file()


def test_inputs_are_not_written(tmp_path):
    given, link, other = tmp_path / "weights.npz", tmp_path / "link.npz", tmp_path / "plan.npz"
    given.touch()
    link.symlink_to(given)
    refuse_inputs([None, other], [given])
    for output in (given, link, tmp_path / ".." / tmp_path.name / "weights.npz"):
        with pytest.raises(FileError, match="is an input of this command"):
            refuse_inputs([output], [other, given])


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--layers", "2", "--experts", "8", "-o", "out.csv"],
        ["solve", "in.csv", "--slots", "16", "--gpus", "8", "-o", "out.json"],
        ["solve", "in.csv", "--slots", "16", "--gpus", "8", "--picture", "out.png"],
        ["rebalance", "in.csv", "--current", "plan.npz", "-o", "out.yaml"],
        ["rebalance", "in.csv", "--current", "plan.npz", "--moves", "out.csv"],
        ["rebalance", "in.csv", "--current", "plan.npz", "--picture", "out.png"],
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
