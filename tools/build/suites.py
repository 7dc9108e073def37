"""All tests, counted over all their runners."""

import glob
import os
from functools import partial

from aarch64 import build_aarch64, test_aarch64
from cmake import (
    CUOBJDUMP,
    build_cuda,
    build_release,
    build_sanitized,
    build_threads,
    compile_kernels_quickly,
    compile_once,
    install_nvcc,
    release_architectures,
)
from engines import install_engines_or_skip, test_engines
from fuzz import test_fuzz
from go import test_go
from packages import FOR_TESTS, PIP, make_venv, need
from places import BUILD, CUDA, EMULATED, RELEASE, ROOT, SANITIZE, THREADS, VENV, VENV_PYTHON
from python_package import borrow_torch, install_package
from runners import run_ctest, run_suite
from rust import cargo_environment, test_rust
from stages import Stage, run_stages
from steps import attempt, step
from tidy import tidy
from wheel import test_wheels

EXPECTED_BITS = 28  # of random addresses, by TSan


def test(arguments):
    need(FOR_TESTS)
    compile_once()
    make_venv()
    stages = [Stage("release", lambda tally: build_release())]
    stages += [] if arguments.no_cuda else cuda_stages()
    stages += release_stages() + python_stages(arguments) + aarch64_stages() + sanitizer_stages(arguments.fuzz)
    stages += wheel_stages(stages)
    tally = run_stages(stages)
    if not arguments.fuzz:
        tally.skip("a minute of fuzzing: --fuzz has it")
    if not arguments.engines:
        tally.skip("tests/engines: vLLM, SGLang and torch take 8 GB and ten minutes; --engines runs their own code")
    for name in tally.skips:
        print(f"skipped: {name}")
    print(tally)
    return 1 if tally.failed or not tally.passed else 0


# Those whose libraries wheels are made of; and that of the package, since both use its folder.
BUILDS = {"release", "CUDA", "package"}


def cuda_stages():
    """The library has kernels for the oldest architecture; for the others they are compiled, no more."""
    oldest, *others = release_architectures()
    tests = ["--tests-regex", "^(abi|c_harness|c_header_program)$"]
    env = {"EPLB_CUOBJDUMP": CUOBJDUMP, "EPLB_ARCHITECTURES": oldest}
    build = partial(build_cuda, architectures=[oldest])
    return [
        Stage("nvcc", lambda tally: install_nvcc(), downloads=True),
        # They take longest, and nothing else of the library: begun first.
        Stage("kernels", lambda tally: build("eplb_cuda_objects"), ["nvcc"]),
        Stage("CUDA", lambda tally: build("eplb", "eplb_harness", "eplb_header_program"), ["kernels", "release"]),
        Stage("ctest, CUDA", ctest("with CUDA", CUDA, env, tests), ["CUDA"]),
        Stage("other kernels", lambda tally: compile_kernels_quickly(others), ["nvcc"]),
    ]


def release_stages():
    return [
        Stage("Go", test_go, ["release"]),
        Stage("Rust", test_rust, ["release"]),
        Stage("ctest, release", ctest("Release", RELEASE), ["release"]),
        Stage("clang-tidy", lambda tally: attempt(tally, tidy, counts=True), ["release"]),
    ]


def python_stages(arguments):
    # Needs the release for its tests, and because the compiler cache then has the library.
    stages = [Stage("package", lambda tally: install_for_tests(arguments.torch), ["release"])]
    # Examples of documents in Rust take what the tests of the crates have built.
    folders = {"tests/golden": [], "bindings/python/tests": [], "tests/docs": ["Rust"]}
    stages += [Stage(folder, partial(run_pytest, folder), ["package", *more]) for folder, more in folders.items()]
    if arguments.engines:
        stages.append(Stage("engines", install_engines_or_skip, downloads=True))
        stages.append(Stage("tests/engines", test_engines, ["engines", "package"]))
    return stages


def aarch64_stages():
    return [
        Stage("aarch64", lambda tally: build_aarch64(), ["release"]),
        Stage("tests, aarch64", test_aarch64, ["aarch64", "package"]),
    ]


def wheel_stages(others):
    builds = [stage.name for stage in others if stage.name in BUILDS]
    return [Stage("wheels", test_wheels, [*builds, "aarch64"])]


def sanitizer_stages(fuzz):
    """Everything in C and C++ with ASan and UBSan; with TSan what calls from many threads."""
    everything, harness = "everything with ASan and UBSan", ("the C harness with TSan", "eplb_harness")
    ubsan = {"UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
    only = ["--tests-regex", "^(c_harness|loading)$"]
    stages = [
        Stage("sanitize", lambda tally: build_sanitized(everything, fuzz=fuzz), ["release"]),
        Stage("ctest, sanitize", ctest("ASan and UBSan", SANITIZE, ubsan), ["sanitize"]),
        Stage("threads", lambda tally: build_threads(*harness), ["release"]),
        Stage("ctest, threads", ctest("TSan", THREADS, options=only, under=without_random_addresses()), ["threads"]),
    ]
    return [*stages, Stage("fuzz", test_fuzz, ["sanitize"])] if fuzz else stages


def without_random_addresses():
    """TSan of clang 14 ends a program for which the kernel has chosen an address that it does not expect."""
    with open("/proc/sys/vm/mmap_rnd_bits") as file:
        return ["setarch", "-R"] if int(file.read()) > EXPECTED_BITS else []


def ctest(headline, folder, env=None, options=(), under=()):
    return lambda tally: run_ctest(tally, f"ctest, {headline}", folder, env, options, under)


def install_for_tests(torch):
    install_package()
    if torch:
        step("install torch into .venv", [*PIP, "torch"])
    else:
        borrow_torch()


def run_pytest(folder, tally):
    if not glob.glob(os.path.join(ROOT, folder, "test_*.py")):
        return
    junit = os.path.join(BUILD, "junit-" + folder.replace("/", "-") + ".xml")
    path = os.pathsep.join([os.path.join(VENV, "bin"), os.environ.get("PATH", "")])
    env = {"PATH": path, "EPLB_BUILD": RELEASE, "CARGO_TARGET_DIR": cargo_environment()["CARGO_TARGET_DIR"]}
    env["EPLB_EMULATED_LIBRARY"] = EMULATED
    command = [VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--junitxml={junit}", folder]
    run_suite(tally, f"pytest {folder}", command, junit, env)
