"""A replay against a plain loop over the same windows, and its file, which can be resumed."""

import base64
import json
from unittest.mock import Mock

import eplb
import numpy as np
import pytest
from conftest import TRACES
from eplb._replay_log import apply_change
from eplb.sample import sample_weights
from rebalances import arrivals, imbalance

LAYERS, EXPERTS, SLOTS, GPUS = 3, 16, 24, 4
SIZES = {"num_slots": SLOTS, "num_gpus": GPUS}
RULES = ["never", "fresh,every=2,memory=2", "rebalance,memory=1,max_moves=2,effort=fast", "pays,memory=3,effort=fast"]
PRICES = {"move_ms": 1, "layer_ms": 50}


def series(count=12):
    """Topics come and go; in window 7 nothing has load, in window 9 one layer has none."""
    windows = np.stack([sample_weights(LAYERS, EXPERTS, 1 + number // 3) + number for number in range(count)])
    windows[7:8] = 0
    windows[9:10, 1] = 0
    return windows


def plain_loop(windows, rule, warm_up):
    """Imbalance [T,L] and moves [T] of a rule, by calls of Context alone, and sums of this test."""
    name, *_ = rule.split(",")
    found, moves = [], []
    with eplb.Context() as context:
        current = context.solve(windows[:warm_up], SLOTS, num_gpus=GPUS, objective="windows").physical_to_logical
        for number in range(warm_up, len(windows)):
            found.append(imbalance(windows[number], current, GPUS))
            with_load = [each for each in windows[: number + 1] if each.any()]
            plan = None
            if number + 1 < len(windows):
                if name == "fresh" and (number + 1) % 2 == 0:
                    plan = context.solve(np.stack(with_load[-2:]), SLOTS, num_gpus=GPUS, objective="windows")
                elif name == "rebalance":
                    options = {"objective": "windows", "max_moves": 2, "effort": "fast"}
                    plan = context.rebalance(with_load[-1], current, num_gpus=GPUS, **options)
            new = current if plan is None else plan.physical_to_logical
            moves.append(int(arrivals(current, new, GPUS).sum()))
            current = new
    has_load = windows[warm_up:].any(axis=2)
    return np.where(has_load, found, np.nan), np.array(moves)


def with_shares(window, placement, share, gpus=GPUS):
    """[L], of sums that are worked out here."""
    tokens = np.take_along_axis(window, placement, axis=1) * (share / 65536)
    loads = tokens.reshape(len(window), gpus, -1).sum(axis=2)
    return loads.max(axis=1) / np.maximum(loads.mean(axis=1), 1e-300)


@pytest.mark.parametrize("rule", RULES[:3])
def test_tokens_split(rule, tmp_path):
    """By the window itself, by the last one and by a fading sum, over the placement that the rule has then."""
    windows, file = series(), tmp_path / "run.jsonl"
    plain = eplb.replay(windows, [rule], **SIZES, warm_up=3)
    found = eplb.replay(windows, [rule], **SIZES, warm_up=3, splits=True, output=file)
    assert all(
        getattr(found.outcomes[0], name) == value
        for name, value in vars(plain.outcomes[0]).items()
        if not name.startswith("split")
    )
    assert plain.outcomes[0].split_in_step is plain.outcomes[0].split_last_window is None
    rows = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    with eplb.Context() as context:
        placement = context.solve(windows[:3], SLOTS, num_gpus=GPUS, objective="windows").physical_to_logical
    sums = {"split_in_step": [], "split_last_window": [], "split_decayed": []}
    for number, row in enumerate(rows, start=3):
        window, loaded = windows[number], windows[number].any(axis=1)
        faded = sum(windows[each] * (15 / 16) ** (number - 1 - each) for each in range(number))
        expected = {
            "split_in_step": eplb.split_tokens(window, placement, GPUS).imbalance,
            "split_last_window": with_shares(
                window, placement, eplb.split_tokens(windows[number - 1], placement, GPUS).share
            ),
            "split_decayed": with_shares(window, placement, eplb.split_tokens(faded, placement, GPUS).share),
        }
        for name, figures in expected.items():
            assert [each is None for each in row[name]] == (~loaded).tolist()
            np.testing.assert_allclose(np.array(row[name], float)[loaded], figures[loaded], rtol=1e-9)
            sums[name] += figures[loaded].tolist()
        assert (np.array(row["split_in_step"], float)[loaded] <= np.array(row["imbalance"], float)[loaded] + 1e-9).all()
        if "change" in row:
            placement = apply_change(placement, row["change"])
    for name, figures in sums.items():
        assert getattr(found.outcomes[0], name) == pytest.approx(np.mean(figures), rel=1e-9)
    heading, cells = found.table()
    assert heading[4:7] == ("split in step", "by last window", "by decayed")
    assert cells[4:7] == tuple(f"{getattr(found.best, name):.4f}" for name in sums)
    assert found.sentences()[-1].startswith(f"With tokens split, {found.best.imbalance_mean:.4f} becomes ")
    assert found.to_dict()["rules"][0]["split_decayed"] == found.best.split_decayed


def test_a_replay_with_tokens_split_goes_on(tmp_path):
    file = tmp_path / "run.jsonl"
    whole = eplb.replay(series(), RULES[:2], **SIZES, splits=True, output=file)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:9]))
    assert eplb.replay(series(), RULES[:2], **SIZES, splits=True, output=file).to_dict() == whole.to_dict()
    assert file.read_text().splitlines(keepends=True) == lines
    with pytest.raises(eplb.FileError, match="with splits "):
        eplb.replay(series(), RULES[:2], **SIZES, output=file)
    eplb.replay(series(), RULES[:2], **SIZES, output=tmp_path / "even.jsonl")
    with pytest.raises(eplb.FileError, match="with splits "):
        eplb.replay(series(), RULES[:2], **SIZES, splits=True, output=tmp_path / "even.jsonl")


