"""The Python package in .venv, built from the sources as they are."""

import hashlib
import os
import sys

from packages import PIP, is_fresh, pip_install, set_stamp, stamp_path
from places import BUILD, ROOT, VENV_PYTHON
from pythons import found_by
from steps import step


def source_key(*folders):
    """A hash of all sources of the Python package."""
    digest = hashlib.sha256()
    for folder in folders:
        for path, names, files in os.walk(os.path.join(ROOT, folder)):
            names[:] = sorted(set(names) - {"__pycache__", "tests", "build", "dist"})
            for file in sorted(files):
                with open(os.path.join(path, file), "rb") as content:
                    digest.update(f"{path}/{file}".encode() + content.read())
    with open(os.path.join(ROOT, "CMakeLists.txt"), "rb") as content:
        digest.update(content.read())
    return digest.hexdigest()


def install_package():
    pip_install("build")
    pip_install("tests")
    key = source_key("include", "lib", "bindings/python")
    if is_fresh(stamp_path("eplb"), key):
        return
    folder = os.path.join(BUILD, "python")
    command = [*PIP, "--no-build-isolation", "--force-reinstall", "--no-deps"]
    command += [f"--config-settings=build-dir={folder}", "./bindings/python"]
    step("build the library and the Python package, install both into .venv", command)
    set_stamp(stamp_path("eplb"), key)


def borrow_torch():
    """Makes the torch of the running Python, if any, visible in .venv: it is too large to be installed by default."""
    torch = found_by(sys.executable, "torch", "torch.__file__")
    folder = found_by(VENV_PYTHON, "sysconfig", "sysconfig.get_path('purelib')")
    if torch and folder:
        # A .pth file comes after the packages of .venv, so those keep their versions.
        with open(os.path.join(folder, "borrowed-torch.pth"), "w") as file:
            file.write(os.path.dirname(os.path.dirname(torch)) + "\n")
