"""Files of our own keep what a plan was made for, as far as they have a place for it."""

import eplb
import pytest
from invariants import check_plan


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_ours_keeps_the_problem_of_a_plan(tmp_path, context, olmoe, suffix):
    problem = {"num_nodes": 4, "num_groups": 8, "policy": "soft", "off_home_target": 1.02}
    plan = context.solve(olmoe, num_slots=80, num_gpus=16, **problem)
    check_plan(olmoe, plan, {"num_slots": 80, "num_gpus": 16, **problem})
    path = tmp_path / f"plan.{suffix}"
    plan.save(path)
    found = eplb.read_placement(path)
    assert found.problem == problem
    evaluated = context.evaluate(found, olmoe, num_gpus=found.num_gpus, **found.problem)
    assert evaluated.off_home_mean == plan.report.off_home_mean > 0
    slots, speed = [5] * 15 + [0], [1.0] * 15 + [2.0]
    cluster = eplb.Cluster(16, num_nodes=4, slots=slots, speed=speed)
    context.rebalance(olmoe, plan, cluster=cluster, num_groups=8, policy="soft").save(path)
    kept = eplb.read_placement(path).problem
    assert (kept["num_nodes"], kept["gpu_slots"], kept["gpu_speeds"]) == (4, slots, speed)
    context.solve(olmoe, num_slots=80, num_gpus=16, max_replicas=2).save(path)
    assert eplb.read_placement(path).problem["max_replicas"] == 2
    racks = eplb.Cluster(16, node=[0, 1] * 8)
    context.solve(olmoe, num_slots=80, cluster=racks, num_groups=8, policy="soft").save(path)
    assert "num_nodes" not in eplb.read_placement(path).problem


def test_a_device_plan_of_a_closed_context_has_no_problem(tmp_path, context, olmoe, monkeypatch):
    """Its report is not there any more; the placement is."""
    plan = context.solve(olmoe, num_slots=80, num_gpus=16, num_nodes=4)
    check_plan(olmoe, plan, {"num_slots": 80, "num_gpus": 16, "num_nodes": 4})

    def closed(self):
        raise eplb.InvalidState("the context of this plan is closed", 1, "EPLB_INVALID_STATE")

    monkeypatch.setattr(eplb.Plan, "report", property(closed))
    plan.save(tmp_path / "plan.json", first_layer=3)
    found = eplb.read_placement(tmp_path / "plan.json")
    assert (found.problem, found.num_gpus, found.layers.tolist()) == ({}, 16, [3, 4, 5])
