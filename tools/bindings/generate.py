#!/usr/bin/env python3
"""Writes what Go and Rust have of include/eplb.h: constants, names, structs, functions, comments.

    python3 tools/bindings/generate.py             after a change of the header
    python3 tools/bindings/generate.py --check     tells which files are not what the header gives

Python reads the header when it is imported.
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "contract", "abi")]
import go_source  # noqa: E402
import go_structs  # noqa: E402
import header as eplb_header  # noqa: E402
import rust_source  # noqa: E402
import rust_structs  # noqa: E402
import rust_sys  # noqa: E402


def generated(path=eplb_header.PATH):
    """The text of every generated file, by its path in the repository."""
    header = eplb_header.read(path)
    for name, constants in header.enums.items():
        values = [int(header.constants[constant]) for constant in constants]
        if name != "eplb_status" and values != list(range(len(values))):
            sys.exit(f"{name}: its constants must count from 0, in order, as they index tables of names")
    writers = (go_source, go_structs, rust_source, rust_structs, rust_sys)
    return {path: text for writer in writers for path, text in writer.files(header).items()}


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def stale(root=ROOT, header_path=eplb_header.PATH):
    """Paths of the files that are not what the header gives."""
    return [path for path, text in generated(header_path).items() if read(os.path.join(root, path)) != text]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell what is stale")
    arguments = parser.parse_args()
    paths = stale()
    if arguments.check:
        for path in paths:
            print(
                f"{path} is not what include/eplb.h gives: python3 tools/bindings/generate.py",
                file=sys.stderr,
            )
        return 1 if paths else 0
    for path, text in generated().items():
        if path in paths:
            with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
                file.write(text)
            print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
