//! Splits on a device, and static dispatches of what is there: what they answer is what the CPU answers.

use eplb::{
    Context, Device, Error, Map, Problem, SolveOptions, Split, SplitOptions, StaticDispatch, StaticDispatchOptions,
    Stream, WeightElement,
};
use libtest_mimic::Failed;

use super::{DeviceVec, Emulation};
use crate::input::context;
use crate::{Done, EXPERTS, LAYERS, PROBLEM, SHAPE, ensure_eq, same_floats, tokens};

/// The maps of a split.
#[derive(Default)]
struct SplitMaps {
    share: Vec<i64>,
    tight: Vec<i64>,
    quota: Vec<f64>,
    floats: [Vec<f64>; 3],
}

/// Its loads, imbalance and bound, which a device adds up in another order.
const SPLIT_FLOATS: [Map; 3] = [Map::SplitLoad, Map::SplitImbalance, Map::SplitBound];

impl SplitMaps {
    fn of(split: &Split<'_>) -> Result<Self, Error> {
        let [load, imbalance, bound] = SPLIT_FLOATS.map(|map| split.fetch(map));
        let floats = [load?, imbalance?, bound?];
        Ok(Self { share: split.share()?, tight: split.tight()?, quota: split.quota()?, floats })
    }

    /// Of these weights over that placement, by the CPU.
    fn on_the_cpu<T: WeightElement>(values: &[T], placement: &[i64], options: &SplitOptions) -> Result<Self, Error> {
        let mut context = context();
        context.upload(values, SHAPE)?;
        context.split_prepare(&PROBLEM, placement)?;
        Self::of(&context.split(options)?)
    }

    fn is_same(&self, expected: &Self) -> Done {
        ensure_eq!(self.share, expected.share, "share");
        ensure_eq!(self.tight, expected.tight, "tight");
        ensure_eq!(self.quota, expected.quota, "quota");
        for (map, (found, expected)) in SPLIT_FLOATS.iter().zip(self.floats.iter().zip(&expected.floats)) {
            same_floats(&map.to_string(), found, expected)?;
        }
        Ok(())
    }
}

/// Device memory for them.
struct SplitRooms<'a> {
    share: DeviceVec<'a, i64>,
    tight: DeviceVec<'a, i64>,
    quota: DeviceVec<'a, f64>,
    floats: [DeviceVec<'a, f64>; 3],
}

impl<'a> SplitRooms<'a> {
    fn for_maps(emulation: &'a Emulation, maps: &SplitMaps) -> Self {
        Self {
            share: emulation.room(maps.share.len()),
            tight: emulation.room(maps.tight.len()),
            quota: emulation.room(maps.quota.len()),
            floats: maps.floats.each_ref().map(|map| emulation.room(map.len())),
        }
    }

    fn fetch(&mut self, split: &Split<'_>, stream: Stream<'_>) -> Result<(), Error> {
        split.fetch_device(Map::Share, &mut self.share.slice_mut(), stream)?;
        split.fetch_device(Map::SplitTight, &mut self.tight.slice_mut(), stream)?;
        split.fetch_device(Map::Quota, &mut self.quota.slice_mut(), stream)?;
        let mut floats = SPLIT_FLOATS.into_iter().zip(&mut self.floats);
        floats.try_for_each(|(map, room)| split.fetch_device(map, &mut room.slice_mut(), stream))
    }

    fn read(&self) -> SplitMaps {
        let floats = self.floats.each_ref().map(DeviceVec::read);
        SplitMaps { share: self.share.read(), tight: self.tight.read(), quota: self.quota.read(), floats }
    }
}

/// A context with memory for device calls and for splits, and the placement of a plan, which was prepared.
fn ready_for_splits<T: WeightElement>(emulation: &Emulation, values: &[T]) -> Result<(Context, Vec<i64>), Error> {
    let mut context = emulation.context(Device::Cuda(0))?;
    context.reserve::<T>(SHAPE, &PROBLEM, &SolveOptions::new())?;
    context.upload(values, SHAPE)?;
    let placement = context.solve(&PROBLEM, &SolveOptions::new())?.physical_to_logical()?;
    context.split_prepare_plan(&PROBLEM)?;
    Ok((context, placement))
}

