"""The library's answer to a question of soft_layers.py."""

import eplb
import numpy as np


def cluster_of(question):
    slots, speeds, nodes = (question.cluster.get(name) for name in ("slots", "speeds", "nodes"))
    problem = question.problem
    return eplb.Cluster(problem.num_gpus, num_nodes=problem.num_nodes, slots=slots, speed=speeds, node=nodes)


def plan_of(context, question):
    rest = {
        "cluster": cluster_of(question),
        "num_groups": question.problem.num_groups,
        "policy": "soft",
        "objective": "windows" if question.apart else "sum",
        "off_home_target": question.off_home_target,
        "effort": question.effort,
        "prices": question.prices,
        "window_weights": question.importance,
        **question.options,
    }
    weights = np.array(question.weights, np.int64)
    if question.strategy == "best":
        return context.solve(weights, question.problem.num_slots, strategy="best", **rest)
    return context.rebalance(weights, np.array(question.current), **rest)


class Solved:
    def __init__(self, question):
        with eplb.Context() as context:
            plan = plan_of(context, question)
            self.placement = plan.physical_to_logical.tolist()
            self.replica_count, self.duplicates = plan.replica_count.tolist(), plan.duplicates.tolist()
            self.imbalance, self.off_home = plan.imbalance.tolist(), plan.off_home.tolist()
            self.bound = plan.off_home_bound.tolist()
