"""The command in bad surroundings: full disks, interrupts, outputs that cannot be, files that are no data."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, child_environment

pytest.importorskip("typer")
pytest.importorskip("rich")

from eplb import _command

OLMOE = str(ROOT / "examples" / "data" / "olmoe-1b-7b_allenai_L3xE64.csv")
CLUSTER = ["--slots", "80", "--gpus", "16"]


def start(*arguments, **options):
    command = [sys.executable, "-m", "eplb", *map(str, arguments)]
    return subprocess.Popen(command, env=child_environment(), stderr=subprocess.PIPE, text=True, **options)


def refused(capsys, *arguments):
    assert _command.run([str(argument) for argument in arguments]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    return written.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["info"], ["info", "--json"], ["solve", OLMOE, *CLUSTER], ["solve", OLMOE, *CLUSTER, "--json"]]
)
def test_full_disk(arguments):
    with open("/dev/full", "w") as full, start(*arguments, stdout=full) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert said == "eplb: standard output: no space left on device\n"


WAYS = [["info"], ["info", "--json"], ["solve", OLMOE, *CLUSTER], ["--help"], ["--version"]]


def in_shell(arguments, redirected, **options):
    command = f"{shlex.join([sys.executable, '-m', 'eplb', *arguments])} {redirected}"
    return subprocess.run(command, shell=True, env=child_environment(), capture_output=True, text=True, **options)


@pytest.mark.parametrize("arguments", WAYS)
def test_no_output(arguments):
    done = in_shell(arguments, ">&-")
    assert (done.returncode, done.stderr) == (1, "eplb: standard output: bad file descriptor\n")


@pytest.mark.parametrize("arguments", WAYS[1:4])
def test_an_output_that_nobody_reads(arguments):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe, start(*arguments, stdout=pipe) as process:
        _, said = process.communicate()
    assert (process.returncode, said) == (1, "")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&- 2>&-", ">&- 2>&-"])
def test_nobody_hears_of_a_fault(tmp_path, redirected):
    """What is written in the place of a closed output is no file of the caller."""
    done = in_shell(["solve", "nothing.csv", *CLUSTER], redirected)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    plan = tmp_path / "plan.json"
    done = in_shell(["solve", OLMOE, *CLUSTER, "-o", str(plan)], redirected)
    assert done.returncode == (1 if ">&- " in redirected else 0)
    assert json.loads(plan.read_text())["num_gpus"] == 16


def test_no_input():
    done = in_shell(["solve", "-", *CLUSTER], "<&-")
    assert (done.returncode, done.stderr) == (2, "eplb: /dev/stdin: bad file descriptor\n")


def test_too_little_memory(monkeypatch, capsys):
    def fail(*arguments, **reading):
        raise MemoryError

    monkeypatch.setattr(_command, "read_given", fail)
    assert refused(capsys, "solve", OLMOE, *CLUSTER) == "eplb: there is not enough memory for this\n"


def test_an_input_without_end(monkeypatch, capsys):
    monkeypatch.setattr("eplb._files.content._MOST_OF_PIPE", 2**20)
    assert "is no file, and has more than 1 MiB" in refused(capsys, "solve", "/dev/zero", *CLUSTER)


def test_names_that_are_too_long(capsys, tmp_path):
    name = "a" * 300
    assert refused(capsys, "solve", name, *CLUSTER) == f"eplb: {name}: file name too long\n"
    assert refused(capsys, "sample", "-o", tmp_path / name) == f"eplb: {tmp_path / name}: file name too long\n"


# The console script, with a signal when it imports a module.
LOADED = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.{handler})

class Interrupt:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            print("loads it", flush=True)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["eplb", "--version"]
from eplb_command import main
main()
"""


@pytest.mark.parametrize("module", ["eplb", "numpy", "eplb._library", "eplb._command", "typer"])
def test_interrupt_while_the_command_is_loaded(module):
    program = LOADED.format(module=module, handler="default_int_handler")
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "loads it\n", "")


def test_what_runs_in_the_background_is_not_interrupted():
    program = LOADED.format(module="typer", handler="SIG_IGN")
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("loads it\neplb ")


