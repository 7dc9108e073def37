"""abidiff between every release and this library: additions pass, changes fail."""

import glob
import os
import platform
import re
import shutil
import tempfile
import unittest

import dump
import header

# Edits of the header: what is replaced, by what.
ADDITIONS = {
    "a function": ("int32_t eplb_abi_version(void);", "\\g<0>\nint32_t eplb_later(int64_t number);"),
    "a field at the end of the problem": ("} eplb_problem;", "int64_t later;\n\\g<0>"),
    "fields at the end of the report": ("} eplb_report;", "double later;\nint64_t last;\n\\g<0>"),
}
CHANGES = {
    "a function is gone": ("int32_t eplb_abi_version(void);", ""),
    "a function has another name": ("eplb_abi_version(void)", "eplb_version_of_abi(void)"),
    "a function answers another type": ("int32_t eplb_abi_version", "int64_t eplb_abi_version"),
    "a parameter is gone": ("int64_t *dims, int64_t dims_length,", "int64_t *dims,"),
    "a parameter is new": ("int64_t *dims, int64_t", "int64_t *dims, int64_t first, int64_t"),
    "a parameter is narrower": ("int64_t dims_length,", "int32_t dims_length,"),
    "a struct is no longer const": ("const eplb_problem *problem", "eplb_problem *problem"),
    "a field is gone": ("  int64_t num_gpus;", ""),
    "a field is in the middle": ("  int64_t num_gpus;", "  int64_t later;\n\\g<0>"),
    "a field is narrower": ("int64_t num_gpus;", "int32_t num_gpus;"),
    "a field is no integer": ("int64_t num_gpus;", "double num_gpus;"),
    "a field is signed": ("uint64_t seed;", "int64_t seed;"),
    "a field has another name": ("int64_t num_gpus;", "int64_t gpus;"),
    "a changed field in a struct that grew": (
        "} eplb_solve_options;",
        "int64_t later;\n\\g<0>",
        "uint64_t seed;",
        "double seed;",
    ),
    "two fields have changed places": (
        "  double imbalance_mean;",
        "  double first;",
        "  double imbalance_worst;",
        "  double imbalance_mean;",
        "  double first;",
        "  double imbalance_worst;",
    ),
    "a constant's type is wider": ("typedef int32_t eplb_map;", "typedef int64_t eplb_map;"),
    "the error struct is longer": ("char text[252];", "char text[508];"),
    "the error struct has another field": ("} eplb_error;", "  int64_t later;\n\\g<0>"),
}


def wherever_lines_end(text):
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text))


class DumpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in ("abidw", "abidiff"):
            if shutil.which(tool) is None:
                raise unittest.SkipTest(f"no {tool}: apt-get install abigail-tools")
        if platform.machine() != "x86_64":
            raise unittest.SkipTest(f"the dump is one of x86_64, this is {platform.machine()}")
        cls.folder = tempfile.mkdtemp(prefix="eplb-abi-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def path(self, name):
        return os.path.join(self.folder, name)


class Library(DumpTest):
    """The library's own sources, compiled with debug information."""

    def changes_without(self, left_out=(), released=dump.FIRST):
        library, out = self.path("libeplb.so"), self.path("library.abi")
        dump.compile_border(library, [file for file in dump.sources() if os.path.basename(file) not in left_out])
        dump.write(library, out)
        return dump.changes(out, released)

    def test_nothing_of_any_release_has_changed(self):
        dumps = glob.glob(os.path.join(dump.RELEASED, "*.abi"))
        self.assertIn(dump.FIRST, dumps)
        for released in dumps:
            with self.subTest(os.path.basename(released)):
                self.assertEqual(self.changes_without(released=released), "")

    def test_a_library_that_lacks_functions_is_seen(self):
        self.assertRegex(self.changes_without(["report.cpp"]), r"(?s)Removed.*eplb_fetch_report")

    def test_the_dump_is_small_and_names_nobody(self):
        with open(dump.FIRST, encoding="ascii") as file:
            text = file.read()
        self.assertLess(len(text), 30000)
        self.assertNotIn(os.path.expanduser("~"), text)
        self.assertNotIn("path='/", text)
        self.assertNotIn("std::", text)


class Edits(DumpTest):
    """Whether abidiff would see it: headers with edits against the dump of the release."""

    def changes_after(self, *edits):
        with open(header.PATH, encoding="ascii") as file:
            text = file.read()
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            text, found = re.subn(wherever_lines_end(old), lambda match, new=new: new.replace("\\g<0>", match[0]), text)
            self.assertGreater(found, 0, f"eplb.h does not contain: {old}")
        folder = tempfile.mkdtemp(dir=self.folder)
        edited, library, out = (os.path.join(folder, name) for name in ("eplb.h", "libeplb.so", "edited.abi"))
        with open(edited, "w", encoding="ascii") as file:
            file.write(text)
        dump.compile_declarations(library, edited)
        dump.write(library, out, folder)
        return dump.changes(out)

    def test_the_header_as_it_is(self):
        self.assertEqual(self.changes_after(), "")

    def test_additions_pass(self):
        for name, edits in ADDITIONS.items():
            with self.subTest(name):
                self.assertEqual(self.changes_after(*edits), "")

    def test_changes_fail(self):
        for name, edits in CHANGES.items():
            with self.subTest(name):
                self.assertNotEqual(self.changes_after(*edits), "")


if __name__ == "__main__":
    unittest.main()
