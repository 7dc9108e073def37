"""The planners for engines in C++, compiled without the engines and run as their comments say."""

import os
import re
import shutil
import subprocess

import pytest
from commands import environment, run
from documents import ROOT

STRICT = ["-std=c++17", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
WINDOWS = [f"examples/data/olmoe-1b-7b_{name}_L3xE64.csv" for name in ("allenai", "github", "allenai")]
STEP = r"imbalance (\S+) -> (\S+), (\d+) "


@pytest.fixture(scope="module", params=["tensorrt_llm", "xllm"])
def planner(request, tmp_path_factory, installed):
    """The planner for an engine, compiled with the program that runs it."""
    for tool in ("pkg-config", os.environ.get("CXX", "c++")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine")
    flags = run(["pkg-config", "--cflags", "--libs", "eplb"], ROOT, installed).split()
    sources = [str(ROOT / "examples" / "cpp" / f"{request.param}{part}.cpp") for part in ("", "_main")]
    program = tmp_path_factory.mktemp("planner") / request.param
    compiler = [os.environ.get("CXX", "c++"), *STRICT, "-O1", "-pthread"]
    run([*compiler, *sources, *flags, "-o", str(program)], ROOT, installed)
    return program


@pytest.mark.parametrize("gpus, places", [(8, 10), (16, 5), (4, 16)])
def test_planners(planner, folder, installed, gpus, places):
    """The programs check what the engines need; 4 times 16 slots are one for each expert."""
    printed = run([planner, str(gpus), str(places), *WINDOWS], folder, installed)
    assert "all checks hold" in printed
    steps = [(float(before), float(after), int(slots)) for before, after, slots in re.findall(STEP, printed)]
    assert len(steps) == 3
    for before, after, slots in steps:
        assert after < before
        assert after < 1.03
        assert 0 < slots < 0.3 * 3 * gpus * places


def test_planners_refuse_what_are_no_loads(planner, folder, installed):
    (folder / "bad.csv").write_text("1,2\n3,x\n")
    for arguments, sentence in (
        ([], "usage: "),
        (["8", "10", "bad.csv"], "bad.csv is not a table of numbers"),
        (["8", "10", "nowhere.csv"], "nowhere.csv has no loads"),
    ):
        command = [planner, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment(installed), capture_output=True, text=True)
        assert done.returncode == 1
        assert sentence in done.stderr
