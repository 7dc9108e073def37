"""The device path on a libeplb whose CUDA is emulated: EPLB_EMULATED_LIBRARY names it.

A process loads one library, so these tests run in a process of their own; each is reported here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import child_environment

FOLDER = Path(__file__).parent
FILES = [FOLDER / name for name in ("on_emulation.py", "calls_on_emulation.py", "splits_on_emulation.py")]
TESTS = [name for file in FILES for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def outcomes():
    library = os.environ.get("EPLB_EMULATED_LIBRARY")
    if library is None:
        pytest.skip("EPLB_EMULATED_LIBRARY names no library with an emulated CUDA")
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "-p", "emulation_plugin"]
    environment = child_environment(EPLB_LIBRARY=str(Path(library).resolve()), EMULATED_CUDA=None)
    environment["PYTHONPATH"] += os.pathsep + str(FOLDER)
    done = subprocess.run([*command, *map(str, FILES)], env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", TESTS)
def test_on_emulation(outcomes, name):
    found = re.findall(rf"::{name}(?:\[.*\])? (PASSED|SKIPPED|FAILED|ERROR)\b", outcomes)
    assert found, outcomes
    assert set(found) <= {"PASSED", "SKIPPED"}, outcomes
    if "PASSED" not in found:
        pytest.skip("skipped there, too")
