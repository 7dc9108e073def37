"""What the build tool asks of a Python, which may print anything when it imports a module.

tools/build/python_package.py lends .venv the torch of another Python, tools/build/gpu_machine.py asks what there is.
"""

import os
import subprocess
import sys
import unittest
from unittest import mock

from header import ROOT
from scratch import InScratchFolder

sys.path.insert(0, os.path.join(ROOT, "tools", "build"))
import gpu_machine  # noqa: E402
import python_package  # noqa: E402

# A line of a .pth file that begins with import is run.
TORCH = "import atexit\nprint('A new version of torch!')\nprint('import nowhere')\natexit.register(print, 'Bye')\n"


class BorrowedTorch(InScratchFolder):
    def setUp(self):
        super().setUp()
        self.lender, venv = os.path.join(self.folder, "lender"), os.path.join(self.folder, "venv")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self.python = os.path.join(venv, "bin", "python")

    def borrow(self):
        environment = {"PYTHONPATH": os.pathsep.join([self.lender, os.path.join(self.folder, "watcher")])}
        with mock.patch.dict(os.environ, environment), mock.patch.object(python_package, "VENV_PYTHON", self.python):
            python_package.borrow_torch()

    def run_in_venv(self, program):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([self.python, "-c", program], env=environment, capture_output=True, text=True)
        return done.stdout, done.stderr

    def test_whatever_it_prints(self):
        self.write("lender/torch/__init__.py", TORCH)
        self.write("watcher/sitecustomize.py", "print('This Python is watched')\n")
        self.borrow()
        show = "import sys; print([path for path in sys.path if 'lender' in path])"
        self.assertEqual(self.run_in_venv(show), (f"{[self.lender]}\n", ""))
        self.assertIn("A new version of torch!", self.run_in_venv("import torch")[0])

    def test_none_that_works(self):
        self.write("lender/torch/__init__.py", "import nowhere\n")
        self.borrow()
        show = "import sys; print([path for path in sys.path if 'lender' in path])"
        self.assertEqual(self.run_in_venv(show), ("[]\n", ""))


class Machine(InScratchFolder):
    """In place of a torch, and of numpy, there is a module that prints."""

    def setUp(self):
        super().setUp()
        # Bytecode of a module that is written again within the same second, as long as before, would be taken for new.
        self.environment = {"PYTHONPATH": self.folder, "PYTHONDONTWRITEBYTECODE": "1"}

    def test_torch(self):
        says = "import atexit\nprint('A new version!')\natexit.register(print, {last!r})\n"
        for sees in (True, False):
            with self.subTest(sees=sees):
                self.write("torch.py", says.format(last=not sees) + f"class cuda:\n    is_available = lambda: {sees}\n")
                self.assertEqual(gpu_machine.torch_sees_gpu(self.environment), sees)
        self.write("torch.py", "print('True')\nimport nowhere\n")
        self.assertFalse(gpu_machine.torch_sees_gpu(self.environment))

    def test_modules(self):
        for module in ("numpy", "pytest"):
            self.write(f"{module}.py", "import atexit\nprint('Hello')\natexit.register(print, 'Bye')\n")
        self.write("cffi.py", "class FFI:\n    def cdef(self, text):\n        print(text)\n")
        self.assertEqual(gpu_machine.missing_modules(self.environment), [])
        self.write("numpy.py", "print('there')\nraise SystemExit\n")
        self.write("cffi.py", "print('there')\nimport nowhere\n")
        self.assertEqual(gpu_machine.missing_modules(self.environment), ["numpy", "cffi (with pycparser)"])


if __name__ == "__main__":
    unittest.main()
