"""The state machine that decides when a placement changes: what each call changes, and what the rules mean."""

import pickle

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invariants import check_plan
from rebalances import arrivals, imbalance

LAYERS, EXPERTS, SLOTS, GPUS = 3, 16, 24, 4
SIZES = {"num_slots": SLOTS, "num_gpus": GPUS}
RULES = [
    "never",
    "fresh,memory=1",
    "fresh,every=2,objective=sum,strategy=greedy",
    "rebalance,memory=2,max_moves=9,effort=fast",
    "rebalance,every=3,max_moves=2,effort=fast",
    "pays,memory=4,move_ms=1,layer_ms=50,effort=fast",
    "pays,memory=3,move_ms=1,layer_ms=20,objective=sum",
    "rebalance,policy=soft,effort=fast",
]


def window_of(seed):
    """Loads whose hot experts depend on the seed; some have no load in a layer, some none at all."""
    if seed % 10 == 9:
        return np.zeros((LAYERS, EXPERTS), np.int64)
    window = sample_weights(LAYERS, EXPERTS, seed).astype(np.float64 if seed % 2 else np.int64)
    if seed % 5 == 4:
        window[1] = 0
    return window


def started(rule, context=None, **more):
    with eplb.Context() as made:
        plan = made.solve(window_of(100), SLOTS, num_gpus=GPUS, **more)
    return eplb.Rebalancer(rule, plan, context=context, **more)


def state_of(rebalancer):
    return (
        rebalancer.physical_to_logical.tolist(),
        rebalancer.memory.tolist(),
        rebalancer.windows_seen,
        rebalancer.cluster,
        rebalancer.rule,
    )


def same_plan(one, other):
    if one is None or other is None:
        return one is other
    return one.fingerprint == other.fingerprint and np.array_equal(one.moves.source, other.moves.source)


DO = st.sampled_from(["propose", "commit", "reject", "save"])
LIVES = st.lists(st.one_of(st.integers(0, 30), DO), max_size=14)
HOMES = st.sampled_from([{}, {"num_nodes": 2, "num_groups": 4}])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rule=st.sampled_from(RULES), life=LIVES, homes=HOMES)
def test_only_observe_and_commit_change_anything(rule, life, homes, tmp_path, context):
    rebalancer, other = started(rule, context, **homes), None
    for step in life:
        before = state_of(rebalancer)
        if isinstance(step, int):
            rebalancer.observe(window_of(step))
            assert rebalancer.windows_seen == before[2] + 1
            assert rebalancer.physical_to_logical.tolist() == before[0]
        elif step == "save":
            rebalancer.save(tmp_path / "state.npz")
            other = eplb.Rebalancer.load(tmp_path / "state.npz")
            assert state_of(other) == before
        else:
            plan = rebalancer.propose()
            assert same_plan(plan, rebalancer.propose())
            assert state_of(rebalancer) == before
            if plan is not None:
                check_step(rebalancer, plan, homes)
            if plan is not None and step != "propose":
                getattr(rebalancer, step)(plan)
                now = plan.physical_to_logical.tolist() if step == "commit" else before[0]
                assert state_of(rebalancer) == (now, *before[1:])
        if other is not None and step != "save":
            repeat(other, step)
            assert state_of(other) == state_of(rebalancer)
            assert same_plan(other.propose(), rebalancer.propose())


def repeat(rebalancer, step):
    if isinstance(step, int):
        rebalancer.observe(window_of(step))
    elif (plan := rebalancer.propose()) is not None and step != "propose":
        getattr(rebalancer, step)(plan)


def check_step(rebalancer, plan, homes=None):
    """A plan from the placement, with the invariants of every plan, and within the limits of the rule."""
    windows, current, rule = rebalancer.memory, rebalancer.physical_to_logical, rebalancer.rule
    check_plan(windows, plan, {**SIZES, **(homes or {})})
    moves = arrivals(current, plan.physical_to_logical, GPUS)
    assert np.array_equal(plan.moves.count, moves.sum(axis=1))
    assert plan.report.moves == moves.sum()
    assert np.array_equal(plan.changed, (plan.physical_to_logical != current).any(axis=1))
    assert plan.report.layers_changed == plan.changed.sum() > 0
    without_load = ~(windows > 0).any(axis=(0, 2))
    if rule.name != "fresh":
        assert not plan.changed[without_load].any()


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_proposed_before_a_window(rule):
    rebalancer = started(rule)
    assert rebalancer.propose() is None
    rebalancer.observe(np.zeros((LAYERS, EXPERTS)))
    assert (rebalancer.propose(), rebalancer.windows_seen, len(rebalancer.memory)) == (None, 1, 0)


