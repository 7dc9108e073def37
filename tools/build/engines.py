"""vLLM and SGLang as they are published, with this package as their planner, on the CPU: ./dev engines."""

import glob
import os
import re
import shutil
import sys
import time

from packages import FOR_PYTHON, is_fresh, need, set_stamp
from places import BUILD, EMULATED, RELEASE, ROOT, VENV_PYTHON
from python_package import install_package
from runners import run_suite
from steps import Failure, attempt, step
from tally import Tally

FOLDER = os.path.join(BUILD, "engines-venv")
PYTHON = os.path.join(FOLDER, "bin", "python")
NEEDS = re.compile(r'importorskip\("(torch|jax)"\)|EPLB_EMULATED_LIBRARY')

# Without what they require, which is kernels and servers; torchvision and xgrammar require other versions of torch.
ENGINES = ["vllm==0.33.0", "sglang==0.5.23", "torchvision==0.29.0", "xgrammar==0.2.8"]
# What else is needed.
IMPORTED = os.path.join(ROOT, "tools", "build", "engines.txt")

# Where they are one of many things that are tested, they are left out rather than waited for.
LEAST_FREE = 20 * 2**30  # bytes: what is installed, and pip's own copies of it
LONGEST = 1500  # seconds to install them, all downloads together, while other stages take the processor


def engines(arguments):
    """Installs the engines and runs their code; the last line counts all tests."""
    need(FOR_PYTHON)
    tally, start = Tally(), time.monotonic()
    if attempt(tally, install_engines) and attempt(tally, install_ours):
        print(f"-- {FOLDER}: {size_of(FOLDER) / 2**30:.1f} GiB, {time.monotonic() - start:.0f} s")
        run_all(tally)
    for name in tally.skips:
        print(f"skipped: {name}")
    print(tally)
    return 1 if tally.failed or not tally.passed else 0


def install_engines_or_skip(tally):
    """As one of many stages. What cannot be installed here is skipped, and named."""
    free = shutil.disk_usage(ROOT).free
    if free < LEAST_FREE:
        tally.skip(f"tests/engines: {free / 2**30:.0f} GiB are free, {LEAST_FREE / 2**30:.0f} are needed")
        return False
    try:
        install_engines(LONGEST)
    except Failure as failure:
        tally.skip(f"tests/engines: cannot {failure}")
        return False
    return True


def test_engines(tally):
    install_ours()
    run_all(tally)


def run_all(tally):
    run(tally, "tests/engines")
    run(tally, "bindings/python/tests", tests_of_arrays())


def pip(headline, *arguments, longest=None):
    # Of 8 GB of packages few modules are imported: compiling all would take minutes of the processor.
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile", *arguments]
    step(headline, command, longest=longest)


def install_engines(longest=None):
    key = "\n".join([sys.version, *ENGINES, read(IMPORTED)])
    stamp = os.path.join(FOLDER, "stamp-engines")
    if is_fresh(stamp, key):
        return
    start = time.monotonic()
    step("make a virtual environment for engines", [sys.executable, "-m", "venv", "--clear", FOLDER])
    pip("install torch and what else their planner modules import", "-r", IMPORTED, longest=longest)
    left = longest and max(1, longest - (time.monotonic() - start))
    pip(f"install {' '.join(ENGINES)} without what they require", "--no-deps", *ENGINES, longest=left)
    set_stamp(stamp, key)


def install_ours():
    """The package as a wheel, so that engines find its entry points."""
    install_package()
    wheels = os.path.join(BUILD, "engines-wheel")
    shutil.rmtree(wheels, ignore_errors=True)
    command = [VENV_PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--quiet", "--no-build-isolation"]
    command += ["--no-deps", f"--config-settings=build-dir={os.path.join(BUILD, 'python')}", "-w", wheels]
    step("build the Python package as a wheel", [*command, "./bindings/python"])
    (wheel,) = glob.glob(os.path.join(wheels, "eplb-*.whl"))
    pip("install it there", "--force-reinstall", "--no-deps", wheel)


def tests_of_arrays():
    """Files of the package's tests that need torch or JAX, in which most machines skip something."""
    tests = os.path.join(ROOT, "bindings", "python", "tests")
    files = [file for file in sorted(glob.glob(os.path.join(tests, "test_*.py"))) if NEEDS.search(read(file))]
    return [*files, os.path.join(tests, "engines")]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def size_of(folder):
    paths = (os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size for path in paths)


def run(tally, folder, files=None):
    junit = os.path.join(BUILD, "junit-engines-" + folder.replace("/", "-") + ".xml")
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--junitxml={junit}"]
    command += files or [folder]
    env = {"EPLB_EMULATED_LIBRARY": EMULATED} if os.path.exists(EMULATED) else {}
    run_suite(tally, f"pytest {folder}, with engines", command, junit, {"EPLB_BUILD": RELEASE, **env})
