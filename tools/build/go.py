"""The tests of the Go module."""

import os
import re
import shutil

from places import BUILD, EMULATED, LIBRARY
from steps import Failure, answer, attempt, step

GO = os.path.join("bindings", "go")
GO_NEEDED = (1, 25)
# gofmt -l reports files by its output, not by its status.
GOFMT_CHECK = ["sh", "-c", f'list=$(gofmt -l {GO}) && echo "$list" && test -z "$list"']


def go_fault():
    """Why the tests of Go cannot run; None if they can."""
    if shutil.which("go") is None:
        return "no go on this machine"
    version = answer(["go", "env", "GOVERSION"], env={**os.environ, "GOTOOLCHAIN": "local"}).stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < GO_NEEDED:
        return f"go on this machine is {version or 'broken'}, but {'.'.join(map(str, GO_NEEDED))} or newer is required"
    return None


def test_go(tally):
    fault = go_fault()
    if fault is not None:
        tally.skip(f"{GO}: {fault}")
        return
    common = {"EPLB_LIBRARY": LIBRARY, "EPLB_EMULATED_LIBRARY": EMULATED, "GOTOOLCHAIN": "local"}
    for name, command in (("go vet", ["go", "-C", GO, "vet", "./..."]), ("gofmt", GOFMT_CHECK)):
        attempt(tally, lambda name=name, command=command: step(name, command, env=common), counts=True)
    # The race detector needs cgo, which the package itself does without.
    for cgo, options in (("0", []), ("1", ["-race"])):
        path, before, failed = os.path.join(BUILD, f"go-test-cgo{cgo}.json"), tally.failed, False
        command = ["go", "-C", GO, "test", "-json", "-count=1", *options, "./..."]
        with open(path, "w") as file:
            try:
                step(f"go test {' '.join(options)}".strip(), command, env={**common, "CGO_ENABLED": cgo}, to=file)
            except Failure:
                failed = True
        print(tally.add_go(path), end="")
        if failed and tally.failed == before:
            tally.add(0, 1, 0)