def test_every():
    rebalancer, answers = started("fresh,every=3"), []
    for seed in range(6):
        rebalancer.observe(window_of(seed))
        answers.append(rebalancer.propose() is not None)
    assert answers == [False, False, True, False, False, True]


def test_memory():
    rebalancer = started("rebalance,memory=2")
    for seed in range(4):
        rebalancer.observe(window_of(seed))
    assert np.array_equal(rebalancer.memory, np.stack([window_of(2), window_of(3)]))


def test_it_is_what_the_context_answers(context):
    """Of the rules that are one call of Context each."""
    windows = np.stack([window_of(1), window_of(2)])
    rules = {"fresh,memory=2": None, "rebalance,memory=2,max_moves=2": {"max_moves": 2}}
    for rule, limits in rules.items():
        rebalancer = started(rule)
        current = rebalancer.physical_to_logical
        for window in windows:
            rebalancer.observe(window)
        if limits is None:
            plan = context.solve(windows, SLOTS, num_gpus=GPUS, objective="windows", current=current)
        else:
            plan = context.rebalance(windows, current, num_gpus=GPUS, objective="windows", **limits)
        assert same_plan(rebalancer.propose(), plan)


@pytest.mark.parametrize("objective", ["sum", "windows"])
@pytest.mark.parametrize("layer_ms", [0.5, 20, 100, 1000])
def test_what_pays(objective, layer_ms):
    """Each layer that changes gains more than its moves cost, by sums of this test; none at a price of 2."""
    rebalancer = started(f"pays,memory=4,move_ms=1,layer_ms={layer_ms},objective={objective}")
    current = rebalancer.physical_to_logical
    changes = 0
    for seed in range(8):
        rebalancer.observe(window_of(seed))
        windows, plan = rebalancer.memory, rebalancer.propose()
        if plan is None:
            continue
        check_step(rebalancer, plan)
        horizon, moves = len(windows) / 4, plan.moves.count
        gain = expected(windows, current, objective) - expected(windows, plan.physical_to_logical, objective)
        changed = plan.changed
        assert (gain[changed] * horizon > moves[changed] / layer_ms).all()
        np.testing.assert_allclose(rebalancer.expected(), expected(windows, current, objective), rtol=1e-12)
        np.testing.assert_allclose(rebalancer.expected(plan), expected(windows, plan.physical_to_logical, objective))
        changes += 1
    assert changes == 0 if layer_ms < 1 else changes > 0


def expected(windows, placement, objective):
    """[L], the mean over windows with load, or that of the sum."""
    if objective == "sum":
        return imbalance(windows.sum(axis=0), placement, GPUS)
    found = np.array([imbalance(window, placement, GPUS) for window in windows])
    has_load = windows.any(axis=2)
    return np.where(has_load.any(axis=0), (found * has_load).sum(axis=0) / np.maximum(has_load.sum(axis=0), 1), 1)


def test_layers_that_do_not_pay_keep_every_slot(context):
    """Of three layers, two are balanced already."""
    window = window_of(2)
    current = started("never").physical_to_logical
    good = context.solve(window, SLOTS, num_gpus=GPUS).physical_to_logical
    mixed = np.where([[True], [False], [True]], good, current)
    rebalancer = eplb.Rebalancer("pays,move_ms=1,layer_ms=1000,memory=4", mixed, num_gpus=GPUS)
    rebalancer.observe(window)
    plan = rebalancer.propose()
    assert plan.changed.tolist() == [False, True, False]
    copy = pickle.loads(pickle.dumps(plan))
    assert same_plan(plan, copy)
    assert copy.report.moves == plan.report.moves == plan.moves.count.sum() > 0
    rebalancer.commit(copy)
    assert np.array_equal(rebalancer.physical_to_logical, plan.physical_to_logical)