fn splits<T: WeightElement + Default>(emulation: &Emulation, before: &[T], values: &[T]) -> Done {
    let (mut context, mut placement) = ready_for_splits(emulation, before)?;
    for gpus in placement.chunks_mut(80) {
        gpus.reverse();
    }
    let (options, stream) = (SplitOptions::new().tolerance(0.01), emulation.stream());
    let expected = SplitMaps::on_the_cpu(values, &placement, &options)?;
    let narrow: Vec<i32> = placement.iter().map(|&expert| expert as i32).collect();
    let (weights, there) = (emulation.put(values), emulation.put(&narrow));
    let mut rooms = SplitRooms::for_maps(emulation, &expected);

    let waits = emulation.waits_and_allocations();
    context.upload_device(weights.slice(), SHAPE, stream.get())?;
    context.split_prepare_device(&PROBLEM, there.slice(), stream.get())?;
    let split = context.split_device(&options, stream.get())?;
    rooms.fetch(&split, stream.get())?;
    ensure_eq!(emulation.waits_and_allocations(), waits, "waits and allocations of device calls");
    ensure_eq!(emulation.count("pending") > 0, true, "work that waits for its turn");
    // The host waits for what it sees, and splits on over what is there.
    SplitMaps::of(&split)?.is_same(&expected)?;
    context.synchronize()?;
    rooms.read().is_same(&expected)?;
    let exact = SplitOptions::new();
    let again = SplitMaps::of(&context.split(&exact)?)?;
    again.is_same(&SplitMaps::on_the_cpu(values, &placement, &exact)?)?;

    // The plan that is there, solved on the device.
    let solved = context.solve_device(&PROBLEM, &SolveOptions::new(), stream.get())?.physical_to_logical()?;
    context.split_prepare_plan_device(&PROBLEM, stream.get())?;
    rooms.fetch(&context.split_device(&options, stream.get())?, stream.get())?;
    context.synchronize()?;
    rooms.read().is_same(&SplitMaps::on_the_cpu(values, &solved, &options)?)
}

/// Each time with weights of another type.
pub fn split_calls(emulation: &Emulation, bits: u32, real: bool) -> Done {
    let (one, other) = (tokens(LAYERS, 11), tokens(LAYERS, 12));
    macro_rules! run {
        ($element:ty) => {{
            let cast = |tokens: &[i64]| tokens.iter().map(|&weight| weight as $element).collect::<Vec<_>>();
            splits(emulation, &cast(&one), &cast(&other))
        }};
    }
    match (bits, real) {
        (32, true) => run!(f32),
        (_, true) => run!(f64),
        (32, false) => run!(i32),
        (_, false) => run!(i64),
    }
}

