//! Which slot each source rank uses of an expert.
#![allow(clippy::cast_precision_loss)]

mod input;

use std::collections::BTreeSet;

use eplb::{
    Cluster, Context, Error, Map, Problem, Result, SolveOptions, SplitOptions, StaticDispatch, StaticDispatchOptions,
    WeightShape,
};
use input::{PROBLEM, SHAPE, WEIGHTS, context, uploaded};

const LAYERS: usize = 3;
const EXPERTS: usize = 64;
const SLOTS: usize = 80;
const GPUS: usize = 16;
const LARGE: Problem = Problem::new(SLOTS, GPUS);
const LARGE_SHAPE: WeightShape = WeightShape::new(LAYERS, EXPERTS);

fn index(number: i32) -> usize {
    usize::try_from(number).expect("it is not negative")
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-10 * one.abs()
}

fn sorted(experts: &[i32]) -> Vec<i32> {
    let mut sorted = experts.to_vec();
    sorted.sort_unstable();
    sorted
}

/// What a static dispatch says, fetched.
struct Fetched {
    slot: Vec<i32>,
    placement: Vec<i32>,
    ranks: Vec<i32>,
    load: Vec<f64>,
    imbalance: Vec<f64>,
    bound: Vec<f64>,
}

fn fetched(dispatch: &StaticDispatch<'_>) -> Result<Fetched> {
    Ok(Fetched {
        slot: dispatch.slot()?,
        placement: dispatch.placement()?,
        ranks: dispatch.ranks()?,
        load: dispatch.load()?,
        imbalance: dispatch.imbalance()?,
        bound: dispatch.bound()?,
    })
}

/// What a layer of a static dispatch is of.
struct Layer<'a> {
    tokens: &'a [i64],
    given: &'a [i32],
    gpus: usize,
    ranks: usize,
    swaps: usize,
}

impl Layer<'_> {
    /// Compares it with its definition, from the table and the placement alone.
    fn check(&self, all: &Fetched, layer: usize) {
        let (slots, entries) = (self.given.len(), self.ranks * self.tokens.len());
        let placement = &all.placement[layer * slots..][..slots];
        self.check_swaps(placement);
        let uses = self.uses(&all.slot[layer * entries..][..entries], placement);
        assert!(uses.iter().zip(&all.ranks[layer * slots..][..slots]).all(|(&own, &said)| own == index(said)));
        let mut load = vec![0.0; self.gpus];
        for (slot, &used) in uses.iter().enumerate() {
            let tokens = self.tokens[index(placement[slot])] as f64;
            load[slot / (slots / self.gpus)] += tokens * used as f64 / self.ranks as f64;
        }
        assert!(load.iter().zip(&all.load[layer * self.gpus..]).all(|(&own, &said)| close(own, said)));
        let (largest, mean) = (load.iter().copied().fold(0.0, f64::max), load.iter().sum::<f64>() / self.gpus as f64);
        assert!(close(largest / mean, all.imbalance[layer]));
        assert!(all.bound[layer] <= largest * (1.0 + 1e-9) && all.bound[layer] >= mean * (1.0 - 1e-9));
        assert!(self.swaps == 0 || close(all.bound[layer], mean));
    }

    /// They exchange experts, and put none onto a GPU twice.
    fn check_swaps(&self, placement: &[i32]) {
        assert_eq!(sorted(placement), sorted(self.given));
        let differ = placement.iter().zip(self.given).filter(|(after, before)| after != before).count();
        assert!(differ <= self.swaps.saturating_mul(2), "{differ} slots differ");
        for gpu in placement.chunks(placement.len() / self.gpus) {
            assert_eq!(gpu.iter().collect::<BTreeSet<_>>().len(), gpu.len(), "a GPU has {gpu:?}");
        }
    }

    /// How many ranks use each slot. Each uses one that holds the expert, of its own GPU if others of this GPU leave it one.
    fn uses(&self, table: &[i32], placement: &[i32]) -> Vec<usize> {
        let each = placement.len() / self.gpus;
        let (mut uses, mut local) = (vec![0; placement.len()], vec![0; placement.len()]);
        let rows = || table.chunks(self.tokens.len()).enumerate();
        for (rank, row) in rows() {
            for (expert, &slot) in row.iter().enumerate() {
                let slot = index(slot);
                assert_eq!(index(placement[slot]), expert, "rank {rank} uses slot {slot}");
                uses[slot] += 1;
                local[slot] += usize::from(slot / each == rank * self.gpus / self.ranks);
            }
        }
        for (rank, row) in rows() {
            let own = rank * self.gpus / self.ranks * each;
            for (expert, &slot) in row.iter().enumerate().filter(|(_, slot)| index(**slot) / each != own / each) {
                let left = (own..own + each).find(|&own| index(placement[own]) == expert && local[own] < uses[own]);
                assert_eq!(left, None, "rank {rank} uses slot {slot} of expert {expert}");
            }
        }
        uses
    }
}