@pytest.mark.parametrize("homes", [{}, {"num_nodes": 2, "num_groups": 4}], ids=["global", "groups on nodes"])
def test_layers_that_change_but_do_not_pay_are_put_back(monkeypatch, homes):
    """A rebalance changes more layers than pay; those are as they were, in all that a plan says."""
    kept_layers = []

    def spy(context, plan, kept, *others):
        kept_layers.append(kept)
        return keep_layers(context, plan, kept, *others)

    keep_layers = eplb._rebalancer.keep_layers
    monkeypatch.setattr(eplb._rebalancer, "keep_layers", spy)
    rebalancer = started("pays,memory=3,move_ms=1,layer_ms=10", **homes)
    for seed in (1, 2, 3, 5, 6, 7, 8, 11, 12, 13):
        rebalancer.observe(window_of(seed))
        before = len(kept_layers)
        plan = rebalancer.propose()
        if plan is None or len(kept_layers) == before:
            continue
        check_step(rebalancer, plan, homes)
        assert kept_layers[-1].any() and not plan.changed[kept_layers[-1]].any()
        assert same_plan(plan, pickle.loads(pickle.dumps(plan)))
    assert kept_layers


def test_a_price_of_nothing_is_as_good_as_the_target_can_be():
    """Moves that cost nothing bring each layer at least to what a rebalance to 1.02 reaches."""
    free, target = (started(rule) for rule in ("pays,move_ms=1e-9,layer_ms=1,memory=1", "rebalance,memory=1"))
    for each in (free, target):
        each.observe(window_of(2))
        each.commit(each.propose())
    assert (free.expected() <= np.maximum(target.expected(), 1.02) + 1e-5).all()


@pytest.mark.parametrize(
    "rule", ["rebalance,every=9,max_moves=0", "pays,every=9,move_ms=1e9,layer_ms=1", "fresh,every=9"]
)
def test_dead_gpus_are_repaired_at_once(rule, tmp_path):
    rebalancer = started(rule)
    rebalancer.observe(window_of(2))
    assert rebalancer.propose() is None
    current, cluster = rebalancer.physical_to_logical, eplb.Cluster(slots=[0, 6, 6, 6])
    current[:, :6] = -1
    rebalancer.set_current(current, cluster=cluster)
    rebalancer.save(tmp_path / "state.npz")
    plan = rebalancer.propose()
    lost = [sorted(set(range(EXPERTS)) - set(row.tolist())) for row in current]
    assert any(lost)
    for row, was, missing in zip(plan.physical_to_logical, current, lost, strict=True):
        assert (row[:6] == -1).all()
        assert set(row[6:].tolist()) - {-1} == set(range(EXPERTS))
        assert missing or rule.startswith("fresh") or np.array_equal(row, was)
    assert same_plan(eplb.Rebalancer.load(tmp_path / "state.npz").propose(), plan)
    rebalancer.commit(plan)
    assert rebalancer.propose() is None
    assert rebalancer.cluster == cluster


def test_never_is_never():
    rebalancer = started("never")
    rebalancer.observe(window_of(2))
    current = rebalancer.physical_to_logical
    current[:, :6] = -1
    rebalancer.set_current(current, cluster=eplb.Cluster(slots=[0, 6, 6, 6]))
    assert rebalancer.propose() is None


def test_groups_on_nodes():
    rebalancer = started("pays,memory=4,move_ms=1,layer_ms=1e6", num_nodes=2, num_groups=4)
    rebalancer.observe(window_of(2))
    plan = rebalancer.propose()
    assert plan.report.policy == "hierarchical"
    check_plan(rebalancer.memory, plan, {**SIZES, "num_nodes": 2, "num_groups": 4})


def test_windows_may_pass_while_a_plan_is_carried_out():
    rebalancer = started("rebalance,memory=1")
    rebalancer.observe(window_of(2))
    plan = rebalancer.propose()
    rebalancer.observe(window_of(3))
    rebalancer.commit(plan)
    assert np.array_equal(rebalancer.physical_to_logical, plan.physical_to_logical)


