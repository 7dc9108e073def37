"""What holds of every map, whichever engine asks."""

import subprocess
import sys
from functools import partial

import engine_checks as rules
import eplb
import numpy as np
import pytest
from conftest import child_environment
from engine_checks import EXPERTS, FIRST, GPUS, LATER, LAYERS, LOADS, PLACES, SLOTS
from eplb.engines import counters, parse
from eplb.engines._current import lay_over
from eplb.engines._planner import Question, answer
from hypothesis import given, settings
from hypothesis import strategies as st
from rebalances import imbalance

pytestmark = pytest.mark.usefixtures("fresh_engine")
STRATEGIES = ("rebalance", "best", "greedy")
ask = partial(Question, "fake")


def plan(loads, current, options="rebalance", *, slots=SLOTS, groups=None, nodes=1, gpus=GPUS, alive=None):
    return answer(loads, ask(slots, groups, nodes, gpus, current, alive), parse(options))


@pytest.mark.parametrize("options", ["rebalance", "best"])
@pytest.mark.parametrize("current", [None, FIRST])
def test_a_map_for_engines(options, current):
    placement = plan(LOADS, current, options)
    rules.check_map(placement)
    assert imbalance(LOADS, placement, GPUS).max() < 1.05
    if current is not None:
        rules.check_slots_kept(current, placement)


def test_greedy_is_the_published_program_with_slots_kept():
    placement = plan(LOADS, FIRST, "greedy")
    published = eplb.rebalance_experts(LOADS, SLOTS, 1, 1, GPUS, strategy="greedy")[0]
    by_gpu = [np.sort(each.reshape(LAYERS, GPUS, PLACES), axis=2) for each in (placement, published)]
    assert np.array_equal(*by_gpu)
    kept, before = placement.reshape(-1, PLACES), FIRST.reshape(-1, PLACES)
    stays = [set(new) & set(old) for new, old in zip(kept.tolist(), before.tolist(), strict=True)]
    same = [set(new[new == old].tolist()) for new, old in zip(kept, before, strict=True)]
    assert same == stays


@pytest.mark.parametrize("most", [0, 1, 7])
def test_no_more_moves_than_asked(most):
    placement = plan(LATER, plan(LOADS, FIRST), f"rebalance,max_moves={most}")
    moved = rules.moves_of(plan(LOADS, FIRST), placement)
    assert moved.max() <= most
    assert (moved.sum() > 0) == (most > 0)


def test_no_more_moves_in_all_layers_and_to_a_gpu_than_asked():
    current = plan(LOADS, FIRST)
    assert rules.moves_of(current, plan(LATER, current, "rebalance,max_moves_total=9")).sum() <= 9
    few = plan(LATER, current, "rebalance,max_arrivals=1,target=0")
    by_gpu = few.reshape(LAYERS, GPUS, PLACES), current.reshape(LAYERS, GPUS, PLACES)
    assert (
        max(
            len(set(new) - set(old))
            for new, old in zip(*(each.reshape(-1, PLACES).tolist() for each in by_gpu), strict=True)
        )
        == 1
    )


def test_a_target_is_reached_with_fewer_moves():
    current = plan(LOADS, FIRST)
    tight, loose = (plan(LATER, current, f"rebalance,target={target}") for target in (1.01, 1.2))
    assert imbalance(LATER, loose, GPUS).max() <= 1.2 + 1e-6
    assert imbalance(LATER, tight, GPUS).max() <= 1.01 + 1e-6
    assert rules.moves_of(current, loose).sum() < rules.moves_of(current, tight).sum()


def test_best_moves_less_than_a_plan_from_nothing():
    current = plan(LOADS, FIRST, "best")
    laid_over, fresh = plan(LATER, current, "best"), plan(LATER, None, "best")
    assert rules.moves_of(current, laid_over).sum() < rules.moves_of(current, fresh).sum()
    by_gpu = [sorted(map(sorted, each.reshape(LAYERS, GPUS, PLACES)[1].tolist())) for each in (laid_over, fresh)]
    assert by_gpu[0] == by_gpu[1]


def test_of_the_same_plan_best_moves_nothing():
    current = plan(LOADS, None, "best")
    shuffled = current.reshape(LAYERS, GPUS, PLACES)[:, ::-1, ::-1].reshape(LAYERS, SLOTS)
    assert np.array_equal(plan(LOADS, shuffled, "best"), shuffled)


@pytest.mark.parametrize("nodes", [2, 4])
@pytest.mark.parametrize("options", STRATEGIES)
def test_groups_stay_on_nodes(nodes, options):
    for current in (None, FIRST):
        placement = plan(LOADS, current, options, groups=8, nodes=nodes)
        of_nodes = placement.reshape(LAYERS, nodes, -1) // (EXPERTS // 8)
        for layer in of_nodes:
            groups = [set(row.tolist()) for row in layer]
            assert sum(map(len, groups)) == 8
            assert len(set.union(*groups)) == 8


