"""Pictures and files that plans make of themselves. How pictures look, a person must judge."""

import subprocess
import sys

import eplb
import numpy as np
import pytest
from conftest import PAIRS, ROOT, child_environment

matplotlib = pytest.importorskip("matplotlib")

OLMOE = ROOT / "examples" / "data" / "olmoe-1b-7b_allenai_L3xE64.csv"
SIZES = {"num_slots": 80, "num_gpus": 16}
# What no balancer would do.
IN_ORDER = np.tile(np.arange(80) % 64, (3, 1))


def texts(figure):
    """All that is written in a picture."""
    figure.canvas.draw()
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_title(), *(text.get_text() for text in axes.texts)]
    return "\n".join(found)


def heat_maps(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def test_a_plan_alone(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    figure = plan.draw()
    assert isinstance(figure, matplotlib.figure.Figure)
    (shown,) = heat_maps(figure)
    np.testing.assert_allclose(shown, plan.gpu_load / plan.gpu_load.mean(axis=1, keepdims=True))
    assert f"{plan.report.imbalance_mean:.3f}x the mean load" in texts(figure)
    assert "was" not in texts(figure)


def test_before_and_after(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    before, after = heat_maps(plan.draw(olmoe))
    assert (before.max(axis=1) > 1.2).all()
    figure = plan.draw(olmoe, before=IN_ORDER, title="of OLMoE")
    before, after = heat_maps(figure)
    other = context.evaluate(IN_ORDER, num_gpus=16)
    np.testing.assert_allclose(before.max(axis=1), other.imbalance)
    np.testing.assert_allclose(after.max(axis=1), plan.imbalance)
    assert f"was {other.imbalance_mean:.2f}x" in texts(figure)
    assert "of OLMoE" in texts(figure)
    # Another plan instead.
    greedy = context.solve(olmoe, **SIZES, strategy="greedy")
    before, _ = heat_maps(plan.draw(olmoe, before=greedy))
    np.testing.assert_allclose(before.max(axis=1), greedy.imbalance)


def test_windows_and_homes(context, olmoe):
    windows = np.stack([olmoe, olmoe[:, ::-1]])
    plan = context.solve(windows, **SIZES, num_nodes=4, num_groups=8, policy="soft")
    figure = plan.draw(windows, before=IN_ORDER)
    *_, before, after = heat_maps(figure)
    np.testing.assert_allclose(after, plan.window_imbalance.T)
    other = context.evaluate(IN_ORDER, policy="global")
    np.testing.assert_allclose(before, other.window_imbalance.T)
    assert "of the load away from home" in texts(figure)
    # The same weights in one window are the same loads.
    assert len(heat_maps(plan.draw(windows.sum(axis=0)))) == 2


def test_a_plan_with_a_current_placement(context, olmoe):
    first = context.solve(olmoe, **SIZES)
    weights = olmoe[:, ::-1].copy()
    stale = context.evaluate(first, weights)
    plan = context.rebalance(weights, first, max_moves=4)
    moves = f"{plan.report.moves} moves"
    figure = plan.draw(weights)
    before, after, sent = heat_maps(figure)
    np.testing.assert_allclose(before.max(axis=1), stale.imbalance)
    np.testing.assert_allclose(after.max(axis=1), plan.imbalance)
    table = plan.moves.table()
    assert sent.sum() == (table["kind"] == 1).sum()
    assert moves in texts(figure)
    (alone,) = heat_maps(plan.moves.draw(title="moves"))
    assert (alone == sent).all()
    assert moves in texts(plan.moves.draw())
    assert len(heat_maps(plan.draw(weights, before=first))) == 2


def test_gpus_that_differ(context, olmoe):
    first = context.solve(olmoe, num_slots=96, num_gpus=16)
    cluster = eplb.Cluster(slots=[6] * 15 + [0], speed=[1] * 8 + [2] * 8)
    plan = context.rebalance(olmoe, first, cluster=cluster)
    for figure in (plan.draw(), plan.draw(olmoe)):
        after = [each for each in heat_maps(figure) if each.shape == (3, 16)][-1]
        assert after.mask[:, 15].all()
        assert not after.mask[:, :15].any()
        np.testing.assert_allclose(after.max(axis=1), plan.imbalance)


def test_layers_without_load(context):
    plan = context.solve([[0] * 8, [1] * 8], num_slots=16, num_gpus=8)
    (shown,) = heat_maps(plan.draw())
    assert (shown == 1).all()


def test_files(context, tmp_path):
    plan = context.solve(PAIRS, num_slots=16, num_gpus=8)
    for path in (tmp_path / "plan.png", str(tmp_path / "plan.svg"), tmp_path / "plan.PDF"):
        plan.draw(path=path)
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "plan.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "plan.PDF").read_bytes().startswith(b"%PDF")
    with pytest.raises(eplb.FileError, match=r"plan.gif: a picture is written as png, svg, pdf"):
        plan.draw(path=tmp_path / "plan.gif")
    with pytest.raises(eplb.FileError, match="there is no folder"):
        plan.draw(path=tmp_path / "no" / "plan.png")
    with pytest.raises(eplb.InvalidArgument, match="path is 3, must be a path"):
        plan.draw(path=3)


def test_what_cannot_be_drawn(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    for weights in (olmoe[:2], olmoe * 2):
        with pytest.raises(eplb.InvalidArgument, match="weights are not those that the plan was solved for"):
            plan.draw(weights)
    with pytest.raises(eplb.InvalidArgument, match="give weights, too"):
        plan.draw(before=plan)
    with pytest.raises(eplb.InvalidArgument, match=r"before is \[2, 80\], must have 3 layers"):
        plan.draw(olmoe, before=np.zeros((2, 80), int))
    with pytest.raises(eplb.InvalidPlacement, match=r"before\[0, 0\] is 64, must be an expert, 0 to 63, or -1"):
        plan.draw(olmoe, before=np.full((3, 80), 64))


def test_nothing_of_matplotlib_changes():
    """No window, no backend, no figure that pyplot keeps; a notebook has a picture without pyplot."""
    program = f"""
import sys
import eplb, numpy as np
weights = np.loadtxt({str(OLMOE)!r}, delimiter=",")
with eplb.Context() as context:
    plan = context.solve(weights, num_slots=80, num_gpus=16)
assert "matplotlib" not in sys.modules
figure = plan.draw(weights)
assert "matplotlib.pyplot" not in sys.modules
assert figure._repr_png_().startswith(b"\\x89PNG")
import matplotlib
matplotlib.use("svg")
from matplotlib import pyplot
before = dict(matplotlib.rcParams)
plan.draw(weights, title="{chr(0x4E13)}")._repr_png_()
assert pyplot.get_fignums() == []
assert matplotlib.get_backend() == "svg"
assert dict(matplotlib.rcParams) == before
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_matplotlib(context, monkeypatch):
    plan = context.solve(PAIRS, num_slots=16, num_gpus=8)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in ("picture", "picture_of_moves", "_pictures"):
        monkeypatch.delitem(sys.modules, f"eplb.{module}", raising=False)
        monkeypatch.delattr(eplb, module, raising=False)
    with pytest.raises(eplb.Unavailable, match=r"a picture needs matplotlib.*pip install 'eplb\[picture\]'"):
        plan.draw()


def test_plans_save_themselves(context, olmoe, tmp_path):
    plan = context.solve(olmoe, **SIZES)
    plan.save(tmp_path / "plan.npz")
    plan.save(tmp_path / "plan.sglang.json", first_layer=3, num_hidden_layers=7)
    plan.save(tmp_path / "expert_map.json", "ascend")
    plan.save(tmp_path / "plan.yaml", layers=[1, 3, 5], layer_updates_per_iter=2)
    eplb.write_placement(tmp_path / "other.yaml", plan, layers=[1, 3, 5], layer_updates_per_iter=2)
    assert (tmp_path / "plan.yaml").read_bytes() == (tmp_path / "other.yaml").read_bytes()
    for name, layers in {"plan.npz": [0, 1, 2], "plan.sglang.json": range(7), "plan.yaml": [1, 3, 5]}.items():
        placement = eplb.read_placement(tmp_path / name)
        assert placement.layers.tolist() == list(layers)
    sglang = eplb.read_placement(tmp_path / "plan.sglang.json", layers=[3, 4, 5])
    for placement in (sglang, eplb.read_placement(tmp_path / "expert_map.json")):
        check = context.evaluate(placement, num_gpus=16)
        np.testing.assert_array_equal(check.imbalance, plan.imbalance)
    with pytest.raises(eplb.FileError, match=r"plan.txt: a plan is written as"):
        plan.save(tmp_path / "plan.txt")