/// A layer without a placement counts as one without any; it is reported once, and the others are split.
pub fn a_bad_placement(emulation: &Emulation) -> Done {
    let (values, options, stream) = (tokens(LAYERS, 13), SplitOptions::new(), emulation.stream());
    let (mut context, placement) = ready_for_splits(emulation, &values)?;
    let mut expected = SplitMaps::on_the_cpu(&values, &placement, &options)?.share;
    expected[80..160].fill(0);
    let mut bad = placement;
    bad[80 + 5] = EXPERTS as i64;
    let (weights, there) = (emulation.put(&values), emulation.put(&bad));
    let mut shares = emulation.room::<i64>(bad.len());
    context.upload_device(weights.slice(), SHAPE, stream.get())?;
    context.split_prepare_device(&PROBLEM, there.slice(), stream.get())?;
    let split = context.split_device(&options, stream.get())?;
    split.fetch_device(Map::Share, &mut shares.slice_mut(), stream.get())?;
    match context.synchronize() {
        Err(Error::InvalidPlacement(text)) if text.contains("layer 1, slot 5") => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure_eq!(context.synchronize(), Ok(()), "reported a second time");
    ensure_eq!(shares.read(), expected, "shares");
    Ok(())
}

/// What a host call of preparation has taken.
pub fn the_memory_for_splits(emulation: &Emulation) -> Done {
    let (values, options, stream) = (tokens(LAYERS, 14), SplitOptions::new(), Stream::default_stream());
    let experts: Vec<i64> = (0..LAYERS).flat_map(|_| (0..80).map(|slot| slot % EXPERTS as i64)).collect();
    let (weights, there) = (emulation.put(&values), emulation.put(&experts));
    let mut context = emulation.context(Device::Cuda(0))?;
    let refused = |result: Result<(), Error>, text: &str| match result {
        Err(Error::InvalidState(sentence)) if sentence.contains(text) => Ok(()),
        other => Err(Failed::from(format!("{other:?}"))),
    };
    refused(context.split_device(&options, stream).map(drop), "eplb_upload_weights_device")?;
    context.reserve::<i64>(SHAPE, &PROBLEM, &SolveOptions::new())?;
    refused(context.split_prepare_device(&PROBLEM, there.slice(), stream), "eplb_upload_weights")?;
    context.upload_device(weights.slice(), SHAPE, stream)?;
    refused(context.split_device(&options, stream).map(drop), "eplb_split_prepare")?;
    refused(context.split_prepare_device(&PROBLEM, there.slice(), stream), "eplb_split_prepare")?;
    refused(context.split_prepare_plan_device(&PROBLEM, stream), "eplb_solve")?;
    // Under AUTO the groups have to be on their nodes, and these are not.
    let global = Problem::new(80, 16);
    context.split_prepare(&global, &experts)?;
    context.split_prepare_device(&global, there.slice(), stream)?;
    let split = context.split_device(&options, stream)?;
    refused(
        split.fetch_device(Map::PhysicalToLogical, &mut emulation.room::<i64>(240).slice_mut(), stream),
        "eplb_solve_device",
    )?;
    Ok(context.synchronize()?)
}

type DispatchMaps = ([Vec<i64>; 3], [Vec<f64>; 3]);

fn maps_of(dispatch: &StaticDispatch<'_>) -> Result<DispatchMaps, Error> {
    let integers = [dispatch.slot()?, dispatch.placement()?, dispatch.ranks()?];
    Ok((integers, [dispatch.load()?, dispatch.imbalance()?, dispatch.bound()?]))
}

/// The host works it out, of weights and over a placement that device calls have left.
pub fn a_static_dispatch(emulation: &Emulation) -> Done {
    let (values, stream) = (tokens(LAYERS, 15), emulation.stream());
    let options = StaticDispatchOptions::new().num_ranks(24).max_swaps(2);
    let (mut context, mut placement) = ready_for_splits(emulation, &tokens(LAYERS, 16))?;
    for gpus in placement.chunks_mut(80) {
        gpus.reverse();
    }
    let mut on_the_cpu = crate::input::context();
    on_the_cpu.upload(&values, SHAPE)?;
    let expected = maps_of(&on_the_cpu.static_dispatch_over(&PROBLEM, &placement, &options)?)?;
    let (weights, there) = (emulation.put(&values), emulation.put(&placement));
    let mut room = emulation.room::<i64>(placement.len());
    context.upload_device(weights.slice(), SHAPE, stream.get())?;
    context.split_prepare_device(&PROBLEM, there.slice(), stream.get())?;
    let split = context.split_device(&SplitOptions::new(), stream.get())?;
    split.fetch_device(Map::Share, &mut room.slice_mut(), stream.get())?;
    ensure_eq!(maps_of(&context.static_dispatch(&options)?)?, expected, "over what was prepared");
    // The split on the device is still there; maps of the dispatch are not.
    let plan = context.plan();
    ensure_eq!(plan.is_some(), false, "a plan of other weights");
    context.solve_device(&PROBLEM, &SolveOptions::new(), stream.get())?;
    let plan = context.plan().ok_or("no plan after a solve")?;
    let before = room.read();
    plan.fetch_device(Map::Share, &mut room.slice_mut(), stream.get())?;
    context.synchronize()?;
    ensure_eq!(room.read(), before, "shares");
    let plan = context.plan().ok_or("no plan after a solve")?;
    match plan.fetch_device(Map::DispatchRanks, &mut room.slice_mut(), stream.get()) {
        Err(Error::Unavailable(text)) if text.contains("EPLB_MAP_DISPATCH_RANKS") => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure_eq!(maps_of(&context.static_dispatch_over(&PROBLEM, &placement, &options)?)?, expected, "over a placement");
    Ok(())
}
