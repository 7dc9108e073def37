//! What holds of every placement, whatever made it: recomputed here from the maps alone.
#![allow(dead_code, reason = "each test uses what it needs")]

use eplb::{Map, Plan, Policy, PolicyReason, Report, Strategy};

use crate::input::Input;

const TOLERANCE: f64 = 1e-12;

/// The first rule that is broken, in words.
pub type Checked = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($text)*));
        }
    };
}

pub fn close(left: f64, right: f64) -> bool {
    left == right || (left - right).abs() <= TOLERANCE * left.abs().max(right.abs())
}

/// The maps of a placement.
pub struct Maps {
    pub physical_to_logical: Vec<i64>,
    pub logical_to_physical: Vec<i64>,
    pub replica_count: Vec<i64>,
    pub replica_slots: Vec<i64>,
    pub gpu_load: Vec<f64>,
    pub imbalance: Vec<f64>,
    pub bound: Vec<f64>,
    pub duplicates: Vec<i64>,
    pub off_home: Vec<f64>,
    pub off_home_bound: Vec<f64>,
    pub report: Report,
}

impl Maps {
    pub fn of(plan: &Plan<'_>) -> eplb::Result<Self> {
        Ok(Self {
            physical_to_logical: plan.physical_to_logical()?,
            logical_to_physical: plan.logical_to_physical()?,
            replica_count: plan.replica_count()?,
            replica_slots: plan.replica_slots()?,
            gpu_load: plan.gpu_load()?,
            imbalance: plan.imbalance()?,
            bound: plan.bound()?,
            duplicates: plan.duplicates()?,
            off_home: plan.off_home()?,
            off_home_bound: plan.off_home_bound()?,
            report: plan.report()?,
        })
    }
}

/// One layer of the maps.
struct Layer<'a> {
    input: &'a Input,
    number: usize,
    placement: &'a [i64],
    slots_of: &'a [i64],
    count: &'a [i64],
    slots: &'a [i64],
    load: &'a [f64],
    policy: Policy,
}

fn row<T>(map: &[T], layers: usize, layer: usize) -> &[T] {
    let width = map.len() / layers;
    &map[layer * width..(layer + 1) * width]
}

fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Layer<'_> {
    /// Counts, slots and both directions all describe one placement.
    fn maps_agree(&self) -> Checked {
        let (layer, width) = (self.number, self.slots_of.len() / self.input.experts);
        let cap = if self.input.max_replicas > 0 { self.input.max_replicas } else { width };
        ensure!(width == cap, "logical_to_physical has {width} columns, not {cap}");
        let mut rest = self.slots;
        let mut seen = vec![false; self.placement.len()];
        for (expert, &count) in self.count.iter().enumerate() {
            ensure!((1..=cap).contains(&index(count)), "layer {layer}: expert {expert} has {count} replicas");
            ensure!(index(count) <= rest.len(), "layer {layer}: more replicas than slots");
            let (own, others) = rest.split_at(index(count));
            rest = others;
            let columns = &self.slots_of[expert * width..(expert + 1) * width];
            ensure!(columns[..own.len()] == *own, "layer {layer}: slots of expert {expert} differ between maps");
            ensure!(columns[own.len()..].iter().all(|&slot| slot == -1), "layer {layer}: no -1 after the last replica");
            for &slot in own {
                let holds = self.placement.get(index(slot)).copied().map(index);
                ensure!(holds == Some(expert), "layer {layer}: slot {slot} is not of expert {expert}");
                ensure!(!seen[index(slot)], "layer {layer}: slot {slot} is there twice");
                seen[index(slot)] = true;
            }
        }
        ensure!(rest.is_empty(), "layer {layer}: {} slots of no expert", rest.len());
        Ok(())
    }

    fn nodes(&self) -> usize {
        if self.policy == Policy::Hierarchical { self.input.num_nodes } else { 1 }
    }

    fn groups_stay_on_nodes(&self) -> Checked {
        let (nodes, groups) = (self.nodes(), self.input.groups());
        if nodes == 1 {
            return Ok(());
        }
        let mut node_of = vec![None; groups];
        for (slot, &expert) in self.placement.iter().enumerate() {
            let (node, group) = (slot / (self.placement.len() / nodes), index(expert) / (self.input.experts / groups));
            let home = *node_of[group].get_or_insert(node);
            ensure!(home == node, "layer {}: group {group} is on nodes {home} and {node}", self.number);
        }
        for node in 0..nodes {
            let share = node_of.iter().filter(|&&home| home == Some(node)).count();
            ensure!(share == groups / nodes, "layer {}: node {node} has {share} groups", self.number);
        }
        Ok(())
    }

    /// Largest and mean GPU load; checks the map of loads on the way.
    fn loads(&self) -> Result<(f64, f64), String> {
        let per_gpu = self.input.num_slots / self.input.num_gpus;
        let mut largest = 0.0_f64;
        for (gpu, slots) in self.placement.chunks(per_gpu).enumerate() {
            let share =
                |&expert: &i64| self.input.weight(self.number, index(expert)) / self.count[index(expert)] as f64;
            let load = slots.iter().map(share).sum();
            ensure!(close(load, self.load[gpu]), "layer {}: load of GPU {gpu} is {load}", self.number);
            largest = largest.max(load);
        }
        let total: f64 = (0..self.input.experts).map(|expert| self.input.weight(self.number, expert)).sum();
        Ok((largest, total / self.input.num_gpus as f64))
    }

    /// Slots whose expert sits in a lower slot of the same GPU; and how many of them a better packing would not have.
    fn duplicates(&self) -> (i64, i64, bool) {
        let per_gpu = self.input.num_slots / self.input.num_gpus;
        let gpus_of_node = index((self.input.num_gpus / self.nodes()) as i64) as i64;
        let (mut found, mut avoidable) = (0, false);
        for slots in self.placement.chunks(per_gpu) {
            for (place, expert) in slots.iter().enumerate() {
                if slots[..place].contains(expert) {
                    found += 1;
                    avoidable |=
                        self.input.experts / self.nodes() >= per_gpu && self.count[index(*expert)] <= gpus_of_node;
                }
            }
        }
        let unavoidable = self.count.iter().map(|count| (count - gpus_of_node).max(0)).sum();
        (found, unavoidable, avoidable)
    }
}