fn drawn(round: i64) -> Vec<i64> {
    (1..).take(LAYERS * EXPERTS).map(|index: i64| index * index * (7919 + round) % 10_007).collect()
}

/// Prepared once, over the plan for other loads, it serves splits and dispatches of many, for any number of ranks.
#[test]
fn of_many_loads() {
    let mut context = context();
    context.upload(&drawn(0), LARGE_SHAPE).expect("it fits");
    let plan = context.solve(&LARGE, &SolveOptions::new()).expect("it can be solved");
    let placement: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    context.split_prepare_plan(&LARGE).expect("there is a plan");
    for (round, ranks) in (1..).zip([0, 16, 5, 64, 37, 300]) {
        let tokens = drawn(round);
        context.upload(&tokens, LARGE_SHAPE).expect("it fits");
        for swaps in [0, 3, usize::MAX] {
            let options = StaticDispatchOptions::new().num_ranks(ranks).max_swaps(swaps);
            let dispatch = context.static_dispatch(&options).expect("it was prepared");
            let all = fetched(&dispatch).expect("it was dispatched");
            let ranks = if ranks == 0 { GPUS } else { ranks };
            for layer in 0..LAYERS {
                let (tokens, given) = (&tokens[layer * EXPERTS..][..EXPERTS], &placement[layer * SLOTS..][..SLOTS]);
                Layer { tokens, given, gpus: GPUS, ranks, swaps }.check(&all, layer);
            }
            let mut buffer = vec![0_i64; LAYERS * ranks * EXPERTS];
            dispatch.fetch_into(Map::DispatchSlot, &mut buffer).expect("it has the length of the map");
            assert!(buffer.iter().zip(&all.slot).all(|(&wide, &narrow)| wide == i64::from(narrow)));
            let split = context.split(&SplitOptions::new()).expect("it was prepared");
            assert!(swaps > 0 || split.bound() == Ok(all.bound));
        }
    }
}

#[test]
fn tolerance_and_swaps() {
    let (mut context, tokens) = (context(), drawn(9));
    context.upload(&tokens[..EXPERTS], WeightShape::new(1, EXPERTS)).expect("it fits");
    let placement: Vec<i32> = (0..64).chain(0..16).collect();
    let mut imbalance = |options: StaticDispatchOptions| {
        let dispatch = context.static_dispatch_over(&LARGE, &placement, &options).expect("it is a placement");
        dispatch.imbalance().expect("it was dispatched")[0]
    };
    let options = StaticDispatchOptions::new();
    let (rough, fine) = (imbalance(options.tolerance(1.0)), imbalance(options));
    let (few, many) = (imbalance(options.max_swaps(2)), imbalance(options.max_swaps(usize::MAX)));
    assert!(rough >= fine && fine > few && few > many && many < 1.05, "{rough} {fine} {few} {many}");
    assert_eq!(imbalance(options.max_swaps(1 << 40)).to_bits(), many.to_bits());
    assert_eq!(StaticDispatchOptions::new(), StaticDispatchOptions::default());
}

/// Lengths of what there is of a split and of a static dispatch.
fn lengths(context: &mut Context) -> (Option<usize>, Option<usize>) {
    // The maps of all of them are had from any.
    let plan = context.plan().expect("there is a plan");
    let length = |map| match plan.fetch::<i32>(map) {
        Ok(found) => Some(found.len()),
        Err(Error::InvalidState(text)) if text.contains("call eplb_s") => None,
        Err(other) => panic!("{other}"),
    };
    (length(Map::Share), length(Map::DispatchSlot))
}

