"""Where every expert of a Mixture-of-Experts model goes, so that no GPU is late: Python over libeplb.

    physical_to_logical, logical_to_physical, replica_count = eplb.rebalance_experts(
        weight, num_replicas, num_groups, num_nodes, num_gpus)

    with eplb.Context() as context:
        plan = context.solve(weights, num_slots=288, num_gpus=32)
        print(plan.report)
        plan = context.rebalance(later_weights, plan, max_moves=16)

Words: L layers, E experts, S slots (places for one expert's parameters), G GPUs. A weight is the tokens routed to an
expert; its replicas share it evenly. A load is the sum over the replicas on a GPU. eplb.h says all of it.
"""

from ._backends import Backend, backends, bounds, efforts, library_version, policies, strategies
from ._budget import plan_budget
from ._budget_result import Budget
from ._cluster import Cluster
from ._compare import Comparison, compare
from ._context import Context
from ._device_split import DeviceSplit
from ._errors import (
    DeviceError,
    Error,
    FileError,
    InternalError,
    Interrupted,
    InvalidArgument,
    InvalidPlacement,
    InvalidState,
    InvalidWeight,
    OutOfMemory,
    Unavailable,
)
from ._evaluation import Evaluation
from ._files.load_merge import Loads
from ._files.loads import read_loads
from ._files.placement import Placement
from ._files.placements import read_placement, write_placement
from ._maps import loads_of, maps_of
from ._moves import Moves
from ._place import place
from ._plan import DevicePlan, Plan
from ._rebalance import rebalance_experts, synchronize
from ._rebalancer import Rebalancer
from ._replay import replay
from ._replay_figures import Outcome, Replay
from ._report import Report
from ._rule import Rule
from ._sends import ModelledSends, modelled_sends
from ._split import Split, split_tokens
from ._static_dispatch import StaticDispatch, static_dispatch
from ._sweep import sweep
from ._sweep_result import Sweep, SweepRow

# The package and the library are built and released as one.
__version__ = library_version()

__all__ = [
    "Backend",
    "Budget",
    "Cluster",
    "Comparison",
    "Context",
    "DeviceError",
    "DevicePlan",
    "DeviceSplit",
    "Error",
    "Evaluation",
    "FileError",
    "InternalError",
    "Interrupted",
    "InvalidArgument",
    "InvalidPlacement",
    "InvalidState",
    "InvalidWeight",
    "Loads",
    "ModelledSends",
    "Moves",
    "OutOfMemory",
    "Outcome",
    "Placement",
    "Plan",
    "Rebalancer",
    "Replay",
    "Report",
    "Rule",
    "Split",
    "StaticDispatch",
    "Sweep",
    "SweepRow",
    "Unavailable",
    "backends",
    "bounds",
    "compare",
    "efforts",
    "library_version",
    "loads_of",
    "maps_of",
    "modelled_sends",
    "place",
    "plan_budget",
    "policies",
    "read_loads",
    "read_placement",
    "rebalance_experts",
    "replay",
    "split_tokens",
    "static_dispatch",
    "strategies",
    "sweep",
    "synchronize",
    "write_placement",
]