/// Of a row of equal GPUs: the off-home share, and its bound for the target, from their definition.
fn homes(input: &Input, layer: usize, row: &[i64]) -> (f64, f64) {
    let (nodes, groups, per_gpu) = (input.num_nodes, input.groups(), input.num_slots / input.num_gpus);
    let node_of = |gpu: usize| gpu * nodes / input.num_gpus;
    let total: f64 = (0..input.experts).map(|expert| input.weight(layer, expert)).sum();
    let mut served = vec![vec![0.0; nodes]; groups];
    for expert in 0..input.experts {
        let on: Vec<usize> = (0..row.len()).filter(|&slot| index(row[slot]) == expert).collect();
        for slot in &on {
            let share = input.weight(layer, expert) / on.len() as f64;
            served[expert * groups / input.experts][node_of(slot / per_gpu)] += share;
        }
    }
    if total == 0.0 {
        return (0.0, 0.0);
    }
    let (mut away, mut at_home) = (0.0, vec![0.0; nodes]);
    for group in served {
        // The lowest of those that serve most.
        let home = (0..nodes).rev().max_by(|&one, &other| group[one].total_cmp(&group[other])).unwrap_or(0);
        for (node, load) in group.iter().enumerate() {
            at_home[home] += load / total;
            away += if node == home { 0.0 } else { load / total };
        }
    }
    let target = input.off_home_target / input.num_gpus as f64;
    let gpus_of = |node| (0..input.num_gpus).filter(|&gpu| node_of(gpu) == node).count() as f64;
    (away, at_home.iter().enumerate().map(|(node, load)| (load - target * gpus_of(node)).max(0.0)).sum())
}

/// Whether shares of the load are equal, but for what rounding may add, which a bound gives up.
pub fn close_shares(left: f64, right: f64) -> bool {
    (left - right).abs() <= 2e-12
}

fn check_homes(input: &Input, maps: &Maps) -> Checked {
    let (report, layers) = (&maps.report, input.layers);
    for layer in 0..layers {
        let (share, bound) = homes(input, layer, row(&maps.physical_to_logical, layers, layer));
        ensure!(close_shares(share, maps.off_home[layer]), "layer {layer}: the off-home share is {share}");
        ensure!(close_shares(bound, maps.off_home_bound[layer]), "layer {layer}: the bound of that is {bound}");
    }
    let loaded = layers as u64 - report.num_empty_layers;
    let mean = |map: &[f64]| map.iter().sum::<f64>() / loaded.max(1) as f64;
    let worst = maps.off_home.iter().copied().fold(0.0, f64::max);
    ensure!(close_shares(mean(&maps.off_home), report.off_home_mean), "off_home_mean is wrong");
    ensure!(close_shares(mean(&maps.off_home_bound), report.off_home_bound_mean), "off_home_bound_mean is wrong");
    ensure!(worst == report.off_home_worst, "off_home_worst is wrong");
    ensure!(report.policy != Policy::Hierarchical || worst == 0.0, "groups are off their nodes");
    Ok(())
}

fn check_policy(input: &Input, report: &Report) -> Checked {
    let reason = match (input.policy, report.policy) {
        (Policy::Auto, Policy::Hierarchical) => PolicyReason::GroupsDivide,
        (Policy::Auto, _) => PolicyReason::GroupsDoNot,
        _ => PolicyReason::Asked,
    };
    ensure!(report.policy == input.policy_used(), "policy used is {}", report.policy);
    ensure!(report.policy_reason == reason, "its reason is {}", report.policy_reason);
    Ok(())
}