def test_tokens_split_on_a_cluster():
    """A slow GPU, and one without slots."""
    cluster = eplb.Cluster(slots=[6, 6, 0, 6], speed=[1, 1, 1, 0.5])
    found = eplb.replay(series(), ["never"], num_slots=SLOTS, cluster=cluster, splits=True).best
    assert 1 <= found.split_in_step < found.imbalance_mean
    assert found.split_in_step <= min(found.split_last_window, found.split_decayed)


@pytest.mark.parametrize("rule", RULES[:3])
def test_against_a_plain_loop(rule):
    windows = series()
    found = eplb.replay(windows, [rule], **SIZES, warm_up=3)
    layers, moves = plain_loop(windows, rule, 3)
    outcome, known = found.outcomes[0], layers[~np.isnan(layers)]
    assert found.windows.tolist() == list(range(3, 12))
    assert np.array_equal(found.moves[rule], moves)
    assert (outcome.moves, outcome.changes) == (moves.sum(), (moves > 0).sum())
    assert outcome.moves_per_layer == moves.sum() / layers.size
    assert outcome.layers_without_load == np.isnan(layers).sum() == LAYERS + 1
    np.testing.assert_allclose(outcome.imbalance_mean, known.mean(), rtol=1e-12)
    np.testing.assert_allclose(outcome.imbalance_p95, np.percentile(known, 95), rtol=1e-12)
    np.testing.assert_allclose(outcome.imbalance_worst, known.max(), rtol=1e-12)
    worst = layers[outcome.worst_window - 3, outcome.worst_layer]
    np.testing.assert_allclose(worst, known.max(), rtol=1e-12)
    by_window = [row[~np.isnan(row)].mean() if (~np.isnan(row)).any() else np.nan for row in layers]
    np.testing.assert_allclose(found.imbalance[rule], by_window, rtol=1e-12)


def test_a_replay_drives_a_rebalancer():
    """The rule that pays, driven by hand."""
    windows, rule = series(), "pays,memory=3,move_ms=1,layer_ms=50"
    found = eplb.replay(windows, [rule], **SIZES, warm_up=3, num_threads=2)
    with eplb.Context() as context:
        start = context.solve(windows[:3], SLOTS, num_gpus=GPUS, objective="windows")
    rebalancer, moves, predicted = eplb.Rebalancer(rule, start), [], []
    for number, window in enumerate(windows):
        if number >= 3:
            predicted += rebalancer.expected()[window.any(axis=1)].tolist()
        rebalancer.observe(window)
        plan = rebalancer.propose() if 3 <= number < 11 else None
        moves.append(0 if plan is None else plan.report.moves)
        if plan is not None:
            rebalancer.commit(plan)
    assert found.moves[rule].tolist() == moves[3:]
    assert sum(moves) > 0
    np.testing.assert_allclose(found.outcomes[0].predicted_mean, np.mean(predicted), rtol=1e-12)


