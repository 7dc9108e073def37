"""Counts tests over all suites, from the JUnit files that their runners leave."""

import re
import xml.etree.ElementTree as ElementTree

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)


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
            # ctest calls a test whose program was not built skipped, too.
            lost = skip is not None and "Unable to find executable" in skip.get("message", "")
            bad = lost or case.find("failure") is not None or case.find("error") is not None
            printed = case.findtext("system-out") or ""
            inner = COUNTS.findall(printed)
            if inner:
                # A program that counts for itself, like the C harness. If it dies after its line, that is one more.
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

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
