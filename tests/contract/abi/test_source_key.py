"""When the build tool installs the Python package again: tests may be running that import it."""

import os
import sys
import unittest
from unittest import mock

from header import ROOT
from scratch import InScratchFolder

sys.path.insert(0, os.path.join(ROOT, "tools", "build"))
import python_package  # noqa: E402


class SourceKey(InScratchFolder):
    def setUp(self):
        super().setUp()
        for path in ("CMakeLists.txt", "package/module.py", "package/inner/module.py"):
            self.write(path, "1")
        self.key = self.key_now()

    def key_now(self):
        with mock.patch.object(python_package, "ROOT", self.folder):
            return python_package.source_key("package")

    def test_what_is_no_source(self):
        for path in ("__pycache__", "inner/__pycache__", "inner/inner/__pycache__", "tests", "tests/inner", "build"):
            self.write(f"package/{path}/file", "1")
            self.assertEqual(self.key_now(), self.key, path)

    def test_sources(self):
        for path in ("CMakeLists.txt", "package/module.py", "package/inner/module.py", "package/inner/other.py"):
            self.write(path, "2")
            key = self.key_now()
            self.assertNotEqual(key, self.key, path)
            self.key = key


if __name__ == "__main__":
    unittest.main()