/// Checks the placement against its input, and the report against the placement.
pub fn check(input: &Input, strategy: Strategy, maps: &Maps) -> Checked {
    let report = &maps.report;
    let mut imbalance_sum = 0.0;
    let (mut duplicates, mut unavoidable, mut loaded) = (0, 0, 0);
    ensure!(maps.physical_to_logical.len() == input.layers * input.num_slots, "physical_to_logical has a wrong length");
    for number in 0..input.layers {
        let layer = Layer {
            input,
            number,
            placement: row(&maps.physical_to_logical, input.layers, number),
            slots_of: row(&maps.logical_to_physical, input.layers, number),
            count: row(&maps.replica_count, input.layers, number),
            slots: row(&maps.replica_slots, input.layers, number),
            load: row(&maps.gpu_load, input.layers, number),
            policy: report.policy,
        };
        layer.maps_agree()?;
        layer.groups_stay_on_nodes()?;
        let (largest, mean) = layer.loads()?;
        let imbalance = if mean > 0.0 { largest / mean } else { 1.0 };
        ensure!(close(imbalance, maps.imbalance[number]), "layer {number}: imbalance is {imbalance}");
        ensure!(maps.bound[number] <= largest, "layer {number}: the bound is above the largest load {largest}");
        ensure!(maps.bound[number] >= mean * (1.0 - 1e-11), "layer {number}: the bound is below the mean load {mean}");
        let (found, forced, avoidable) = layer.duplicates();
        ensure!(found == maps.duplicates[number], "layer {number}: {found} duplicates");
        ensure!(strategy != Strategy::Best || !avoidable, "layer {number}: a duplicate that could be avoided");
        if largest > 0.0 {
            imbalance_sum += maps.imbalance[number];
            loaded += 1;
        }
        duplicates += found;
        unavoidable += forced;
    }
    let worst = maps.imbalance.iter().copied().fold(0.0, f64::max);
    let worst_layer = maps.imbalance.iter().position(|&imbalance| imbalance == worst);
    let imbalance_mean = if loaded > 0 { imbalance_sum / loaded as f64 } else { 1.0 };
    ensure!(close(imbalance_mean, report.imbalance_mean), "imbalance_mean is wrong");
    ensure!((input.layers - loaded) as u64 == report.num_empty_layers, "num_empty_layers is wrong");
    ensure!(close(worst, report.imbalance_worst), "imbalance_worst is wrong");
    ensure!(worst_layer == Some(report.worst_layer), "worst_layer is wrong");
    ensure!(index(duplicates) as u64 == report.duplicates, "duplicates is wrong");
    ensure!(index(unavoidable) as u64 == report.duplicates_unavoidable, "duplicates_unavoidable is wrong");
    ensure!(report.strategy == Some(strategy), "the report has another strategy");
    check_homes(input, maps)?;
    check_policy(input, report)
}

/// Solves, checks everything, and that the library says the same of its own plan when it is anyone's placement.
pub fn solve_and_check(context: &mut eplb::Context, input: &Input, strategy: Strategy) -> Result<Maps, Failure> {
    let plan = context.solve(&input.problem(), &input.options(strategy)).map_err(Failure::Refused)?;
    let maps = Maps::of(&plan).map_err(Failure::Refused)?;
    check(input, strategy, &maps).map_err(Failure::Broken)?;
    let narrow: Vec<i32> = plan.fetch(Map::PhysicalToLogical).map_err(Failure::Refused)?;
    if narrow.iter().map(|&expert| i64::from(expert)).ne(maps.physical_to_logical.iter().copied()) {
        return Err(Failure::Broken("int32 and int64 differ".into()));
    }
    let capped = input.problem().max_replicas(input.max_replicas);
    let evaluation = plan.context().evaluate_layers(&capped, &maps.physical_to_logical).map_err(Failure::Refused)?;
    let layers_agree = evaluation.imbalance == maps.imbalance
        && evaluation.bound == maps.bound
        && evaluation.duplicates == maps.duplicates;
    // What only one of both can know: what solved it, how long it took, and what the context held then.
    let mut report = evaluation.report;
    report.strategy = maps.report.strategy;
    report.microseconds = maps.report.microseconds;
    report.context_bytes = maps.report.context_bytes;
    if !layers_agree || report != maps.report {
        return Err(Failure::Broken(
            "the library says something else of its own plan when it is anyone's placement".into(),
        ));
    }
    Ok(maps)
}

/// Why there is nothing to compare.
#[derive(Debug)]
pub enum Failure {
    /// The library refused.
    Refused(eplb::Error),
    /// It answered, but no placement.
    Broken(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => write!(formatter, "refused, {}: {error}", error.status_name()),
            Self::Broken(text) => formatter.write_str(text),
        }
    }
}
