"""Runs programs and commands as a reader of the documents would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]


def build_folder():
    candidates = [os.environ.get("EPLB_BUILD"), ROOT / "build" / "release", ROOT / "build"]
    for folder in filter(None, candidates):
        if (Path(folder) / "libeplb.so.0").exists():
            return Path(folder)
    pytest.skip("libeplb is not built: run ./dev test")


def environment(extra):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **extra}


def run(command, folder, extra, **more):
    done = subprocess.run(
        command, cwd=folder, env=environment(extra), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_shell(text, folder, extra):
    return run(["bash", "-euo", "pipefail", "-c", text], folder, extra)


def compile_c(source, folder, installed):
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config on this machine")
    flags = run(["pkg-config", "--cflags", "--libs", "eplb"], folder, installed).split()
    program = folder / "program"
    run([os.environ.get("CC", "cc"), *STRICT, str(source), *flags, "-ldl", "-o", str(program)], folder, installed)
    return program


def run_c(text, folder, installed):
    source = folder / "example.c"
    source.write_text(text)
    return run([compile_c(source, folder, installed)], folder, installed)


def run_python(text, folder, installed):
    return run([sys.executable, "-W", "error", "-c", text], folder, {})


def run_go(text, folder, installed):
    """A program in a module of its own, as bindings/go/README.md describes."""
    if shutil.which("go") is None:
        pytest.skip("no go on this machine")
    module = folder / "placer"
    module.mkdir()
    (module / "main.go").write_text(text)
    how = re.search(r"```sh\n(go mod edit.*?)```", (ROOT / "bindings" / "go" / "README.md").read_text(), re.S)
    commands = "go mod init placer\n" + how[1].replace("/path/to/libeplb", str(ROOT)) + "go vet .\ngo run .\n"
    return run_shell(commands, module, {**installed, "CGO_ENABLED": "0"})


def run_rust(text, folder, installed):
    """A program of its own that depends on the crate; reuses what the tests of the crates have built."""
    if shutil.which("cargo") is None:
        pytest.skip("no cargo on this machine")
    crates = ROOT / "bindings" / "rust"
    (folder / "src").mkdir()
    (folder / "src" / "main.rs").write_text(text)
    shutil.copy(crates / "Cargo.lock", folder)
    package = '[package]\nname = "example"\nversion = "0.0.0"\nedition = "2024"\n'
    (folder / "Cargo.toml").write_text(f"{package}[dependencies]\neplb = {{ path = '{crates / 'eplb'}' }}\n")
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "build" / "rust"))
    return run(["cargo", "run", "--quiet"], folder, {**installed, "CARGO_TARGET_DIR": target})


RUN = {"c": run_c, "go": run_go, "python": run_python, "rust": run_rust, "sh": run_shell}
