"""What programs were compiled with, against what they would be compiled with today.

For every minor version of the ABI its header is kept, released/eplb-MAJOR.MINOR.h, and its dump. What stands in a
header stands in include/eplb.h too: the same type at the same place with the same value. What does not is an addition,
and needs a new minor version, which `python3 tests/contract/abi/test_layout.py --freeze` writes down when it is
released.
"""

import ctypes
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import dump
import header
import library

FROZEN_STRUCT = "eplb_error"  # the others may grow at the end


def frozen_headers():
    """Path of every kept header by its (major, minor)."""
    found = {}
    for path in glob.glob(f"{dump.RELEASED}/eplb-*.h"):
        found[tuple(map(int, re.search(r"eplb-(\d+)\.(\d+)\.h", path).groups()))] = path
    return found


def program(found):
    """C that prints a line for every struct, field, type and constant."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", '#include "eplb.h"', "int main(void) {"]
    for name, fields in found.structs.items():
        lines.append(f'  printf("struct {name} %zu\\n", sizeof({name}));')
        for member in fields:
            measures = f"sizeof((({name} *)0)->{member.name}), offsetof({name}, {member.name})"
            lines.append(f'  printf("field {name}.{member.name}:{member.type} %zu at %zu\\n", {measures});')
    for name in found.typedefs:
        lines.append(f'  printf("type {name} %zu\\n", sizeof({name}));')
    for name in found.constants:
        lines.append(f'  printf("constant {name} %d\\n", (int){name});')
    return "\n".join([*lines, "  return 0;", "}", ""])


def measure(path):
    """What a C compiler makes of a header: the measure of every name in it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, os.path.join(folder, "eplb.h"))
        source, out = os.path.join(folder, "layout.c"), os.path.join(folder, "layout")
        with open(source, "w", encoding="ascii") as file:
            file.write(program(header.read(path)))
        compiler = [os.environ.get("CC", "cc"), "-std=c99", "-pedantic", "-Wall", "-Werror"]
        subprocess.run([*compiler, f"-I{folder}", source, "-o", out], check=True)
        printed = subprocess.run([out], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^(\w+ \S+) (.*)$", printed, re.M))


def signatures(path):
    """Result and types of parameters of every function; the names of parameters may be bettered."""
    return {f.name: [f.result, *(p.type for p in f.parameters)] for f in header.read(path).functions}


def changes(old, new):
    """What a program that was compiled with the old header would stumble over in a library of the new one."""
    before, after, found = measure(old), measure(new), []
    for name, value in before.items():
        grows = name.startswith("struct ") and name != f"struct {FROZEN_STRUCT}"
        if name not in after or (int(after[name]) < int(value) if grows else after[name] != value):
            found.append(f"{name} {value}: now {after.get(name, 'gone')}")
    for name in after.keys() - before.keys():
        struct = "struct " + re.sub(r"^\w+ |\..*", "", name)
        # Behind the last byte of the old struct is where new fields belong.
        if name.startswith("field ") and int(after[name].split(" at ")[1]) < int(before.get(struct, 0)):
            found.append(f"{name} lies inside what {struct} was")
    today = signatures(new)
    return found + [
        f"{name}{was}: now {today.get(name)}" for name, was in signatures(old).items() if today.get(name) != was
    ]


def is_more(old, new):
    """Whether the new header has something that the old one has not."""
    return measure(old) != measure(new) or signatures(old) != signatures(new)


class Frozen(unittest.TestCase):
    def changes_after(self, *edits):
        with open(header.PATH, encoding="ascii") as file:
            text = file.read()
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            self.assertIn(old, text)
            text = text.replace(old, new)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "eplb.h")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            return changes(header.PATH, path), is_more(header.PATH, path)

    def test_nothing_that_was_released_has_changed(self):
        self.assertIn((1, 0), frozen_headers())
        for version, path in frozen_headers().items():
            with self.subTest(version=version):
                self.assertEqual(changes(path, header.PATH), [])

    def test_an_addition_is_seen_and_allowed(self):
        for edits in (
            ("  EPLB_STRATEGY_BEST = 6", "  EPLB_STRATEGY_BEST = 6,\n  EPLB_STRATEGY_LATER = 7"),
            ("} eplb_problem;", "  int64_t later;\n} eplb_problem;"),
            ("int32_t eplb_abi_version(void);", "int32_t eplb_abi_version(void);\nint32_t eplb_later(int64_t n);"),
        ):
            with self.subTest(edits):
                self.assertEqual(self.changes_after(*edits), ([], True))

    def test_a_change_is_seen(self):
        for edits in (
            ("EPLB_STRATEGY_BEST = 6", "EPLB_STRATEGY_BEST = 7"),
            ("EPLB_MAP_BOUND", "EPLB_MAP_LIMIT"),
            ("  double imbalance_mean;", "  double later;\n  double imbalance_mean;"),
            ("  int32_t device_index;", "  int16_t device_index, later;"),
            ("} eplb_error;", "  int64_t later;\n} eplb_error;"),
            ("const eplb_problem *problem", "eplb_problem *problem"),
            ("eplb_version_string(void)", "eplb_version_text(void)"),
        ):
            with self.subTest(edits):
                self.assertNotEqual(self.changes_after(*edits)[0], [])


class Rules(unittest.TestCase):
    def test_no_two_constants_of_a_type_share_a_value(self):
        enums = [block.split("}")[0] for block in header.read().text.split("enum {")[1:]]
        for enum in enums:
            values = [entry.partition("=")[2].strip() for entry in enum.split(",") if "=" in entry]
            self.assertEqual(len(values), len(set(values)), enum)
        self.assertGreater(len(enums), 5)

    def test_structs_have_no_holes(self):
        """A hole holds what was there before: a later version could put a field there that nobody has zeroed."""
        measures = measure(header.PATH)
        structs = {name: int(size) for name, size in measures.items() if name.startswith("struct ")}
        self.assertGreater(len(structs), 5)
        for struct, size in structs.items():
            prefix = struct.replace("struct ", "field ") + "."
            fields = [int(m.split()[0]) for name, m in measures.items() if name.startswith(prefix)]
            self.assertEqual(size, sum(fields), struct)


def version_of(path):
    """The ABI version that a library states, as (major, minor)."""
    number = ctypes.CDLL(path).eplb_abi_version()
    return number >> 16, number & 0xFFFF


class Version(library.LibraryTest):
    def test_an_addition_is_a_new_minor_version(self):
        newest = max(frozen_headers())
        if is_more(frozen_headers()[newest], header.PATH):
            self.assertEqual(version_of(library.path()), (newest[0], newest[1] + 1))
        else:
            self.assertEqual(version_of(library.path()), newest)


if __name__ == "__main__":
    if "--freeze" in sys.argv:
        major, minor = version_of(library.path())
        shutil.copy(header.PATH, f"{dump.RELEASED}/eplb-{major}.{minor}.h")
        dump.keep(f"{major}.{minor}")
    else:
        unittest.main()
