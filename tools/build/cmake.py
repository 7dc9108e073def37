"""Builds of the library: the release, and one with CUDA by a compiler from wheels."""

import os
import re

from packages import is_fresh, pip_install, set_stamp
from places import BUILD, CUDA, CUDA_QUICK, RELEASE, ROOT, SANITIZE, THREADS, VENV
from steps import step

TOOLKIT = os.path.join(VENV, "cuda", "nvidia", "cu13")
NVCC = os.path.join(TOOLKIT, "bin", "nvcc")
SETS = {"avx512": "avx512vl", "avx2": "avx2", "sse4": "sse4_2"}  # and what /proc/cpuinfo says of them
CUOBJDUMP = os.path.join(TOOLKIT, "bin", "cuobjdump")


def cmake(headline, folder, options, targets=()):
    configure = ["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *(f"-D{option}" for option in options)]
    # Ninja's own number, two more than there are cores, is too many next to other stages.
    build = ["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 1)]
    build += ["--target", *targets] if targets else []
    key = "\n".join(configure)
    stamp = os.path.join(folder, "stamp-options")
    if not is_fresh(stamp, key):
        step(f"configure {headline}", configure)
        set_stamp(stamp, key)
    step(f"build {headline}", build)


def compile_once():
    """What is built for the tests is there for the Python package and for the library with CUDA, too."""
    os.environ["CMAKE_C_COMPILER_LAUNCHER"] = os.environ["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
    # Under one name: the build tool of the package asks for g++, CMake for c++.
    os.environ |= {"CC": os.environ.get("CC", "gcc"), "CXX": os.environ.get("CXX", "g++")}
    # Objects in another folder are the same ones; what they include is known from the compilation itself.
    os.environ |= {"CCACHE_DIR": os.path.join(BUILD, "ccache"), "CCACHE_BASEDIR": ROOT, "CCACHE_NOHASHDIR": "1"}
    os.environ["CCACHE_DEPEND"] = "1"


def build_release(*targets):
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=ON", "EPLB_BENCH=ON", "EPLB_CUDA=OFF"]
    cmake("the library, Release" if targets else "everything, Release", RELEASE, options, targets)


def build_sanitized(headline, *targets, fuzz=False):
    """With ASan and UBSan."""
    options = ["EPLB_SANITIZE=address,undefined", *(["EPLB_FUZZ=ON"] if fuzz else [])]
    build_with_clang(headline, SANITIZE, options, targets)


def build_threads(headline, *targets):
    """With TSan."""
    build_with_clang(headline, THREADS, ["EPLB_SANITIZE=thread"], targets)


def build_with_clang(headline, folder, options, targets):
    # UBSan of GCC 12 reports false errors in AVX-512 reductions.
    compilers = ["CMAKE_C_COMPILER=clang-14", "CMAKE_CXX_COMPILER=clang++-14"]
    options = ["CMAKE_BUILD_TYPE=RelWithDebInfo", *compilers, "EPLB_TESTS=ON", "EPLB_CUDA=OFF", *options]
    # Next to plain code what the library takes here: a set more is minutes of compilation.
    cmake(headline, folder, [*options, f"EPLB_INSTRUCTION_SETS={widest_set()}"], targets)


def widest_set():
    with open("/proc/cpuinfo") as file:
        flags = set(re.findall(r"\w+", file.read()))
    return next((name for name, flag in SETS.items() if flag in flags), "neon")


def release_architectures():
    """What a release has kernels for, the oldest first: numbers."""
    with open(os.path.join(ROOT, "lib", "CMakeLists.txt")) as file:
        listed = re.search(r"set\(CMAKE_CUDA_ARCHITECTURES ([^)]+)\)", file.read())[1]
    return [name.split("-")[0] for name in listed.split()]


def build_cuda(*targets, architectures):
    """The library with CUDA, and the tests of it that need no driver; and PTX of the last architecture."""
    *others, last = architectures
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=ON", *cuda_options([*(f"{name}-real" for name in others), last])]
    cmake("the library with CUDA" if "eplb" in targets else "its kernels", CUDA, options, targets)


def compile_kernels_quickly(architectures):
    """Whether they compile: hardly optimised, which takes a tenth of the time."""
    options = ["CMAKE_BUILD_TYPE=Release", "EPLB_TESTS=OFF", "EPLB_CUDA_QUICK=ON"]
    options += cuda_options([f"{name}-real" for name in architectures])
    cmake(f"kernels for {' '.join(architectures)}, quickly", CUDA_QUICK, options, ["eplb_cuda_objects"])


def cuda_options(architectures):
    options = ["EPLB_CUDA=ON", f"CMAKE_CUDA_COMPILER={NVCC}", f"CMAKE_CUDA_ARCHITECTURES={';'.join(architectures)}"]
    # Of nvcc alone: with flags of their own, the other objects would be compiled again.
    return [*options, "CMAKE_CUDA_FLAGS=-Werror=all-warnings"]


def install_nvcc():
    # A separate folder: where torch is borrowed from the system, pip would find the wheels there and install nothing.
    pip_install("cuda", "--target", os.path.join(VENV, "cuda"))
    # nvcc looks for its libraries in lib64; the wheels have them in lib.
    link = os.path.join(TOOLKIT, "lib64")
    if not os.path.lexists(link):
        os.symlink("lib", link)
