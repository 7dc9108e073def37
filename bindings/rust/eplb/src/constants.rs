//! The header's constants as enums that a later library can extend.

use std::fmt;
use std::str::FromStr;

use eplb_sys as sys;

use crate::Error;

/// An enum over values that come from the library, so it must be able to hold one that this crate does not know.
macro_rules! open_enum {
    (
        $(#[$doc:meta])*
        $name:ident, $argument:literal, {
            $($(#[$variant_doc:meta])* $variant:ident = $constant:ident $text:literal,)*
        }
    ) => {
        $(#[$doc])*
        ///
        /// Parsed from and displayed as the names that `eplb solve` takes, too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that only a later library knows; made by `from_raw`.
            Other(i32),
        }

        impl $name {
            /// All that this crate knows, in the order of their values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// From the header's constant.
            #[must_use]
            pub const fn from_raw(value: i32) -> Self {
                match value {
                    $(sys::$constant => Self::$variant,)*
                    _ => Self::Other(value),
                }
            }

            /// The header's constant.
            #[must_use]
            pub const fn as_raw(self) -> i32 {
                match self {
                    $(Self::$variant => sys::$constant,)*
                    Self::Other(value) => value,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.pad($text),)*
                    Self::Other(value) => value.fmt(formatter),
                }
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// By name, in upper or lower case.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidArgument`] with all names.
            fn from_str(name: &str) -> Result<Self, Error> {
                match name.to_ascii_lowercase().as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => {
                        let names = [$($text,)*].join(", ");
                        Err(Error::InvalidArgument(format!("{} is '{name}', must be one of {names}", $argument)))
                    }
                }
            }
        }
    };
}

open_enum! {
    /// How replicas are counted and placed.
    Strategy, "strategy", {
        /// The published EPLB program (deepseek-ai/EPLB) in its own float32, sorts made stable.
        Greedy = EPLB_STRATEGY_GREEDY "greedy",
        /// Longest first, then the best swaps of the heaviest GPU.
        LptSwap = EPLB_STRATEGY_LPT_SWAP "lpt_swap",
        /// Longest first, then the swaps that lessen the sum of squared loads most.
        L2Swap = EPLB_STRATEGY_L2_SWAP "l2_swap",
        /// 4 noisy orders, swaps between the heaviest and the lightest GPU.
        RandomRestarts = EPLB_STRATEGY_RANDOM_RESTARTS "random_restarts",
        /// 64 orders from no noise to much.
        NoiseSpectrum = EPLB_STRATEGY_NOISE_SPECTRUM "noise_spectrum",
        /// 128 starts: noisy, shuffled, folded.
        HybridInit = EPLB_STRATEGY_HYBRID_INIT "hybrid_init",
        /// Tabu search with changing replica counts: the default.
        Best = EPLB_STRATEGY_BEST "best",
    }
}

open_enum! {
    /// How much work [`Strategy::Best`] may do: a number of rounds, never a time. The other strategies ignore it.
    Effort, "effort", {
        /// The least.
        Fast = EPLB_EFFORT_FAST "fast",
        /// The default.
        Normal = EPLB_EFFORT_NORMAL "normal",
        /// The most: for placements that will serve for long.
        Max = EPLB_EFFORT_MAX "max",
    }
}

open_enum! {
    /// Whether the replicas of a group of experts must stay on one node.
    Policy, "policy", {
        /// Hierarchical if the groups are a multiple of the nodes, else global: the published rule, and the default.
        Auto = EPLB_POLICY_AUTO "auto",
        /// Whole groups on nodes, replicas stay on their group's node.
        Hierarchical = EPLB_POLICY_HIERARCHICAL "hierarchical",
        /// Any replica on any GPU; nodes and groups need not fit, but must be counts.
        Global = EPLB_POLICY_GLOBAL "global",
    }
}

open_enum! {
    /// Why the policy of a [`Report`](crate::Report) was used.
    PolicyReason, "policy reason", {
        /// The problem named it.
        Asked = EPLB_POLICY_REASON_ASKED "asked",
        /// Auto, and the groups are a multiple of the nodes.
        GroupsDivide = EPLB_POLICY_REASON_GROUPS_DIVIDE "groups_divide",
        /// Auto, and they are not.
        GroupsDoNot = EPLB_POLICY_REASON_GROUPS_DO_NOT "groups_do_not",
    }
}

open_enum! {
    /// Which lower bound on the largest load a gap is measured against. All are proven; none depends on the strategy.
    BoundKind, "bound", {
        /// The largest of mean load, largest replica of the best counts, and pigeonhole: the default.
        Simple = EPLB_BOUND_SIMPLE "simple",
        /// With two slots per GPU, how many replicas are too large for partners; slower, closer. Else simple.
        Threshold = EPLB_BOUND_THRESHOLD "threshold",
        /// Reported, not asked for: under a hierarchical policy the load of the heaviest node counts, too.
        Node = EPLB_BOUND_NODE "node",
    }
}

open_enum! {
    /// What can be fetched of a [`Placement`](crate::Placement). L layers, E experts, S slots, G GPUs.
    ///
    /// Int maps are fetched as `i32` or `i64`, the others as `f64`.
    Map, "map", {
        /// Int `[L,S]`: the expert in each slot; GPU g owns slots gS/G to (g+1)S/G - 1. -1 is reserved for empty slots.
        PhysicalToLogical = EPLB_MAP_PHYSICAL_TO_LOGICAL "physical_to_logical",
        /// Int `[L,E,X]`: the slots of each expert in replica order, the original first, then -1. X is the cap on
        /// replicas if one was given, else S - E + 1: never data dependent.
        LogicalToPhysical = EPLB_MAP_LOGICAL_TO_PHYSICAL "logical_to_physical",
        /// Int `[L,E]`: how many replicas each expert has.
        ReplicaCount = EPLB_MAP_REPLICA_COUNT "replica_count",
        /// Int `[L,S]`: the slots of expert 0 in replica order, then those of expert 1, ...: CSR with the counts.
        ReplicaSlots = EPLB_MAP_REPLICA_SLOTS "replica_slots",
        /// f64 `[L,G]`, in the weights' unit.
        GpuLoad = EPLB_MAP_GPU_LOAD "gpu_load",
        /// f64 `[L]`: largest over mean GPU load.
        Imbalance = EPLB_MAP_IMBALANCE "imbalance",
        /// f64 `[L]`: no placement has a largest GPU load below this, in the weights' unit.
        Bound = EPLB_MAP_BOUND "bound",
        /// Int `[L]`: slots whose expert already sits in a lower slot of the same GPU.
        Duplicates = EPLB_MAP_DUPLICATES "duplicates",
    }
}

open_enum! {
    /// What a device is.
    DeviceKind, "device", {
        /// The processor that runs the program.
        Cpu = EPLB_DEVICE_CPU "cpu",
        /// An NVIDIA GPU.
        Cuda = EPLB_DEVICE_CUDA "cuda",
    }
}
