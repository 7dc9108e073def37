"""Counts tests over all suites, from JUnit files, the JSON of go test and the output of cargo test."""

import collections
import json
import re
import xml.etree.ElementTree as ElementTree

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
CARGO_COUNTS = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.M)
CARGO_SKIP = re.compile(r"^test (.+?) +\.\.\. ignored(?:, (.+))?$", re.M)


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.skips = []

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def add_junit(self, path):
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            skip = case.find("skipped")
            # ctest also reports a test as skipped whose program was not built.
            lost = skip is not None and "Unable to find executable" in skip.get("message", "")
            bad = lost or case.find("failure") is not None or case.find("error") is not None
            printed = case.findtext("system-out") or ""
            inner = COUNTS.findall(printed)
            if inner:
                # A program with its own counts, like the C harness. If it crashes after printing them, one more failed.
                passed, failed, skipped = map(int, inner[-1])
                self.add(passed, max(failed, int(bad)), skipped)
                lines = [line for line in printed.splitlines() if line.startswith("skipped ")]
                self.skips += [f"{case.get('name')}: {line.removeprefix('skipped ')}" for line in lines]
            elif bad:
                self.add(0, 1, 0)
            elif skip is not None:
                self.add(0, 0, 1)
                self.skips.append(f"{case.get('name')}: {skip.get('message', '')}")
            else:
                self.add(1, 0, 0)

    def add_go(self, path):
        """Counts the output of `go test -json`; subtests count, not their tests. Returns the output of failures."""
        ends, printed = {}, collections.defaultdict(str)
        with open(path) as file:
            for event in map(json.loads, file):
                key = event.get("Package") or event.get("ImportPath"), event.get("Test", "")
                printed[key] += event.get("Output", "")
                if event["Action"] in ("pass", "fail", "skip", "build-fail"):
                    ends[key] = event["Action"]
        # Tests with subtests, and packages.
        whole = {(package, test[:end]) for package, test in ends for end, c in enumerate(test) if c == "/" or not end}
        failures = []
        for (package, test), end in ends.items():
            if (package, test) in whole or (end == "skip" and not test):
                # A test that fails without a failed subtest shows in the exit status of its runner.
                failures += [printed[package, test]] if end == "fail" else []
            elif end == "skip":
                self.add(0, 0, 1)
                why = [line.strip() for line in printed[package, test].splitlines() if line.startswith("    ")]
                self.skips.append(f"{package}.{test}: {' '.join(why[:1])}")
            else:
                self.add(int(end == "pass"), int(end != "pass"), 0)
                failures += [printed[package, test]] if end != "pass" else []
        return "".join(failures)

    def add_cargo(self, printed):
        """Counts the summary line of each test program, and lists the ignored tests."""
        for counts in CARGO_COUNTS.findall(printed):
            self.add(*map(int, counts))
        self.skips += [f"{name}: {why}" if why else name for name, why in CARGO_SKIP.findall(printed)]

    def skip(self, name):
        self.add(0, 0, 1)
        self.skips.append(name)

    def __add__(self, other):
        both = Tally()
        for part in (self, other):
            both.add(part.passed, part.failed, part.skipped)
            both.skips += part.skips
        return both

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
