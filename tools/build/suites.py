"""All tests, counted over all their runners."""

import glob
import os

from aarch64 import test_aarch64
from cmake import build_cuda, build_release, cmake, nvcc_of_wheels
from engines import test_engines
from go import test_go
from packages import FOR_TESTS, need, pip_install
from places import BUILD, CUDA, EMULATED, RELEASE, ROOT, VENV, VENV_PYTHON
from python_package import borrow_torch, install_package
from runners import run_ctest, run_suite
from rust import cargo_environment, test_rust
from steps import attempt
from tally import Tally
from tidy import tidy


def run_pytest(tally, folder):
    if not glob.glob(os.path.join(ROOT, folder, "test_*.py")):
        return
    junit = os.path.join(BUILD, "junit-" + folder.replace("/", "-") + ".xml")
    path = os.pathsep.join([os.path.join(VENV, "bin"), os.environ.get("PATH", "")])
    env = {"PATH": path, "EPLB_BUILD": RELEASE, "CARGO_TARGET_DIR": cargo_environment()["CARGO_TARGET_DIR"]}
    env["EPLB_EMULATED_LIBRARY"] = EMULATED
    command = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--junitxml={junit}", folder]
    run_suite(tally, f"pytest {folder}", command, junit, env)


def test(arguments):
    need(FOR_TESTS)
    tally = Tally()
    if attempt(tally, build_release):
        run_ctest(tally, "ctest, Release", RELEASE)
        attempt(tally, tidy, counts=True)
        test_go(tally)
        test_rust(tally)
    if attempt(tally, install_package):
        if arguments.torch:
            attempt(tally, pip_install, "torch", ["torch"])
        else:
            borrow_torch()
        for folder in ("bindings/python/tests", "tests/golden", "tests/docs"):
            run_pytest(tally, folder)
        test_aarch64(tally)
        if arguments.engines:
            test_engines(tally)
    if not arguments.engines:
        tally.skip("tests/engines: vLLM, SGLang and torch take 8 GB and ten minutes; --engines runs their own code")
    sanitize = os.path.join(BUILD, "sanitize")
    # clang: UBSan of GCC 12 reports false errors in AVX-512 reductions.
    options = ["CMAKE_BUILD_TYPE=RelWithDebInfo", "CMAKE_C_COMPILER=clang-14", "CMAKE_CXX_COMPILER=clang++-14"]
    options += ["EPLB_TESTS=ON", "EPLB_CUDA=OFF", "EPLB_SANITIZE=address,undefined"]
    if attempt(tally, cmake, "everything with ASan and UBSan", sanitize, options):
        run_ctest(tally, "ctest, ASan and UBSan", sanitize, {"UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
    if not arguments.no_cuda:
        nvcc = nvcc_of_wheels()
        if attempt(tally, lambda: build_cuda(nvcc)):
            env = {"EPLB_CUOBJDUMP": os.path.join(os.path.dirname(nvcc), "cuobjdump")}
            run_ctest(tally, "ctest, with CUDA", CUDA, env, ["--tests-regex", "^(abi|c_harness|c_header_program)$"])
    for name in tally.skips:
        print(f"skipped: {name}")
    print(tally)
    return 1 if tally.failed or not tally.passed else 0