def test_only_what_was_proposed_last_is_committed(context):
    rebalancer = started("rebalance,memory=1")
    rebalancer.observe(window_of(2))
    foreign = context.solve(window_of(3), SLOTS, num_gpus=GPUS)
    with pytest.raises(eplb.InvalidState, match="^no plan is proposed: call propose first"):
        rebalancer.commit(foreign)
    plan = rebalancer.propose()
    before = state_of(rebalancer)
    for wrong in (foreign, plan.physical_to_logical, None):
        for call in (rebalancer.commit, rebalancer.reject):
            with pytest.raises(eplb.InvalidArgument, match="^plan is not the one that was proposed last"):
                call(wrong)
    rebalancer.reject(plan)
    with pytest.raises(eplb.InvalidState):
        rebalancer.commit(plan)
    assert state_of(rebalancer) == before
    rebalancer.commit(rebalancer.propose())
    with pytest.raises(eplb.InvalidState):
        rebalancer.reject(plan)


def test_wrong_windows():
    rebalancer = started("rebalance")
    rebalancer.observe(window_of(2))
    before = state_of(rebalancer)
    nan, negative = (np.where(np.arange(EXPERTS) == 3, bad, window_of(2)) for bad in (np.nan, -1))
    for window, error, text in (
        (nan, eplb.InvalidWeight, "layer 0, expert 3"),
        (negative, eplb.InvalidWeight, "layer 0, expert 3"),
        (window_of(2)[:2], eplb.InvalidArgument, r"^window is \[2, 16\], must be .* has 3 layers$"),
        (window_of(2)[:, :8], eplb.InvalidArgument, "^window has 8 experts, but those before have 16$"),
        (np.stack([window_of(2)] * 2), eplb.InvalidArgument, r"^window is \[2, 3, 16\], must be"),
        ("loads", eplb.InvalidArgument, "weights"),
    ):
        with pytest.raises(error, match=text):
            rebalancer.observe(window)
    assert state_of(rebalancer) == before
    with pytest.raises(eplb.InvalidPlacement, match="must be an expert"):
        started("rebalance").observe(window_of(2)[:, :8])


def test_wrong_beginnings(context):
    current = started("never").physical_to_logical
    for arguments, options, text in (
        (("pays", current), {"num_gpus": 4}, "move_ms is missing"),
        (("often", current), {"num_gpus": 4}, "'often' is no rule"),
        (("never", current), {}, "num_gpus is missing"),
        (("never", current), {"num_gpus": 5}, "as many slots on each of 5 GPUs"),
        (("never", current[0]), {"num_gpus": 4}, "current is int64 of 1 dimensions"),
        (("never", current), {"num_gpus": 4, "num_groups": -1}, "num_groups is -1"),
    ):
        with pytest.raises(eplb.InvalidArgument, match=text):
            eplb.Rebalancer(*arguments, **options)
    rebalancer = started("never")
    with pytest.raises(eplb.InvalidState, match="^no window was observed yet"):
        rebalancer.expected()
    rebalancer.observe(window_of(2))
    with pytest.raises(eplb.InvalidArgument, match="^current has 2 layers, but windows have 3$"):
        rebalancer.set_current(current[:2])


def test_files_that_are_no_state(tmp_path):
    path = tmp_path / "state.npz"
    for content in (b"", b"no state", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(eplb.FileError, match=r"^\S*state\.npz: "):
            eplb.Rebalancer.load(path)
    rebalancer = started("rebalance")
    rebalancer.observe(window_of(2))
    rebalancer.save(path)
    with np.load(path) as arrays:
        good = dict(arrays)
    for changes, text in (
        ({"eplb_rebalancer": 2}, "is a state of version 2"),
        ({"rule": "always"}, "'always' is no rule"),
        ({"num_windows": 2}, "has no window_1"),
        ({"window_0": good["window_0"][:, :4]}, "must be an expert"),
        ({"window_0": -good["window_0"]}, "negative"),
        ({"num_gpus": 7}, "as many slots on each of 7 GPUs"),
        ({"windows_seen": 0}, "windows_seen is 0, must be 1"),
    ):
        np.savez(path, **{**good, **changes})
        with pytest.raises(eplb.FileError, match=rf"^\S*state\.npz: .*{text}"):
            eplb.Rebalancer.load(path)
    with pytest.raises(eplb.FileError, match="no such file"):
        eplb.Rebalancer.load(tmp_path / "none.npz")