def test_all_rules_see_the_same():
    """Alone or with others, and twice: a rule has the same figures; and the same start, judged in the same windows."""
    windows = series()
    together = eplb.replay(windows, RULES, **SIZES, **PRICES, warm_up=3)
    again = eplb.replay(windows.tolist(), RULES, **SIZES, **PRICES, warm_up=3)
    assert together.to_dict() == again.to_dict()
    for rule, outcome in zip(RULES, together.outcomes, strict=True):
        assert eplb.replay(windows, [rule], **SIZES, **PRICES, warm_up=3).outcomes[0] == outcome
    assert len({together.imbalance[rule][0] for rule in RULES}) == 1


def test_prices():
    windows = series()
    dear = eplb.replay(windows, ["pays", "never"], **SIZES, move_ms=1000, layer_ms=1, warm_up=3)
    assert [outcome.moves for outcome in dear.outcomes] == [0, 0]
    assert dear.best.rule == "pays"
    found = eplb.replay(windows, RULES, **SIZES, expert_mib=8, bandwidth=4, layer_ms=100, warm_up=3)
    price = 8 * 2**20 / 4e9 * 1e3 / 100
    for outcome in found.outcomes:
        assert outcome.bytes == outcome.moves * 8 * 2**20
        np.testing.assert_allclose(outcome.cost, outcome.imbalance_mean + price * outcome.moves_per_layer)
    assert found.best.cost == min(outcome.cost for outcome in found.outcomes)
    assert found.verdict().startswith(f"Best: {found.best.rule}, cost {found.best.cost:.4f} with ")


@pytest.mark.parametrize("price", ["move_ms", "layer_ms"])
def test_one_price_alone_counts(price):
    cheap, dear = (0.01, 1e6) if price == "move_ms" else (1e6, 0.01)
    moves = [
        eplb.replay(series(), ["pays,memory=3,effort=fast"], **SIZES, **{price: value}).outcomes[0].moves
        for value in (cheap, dear)
    ]
    assert moves[0] > moves[1] == 0


def test_what_has_no_load_is_of_no_account():
    """Neither windows nor layers without load change a mean."""
    homes = {**SIZES, "num_nodes": 2, "num_groups": 4, "policy": "soft", "warm_up": 3}
    rules, windows = ["never", "rebalance,memory=3,effort=fast"], series()[:7]
    means = ("imbalance_mean", "predicted_mean", "off_home_mean")
    want = eplb.replay(windows, rules, **homes)
    later = eplb.replay(np.concatenate([windows, np.zeros_like(windows[:3])]), ["never"], **homes)
    assert want.outcomes[0].off_home_mean > 0
    assert [getattr(later.outcomes[0], name) for name in means] == [getattr(want.outcomes[0], name) for name in means]
    wide = eplb.replay(np.concatenate([windows, np.zeros_like(windows)], axis=1), rules, **homes)
    for one, other in zip(want.outcomes, wide.outcomes, strict=True):
        assert [getattr(other, name) for name in means] == [getattr(one, name) for name in means]
        for gain in ("gain_predicted", "gain_came"):
            assert getattr(other, gain) == pytest.approx(getattr(one, gain) / 2)
    assert want.outcomes[1].gain_came != 0


def test_stall_is_that_of_the_busiest_receivers():
    windows = series()
    found = eplb.replay(windows, ["fresh,memory=1"], **SIZES, expert_mib=1000, bandwidth=1.048576, warm_up=3)
    received, current = 0, None
    with eplb.Context() as context:
        current = context.solve(windows[:3], SLOTS, num_gpus=GPUS, objective="windows").physical_to_logical
        for number in range(3, 11):
            memory = windows[number] if windows[number].any() else windows[number - 1]
            new = context.solve(memory, SLOTS, num_gpus=GPUS, objective="windows").physical_to_logical
            received += arrivals(current, new, GPUS).max(axis=1).sum()
            current = new
    assert found.outcomes[0].stall_ms == pytest.approx(received * 1000)


