"""The version, and what a shell is given to complete a command line."""

import os
import shutil
import subprocess
import sys

import eplb
import pytest
from conftest import FROM_WEIGHTS, child_environment

pytest.importorskip("typer")
pytest.importorskip("rich")

from eplb import _command
from eplb._files.placements import FORMATS


def program(*arguments, **changes):
    command = [sys.executable, "-m", "eplb", *arguments]
    done = subprocess.run(command, env=child_environment(**changes), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def asked_by_bash(line):
    """The words that may follow the line are asked for by its protocol, in the environment."""
    return {"_EPLB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}


def test_version(run):
    assert run("--version") == (0, f"eplb {eplb.__version__}\n", "")
    assert program("--version", "solve") == f"eplb {eplb.__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eplb comp", ["compare"]),
        ("eplb solve --strategy ", FROM_WEIGHTS),
        ("eplb solve --strategy be", ["best"]),
        ("eplb solve x.csv --effort ", eplb.efforts()),
        ("eplb compare --bound ", eplb.bounds()),
        ("eplb solve --objective w", ["windows"]),
        ("eplb convert x.npz --format ", FORMATS),
        ("eplb rebalance --transfer-order in", ["in_place"]),
        ("eplb solve --device ", ["cpu", "cuda"]),
        *((f"eplb {command} --policy ", eplb.policies()) for command in ("solve", "rebalance", "evaluate", "compare")),
        ("eplb solve --off", ["--off-home-target"]),
        # Files are completed by the shell itself.
        ("eplb solve ", []),
        ("eplb solve x.csv -o ", []),
    ],
)
def test_words(monkeypatch, capsys, line, words):
    for name, value in asked_by_bash(line).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="0"):
        _command.run([])
    assert capsys.readouterr().out.split() == list(words)


def test_words_of_a_program():
    assert program(**asked_by_bash("eplb solve --strategy ")).split() == FROM_WEIGHTS


def test_what_no_shell_offers_is_refused_by_the_library(run, tmp_path):
    (tmp_path / "weights.csv").write_text("3,1\n")
    arguments = ["solve", tmp_path / "weights.csv", "--slots", 2, "--gpus", 2]
    code, _, err = run(*arguments, "--effort", "much")
    assert code == 2
    assert "effort is 'much', must be one of fast, normal, max" in err
    # The library knows names in upper case, too.
    assert run(*arguments, "--effort", "FAST")[0] == 0


def test_other_shells():
    for shell in ("zsh", "fish"):
        changes = {"_EPLB_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "eplb solve --effort "}
        assert "normal" in program(**changes, _TYPER_COMPLETE_FISH_ACTION="get-args")


def test_help_stays_tidy(run):
    lines = run("--help")[1].splitlines()
    options = [line.split()[0] for line in lines if line.startswith("  --")]
    assert options == ["--version", "--install-completion", "--show-completion", "--help"]
    assert max(map(len, lines)) <= 80


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(tmp_path):
    """As after --install-completion, in a home of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "eplb"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m eplb "$@"\n')
    command.chmod(0o755)
    script = (
        "eplb --install-completion >/dev/null; source ~/.bashrc; "
        'COMP_WORDS=(eplb solve --policy s); COMP_CWORD=3; _eplb_completion eplb; echo "${COMPREPLY[@]}"'
    )
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = child_environment(HOME=str(tmp_path), PATH=path)
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("soft\n", "")
