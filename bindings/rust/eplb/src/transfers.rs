//! How one placement becomes another, transfer by transfer.

use crate::Report;

/// Where a slot gets its contents from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferKind {
    /// A slot of the same GPU.
    WithinGpu,
    /// Another GPU of the same node.
    WithinNode,
    /// A GPU of another node.
    BetweenNodes,
    /// Storage: no slot of the current placement holds the expert.
    Reload,
}

/// How one slot of a layer gets its contents. Slots are those of the layer, not of the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transfer {
    /// The layer.
    pub layer: usize,
    /// What arrives.
    pub expert: usize,
    /// The GPU that receives.
    pub gpu: usize,
    /// The slot that is written.
    pub slot: usize,
    /// The GPU that sends; `None` for a reload.
    pub source_gpu: Option<usize>,
    /// The slot that is read; `None` for a reload.
    pub source_slot: Option<usize>,
    /// How far it is.
    pub kind: TransferKind,
    /// 0: any time; from 1 on, the round. See [`TransferOrder`](crate::TransferOrder).
    pub round: usize,
    /// With [`TransferOrder::InPlace`](crate::TransferOrder::InPlace) the cycle that it belongs to.
    pub group: Option<usize>,
}

/// How one placement becomes another: what [`Context::plan_transfers`](crate::Context::plan_transfers) answers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TransferPlan {
    /// Its figures of moves; it has no others.
    pub report: Report,
    /// By layer, round and slot.
    pub transfers: Vec<Transfer>,
}

/// Maps `[L,S]` of a way between two placements, and where their slots are.
pub(crate) struct MoveMaps {
    pub(crate) placement: Vec<i32>,
    pub(crate) source: Vec<i32>,
    pub(crate) round: Vec<i32>,
    pub(crate) group: Vec<i32>,
    pub(crate) slots: usize,
    /// The node of each GPU.
    pub(crate) nodes: Vec<usize>,
}

impl MoveMaps {
    /// By layer, round and slot.
    pub(crate) fn list(&self) -> Vec<Transfer> {
        let maps = self.placement.iter().zip(&self.source).zip(self.round.iter().zip(&self.group));
        let mut transfers: Vec<Transfer> = maps
            .enumerate()
            .filter_map(|(index, ((&expert, &source), (&round, &group)))| {
                self.transfer(index, expert, source, round, group)
            })
            .collect();
        transfers.sort_by_key(|each| (each.layer, each.round, each.slot));
        transfers
    }

    /// None where nothing happens, which has no round.
    fn transfer(&self, index: usize, expert: i32, source: i32, round: i32, group: i32) -> Option<Transfer> {
        let slots = self.slots.max(1);
        let (slot, source_slot) = (index % slots, usize::try_from(source).ok());
        let (gpu, source_gpu) = (self.gpu_of(slot), source_slot.map(|each| self.gpu_of(each)));
        let kind = match source_gpu {
            None => TransferKind::Reload,
            Some(from) if from == gpu => TransferKind::WithinGpu,
            Some(from) if self.nodes.get(from) == self.nodes.get(gpu) => TransferKind::WithinNode,
            Some(_) => TransferKind::BetweenNodes,
        };
        Some(Transfer {
            layer: index / slots,
            expert: usize::try_from(expert).ok()?,
            gpu,
            slot,
            source_gpu,
            source_slot,
            kind,
            round: usize::try_from(round).ok()?,
            group: usize::try_from(group).ok(),
        })
    }

    fn gpu_of(&self, slot: usize) -> usize {
        slot / (self.slots / self.nodes.len().max(1)).max(1)
    }
}
