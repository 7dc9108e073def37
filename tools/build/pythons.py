"""What a Python finds."""

import os
import subprocess
import tempfile

from steps import answer


def found_by(python, module, expression, env=None, longest=None):
    """What an expression is there, with the module; None without, or after so many seconds.

    An import may print anything, so that is not read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found")
        program = f"import sys, {module}\nwith open(sys.argv[1], 'w') as file: file.write({expression})"
        try:
            done = answer([python, "-c", program, path], timeout=longest, env={**os.environ, **(env or {})})
        except subprocess.TimeoutExpired:
            return None
        # The import may even end the program.
        if done.returncode or not os.path.exists(path):
            return None
        with open(path) as file:
            return file.read()
