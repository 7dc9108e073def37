"""The locks of tools/build have all that is wanted, each with the hashes of its files."""

import re
import unittest
from pathlib import Path

try:
    import tomllib
except ImportError as error:  # before Python 3.11
    raise unittest.SkipTest("tomllib") from error

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "tools" / "build" / "locks"
NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?([=<>!~].*)?$")


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(lock):
    """Requirements as (name, pinned version or None)."""
    if lock.stem == "tests":
        project = tomllib.loads((ROOT / "bindings/python/pyproject.toml").read_text())["project"]
        lines = project["dependencies"] + [
            line
            for extra in project["optional-dependencies"].values()
            for line in extra
            if not line.startswith("eplb[")
        ]
    else:
        lines = [line for line in lock.with_suffix(".in").read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        name, _, version = NAME.match(line).groups()
        yield normalized(name), version[2:] if version and version.startswith("==") else None


def locked(lock):
    """Names with their versions, which may differ by Python, and blocks of lines."""
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.read_text().strip()):
        name, version = re.match(r"([^=\s]+)==(\S+)", block).groups()
        found.setdefault(normalized(name), []).append((version, block))
    return found


class Locks(unittest.TestCase):
    def test_all_that_is_wanted_is_locked(self):
        locks = sorted(LOCKS.glob("*.txt"))
        self.assertEqual({lock.stem for lock in LOCKS.glob("*.in")} | {"tests"}, {lock.stem for lock in locks})
        for lock in locks:
            found = locked(lock)
            for name, version in wanted(lock):
                with self.subTest(f"{name} in {lock.name}: ./dev lock"):
                    self.assertIn(name, found)
                    if version:
                        self.assertEqual({version}, {each for each, _ in found[name]})

    def test_every_package_has_hashes(self):
        for lock in LOCKS.glob("*.txt"):
            for name, versions in locked(lock).items():
                for version, block in versions:
                    with self.subTest(f"{name}=={version} in {lock.name}"):
                        self.assertRegex(block, r"--hash=sha256:[0-9a-f]{64}")


if __name__ == "__main__":
    unittest.main()