def test_interrupt_while_python_ends():
    """The output is there, and what Python would say of its own modules is not."""
    program = (
        "import atexit, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['eplb', '--version']\n"
        "from eplb_command import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith("eplb ")


def test_the_console_script_is_the_command():
    ways = [["-m", "eplb"], ["-c", "from eplb_command import main; main()"]]
    run = partial(subprocess.run, env=child_environment(), capture_output=True, text=True)
    answers = [run([sys.executable, *way, "solve", "nothing.csv", *CLUSTER]) for way in ways]
    assert {(each.returncode, each.stderr) for each in answers} == {
        (2, "eplb: nothing.csv: no such file or directory\n")
    }


# The command, which says when it solves.
WATCHED = """
import os, signal
from eplb._library import lib
from eplb.__main__ import main
from watched import watch

def solve(*arguments):
    os.write(1, b"inside\\n")
    return lib.eplb_solve(*arguments)

signal.signal(signal.SIGINT, signal.default_int_handler)
watch().eplb_solve = solve
main()
"""


def interrupt_inside(command, *arguments):
    """Ctrl-C, for all processes of a terminal's foreground, once the library solves: how the first of them ended."""
    command = [*command, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=child_environment(), start_new_session=True, **pipes) as process:
        first = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=280)
    assert first == "inside\n", said
    assert set(out.split()) <= {"inside"}, out
    return process.returncode, said


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("command", ["solve", "sweep", "replay"])
def test_interrupt_of_a_process(tmp_path, command, existed):
    """It ends by the signal, as shells expect, says so in a line, and leaves no file that is half written."""
    loads, output = tmp_path / "loads.npy", tmp_path / "output.npz"
    windows = 3 if command == "replay" else 1
    np.save(loads, np.random.default_rng(0).lognormal(0, 1, (windows, 20000 // windows, 64)))
    more = {
        "solve": ["--slots", 80, "--gpus", 16, "--strategy", "hybrid_init", "-o", output],
        "sweep": ["--gpus", 16, "--redundant", "16,32", "--strategy", "hybrid_init", "--json"],
        "replay": ["--gpus", 16, "--slots", 80, "--rule", "rebalance,effort=max", "--json"],
    }
    if existed:
        output.write_text("before")
    code, said = interrupt_inside([sys.executable, "-c", WATCHED], command, loads, *more[command])
    assert (code, said) == (-signal.SIGINT, "eplb: interrupted\n")
    assert sorted(tmp_path.iterdir()) == sorted([loads, *[output] * existed])
    assert not existed or output.read_text() == "before"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_shell_stops_with_the_command(tmp_path):
    """It would go on with the next one if this one ended with a code."""
    loads = tmp_path / "loads.npy"
    np.save(loads, np.random.default_rng(0).lognormal(0, 1, (20000, 64)))
    arguments = [loads, "--slots", 80, "--gpus", 16, "--strategy", "hybrid_init"]
    script = shlex.join([sys.executable, "-c", WATCHED, "solve", *map(str, arguments)]) + "; echo goes on"
    # Where these tests run in a shell's background, the signal is ignored.
    program = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execvp('bash', sys.argv[1:])"
    shell = [sys.executable, "-c", program]
    code, said = interrupt_inside([*shell, "bash", "-c", script])
    assert (code, said) == (-signal.SIGINT, "eplb: interrupted\n")


def test_interrupt_of_a_command(monkeypatch, capsys):
    def interrupt(*arguments, **reading):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_command, "read_given", interrupt)
    # What runs in a shell's background is started with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert _command.run(["solve", OLMOE, *CLUSTER]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    written = capsys.readouterr()
    assert (written.out.strip(), written.err.strip()) == ("", "")


@pytest.mark.parametrize("option", [("-o", "plan.npz"), ("-o", "plan.json"), ("--picture", "plan.png")])
def test_output_is_looked_at_before_the_work(monkeypatch, capsys, tmp_path, option):
    if option[0] == "--picture":
        pytest.importorskip("matplotlib")
    monkeypatch.setattr(_command, "read_given", lambda *arguments, **reading: pytest.fail("the work has begun"))
    path = tmp_path / option[1]
    path.mkdir()
    assert "is a directory" in refused(capsys, "solve", OLMOE, *CLUSTER, option[0], path)
    path.rmdir()
    if os.geteuid() != 0:
        path.touch()
        path.chmod(0o400)
        assert "permission denied" in refused(capsys, "solve", OLMOE, *CLUSTER, option[0], path)


def test_sample_that_would_fill_the_memory(capsys, tmp_path):
    path = tmp_path / "weights.csv"
    arguments = ["sample", "--layers", 2**20, "--experts", 2**20, "-o", path]
    assert "--layers 1048576 times --experts 1048576" in refused(capsys, *arguments)
    assert not path.exists()


def test_sentence_names_the_file(capsys, tmp_path):
    words, plan = tmp_path / "words.npy", tmp_path / "plan.npy"
    np.save(words, np.array([["a", "b"]]))
    np.save(plan, np.full((3, 80), 64))
    assert refused(capsys, "solve", words, "--slots", 4, "--gpus", 2).startswith(
        f"eplb: {words}: holds text, must hold numbers"
    )
    assert refused(capsys, "evaluate", OLMOE, plan, "--gpus", 16).startswith(f"eplb: {plan}: placement[layer 0")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_never_advises_to_unpickle(capsys, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"x")
    sentence = refused(capsys, "solve", path, "--slots", 4, "--gpus", 2)
    assert str(path) in sentence
    assert "unsafe" not in sentence