#[test]
fn what_discards_it() {
    let (mut context, options) = (uploaded(), StaticDispatchOptions::new());
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let (before, experts) = (plan.fingerprint(), plan.physical_to_logical::<i64>().expect("it was solved"));
    assert_eq!(lengths(&mut context), (None, None));
    let both = |context: &mut Context| {
        context.static_dispatch_over(&PROBLEM, &experts, &options).expect("it is a placement");
        assert_eq!(lengths(context), (None, Some(64)));
        context.split(&SplitOptions::new()).expect("it was prepared");
        assert_eq!(lengths(context), (Some(16), Some(64)));
    };
    both(&mut context);
    // What is refused discards nothing, nor does one over what was prepared.
    let refused = context.static_dispatch_over(&PROBLEM, &[0_i32; 16], &options);
    assert!(matches!(refused, Err(Error::InvalidPlacement(_))));
    assert!(context.static_dispatch_over(&PROBLEM, &experts, &options.num_ranks(4097)).is_err());
    assert_eq!(lengths(&mut context), (Some(16), Some(64)));
    context.static_dispatch(&options.num_ranks(3)).expect("it was prepared");
    assert_eq!(lengths(&mut context), (Some(16), Some(24)));
    both(&mut context);
    context.split_prepare_plan(&PROBLEM).expect("there is a plan");
    assert_eq!(lengths(&mut context), (None, None));
    both(&mut context);
    context.static_dispatch_over_plan(&PROBLEM, &options).expect("there is a plan");
    assert_eq!(lengths(&mut context), (None, Some(64)));
    assert_eq!(context.plan().map(|plan| plan.fingerprint()), Some(before));
    for discard in [
        |context: &mut Context| context.upload(&WEIGHTS, SHAPE),
        |context: &mut Context| context.upload_cluster(&Cluster::new(8).slots([2; 8])),
    ] {
        both(&mut context);
        discard(&mut context).expect("it fits");
        context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
        assert_eq!(lengths(&mut context), (None, None));
    }
}

#[test]
fn over_the_plan() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let given = plan.physical_to_logical::<i32>().expect("it was solved");
    let options = StaticDispatchOptions::new().max_swaps(usize::MAX);
    let dispatch = context.static_dispatch_over_plan(&PROBLEM, &options).expect("there is a plan");
    let tokens = [600, 560, 120, 120, 20, 10, 10, 10];
    let layer = Layer { tokens: &tokens, given: &given, gpus: 8, ranks: 8, swaps: usize::MAX };
    layer.check(&fetched(&dispatch).expect("it was dispatched"), 0);
    assert_eq!(dispatch.map_shape(Map::DispatchSlot).expect("it was dispatched").dims(), [1, 8, 8]);
    assert!(format!("{dispatch:?}").contains("StaticDispatch"));
    assert!(dispatch.context().evaluate(&PROBLEM, &given).is_ok());
    for map in [Map::DispatchLoad, Map::DispatchImbalance, Map::DispatchBound] {
        assert!(matches!(dispatch.fetch::<i32>(map), Err(Error::InvalidArgument(_))), "{map}");
    }
    for map in [Map::DispatchSlot, Map::DispatchPlacement, Map::DispatchRanks] {
        assert!(matches!(dispatch.fetch::<f64>(map), Err(Error::InvalidArgument(_))), "{map}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (mut context, options) = (context(), StaticDispatchOptions::new());
    let state = |dispatch: Result<StaticDispatch<'_>>, word: &str| {
        assert!(matches!(dispatch, Err(Error::InvalidState(text)) if text.contains(word)));
    };
    let argument = |dispatch: Result<StaticDispatch<'_>>, word: &str| {
        assert!(matches!(dispatch, Err(Error::InvalidArgument(text)) if text.contains(word)));
    };
    state(context.static_dispatch(&options), "eplb_upload_weights");
    context.upload(&WEIGHTS, SHAPE).expect("it fits");
    state(context.static_dispatch(&options), "eplb_split_prepare");
    state(context.static_dispatch_over_plan(&PROBLEM, &options), "eplb_solve");
    let experts: Vec<i32> = (0..8).chain(0..8).collect();
    argument(context.static_dispatch_over(&PROBLEM, &experts[..15], &options), "placement_length is 15");
    argument(context.static_dispatch_over(&PROBLEM, &experts[..0], &options), "placement_length is 0");
    argument(context.static_dispatch_over(&Problem::new(17, 8), &experts, &options), "num_slots is 17");
    context.split_prepare(&PROBLEM, &experts).expect("it is a placement");
    for tolerance in [-0.1, 1.1, f64::NAN] {
        argument(context.static_dispatch(&options.tolerance(tolerance)), "tolerance");
    }
    argument(context.static_dispatch(&options.num_ranks(4097)), "num_ranks is 4097");
    argument(context.static_dispatch(&options.num_ranks(usize::MAX)), "num_ranks");
    // There is none yet.
    context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    context.split_prepare(&PROBLEM, &experts).expect("it is a placement");
    let plan = context.plan().expect("it was solved");
    for &map in Map::ALL.iter().filter(|map| map.as_raw() >= Map::DispatchSlot.as_raw()) {
        assert!(matches!(plan.map_shape(map), Err(Error::InvalidState(text)) if text.contains("eplb_static_dispatch")));
    }
    assert!(context.static_dispatch(&options.num_ranks(4096).tolerance(1.0)).is_ok());
    context.upload(&[1, 2, 3, 4], WeightShape::new(1, 4)).expect("it fits");
    state(context.static_dispatch(&options), "of 8: call it again");
}
