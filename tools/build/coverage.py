"""How many lines of the library the tests on the host reach: ./dev coverage."""

import glob
import os
import shutil

from cmake import cmake
from packages import FOR_TESTS, need
from places import BUILD, ROOT, VENV_PYTHON
from python_package import install_package
from steps import step

FOLDER = os.path.join(BUILD, "coverage")
PROFILES = os.path.join(FOLDER, "profiles")
LIBRARY = os.path.join(FOLDER, "libeplb.so.0")
HARNESS = os.path.join(FOLDER, "tests", "contract", "c", "eplb_harness")
UNIT = os.path.join(FOLDER, "tests", "solver", "eplb_unit")


def coverage(arguments):
    """Of lib without CUDA, by the C harness, the tests of the solver and those of the Python package."""
    need(FOR_TESTS)
    install_package()
    flags = "-fprofile-instr-generate -fcoverage-mapping"
    options = ["CMAKE_BUILD_TYPE=Debug", "CMAKE_C_COMPILER=clang-14", "CMAKE_CXX_COMPILER=clang++-14"]
    options += ["CMAKE_CXX_FLAGS_DEBUG=-O1", f"CMAKE_CXX_FLAGS={flags}", f"CMAKE_C_FLAGS={flags}"]
    options += ["EPLB_TESTS=ON", "EPLB_CUDA=OFF", "EPLB_INSTRUCTION_SETS=avx2"]
    cmake("the library and its tests, counting", FOLDER, options, ["eplb", "eplb_harness", "eplb_unit"])
    shutil.rmtree(PROFILES, ignore_errors=True)
    # One file for each program, which all its processes add to.
    env = {"LLVM_PROFILE_FILE": os.path.join(PROFILES, "%m.profraw"), "EPLB_LIBRARY": LIBRARY}
    step("C harness", [HARNESS, LIBRARY, os.path.join(ROOT, "tests", "golden", "vectors.json")], env=env)
    step("tests of the solver", [UNIT, "--gtest_brief"], env=env)
    pytest = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "bindings/python/tests"]
    step("tests of the Python package", pytest, env=env)
    report()
    return 0


def report():
    merged = os.path.join(FOLDER, "all.profdata")
    profiles = glob.glob(os.path.join(PROFILES, "*.profraw"))
    step("add up what was counted", ["llvm-profdata-14", "merge", "-sparse", "-o", merged, *profiles])
    command = ["llvm-cov-14", "report", LIBRARY, "-object", UNIT, f"-instr-profile={merged}", os.path.join(ROOT, "lib")]
    lines = step("report", command).splitlines()
    path = os.path.join(FOLDER, "report.txt")
    with open(path, "w") as file:
        file.write("\n".join(lines))
    print("\n".join(line for line in lines if line.startswith(("Filename", "TOTAL"))))
    print(f"File by file: {os.path.relpath(path)}")
