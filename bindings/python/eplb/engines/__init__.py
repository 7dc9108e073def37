"""libeplb as the planner of inference engines: a module for each, over the same decisions.

    EPLB_ENGINE="rebalance,max_moves=16" vllm serve ...

vLLM and SGLang find their plug-ins when this package is installed, which change nothing unless EPLB_ENGINE is set: a
strategy (best, rebalance, greedy) and its options. For vllm-ascend, ATOM and FastDeploy there is a line to patch. Each
module has a function plan with the engine's own call, which can be used without any of this; none imports its engine
before it is asked to register. docs/engines.md says what was run and what was not.
"""

from ._counters import Counters, counters
from ._options import Options, from_environment, parse

__all__ = ["Counters", "Options", "counters", "from_environment", "parse"]
