"""The benchmarks, and the demonstration of the command line."""

import os
import re
import shutil

from cmake import build_release
from packages import FOR_PYTHON, FOR_TESTS, need
from places import BUILD, RELEASE, ROOT, VENV, VENV_PYTHON
from python_package import borrow_torch, install_package
from steps import answer, step
from traces import measured_traces


def demo(arguments):
    need(FOR_PYTHON)
    install_package()
    folder = os.path.join(BUILD, "demo")
    os.makedirs(folder, exist_ok=True)
    eplb = os.path.join(VENV, "bin", "eplb")
    real = "examples/data/olmoe-1b-7b_allenai_L3xE64.csv"
    made_up = os.path.relpath(os.path.join(folder, "deepseek-v3-sized.csv"), ROOT)
    code, plan = "examples/data/olmoe-1b-7b_github_L3xE64.csv", os.path.relpath(os.path.join(folder, "olmoe.npz"), ROOT)
    names = ("olmoe.png", "moves.png", "deepseek-v3-sized.png")
    pictures = [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    cluster, large = ["--slots", "80", "--gpus", "16"], ["--slots", "288", "--gpus", "32"]
    headline = "OLMoE-1B-7B: measured weights of 64 experts, on 80 slots of 16 GPUs"
    step(headline, [eplb, "solve", real, *cluster, "-o", plan, "--picture", pictures[0]], show=True)
    change = ["--current", plan, "--max-moves", "8", "--picture", pictures[1]]
    step("Traffic turns to source code: at most 8 moves per layer", [eplb, "rebalance", code, *change], show=True)
    step("The same, every strategy", [eplb, "compare", real, *cluster], show=True)
    step("A DeepSeek-V3-sized problem, made up", [eplb, "sample", "-o", made_up])
    headline = "58 layers, 256 experts on 288 slots of 32 GPUs"
    step(headline, [eplb, "solve", made_up, *large, "--picture", pictures[2]], show=True)
    print(f"\nPictures: {', '.join(pictures)}")
    print(f"Now try your own: {os.path.relpath(eplb)} solve FILE --slots N --gpus N")
    return 0


def commit():
    if shutil.which("git") is None:
        return "unknown"
    return answer(["git", "describe", "--always", "--dirty"]).stdout.strip() or "none yet"


def heap_greedy_table():
    """Times depend on the instruction set: AVX-512 has the table that the README takes figures from, others theirs."""
    uses = answer([VENV_PYTHON, "-c", "import eplb; print(eplb.backends()['cpu'].text)"]).stdout
    instruction_set = re.search(r"uses (\w+)", uses)[1]
    return "heap-greedy.md" if instruction_set == "avx512" else f"heap-greedy-{instruction_set}.md"


def bench(arguments):
    need(FOR_TESTS)
    build_release()
    install_package()
    borrow_torch()
    measured = measured_traces()
    traces = arguments.traces or measured
    python = [VENV_PYTHON, os.path.join("bench", "python_overhead.py")]
    heap_greedy = ([os.path.join(RELEASE, "bench", "eplb_bench")], traces)
    tables = {heap_greedy_table(): heap_greedy, "python.md": (python, traces)}
    if measured and not arguments.traces:
        tables["best.md"] = ([VENV_PYTHON, os.path.join("bench", "best_gaps.py")], [])
        tables["transfers.md"] = ([VENV_PYTHON, os.path.join("bench", "transfers.py")], [])
        if shutil.which("cargo") and shutil.which("go"):
            languages = [VENV_PYTHON, os.path.join("bench", "languages.py"), "--build", RELEASE]
            tables["languages.md"] = (languages, traces[2:3])
    if arguments.sweep:
        tables["sweep.md"] = ([os.path.join(RELEASE, "bench", "eplb_sweep")], [])
    for name, (command, inputs) in tables.items():
        write = ["--markdown", os.path.join("bench", "results", name)] if arguments.write else []
        step(name.removesuffix(".md"), [*command, "--commit", commit(), *write, *inputs], show=True)
    return 0
