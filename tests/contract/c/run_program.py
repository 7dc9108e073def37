#!/usr/bin/env python3
"""Runs the program of the header and checks that it prints a placement: 16 lines, every expert, 2 slots per GPU.

run_program.py PROGRAM
"""

import re
import subprocess
import sys

WEIGHTS = [600, 560, 120, 120, 20, 10, 10, 10]


def fault(output):
    """What is wrong with the printed placement, or None."""
    lines = re.findall(r"^GPU (\d+) slot (\d+): expert (\d+)$", output, re.M)
    if len(lines) != 16 or len(output.splitlines()) != 16:
        return f"{len(output.splitlines())} lines, {len(lines)} of them as expected; 16 were"
    slots = [(int(gpu), int(slot)) for gpu, slot, _ in lines]
    if slots != [(s // 2, s % 2) for s in range(16)]:
        return "the slots are not in order"
    experts = [int(expert) for *_, expert in lines]
    if set(experts) != set(range(8)):
        return "an expert is missing, or there is one too many"
    loads = [sum(WEIGHTS[e] / experts.count(e) for e in experts[2 * gpu : 2 * gpu + 2]) for gpu in range(8)]
    mean = sum(WEIGHTS) / 8
    if max(loads) / mean > 1.5:
        return f"an imbalance of {max(loads) / mean:.2f}, as if nothing had been solved"
    return None


if __name__ == "__main__":
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=60)
    wrong = f"exit status {done.returncode}" if done.returncode or done.stderr else fault(done.stdout)
    if wrong:
        sys.exit(f"{wrong}\n{done.stdout}{done.stderr}")
    print("16 slots, as the header promises")
