"""What a reader may copy from the package's README is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import child_environment

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", BLOCKS)
def test_block(program, tmp_path):
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