@pytest.mark.parametrize("options", STRATEGIES)
def test_layers_without_load_stay(options):
    loads = LOADS.copy()
    loads[[0, 2]] = 0
    for groups, nodes in ((None, 1), (8, 4)):
        placement = plan(loads, FIRST, options, groups=groups, nodes=nodes)
        assert np.array_equal(placement[[0, 2]], FIRST[[0, 2]])
        assert (placement[[1, 3]] != FIRST[[1, 3]]).any()
    assert np.array_equal(plan(loads * 0, FIRST, options), FIRST)


def test_layers_without_load_get_a_map_if_there_is_none():
    rules.check_map(plan(LOADS * 0, None))


@pytest.mark.parametrize("options", STRATEGIES)
def test_the_same_answer_twice_and_in_another_process(options):
    program = (
        "import sys; import numpy as np; from eplb.engines import parse\n"
        "from eplb.engines._planner import Question, answer\n"
        "from eplb.sample import sample_weights\n"
        "current = np.tile(np.arange(80) % 64, (4, 1))\n"
        "placement = answer(sample_weights(4, 64), Question('fake', 80, 8, 2, 16, current), parse(sys.argv[1]))\n"
        "from eplb.engines import counters; print(counters().fingerprint)"
    )
    command = [sys.executable, "-c", program, options]
    printed = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True).stdout
    assert np.array_equal(*(plan(LOADS, FIRST, options, groups=8, nodes=2) for _ in range(2)))
    assert printed.strip() == counters().fingerprint


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-1.0, "-1"), (np.inf, "inf")])
@pytest.mark.parametrize("options", STRATEGIES)
def test_bad_loads_keep_the_map_and_are_logged_each_time(lines, options, value, text):
    loads = LOADS.astype(float)
    loads[1, 5] = value
    for call in (1, 2):
        assert np.array_equal(plan(loads, FIRST, options), FIRST)
        assert counters().kept == call
        (line,) = lines("ERROR")[call - 1 :]
        assert line.startswith("eplb keeps the current map: ")
        assert "layer 1, expert 5" in line
    assert counters().plans == 0


def test_bad_loads_in_a_window_are_not_hidden_by_the_sum(lines):
    windows = np.stack([LOADS, LOADS]).astype(np.int64)
    windows[0, 2, 3] = -1
    assert np.array_equal(plan(windows, FIRST), FIRST)
    assert "layer 2, expert 3" in lines("ERROR")[0]


def test_limits_below_what_is_forced_keep_the_map(lines):
    assert np.array_equal(plan(LOADS, FIRST, "rebalance,max_moves=1", groups=8, nodes=4), FIRST)
    assert "too few for its forced moves" in lines("ERROR")[0]


@pytest.mark.parametrize("current", [None, FIRST[:, :-GPUS], np.where(FIRST == 3, 4, FIRST), FIRST[:2]])
def test_bad_loads_raise_without_a_map_that_can_be_kept(current):
    with pytest.raises(eplb.InvalidArgument if current is not None and len(current) == 2 else eplb.InvalidWeight):
        plan(LOADS * np.nan, current)


