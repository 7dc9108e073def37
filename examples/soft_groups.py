"""Compares three ways to treat groups of experts on several nodes: whole on a node, soft, and not at all.

    python examples/soft_groups.py LOADS.csv --slots 288 --gpus 32 --nodes 4 --groups 8 [--target 1.01] [--picks 8]

LOADS.csv holds the tokens of every expert, a row per layer. Each token picks experts from a few groups. Where these are
whole on nodes, it reaches fewer of them, but nodes with hot groups are late. Soft groups leave home as far as the
target asks for, and no further. Traffic is modelled from the counts of experts: see eplb.modelled_sends.
"""

import argparse

import eplb
import numpy as np

COLUMNS = ("imbalance", "worst", "away", "at least", "sends", "busiest")


def solve(context, weights, policy, asked):
    """A plan under a policy, and the traffic that it makes; or the reason why there is none."""
    sizes = {"num_nodes": asked.nodes, "num_groups": asked.groups}
    options = {"policy": policy, "off_home_target": asked.target, "effort": asked.effort}
    router = {"picks": asked.picks, "groups_per_token": asked.groups_per_token}
    try:
        plan = context.solve(weights, asked.slots, asked.gpus, **sizes, **options)
    except eplb.Error as error:
        # Only the hierarchical policy needs groups that divide.
        return str(error)
    return plan, eplb.modelled_sends(weights, plan, **sizes, **router)


def row(plan, traffic):
    """What COLUMNS says: means over layers, but for the worst one."""
    report = plan.report
    away = 100 * report.off_home_mean, 100 * report.off_home_bound_mean
    return report.imbalance_mean, report.imbalance_worst, *away, traffic.sends.mean(), traffic.busiest.mean()


def show(found):
    print(f"{'policy':12}  " + "  ".join(f"{name:>9}" for name in COLUMNS))
    for policy, answer in found.items():
        print(f"{policy:12}  " + (answer if isinstance(answer, str) else "  ".join(f"{x:9.3f}" for x in row(*answer))))
    print("away, at least: percent of the load; sends, busiest: copies of a token between nodes, and into one of them")
    missed = max((answer[1].error.max() for answer in found.values() if not isinstance(answer, str)), default=0)
    if missed > 1e-3:
        print(f"No router of this kind has such loads: the model misses how often an expert is picked by {missed:.1%}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loads")
    for name in ("slots", "gpus", "nodes", "groups"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--target", type=float, default=1.01, help="imbalance up to which soft groups leave home")
    parser.add_argument("--picks", type=int, default=8, help="experts of a token")
    parser.add_argument("--groups-per-token", type=int, default=4)
    parser.add_argument("--effort", default="normal", choices=eplb.efforts())
    asked = parser.parse_args()
    weights = np.loadtxt(asked.loads, delimiter=",", ndmin=2)
    with eplb.Context() as context:
        show({policy: solve(context, weights, policy, asked) for policy in ("hierarchical", "soft", "global")})


if __name__ == "__main__":
    main()
