//! The GPUs of a problem, where they are not all equal.

use crate::problem::to_c;
use crate::{Error, Result};

/// GPUs with their slots, speeds and nodes, each by GPU: for [`Context::upload_cluster`](crate::Context::upload_cluster).
/// What is not set is equal for all.
///
/// ```
/// use eplb::Cluster;
///
/// // 32 GPUs of 9 slots; one is dead, the last ones are slower.
/// let mut slots = vec![9; 32];
/// slots[17] = 0;
/// let cluster = Cluster::new(32).slots(slots).speeds((0..32).map(|gpu| if gpu < 24 { 1.0 } else { 0.8 }));
/// # let _ = cluster;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    num_gpus: usize,
    slots: Option<Vec<i64>>,
    speeds: Option<Vec<f64>>,
    nodes: Option<Vec<i64>>,
}

impl Cluster {
    /// Equal GPUs, consecutive ones on a node.
    #[must_use]
    pub const fn new(num_gpus: usize) -> Self {
        Self { num_gpus, slots: None, speeds: None, nodes: None }
    }

    /// How many slots each GPU has: up to `num_slots / num_gpus` of the problem. Those that it lacks are closed, and -1 in
    /// all maps. A GPU without slots holds nothing: it is dead, or being drained.
    #[must_use]
    pub fn slots(self, slots: impl IntoIterator<Item = usize>) -> Self {
        Self { slots: Some(slots.into_iter().map(to_c).collect()), ..self }
    }

    /// How fast each GPU is: positive, and only ratios matter. The time of a GPU is its load over its speed, and
    /// imbalance is over times.
    #[must_use]
    pub fn speeds(self, speeds: impl IntoIterator<Item = f64>) -> Self {
        Self { speeds: Some(speeds.into_iter().collect()), ..self }
    }

    /// The node of each GPU, below `num_nodes` of the problem.
    #[must_use]
    pub fn nodes(self, nodes: impl IntoIterator<Item = usize>) -> Self {
        Self { nodes: Some(nodes.into_iter().map(to_c).collect()), ..self }
    }

    /// The node of each GPU, if it was said.
    pub(crate) fn gpu_nodes(&self) -> Option<Vec<usize>> {
        let nodes = self.nodes.as_ref()?;
        Some(nodes.iter().map(|&node| usize::try_from(node).unwrap_or(0)).collect())
    }

    /// Its arrays, if all have a value for each GPU.
    pub(crate) fn arrays(&self) -> Result<Arrays<'_>> {
        if self.num_gpus == 0 {
            return Err(Error::InvalidArgument("the cluster has 0 GPUs, must have at least 1".into()));
        }
        Ok(Arrays {
            num_gpus: to_c(self.num_gpus),
            slots: self.of_length("slots", self.slots.as_deref())?,
            speeds: self.of_length("speeds", self.speeds.as_deref())?,
            nodes: self.of_length("nodes", self.nodes.as_deref())?,
        })
    }

    fn of_length<'a, T>(&self, name: &str, values: Option<&'a [T]>) -> Result<Option<&'a [T]>> {
        match values.map(<[T]>::len) {
            Some(length) if length != self.num_gpus => Err(Error::InvalidArgument(format!(
                "{name} has {length} values, must have one for each of {} GPUs",
                self.num_gpus
            ))),
            _ => Ok(values),
        }
    }
}

/// What C reads: each `num_gpus` long.
pub(crate) struct Arrays<'a> {
    pub(crate) num_gpus: i64,
    pub(crate) slots: Option<&'a [i64]>,
    pub(crate) speeds: Option<&'a [f64]>,
    pub(crate) nodes: Option<&'a [i64]>,
}