@pytest.mark.parametrize(
    "error", [MemoryError(), eplb.OutOfMemory("out of memory"), eplb.InternalError("a bug"), OSError()]
)
def test_what_one_rank_alone_can_meet_raises(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("eplb.engines._planner.place", fails)
    with pytest.raises(type(error)):
        plan(LOADS, FIRST)
    assert counters().kept == 0


@pytest.mark.parametrize("limit", ["", ",max_moves=3", ",max_moves_total=3", ",max_arrivals=1"])
def test_new_gpus_are_filled_whatever_the_limits(limit):
    current = np.pad(FIRST, ((0, 0), (0, 2 * PLACES)), constant_values=-1)
    placement = plan(LOADS, current, f"rebalance{limit}", slots=SLOTS + 2 * PLACES, gpus=GPUS + 2)
    rules.check_map(placement, gpus=GPUS + 2)
    rules.check_slots_kept(FIRST, placement[:, :SLOTS])
    assert np.array_equal(placement, plan(LOADS, FIRST, f"rebalance{limit}", slots=SLOTS + 2 * PLACES, gpus=GPUS + 2))


@pytest.mark.parametrize("options", ["rebalance", "rebalance,max_moves=2", "best"])
def test_experts_of_leaving_gpus_go_to_others(options):
    left = GPUS - 2
    placement = plan(LOADS, FIRST, options, slots=left * PLACES, gpus=left)
    rules.check_map(placement, gpus=left)
    rules.check_slots_kept(FIRST[:, : left * PLACES], placement, left)


@pytest.mark.parametrize("options", ["rebalance", "rebalance,max_moves=2", "best"])
def test_experts_of_dead_gpus_go_to_others(options):
    alive = np.ones(GPUS, bool)
    alive[[0, 9]] = False
    placement = plan(LOADS, FIRST, options, groups=8, nodes=4, alive=alive)
    rules.check_map(placement, is_open=alive)
    rules.check_slots_kept(np.where(np.repeat(alive, PLACES), FIRST, -1), placement)
    assert imbalance(LOADS, placement, GPUS, is_open=alive).max() < 1.2


@pytest.mark.parametrize("options", ["rebalance", "rebalance,max_moves=80"])
def test_doubles_that_a_map_has_go(options):
    current = FIRST.copy()
    current[:, 4] = current[:, 3]  # expert 4 has a copy left, in slot 68
    rules.check_map(plan(LOADS, current, options))


def test_doubles_stay_where_nothing_may_move():
    current = FIRST.copy()
    current[:, 4] = current[:, 3]
    assert np.array_equal(plan(LOADS, current, "rebalance,max_moves=0"), current)


def test_more_slots_than_experts_on_a_gpu():
    loads = LOADS[:, :4]
    for current in (None, np.tile(np.arange(12) % 4, (LAYERS, 1))):
        placement = plan(loads, current, slots=12, gpus=2)
        for row in placement.reshape(-1, 6):
            assert set(row.tolist()) == {0, 1, 2, 3}


def test_counters(lines):
    assert counters().plans == 0
    first = plan(LOADS, FIRST)
    after_one = counters()
    second = plan(LATER, first)
    found = counters()
    assert (after_one.plans, found.plans) == (1, 2)
    assert found.last_moves == rules.moves_of(first, second).sum()
    assert found.moves == found.last_moves + rules.moves_of(FIRST, first).sum()
    np.testing.assert_allclose(found.imbalance_before, imbalance(LATER, first, GPUS).mean())
    np.testing.assert_allclose(found.imbalance_after, imbalance(LATER, second, GPUS).mean())
    assert found.microseconds == after_one.microseconds + found.last_microseconds
    assert found.last_microseconds > 0
    assert found.strategy == "rebalance"
    (line,) = lines("INFO")
    assert line.startswith(f"eplb: first plan, 4 layers of 80 slots, fingerprint {after_one.fingerprint}, ")


def test_the_fingerprint_depends_on_the_map_only():
    plan(LOADS, None, "best")
    first = counters().fingerprint
    plan(LOADS * 2, None, "best")
    assert counters().fingerprint == first != ""
    plan(LATER, None, "best")
    assert counters().fingerprint != first


@st.composite
def questions(draw):
    nodes = draw(st.integers(1, 3))
    groups = nodes * draw(st.integers(1, 3))
    experts, gpus = groups * draw(st.integers(1, 5)), nodes * draw(st.integers(1, 3))
    places = -(-experts // gpus) + draw(st.integers(0, 2))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    loads = random.integers(0, draw(st.sampled_from([1, 2, 1000])), (2, experts))
    current = np.stack([random.permutation(np.arange(gpus * places) % experts) for _ in range(2)])
    return loads, current, {"slots": gpus * places, "groups": groups, "nodes": nodes, "gpus": gpus}


@settings(max_examples=100)
@given(question=questions(), strategy=st.sampled_from(["rebalance", "best"]), has_current=st.booleans())
def test_random_questions(question, strategy, has_current):
    loads, current, sizes = question
    placement = plan(loads, current if has_current else None, f"{strategy},effort=fast", **sizes)
    places, experts = sizes["slots"] // sizes["gpus"], loads.shape[1]
    for row, load, before in zip(placement, loads, current, strict=True):
        assert set(row.tolist()) == set(range(experts))
        if has_current and not load.any():
            assert np.array_equal(row, before)
            continue
        on_node = row.reshape(sizes["nodes"], -1)
        for gpu, slots in enumerate(row.reshape(-1, places).tolist()):
            there = len(set(on_node[gpu * sizes["nodes"] // sizes["gpus"]].tolist()))
            assert len(set(slots)) == min(places, there)


def test_a_fresh_placement_is_laid_over_the_current_one_by_overlap():
    current = np.array([[0, 1, 2, 3, 4, 5, 6, 7]])
    fresh = np.array([[7, 6, 3, 0, 2, 4, 5, 1]])
    laid = lay_over(fresh, current, 8, 4, 1)[0].reshape(4, 2)
    # GPU 3 has both of {7, 6}; of the others each has one, and the lowest GPU chooses first.
    assert laid.tolist() == [[0, 3], [2, 4], [1, 5], [6, 7]] or laid.tolist() == [[0, 3], [2, 4], [5, 1], [6, 7]]
