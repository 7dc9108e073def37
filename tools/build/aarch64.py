"""The library for aarch64, by Debian's cross compiler, and its tests under an emulator of the processor."""

import os
import shlex

from cmake import cmake
from packages import FOR_AARCH64, need
from places import AARCH64, BUILD, ROOT, VENV_PYTHON
from python_package import install_package
from runners import run_ctest, run_suite
from steps import attempt
from tally import Tally

TESTS = os.path.join(ROOT, "tests", "aarch64")
TARGETS = ["eplb", "eplb_harness", "eplb_header_program", "eplb_remote_calls"]
# Traces whose answers take two minutes of two cores there, all of them together.
QUICK = "instruction_set or no_traces or mixtral or qwen or olmoe-1b-7b_allenai or prefill-in512_"


def aarch64(arguments):
    """Also all traces, and what is compared with the reference in Python: hours. The last line counts all tests."""
    need(FOR_AARCH64)
    tally = Tally()
    if attempt(tally, install_package) and attempt(tally, build_aarch64):
        test_aarch64(tally, ["tests/golden"])
    for name in tally.skips:
        print(f"skipped: {name}")
    print(tally)
    return 1 if tally.failed or not tally.passed else 0


def build_aarch64():
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=ON", "EPLB_CUDA=OFF", "CMAKE_COMPILE_WARNING_AS_ERROR=ON"]
    options += [f"CMAKE_TOOLCHAIN_FILE={ROOT}/tools/build/aarch64.cmake"]
    cmake("the library for aarch64", AARCH64, options, TARGETS)


def test_aarch64(tally, answers=("tests/golden/test_real_traces.py", "-k", QUICK)):
    """The C harness, and tests in Python that call the library there, see tests/aarch64/remote_library.py."""
    run_ctest(tally, "ctest, aarch64", AARCH64, options=["--tests-regex", "^(abi|c_harness|c_header_program)$"])
    calls = os.path.join(AARCH64, "tests", "aarch64", "eplb_remote_calls")
    remote = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", calls, os.path.join(AARCH64, "libeplb.so.0")]
    env = {"EPLB_REMOTE": shlex.join(remote), "PYTHONPATH": TESTS}
    junit = os.path.join(BUILD, "junit-aarch64.xml")
    command = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "remote_library", "-rs"]
    run_suite(tally, "pytest, aarch64", [*command, f"--junitxml={junit}", TESTS, *answers], junit, env)
