"""The tests of the Rust crates."""

import glob
import os
import re
import shutil
from functools import partial

from places import BUILD, EMULATED, LIBRARY, ROOT
from steps import Failure, answer, attempt, step

RUST = os.path.join(ROOT, "bindings", "rust")


def cargo_environment():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(BUILD, "rust"))
    libraries = {"EPLB_LIBRARY": LIBRARY, "EPLB_EMULATED_LIBRARY": EMULATED}
    return {**libraries, "CARGO_TARGET_DIR": target, "CARGO_TERM_COLOR": "never"}


def run_cargo(tally, headline, command):
    """Takes the counts of cargo test; a run that fails without a failed test counts as one."""
    before = tally.failed
    try:
        printed, failed = step(headline, command, env=cargo_environment()), False
    except Failure as failure:
        printed, failed = failure.printed, True
    tally.add_cargo(printed)
    if (failed and tally.failed == before) or "test result: " not in printed:
        tally.add(0, 1, 0)


def rust_versions():
    """The installed Rust and the oldest supported one, as pairs of numbers."""
    with open(os.path.join(RUST, "Cargo.toml")) as file:
        oldest = re.search(r'^rust-version = "(\d+)\.(\d+)"', file.read(), re.M)
    here = re.search(r"(\d+)\.(\d+)", answer(["cargo", "--version"]).stdout)
    return tuple(map(int, here.groups() if here else (0, 0))), tuple(map(int, oldest.groups()))


def forget_unpacked_crates():
    """Cargo keeps what it once unpacked of a version: `package` would verify eplb against an eplb-sys of yesterday."""
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    for path in glob.glob(os.path.join(home, "registry", "src", "*", "eplb-*")):
        shutil.rmtree(path)


def test_rust(tally):
    """The crates with the installed and the oldest supported Rust, their lints, documentation and packages."""
    if shutil.which("cargo") is None:
        tally.skip("Rust: no cargo on this machine")
        return
    here, oldest = rust_versions()
    if here < oldest:
        tally.skip(f"Rust: cargo is {here[0]}.{here[1]}, {oldest[0]}.{oldest[1]} or newer is required")
        return
    manifest = ["--locked", "--manifest-path", os.path.join(RUST, "Cargo.toml")]
    run_cargo(tally, "cargo test", ["cargo", "test", "--no-fail-fast", *manifest])
    first = f"{oldest[0]}.{oldest[1]}.0"
    if shutil.which("rustup") and answer(["rustup", "run", first, "cargo", "--version"]).returncode == 0:
        # A separate folder, or each run would rebuild everything.
        target = os.path.join(cargo_environment()["CARGO_TARGET_DIR"], "oldest")
        command = ["rustup", "run", first, "cargo", "test", "--no-fail-fast", "--target-dir", target, *manifest]
        run_cargo(tally, f"cargo test, Rust {first}", command)
    else:
        tally.skip(f"Rust {first}, the oldest supported: rustup toolchain install {first} --profile minimal")
    workspace = [*manifest, "--workspace"]
    env = {**cargo_environment(), "RUSTDOCFLAGS": "-D warnings"}
    checks = {
        "clippy": ["clippy", *workspace, "--all-targets", "--", "-D", "warnings"],
        "fmt": ["fmt", *manifest[1:], "--all", "--check"],
        "doc": ["doc", *workspace, "--no-deps"],
        "package": ["package", *workspace, "--allow-dirty"],
    }
    forget_unpacked_crates()
    for name, command in checks.items():
        if name in ("clippy", "fmt") and answer(["cargo", name, "--version"]).returncode != 0:
            tally.skip(f"cargo {name}: not on this machine")
        else:
            attempt(tally, partial(step, env=env), f"cargo {name}", ["cargo", *command], counts=True)
