"""Formats the sources of all languages, or checks their format."""

import glob
import os
import shutil
import sys

from go import GO, GOFMT_CHECK
from packages import need, pip_install
from places import ROOT, VENV
from rust import RUST
from steps import Failure, step


def format_sources(arguments):
    need(["clang-format", "venv"])
    pip_install("format")
    sources = []
    for folder in ("lib", "tests", "tools", "bench", "examples"):
        for ending in ("c", "h", "cpp", "cu", "cuh"):
            sources += glob.glob(os.path.join(ROOT, folder, "**", f"*.{ending}"), recursive=True)
    ruff = os.path.join(VENV, "bin", "ruff")
    check = arguments.check
    failed = False
    gofmt = {"gofmt": GOFMT_CHECK if check else ["gofmt", "-w", GO]} if shutil.which("gofmt") else {}
    commands = {
        # Not include/: eplb.h is formatted by hand.
        "clang-format": ["clang-format-14", *(["--dry-run", "-Werror"] if check else ["-i"]), *sorted(sources)],
        "ruff format": [ruff, "format", *(["--check"] if check else []), "."],
        "ruff check": [ruff, "check", *([] if check else ["--fix"]), "."],
        **gofmt,
        "what Go and Rust have of eplb.h": [
            sys.executable,
            os.path.join("tools", "bindings", "generate.py"),
            *(["--check"] if check else []),
        ],
    }
    if shutil.which("cargo"):
        manifest = ["--manifest-path", os.path.join(RUST, "Cargo.toml")]
        commands["cargo fmt"] = ["cargo", "fmt", "--all", *manifest, *(["--check"] if check else [])]
    if check:
        commands["style"] = [sys.executable, os.path.join("tools", "build", "style.py")]
    for headline, command in commands.items():
        try:
            step(headline, command)
        except Failure:
            failed = True
    return int(failed)
