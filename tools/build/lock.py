"""Locks of the Python packages that ./dev installs, so that what was tested is what is installed: ./dev lock.

tools/build/locks/NAME.in has what is wanted; NAME.txt, which follows from it, every package that this takes, with the
hashes of its files, for every Python from 3.10 on.
"""

import glob
import os

from packages import LOCKS, make_venv
from places import ROOT, VENV, VENV_PYTHON
from steps import step

UV = "uv==0.13.9"
OLDEST = "3.10"  # of the Pythons that ./dev runs with


def sources():
    """What each lock follows from."""
    package = os.path.join(ROOT, "bindings", "python", "pyproject.toml")
    wanted = {os.path.basename(path).removesuffix(".in"): [path] for path in glob.glob(os.path.join(LOCKS, "*.in"))}
    return wanted | {"tests": ["--extra", "test", package]}


def lock(arguments):
    make_venv()
    step("install uv", [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", UV])
    uv = [os.path.join(VENV, "bin", "uv"), "pip", "compile", "--quiet", "--no-header", "--generate-hashes"]
    uv += ["--universal", "--python-version", OLDEST, "--upgrade"]
    for name, source in sorted(sources().items()):
        step(f"lock {name}", [*uv, "--output-file", os.path.join(LOCKS, f"{name}.txt"), *source])
    return 0
