"""Time for one call from each language, over the same call in C.

    python bench/languages.py [--build FOLDER] [--rounds N] [--seconds S] [--markdown FILE] [--commit TEXT] TRACE.csv

Every language's own program times its calls and prints the median; here they take turns, and in each round a program's
median is divided by the mean of those of C just before and just after it. Programs that are not built are built, into
FOLDER/languages; what is not on this machine (cargo, go) is left out and named.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
ALLOWED = 1.05  # times the C call


def build_rust(out):
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(out, "rust"))
    manifest = os.path.join(ROOT, "bindings", "rust", "Cargo.toml")
    command = ["cargo", "build", "--quiet", "--release", "--manifest-path", manifest, "--example", "time_call"]
    subprocess.run(command, env={**os.environ, "CARGO_TARGET_DIR": target}, check=True)
    return os.path.join(target, "release", "examples", "time_call")


def build_go(out):
    program = os.path.join(out, "eplb-timing")
    command = ["go", "-C", os.path.join(ROOT, "bindings", "go"), "build", "-o", program, "./cmd/eplb-timing"]
    subprocess.run(command, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    return program


def programs(build, trace, seconds):
    """Command lines by language: what is measured, and the call in C that it is measured against."""
    out, c = os.path.join(os.path.abspath(build), "languages"), os.path.join(build, "bench", "time_call")
    os.makedirs(out, exist_ok=True)
    one_map, three_maps = [c, trace, seconds], [c, trace, seconds, "three-maps"]
    found = {"C": (one_map, one_map)}
    if shutil.which("cargo"):
        found["Rust"] = ([build_rust(out), trace, "--seconds", seconds], one_map)
    if shutil.which("go"):
        found["Go"] = ([build_go(out), "-seconds", seconds, trace], one_map)
    python = [sys.executable, os.path.join(HERE, "time_call.py"), trace, seconds]
    found["Python, rebalance_experts"] = (python, three_maps)
    return found


def microseconds(command, library):
    environment = {**os.environ, "EPLB_LIBRARY": library}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["microseconds"]


def take_turns(found, library, rounds):
    """Times and ratios of every language, one of each a round."""
    times, ratios = {name: [] for name in found}, {name: [] for name in found}
    for number in range(rounds):
        for name, (command, in_c) in found.items():
            before, own, after = (microseconds(each, library) for each in (in_c, command, in_c))
            times[name].append(own)
            ratios[name].append(2 * own / (before + after))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return times, ratios


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def rows(found, times, ratios):
    for name in found:
        low, middle, high = statistics.quantiles(ratios[name], n=4)
        fetched = "three maps, int64" if "three-maps" in found[name][1] else "one map, int32"
        time = statistics.median(times[name])
        yield f"| {name} | {fetched} | {time:.0f} | **{middle:.3f}** | {low:.3f} to {high:.3f} |"


def table(arguments, found, times, ratios):
    yield "# One call from each language\n"
    yield f"- machine: {processor()}; one thread, Python {platform.python_version()}"
    yield f"- library: commit {arguments.commit}"
    yield f"- {os.path.basename(arguments.trace)}; 288 slots on 32 GPUs, `BEST` at normal effort"
    yield f"- medians of {arguments.rounds} rounds of {arguments.seconds} s for each program, quartiles of the ratios\n"
    yield "| language | upload, solve and fetch of | us | times C | quartiles |\n|---|---|---|---|---|"
    yield from rows(found, times, ratios)
    yield "\nThe row of C is C over C: what the machine adds by itself."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="where libeplb is built")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", default="0.5", help="for each program in a round")
    parser.add_argument("--markdown")
    parser.add_argument("--commit", default="not stated")
    parser.add_argument("trace")
    arguments = parser.parse_args()
    library = os.path.join(os.path.abspath(arguments.build), "libeplb.so.0")
    found = programs(arguments.build, os.path.abspath(arguments.trace), arguments.seconds)
    times, ratios = take_turns(found, library, arguments.rounds)
    text = "\n".join(table(arguments, found, times, ratios)) + "\n"
    print(text)
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write(text)
    slow = [name for name in found if "three-maps" not in found[name][1] and statistics.median(ratios[name]) > ALLOWED]
    if slow:
        sys.exit(f"more than 5 % above C: {', '.join(slow)}")


if __name__ == "__main__":
    main()