def test_without_prices_moves_decide_between_equals():
    found = eplb.replay(series(), ["rebalance,memory=1", "rebalance,memory=1,effort=fast", "never"], **SIZES, warm_up=3)
    lowest = min(outcome.imbalance_mean for outcome in found.outcomes)
    as_good = [outcome for outcome in found.outcomes if outcome.imbalance_mean <= lowest * 1.01]
    assert found.best.moves == min(outcome.moves for outcome in as_good)
    assert found.best in as_good


def test_what_was_predicted_and_what_came():
    """If the next windows are like the last, all of the gain comes."""
    windows = np.stack([sample_weights(LAYERS, EXPERTS, 1)] * 4 + [sample_weights(LAYERS, EXPERTS, 2)] * 6)
    found = eplb.replay(windows, ["rebalance,memory=1,objective=sum"], **SIZES, warm_up=2)
    outcome = found.outcomes[0]
    assert outcome.changes == 1
    assert outcome.gain_predicted > 0.01
    assert outcome.gain_came == pytest.approx(outcome.gain_predicted)


def test_homes():
    windows, sizes = series(), {**SIZES, "num_nodes": 2, "num_groups": 4}
    found = eplb.replay(windows, ["never", "rebalance,policy=global"], **sizes, policy="hierarchical", warm_up=3)
    whole, without = found.outcomes
    assert whole.off_home_mean == 0 < without.off_home_mean
    soft = eplb.replay(windows, ["rebalance"], **sizes, policy="soft", off_home_target=1.5, warm_up=3).outcomes[0]
    assert 0 <= soft.off_home_mean < without.off_home_mean


def test_from_a_placement_and_a_cluster(context):
    windows, cluster = series(), eplb.Cluster(slots=[7, 7, 7, 3], speed=[1, 1, 1, 0.5])
    start = context.solve(windows[0], 28, cluster=cluster)
    found = eplb.replay(windows, ["never", "rebalance"], current=start, cluster=cluster, warm_up=1)
    evaluated = context.evaluate(start, windows[1], cluster=cluster)
    assert found.imbalance["never"][0] == evaluated.imbalance.mean()
    assert found.outcomes[1].moves > 0


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """At the end of any line and inside any: the same file and figures, and no window is played twice."""
    windows, path = series(), tmp_path / "run.jsonl"
    options = {**SIZES, **PRICES, "warm_up": 3}
    whole = eplb.replay(windows, RULES, **options, output=path)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(lines) == 1 + len(RULES) * 9
    ends = np.cumsum([len(line) for line in lines])
    cuts = [
        0,
        5,
        ends[0] - 1,
        ends[0],
        ends[0] + 1,
        ends[3] + 7,
        ends[17],
        ends[17] + 100,
        len(content) - 1,
        len(content),
    ]
    for cut in cuts:
        path.write_bytes(content[:cut])
        progress = Mock()
        found = eplb.replay(windows, RULES, **options, output=path, progress=progress)
        assert path.read_bytes() == content
        assert found.to_dict() == whole.to_dict()
        if cut < len(content):
            progress.assert_called_with(len(lines) - 1, len(lines) - 1)
    monkeypatch.setattr(eplb.Rebalancer, "propose", None)
    assert eplb.replay(windows, RULES, **options, output=path).to_dict() == whole.to_dict()


def test_each_line_is_complete(tmp_path):
    path = tmp_path / "run.jsonl"
    found = eplb.replay(series(), RULES, **SIZES, **PRICES, warm_up=3, output=path)
    header, *rows = rows_of(path)
    assert header["rules"]["pays,memory=3,effort=fast"] == "pays,memory=3,move_ms=1,layer_ms=50,effort=fast"
    assert [(row["window"], row["rule"]) for row in rows] == [(at, rule) for at in range(3, 12) for rule in RULES]
    for outcome in found.outcomes:
        own = [row for row in rows if row["rule"] == outcome.rule]
        assert sum(row["moves"] for row in own) == outcome.moves
        assert sum(row["imbalance"].count(None) for row in own) == outcome.layers_without_load


