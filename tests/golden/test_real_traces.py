"""The library's answers on measured loads, held by their hashes: no refactoring may change a slot.

After a change of answers that an issue asks for: EPLB_WRITE_HASHES=1 pytest tests/golden/test_real_traces.py, and read
the diff of real_traces.json: a line is one trace, one group of shapes and one strategy.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).with_name("real_traces.json")
DATA = Path(__file__).parents[2].parent / "shared" / "data"
SEED = 20261129

# By number of experts: slots, GPUs, nodes, groups, cap of replicas. The nodes of "tiny" ones have 24 slots or fewer,
# where BEST searches in a way of its own.
SHAPES = {
    8: {"tiny": [(16, 4, 1, 1, 0), (16, 8, 1, 1, 0), (10, 2, 1, 1, 0), (8, 4, 1, 1, 0)], "flat": [(32, 8, 1, 1, 0)]},
    32: {
        "tiny": [(48, 8, 2, 8, 0), (40, 8, 4, 4, 0)],
        "flat": [(40, 8, 1, 1, 0), (48, 16, 1, 1, 2), (64, 32, 1, 1, 0), (32, 8, 1, 1, 0)],
        "nodes": [(64, 16, 2, 8, 0)],
    },
    64: {
        "flat": [(72, 8, 1, 1, 0), (96, 32, 1, 1, 3), (128, 64, 1, 1, 0), (64, 16, 1, 1, 0)],
        "nodes": [(80, 16, 2, 8, 0), (128, 32, 4, 8, 0)],
    },
    128: {"flat": [(144, 16, 1, 1, 0), (160, 80, 1, 1, 0), (192, 64, 1, 1, 4)], "nodes": [(160, 32, 4, 16, 0)]},
    256: {
        "tiny": [(320, 64, 16, 16, 0)],
        "flat": [(288, 32, 1, 1, 0), (320, 64, 1, 1, 3), (288, 144, 1, 1, 0), (384, 128, 1, 1, 0), (256, 64, 1, 1, 0)],
        "nodes": [(288, 32, 4, 8, 0), (384, 64, 8, 8, 0)],
    },
}
STRATEGIES = ["greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init", "best"]


def traces():
    return sorted(path for path in DATA.glob("*_L*xE*.csv")) + sorted(DATA.glob("*_T*.npz"))


def counts_of(path):
    if path.suffix == ".csv":
        return np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)[None]
    return np.load(path)["counts"].astype(np.int64)


def answers(context, counts):
    """A hash for each group of shapes and way to solve; integers and float32 of the same loads both count."""
    for group, shapes in SHAPES[counts.shape[2]].items():
        for strategy in STRATEGIES:
            for effort in ("fast", "normal", "max") if strategy == "best" else ("normal",):
                digest = hashlib.sha256()
                for slots, gpus, nodes, groups, cap in shapes:
                    for weights in (counts, counts.astype(np.float32)):
                        cap_here = 0 if strategy == "greedy" else cap
                        plan = context.solve(
                            weights, num_slots=slots, num_gpus=gpus, num_nodes=nodes, num_groups=groups,
                            strategy=strategy, effort=effort, seed=SEED, max_replicas=cap_here or None,
                        )  # fmt: skip
                        digest.update(np.asarray(plan.physical_to_logical, dtype="<i4").tobytes())
                        digest.update(np.asarray(plan.logical_to_physical, dtype="<i4").tobytes())
                yield f"{group} {strategy}" + (f" {effort}" if strategy == "best" else ""), digest.hexdigest()[:16]


# Limits of rebalances from a placement for flatter loads.
REBALANCES = {
    "target": {"effort": "normal"},
    "moves": {"max_moves": 8, "max_arrivals": 2},
    "price": {"move_price": 0.002, "allow_empty": True},
    "all layers": {"max_moves_total": 40, "effort": "fast"},
}


def arrivals(current, placement, gpus):
    """[L,G]: experts that a GPU holds and did not hold."""
    held, holds = (each.reshape(len(each), gpus, -1) for each in (current, placement))
    counts = [len(set(holds[at]) - set(held[at]) - {-1}) for at in np.ndindex(holds.shape[:2])]
    return np.reshape(counts, holds.shape[:2])


def check_moves(current, plan, gpus, limits):
    moves = arrivals(current, plan.physical_to_logical, gpus)
    assert moves.sum(axis=1).max() <= limits.get("max_moves", np.inf)
    assert moves.sum() <= limits.get("max_moves_total", np.inf)
    assert moves.max() <= limits.get("max_arrivals", np.inf)
    assert plan.replica_count.min() >= 1
    if "allow_empty" not in limits:
        assert plan.physical_to_logical.min() >= 0


def check_rebalance(current, plan, gpus, limits):
    check_moves(current, plan, gpus, limits)
    assert plan.report.layers_missed == ((plan.imbalance > 1.02).sum() if limits == REBALANCES["target"] else 0)


def rebalances(context, counts):
    """Hashes as those of answers(), of a few layers."""
    counts = counts[:, :8]
    for group, shapes in SHAPES[counts.shape[2]].items():
        digests = {name: hashlib.sha256() for name in REBALANCES}
        for slots, gpus, nodes, groups, cap in shapes:
            cluster = {"num_gpus": gpus, "num_nodes": nodes, "num_groups": groups}
            options = {"seed": SEED, "max_replicas": cap or None}
            flatter = np.sqrt(counts.astype(np.float64))
            current = context.solve(flatter, slots, **cluster, **options, strategy="lpt_swap").physical_to_logical
            for name, limits in REBALANCES.items():
                plan = context.rebalance(counts, current, **cluster, **options, **limits)
                check_rebalance(current, plan, gpus, limits)
                digests[name].update(np.asarray(plan.physical_to_logical, dtype="<i4").tobytes())
        for name, digest in digests.items():
            yield f"{group} rebalance {name}", digest.hexdigest()[:16]


# Windows apart, by number of experts: how many of them, then slots, GPUs, nodes, groups.
WINDOWS = {
    32: {"flat": (16, 40, 8, 1, 1)},
    64: {"flat": (7, 72, 8, 1, 1), "nodes": (7, 80, 16, 2, 8)},
    256: {"flat": (4, 288, 32, 1, 1)},
}
# Two prompt lengths, a long one, and decoding: what one placement may have to serve.
PHASES = ["prefill-in512", "prefill-in1024", "prefill-in2048", "decode-in500out1500"]
OF_PHASES = "deepseek-v3 phases"


def by_windows(context, counts):
    """Hashes of solves that keep windows apart, of a few layers."""
    counts = counts[:, :8]
    for group, (windows, slots, gpus, nodes, groups) in WINDOWS.get(counts.shape[2], {}).items():
        if len(counts) < windows:
            continue
        weights = counts[:windows]
        options = {"num_gpus": gpus, "num_nodes": nodes, "num_groups": groups, "objective": "windows", "seed": SEED}
        plans = {
            f"best {effort}": context.solve(weights, slots, effort=effort, **options)
            for effort in ("fast", "normal", "max")
        }
        current = context.solve(weights[0], slots, **options, strategy="best").physical_to_logical
        for name, limits in REBALANCES.items():
            plan = plans[f"rebalance {name}"] = context.rebalance(weights, current, **options, **limits)
            check_moves(current, plan, gpus, limits)
        for name, plan in plans.items():
            placement = np.asarray(plan.physical_to_logical, dtype="<i4")
            yield f"{group} windows {name}", hashlib.sha256(placement.tobytes()).hexdigest()[:16]


# Groups as wishes, by number of experts: slots, GPUs, nodes, groups.
SOFT = {
    8: (12, 4, 2, 2),
    32: (48, 8, 2, 8),
    64: (80, 16, 4, 5),
    128: (144, 16, 8, 3),
    256: (288, 32, 4, 8),
}


def by_wishes(context, counts):
    """Hashes of answers under the policy SOFT, of a few layers."""
    counts = counts[:, :4]
    slots, gpus, nodes, groups = SOFT[counts.shape[2]]
    options = {"num_gpus": gpus, "num_nodes": nodes, "num_groups": groups, "policy": "soft", "seed": SEED}
    plans = {
        f"best {effort}": context.solve(counts, slots, strategy="best", effort=effort, **options)
        for effort in ("fast", "normal", "max")
    }
    flatter = np.sqrt(counts.astype(np.float64))
    current = context.solve(flatter, slots, strategy="best", effort="fast", **options).physical_to_logical
    for name, limits in REBALANCES.items():
        plan = plans[f"rebalance {name}"] = context.rebalance(counts, current, **options, **limits)
        check_moves(current, plan, gpus, limits)
    for name, plan in plans.items():
        placement = np.asarray(plan.physical_to_logical, dtype="<i4")
        yield f"soft {name}", hashlib.sha256(placement.tobytes()).hexdigest()[:16]


def for_splits(context, counts):
    """Hashes of placements that are made for splits, of a few layers."""
    counts = counts[:, :8]
    slots, gpus, nodes, groups = SOFT[counts.shape[2]]
    hierarchical = groups % nodes == 0
    for policy in ["global", *["hierarchical"] * hierarchical]:
        for effort in ("fast", "normal", "max"):
            plan = context.solve(
                counts, slots, gpus, num_nodes=nodes, num_groups=groups, policy=policy, objective="split",
                effort=effort, seed=SEED,
            )  # fmt: skip
            placement = np.asarray(plan.physical_to_logical, dtype="<i4")
            yield f"splits {policy} {effort}", hashlib.sha256(placement.tobytes()).hexdigest()[:16]


def figures(context, counts):
    """Hashes of what is reported about placements of a few layers, whose sums and quotients must round alike."""
    counts = counts[:4, :4] / 3
    slots, gpus, nodes, groups = SOFT[counts.shape[2]]
    cluster = {"num_gpus": gpus, "num_nodes": nodes, "num_groups": groups, "effort": "fast", "seed": SEED}
    for policy in ("global", "soft"):
        for bound in ("simple", "threshold"):
            plan = context.solve(counts, slots, **cluster, policy=policy, bound=bound, objective="windows")
            digest = hashlib.sha256()
            for name in (
                "gpu_load",
                "imbalance",
                "bound",
                "window_imbalance",
                "window_bound",
                "off_home",
                "off_home_bound",
            ):
                digest.update(np.asarray(getattr(plan, name), dtype="<f8").tobytes())
            yield f"figures {policy} {bound}", digest.hexdigest()[:16]


# Loads that are split over placements for those of another prompt length: slots and GPUs.
SPLITS = [(288, 32), (320, 64), (384, 128)]
OF_SPLITS = "deepseek-v3 splits"


def splits(context, before, after):
    """Hashes of splits, exact and with a tolerance, of integers and of weights that are no tokens."""
    for slots, gpus in SPLITS:
        placement = context.solve(before, slots, num_gpus=gpus, seed=SEED).physical_to_logical
        for name, counts in ("own", before), ("drifted", after), ("real", after / 3):
            for tolerance in (0, 0.002):
                split = context.split(counts, placement, gpus, tolerance=tolerance)
                assert (split.bound <= split.gpu_load.max(axis=1)).all()
                digest = hashlib.sha256()
                for ints in split.share, split.tight:
                    digest.update(np.asarray(ints, dtype="<i4").tobytes())
                for reals in split.quota, split.gpu_load, split.imbalance, split.bound:
                    digest.update(np.asarray(reals, dtype="<f8").tobytes())
                yield f"{slots} slots on {gpus} {name} {tolerance}", digest.hexdigest()[:16]


OF_DISPATCH = "deepseek-v3 static dispatch"


def dispatches(context, before, after):
    """Hashes of static dispatch, without swaps and with any number."""
    slots, gpus, nodes = 288, 32, 4
    placement = context.solve(before, slots, num_gpus=gpus, seed=SEED).physical_to_logical
    for name, counts in ("own", before), ("drifted", after), ("real", after / 3):
        for swaps in (0, None):
            found = context.static_dispatch(counts, placement, gpus, num_nodes=nodes, max_swaps=swaps)
            assert (found.bound <= found.gpu_load.max(axis=1)).all()
            digest = hashlib.sha256()
            for ints in found.slot, found.placement, found.ranks:
                digest.update(np.asarray(ints, dtype="<i4").tobytes())
            for reals in found.gpu_load, found.imbalance, found.bound:
                digest.update(np.asarray(reals, dtype="<f8").tobytes())
            yield f"{slots} slots on {gpus} {name}, {'any swaps' if swaps is None else 'none'}", digest.hexdigest()[:16]


def check_or_write(name, found):
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("EPLB_WRITE_HASHES"):
        known[name] = found
        FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    assert found == known.get(name)


@pytest.mark.parametrize("path", traces() or [None], ids=lambda path: path.name if path else "no_traces")
def test_answers_are_what_they_were(path):
    eplb = pytest.importorskip("eplb")
    if path is None:
        pytest.skip("no measured loads: ../shared/data is not there")
    with eplb.Context(num_threads=os.cpu_count() or 1) as context:
        counts = counts_of(path)
        found = dict(answers(context, counts)) | dict(rebalances(context, counts)) | dict(by_windows(context, counts))
        found |= dict(by_wishes(context, counts)) | dict(for_splits(context, counts)) | dict(figures(context, counts))
    check_or_write(path.name, found)


def test_answers_for_phases_are_what_they_were():
    eplb = pytest.importorskip("eplb")
    paths = [DATA / f"deepseek-v3_{phase}_L58xE256.csv" for phase in PHASES]
    if not all(path.exists() for path in paths):
        pytest.skip("no measured loads: ../shared/data is not there")
    with eplb.Context(num_threads=os.cpu_count() or 1) as context:
        found = dict(by_windows(context, np.concatenate([counts_of(path) for path in paths])))
    check_or_write(OF_PHASES, found)


@pytest.mark.parametrize(("name", "hashes"), [(OF_SPLITS, splits), (OF_DISPATCH, dispatches)])
def test_ways_of_tokens_are_what_they_were(name, hashes):
    eplb = pytest.importorskip("eplb")
    paths = [DATA / f"deepseek-v3_prefill-{inputs}_L58xE256.csv" for inputs in ("in512", "in2048")]
    if not all(path.exists() for path in paths):
        pytest.skip("no measured loads: ../shared/data is not there")
    with eplb.Context(num_threads=os.cpu_count() or 1) as context:
        found = dict(hashes(context, *(counts_of(path)[0] for path in paths)))
    check_or_write(name, found)
