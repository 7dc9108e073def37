"""The C examples, compiled against the installed library and run as their comments say."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from commands import compile_c, environment, run
from documents import ROOT


def test_place(folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "place.c", folder, installed)
    printed = run([program, "examples/data/olmoe-1b-7b_allenai_L3xE64.csv", "80", "16"], folder, installed)
    before, after, bound = map(float, re.findall(r"\d+\.\d+", printed)[:3])
    assert bound <= after < before
    placement = [int(word) for word in printed.split("first layer:")[1].split()]
    assert len(placement) == 80
    assert set(placement) == set(range(64))


@pytest.mark.parametrize("text", ["", "1,2\n3\n", "1,2\n3,word\n", "1,2\n3,4 5\n"])
def test_place_refuses_what_is_no_table(text, folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "place.c", folder, installed)
    (folder / "bad.csv").write_text(text)
    done = subprocess.run([program, "bad.csv", "4", "2"], cwd=folder, env=environment(installed), capture_output=True)
    assert done.returncode == 2
    assert b"bad.csv" in done.stderr


def test_rebalance(folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "rebalance.c", folder, installed)
    windows = [f"examples/data/olmoe-1b-7b_{name}_L3xE64.csv" for name in ("allenai", "github", "allenai")]
    printed = run([program, "96", "16", *windows], folder, installed)
    steps = re.findall(r"imbalance (\S+) after (\d+) moves in (\d) layers, (\d+) of them forced", printed)
    assert len(steps) == 2
    assert 0 < int(steps[0][1]) <= 3 * 8
    assert int(steps[0][3]) == 0
    assert float(steps[1][0]) <= 1.1
    repair = printed.split("GPU 1 is lost")[1]
    assert re.search(r"layer 0, round \d+: expert \d+ from (GPU \d+|storage) to GPU \d+\n", repair)
    assert not re.search(r"(from|to) GPU [01]\b", repair)


def test_rebalance_refuses_what_cannot_be(folder, installed):
    program = compile_c(ROOT / "examples" / "c" / "rebalance.c", folder, installed)
    window = "examples/data/olmoe-1b-7b_allenai_L3xE64.csv"
    for arguments, sentence in (
        ([], "usage: rebalance"),
        (["96", "2", window, window], "96 slots on 2 GPUs: there must be 3 GPUs"),
        (["97", "16", window, window], "num_slots is 97, must be a multiple of num_gpus = 16"),
        (["96", "16", window, "nowhere.csv"], "nowhere.csv is not a table of numbers"),
    ):
        command = [program, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment(installed), capture_output=True, text=True)
        assert done.returncode in (1, 2)
        assert sentence in done.stderr


@pytest.fixture
def load_at_run_time(folder, installed):
    return compile_c(ROOT / "examples" / "c" / "load_at_run_time.c", folder, installed)


@pytest.mark.parametrize("named_by", ["the argument", "the environment", "nobody"])
def test_load_at_run_time(load_at_run_time, folder, installed, named_by):
    library = str(Path(installed["LD_LIBRARY_PATH"]) / "libeplb.so.0")
    command = [load_at_run_time, *([library] if named_by == "the argument" else [])]
    extra = {"EPLB_LIBRARY": library} if named_by == "the environment" else {}
    assert "CUDA: " in run(command, folder, extra or (installed if named_by == "nobody" else {}))


FAKES = {
    "int something;": "has no eplb_abi_version: it is no libeplb",
    "int eplb_abi_version(void) { return 2 << 16; }": "has ABI 2.0, but this program needs 1.0 or a later 1.x",
    "int eplb_abi_version(void) { return 9; }": "has ABI 0.9, but",
    "int eplb_abi_version(void) { return 1 << 16; }": "has no eplb_version_string",
}


@pytest.mark.parametrize("body", FAKES)
def test_load_at_run_time_refuses_other_libraries(load_at_run_time, folder, body):
    (folder / "fake.c").write_text(body)
    library = folder / "libfake.so"
    run([os.environ.get("CC", "cc"), "-shared", "-fPIC", str(folder / "fake.c"), "-o", str(library)], folder, {})
    done = subprocess.run([load_at_run_time, library], env=environment({}), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{library} {FAKES[body]}" in done.stderr


def test_load_at_run_time_says_where_it_looked(load_at_run_time):
    for name, places in {
        "libnothing.so": "LD_LIBRARY_PATH (/some/where)",
        "/no/libnothing.so": "/no/libnothing.so",
    }.items():
        extra = environment({"LD_LIBRARY_PATH": "/some/where"})
        done = subprocess.run([load_at_run_time, name], env=extra, capture_output=True, text=True)
        assert done.returncode == 1
        assert name in done.stderr
        assert places in done.stderr