def test_files_of_other_replays_are_refused(tmp_path):
    windows, path = series(), tmp_path / "run.jsonl"
    options = {**SIZES, "warm_up": 3, "output": path}
    eplb.replay(windows, RULES, **options)
    content = path.read_bytes()
    for change, text in (
        ({"rules": RULES[:2]}, "written with rules "),
        ({"windows": windows + 1}, "written with loads "),
        ({"warm_up": 4}, "written with warm_up 3, which is now 4"),
        ({"num_slots": 28}, "written with start "),
        ({"num_gpus": 2}, "written with cluster "),
        ({"layer_ms": 5, "move_ms": 2}, "written with rules "),
    ):
        arguments = {"windows": windows, "rules": RULES, **options, **change}
        with pytest.raises(eplb.FileError, match=rf"^\S*run\.jsonl: was {text}.*: give the output another name$"):
            eplb.replay(arguments.pop("windows"), arguments.pop("rules"), **arguments)
    # Bytes and stalls are worked out from the rows.
    assert eplb.replay(windows, RULES, **options, move_ms=1, expert_mib=3, bandwidth=1).outcomes[1].stall_ms > 0
    lines = content.splitlines(keepends=True)
    broken = json.loads(lines[2])
    broken["change"] = base64.b64encode(b"no change").decode()
    for bad, text in (
        (b"1,2,3\n", "is not what a replay has written"),
        (lines[0] + b"{broken\n", "line 2 is no JSON object"),
        (lines[0] + lines[2] + lines[1] + lines[6] + lines[1], "line 5 is not the next window"),
        (lines[0] + lines[1].replace(b'"moves"', b'"steps"'), "line 2 is not the next window"),
        (lines[0] + lines[1] + json.dumps(broken).encode() + b"\n", "cannot be resumed"),
    ):
        path.write_bytes(bad)
        with pytest.raises(eplb.FileError, match=rf"run\.jsonl: .*{text}"):
            eplb.replay(windows, RULES, **options)
        assert path.read_bytes() == bad


def test_wrong_input():
    windows = series()
    bad = windows.astype(float)
    bad[5, 1, 2] = np.nan
    for arguments, options, error, text in (
        ((windows[:1],), SIZES, eplb.InvalidArgument, r"^windows is \[1, 3, 16\], must be .* 2 windows or more$"),
        ((windows[0],), SIZES, eplb.InvalidArgument, r"^windows is \[3, 16\]"),
        ((bad, ["rebalance"]), SIZES, eplb.InvalidWeight, "window 5, layer 1, expert 2"),
        ((windows, []), SIZES, eplb.InvalidArgument, "^rules is empty"),
        ((windows, ["never", "never"]), SIZES, eplb.InvalidArgument, "^the rule 'never' is given twice$"),
        ((windows, ["often"]), SIZES, eplb.InvalidArgument, "^rule is 'often'"),
        ((windows,), {"num_gpus": 4}, eplb.InvalidArgument, "^num_slots is missing: give it, or current$"),
        ((windows,), {"num_slots": 24}, eplb.InvalidArgument, "^num_gpus is missing"),
        ((windows,), {**SIZES, "warm_up": 12}, eplb.InvalidArgument, "^warm_up is 12, must be 1 to 11$"),
        ((windows,), {**SIZES, "bandwidth": 0}, eplb.InvalidArgument, "^bandwidth is 0, must be a number above 0$"),
        ((windows,), {**SIZES, "num_gpus": 5}, eplb.InvalidArgument, "num_slots is 24"),
        ((windows,), {**SIZES, "current": np.zeros((3, 28), int)}, eplb.InvalidArgument, "current has 28 slots"),
    ):
        with pytest.raises(error, match=text):
            eplb.replay(*arguments, **options)


@pytest.mark.skipif(not TRACES.exists(), reason="no measured traces")
def test_on_measured_loads():
    """Of gpt-oss by subject: acting when it pays beats never, and every window at any cost."""
    loads = eplb.read_loads(TRACES / "gpt-oss-20b_mmlu-test-subjects_T57xL24xE32.npz")
    rules = ["never", "fresh,memory=8,objective=sum", "pays,memory=8,effort=fast"]
    found = eplb.replay(loads, rules, num_slots=40, num_gpus=8, warm_up=8, **PRICES)
    never, fresh, pays = found.outcomes
    assert found.best is pays
    assert pays.cost < never.cost < fresh.cost
    assert pays.moves_per_layer < 1 < 20 < fresh.moves_per_layer
