"""Builds of the library: the release, and one with CUDA by a compiler from wheels."""

import os

from packages import PIP_CUDA, is_fresh, pip_install, set_stamp
from places import CUDA, RELEASE, ROOT, VENV
from steps import step


def cmake(headline, folder, options, targets=()):
    configure = ["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *(f"-D{option}" for option in options)]
    build = ["cmake", "--build", folder, *(["--target", *targets] if targets else [])]
    key = "\n".join(configure)
    stamp = os.path.join(folder, "stamp-options")
    if not is_fresh(stamp, key):
        step(f"configure {headline}", configure)
        set_stamp(stamp, key)
    step(f"build {headline}", build)


def build_release():
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=ON", "EPLB_BENCH=ON", "EPLB_CUDA=OFF"]
    cmake("everything, Release", RELEASE, options)


def build_cuda(nvcc):
    """The library with CUDA for every architecture of a release, and the tests of it that need no driver."""
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=ON", "EPLB_CUDA=ON", f"CMAKE_CUDA_COMPILER={nvcc}"]
    options += ["CMAKE_COMPILE_WARNING_AS_ERROR=ON"]
    cmake("the library with CUDA", CUDA, options, ["eplb", "eplb_harness", "eplb_header_program"])


def nvcc_of_wheels():
    # A separate folder: where torch is borrowed from the system, pip would find the wheels there and install nothing.
    folder = os.path.join(VENV, "cuda")
    pip_install("cuda", PIP_CUDA, "--target", folder)
    toolkit = os.path.join(folder, "nvidia", "cu13")
    # nvcc looks for its libraries in lib64; the wheels have them in lib.
    link = os.path.join(toolkit, "lib64")
    if not os.path.lexists(link):
        os.symlink("lib", link)
    return os.path.join(toolkit, "bin", "nvcc")
