"""Loads on the command line: several files, folders, what they must be, and what is said of them."""

import gzip
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from conftest import child_environment
from load_files import write
from test_command import CLUSTER, OLMOE, refused

pytest.importorskip("typer")
pytest.importorskip("rich")

# A dense layer, then two with experts.
DUMP = json.dumps({"logical_count": [[0] * 4, [48, 45, 10, 9], [12, 24, 36, 48]]})
SMALL = ["--slots", 8, "--gpus", 4]


def as_csv(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def days(tmp_path):
    """A folder with a window in each file; their numbers do not sort as text."""
    table = np.loadtxt(OLMOE, delimiter=",", dtype=int)
    for day in (2, 10):
        write(tmp_path / "days" / f"day{day}.csv", as_csv(np.roll(table, day, axis=1).tolist()))
    return tmp_path / "days"


@pytest.mark.parametrize("command", ["solve", "compare", "rebalance", "evaluate"])
def test_every_command_takes_several_files_and_folders(run, tmp_path, days, command):
    plan = tmp_path / "plan.npz"
    assert run("solve", OLMOE, *CLUSTER, "-o", plan)[0] == 0
    options = {"rebalance": ["--current", plan], "evaluate": []}.get(command, CLUSTER)
    last = [plan] if command == "evaluate" else []
    files = [days / "day10.csv", days / "day2.csv"]
    reports = []
    for given in ([days], files, files[::-1]):
        code, out, err = run(command, *given, *last, *options, "--json")
        assert (code, err) == (0, "")
        reports.append(json.loads(out))
    for report in reports:
        (warning,) = report["warnings"]
        assert warning.startswith("2 windows, summed; alone")
        assert report["layers"] == [0, 1, 2]
    assert [report["file"] for report in reports] == [str(days), "2 files", "2 files"]
    # In the order of the alphabet, they are put in the order of their numbers.
    assert reports[0]["source"] == "CSV: 2 files, in natural order of names"
    assert reports[1]["source"] == "CSV: 2 files, in natural order of names"
    assert reports[2]["source"] == "CSV: 2 files, in the order given"
    warning_of_folder = reports[0]["warnings"][0]
    reports = [report.get("strategies", {}).get("greedy", report) for report in reports]
    assert len({json.dumps(report["imbalance"]) for report in reports}) == 1
    assert reports[0]["num_windows"] == 2
    code, _, err = run(command, days, *last, *options)
    assert (code, err) == (0, f"eplb: {days}: {warning_of_folder}\n")


@pytest.mark.parametrize("command", ["solve", "compare"])
def test_notes_go_to_stderr_and_into_json(run, tmp_path, command):
    path = write(tmp_path / "dump.json", DUMP)
    note = "layer 0 without any load is left out, as dense layers are"
    code, _, err = run(command, path, *SMALL)
    assert (code, err) == (0, f"eplb: {path}: {note}\n")
    code, out, err = run(command, path, *SMALL, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert (content["warnings"], content["layers"], content["num_layers"]) == ([note], [1, 2], 2)


def test_layers_keep_their_numbers(run, tmp_path):
    path, plan = write(tmp_path / "dump.json", DUMP), tmp_path / "plan.npz"
    windows = write(tmp_path / "windows.json", json.dumps({"logical_count": [json.loads(DUMP)["logical_count"]] * 2}))
    said = run("solve", windows, *SMALL, "--objective", "windows", "-o", plan)[1]
    assert "(window 0, layer 1)" in said or "(window 0, layer 2)" in said
    rows = [line.split()[:2] for line in run("rebalance", path, "--current", plan)[1].splitlines() if "layer" in line]
    assert {tuple(row) for row in rows if row[0] == "layer" and row[1].isdigit()} == {("layer", "1"), ("layer", "2")}


def piped(command, *arguments, **options):
    """The command with something on standard input."""
    words = [sys.executable, "-m", "eplb", command, "-", *map(str, arguments)]
    done = subprocess.run(words, env=child_environment(), capture_output=True, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_standard_input(json_of, tmp_path):
    """Whatever it is: there is no name that could tell."""
    np.save(tmp_path / "weights.npy", [[48, 45, 10, 9], [12, 24, 36, 48]])
    array, table = (tmp_path / "weights.npy").read_bytes(), b"48,45,10,9\n12,24,36,48\n"
    expected = json_of("solve", tmp_path / "weights.npy", *SMALL)["imbalance"]
    for data in (array, table, gzip.compress(table), DUMP.encode()):
        code, out, err = piped("solve", *SMALL, "--json", input=data)
        assert (code, err) == (0, "")
        content = json.loads(out)
        assert (content["imbalance"], content["file"]) == (expected, "/dev/stdin")
    assert piped("solve", *SMALL, input=b"") == (2, "", "eplb: /dev/stdin: the file is empty\n")
    (tmp_path / "weights.npy").rename(tmp_path / "weights.npz")
    with (tmp_path / "weights.npz").open("rb") as file:
        code, _, err = piped("solve", *SMALL, "-o", tmp_path / "weights.npz", stdin=file)
    assert err == f"eplb: {tmp_path / 'weights.npz'}: is an input of this command: give the output another name\n"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets here")
def test_standard_input_that_is_a_socket():
    """As some programs start others; it cannot be opened by name."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"48,45,10,9\n")
        ours.shutdown(socket.SHUT_WR)
        assert piped("solve", *SMALL, stdin=theirs)[0] == 0


def test_sizes(run, tmp_path):
    path = write(tmp_path / "dump.json", DUMP)
    assert run("solve", path, *SMALL, "--experts", 4, "--layers", 2)[0] == 0
    assert refused(run("solve", path, *SMALL, "--experts", 8)) == f"{path}: has 4 experts, must have 8 as asked"
    sentence = refused(run("solve", path, *SMALL, "--layers", 3))
    assert sentence == f"{path}: has 2 layers, and 1 more without any load, must have 3 as asked"
    assert "--experts" in refused(run("solve", path, *SMALL, "--experts", 0))


def test_labels(run, tmp_path):
    path = write(tmp_path / "weights.csv", ",0,1,2,3\n3,48,45,10,9\n4,12,24,36,48\n")
    sentence = refused(run("solve", path, *SMALL))
    assert "--header" in sentence
    assert "--index" in sentence
    code, out, _ = run("solve", path, *SMALL, "--header", "--index", "--json")
    assert code == 0
    assert json.loads(out)["layers"] == [3, 4]
    write(path, "0,1,2,3\n48,45,10,9\n")
    assert json.loads(run("solve", path, *SMALL, "--no-header", "--json")[1])["num_layers"] == 2


def test_an_output_is_no_input(run, tmp_path, days):
    assert run("solve", OLMOE, *CLUSTER, "-o", tmp_path / "plan.npz")[0] == 0
    (tmp_path / "plan.npz").rename(days / "day3.npz")
    sentence = refused(run("solve", days, *CLUSTER, "-o", days / "day3.npz"))
    assert "day3.npz: is an input of this command" in sentence


def test_faults_name_their_file(run, tmp_path, days):
    write(days / "day3.csv", "1,2\n3\n")
    sentence = refused(run("solve", days, *CLUSTER))
    assert sentence == f"{days / 'day3.csv'} line 2: 1 value, but line 1 has 2"


def test_loads_that_the_library_refuses(run, tmp_path):
    for window in range(2):
        write(tmp_path / f"{window}.csv", f"{2**62},1\n")
    # Of several windows, only their sum is out of range.
    sentence = refused(run("solve", tmp_path, "--slots", 2, "--gpus", 2))
    assert sentence.startswith(f"{tmp_path}: weights[layer 0, expert 0] ")
