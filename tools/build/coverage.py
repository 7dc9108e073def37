"""How much of the library the tests on the host reach: ./dev coverage."""

import glob
import json
import os
import shutil
from dataclasses import dataclass

from cmake import cmake, widest_set
from measure import commit
from packages import FOR_COVERAGE, need
from places import BUILD, ROOT, VENV_PYTHON
from python_package import install_package
from steps import step

FOLDER = os.path.join(BUILD, "coverage")
PROFILES = os.path.join(FOLDER, "profiles")
LIBRARY = os.path.join(FOLDER, "libeplb.so.0")
EMULATED = os.path.join(FOLDER, "libeplb_emulated.so")
UNIT = os.path.join(FOLDER, "tests", "solver", "eplb_unit")
KERNELS = os.path.join(FOLDER, "tests", "cuda", "emulated", "eplb_kernels")
LIB = os.path.join(ROOT, "lib")
ROOMS = ("api", "session", "core", "solver", "machines/cpu", "machines/cuda")
# They ask about the library that is shipped, which counts nothing.
NOT_RUN = "^(abi|sources|install|loading)$"
# Traces whose answers take seconds: rebalances, windows and splits of all of them reach no more.
GOLDEN = ["tests/golden/test_real_traces.py", "-k", "mixtral or qwen or olmoe-1b-7b_allenai or prefill-in512_"]


@dataclass
class Part:
    """Of lines, functions or branches: how many there are, and how many were reached."""

    count: int = 0
    covered: int = 0

    def __str__(self):
        return f"{100 * self.covered / self.count:.1f} % of {self.count:,}" if self.count else "-"


PARTS = ("lines", "functions", "branches")


def coverage(arguments):
    """Of lib, with CUDA over its emulation, by the tests in C and C++, of the Python package, and of answers."""
    need(FOR_COVERAGE)
    install_package()
    flags = "-fprofile-instr-generate -fcoverage-mapping"
    options = ["CMAKE_BUILD_TYPE=Debug", "CMAKE_C_COMPILER=clang-14", "CMAKE_CXX_COMPILER=clang++-14"]
    options += ["CMAKE_CXX_FLAGS_DEBUG=-O1", f"CMAKE_CXX_FLAGS={flags}", f"CMAKE_C_FLAGS={flags}"]
    options += ["EPLB_TESTS=ON", "EPLB_CUDA=OFF", f"EPLB_INSTRUCTION_SETS={widest_set()}"]
    cmake("the library and its tests, counting", FOLDER, options)
    shutil.rmtree(PROFILES, ignore_errors=True)
    # One file for each program and library, which all processes add to.
    env = {"LLVM_PROFILE_FILE": os.path.join(PROFILES, "%m.profraw")}
    env |= {"EPLB_LIBRARY": LIBRARY, "EPLB_EMULATED_LIBRARY": EMULATED}
    ctest = ["ctest", "--test-dir", FOLDER, "--output-on-failure", "--exclude-regex", NOT_RUN]
    step("tests in C and C++", [*ctest, "-j", str(os.cpu_count() or 1)], env=env)
    pytest = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    step("tests of the Python package", [*pytest, "bindings/python/tests"], env=env)
    step("answers on measured traces", [*pytest, *GOLDEN], env=env)
    print(table(add_up()))
    return 0


def add_up():
    """What llvm-cov says of each file of lib. The same lines compiled several times count once."""
    merged = os.path.join(FOLDER, "all.profdata")
    profiles = glob.glob(os.path.join(PROFILES, "*.profraw"))
    step("add up what was counted", ["llvm-profdata-14", "merge", "-sparse", "-o", merged, *profiles])
    objects = [LIBRARY, *(word for program in (EMULATED, UNIT, KERNELS) for word in ("-object", program))]
    arguments = [*objects, f"-instr-profile={merged}", LIB]
    # Lines alone: what each instance of a template did would be most of it.
    save("line by line", ["show", *arguments, "-show-instantiations=false"], "lines.txt")
    path = save("file by file", ["export", "-format=text", "-summary-only", *arguments], "files.json")
    with open(path) as file:
        return {each["filename"]: each["summary"] for each in json.load(file)["data"][0]["files"]}


def save(headline, command, name):
    """To a file, without the warnings of llvm-cov."""
    path = os.path.join(FOLDER, name)
    with open(path, "w") as file:
        step(f"{headline}, to {os.path.relpath(path, ROOT)}", ["llvm-cov-14", *command], to=file)
    return path


def table(files):
    """A row for each room, in Markdown, as docs/contributing.md has it."""
    rows = {room: {name: Part() for name in PARTS} for room in (*ROOMS, "all")}
    for path, summary in files.items():
        inside = os.path.relpath(path, LIB).replace(os.sep, "/")
        for room in [room for room in ROOMS if inside.startswith(f"{room}/")] + ["all"]:
            for name in PARTS:
                rows[room][name].count += summary[name]["count"]
                rows[room][name].covered += summary[name]["covered"]
    lines = [f"Commit {commit()}:", "", f"| room | {' | '.join(PARTS)} |", "|---|---|---|---|"]
    lines += [f"| {room} | {' | '.join(str(row[name]) for name in PARTS)} |" for room, row in rows.items()]
    return "\n".join(lines)
