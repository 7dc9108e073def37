//! Current placements, clusters, rebalances and transfers: what is done with them, and what is refused.

mod input;

use eplb::{
    Cluster, Context, ContextOptions, Error, Plan, Policy, Problem, SolveOptions, Transfer, TransferKind,
    TransferOrder, WeightShape,
};
use input::{PROBLEM, context, library, uploaded};

#[test]
fn moves_from_the_current_placement() {
    let mut context = uploaded();
    let placement = |plan: &Plan<'_>| plan.physical_to_logical::<i32>().expect("it was solved");
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    assert!(matches!(plan.move_count::<i32>(), Err(Error::InvalidState(text)) if text.contains("upload_placement")));
    // The first GPU is dead, and two experts with one replica each have changed places.
    let new = placement(&plan);
    let mut current = new.clone();
    current[..2].fill(-1);
    let slot_of = |expert| new.iter().position(|&each| each == expert).expect("every expert has a slot");
    current.swap(slot_of(5), slot_of(6));
    context.upload_placement(&current, 1, 16).expect("it is a placement");
    assert!(context.plan().is_none());
    for &order in TransferOrder::ALL {
        let options = SolveOptions::new().transfer_order(order);
        let plan = context.solve(&PROBLEM, &options).expect("it can be solved");
        assert_eq!(placement(&plan), new);
        let source: Vec<i64> = plan.move_source().expect("there is a current placement");
        let round: Vec<i32> = plan.move_round().expect("there is a current placement");
        for (slot, &from) in source.iter().enumerate() {
            assert_eq!(usize::try_from(from) == Ok(slot), new[slot] == current[slot], "slot {slot}");
            assert_eq!(round[slot] >= 0, new[slot] != current[slot], "slot {slot}");
            if let Ok(from) = usize::try_from(from) {
                assert_eq!(current[from], new[slot], "slot {slot}");
            }
        }
        let grouped = plan.move_group::<i32>().expect("there is a current placement").iter().any(|&group| group >= 0);
        assert_eq!(grouped, order == TransferOrder::InPlace);
        let (count, report) = (plan.move_count::<i64>(), plan.report().expect("it was solved"));
        assert_eq!(count.expect("there is a current placement"), [i64::try_from(report.moves).expect("few")]);
        assert_eq!((report.layers_changed, report.moves_between_nodes), (1, 0));
        assert!(report.rounds >= report.most_sent.max(report.most_received));
    }
    context.forget_placement().expect("there is nothing that could fail");
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    assert!(matches!(plan.move_source::<i32>(), Err(Error::InvalidState(_))));
    assert_eq!(plan.report().map(|report| report.moves), Ok(0));
}

#[test]
fn clusters_that_cannot_be() {
    let mut context = uploaded();
    let mut refused = |cluster: Cluster| match context.upload_cluster(&cluster) {
        Err(Error::InvalidArgument(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(Cluster::new(0)).contains("0 GPUs"));
    let text = refused(Cluster::new(8).slots([2; 7]));
    assert!(text.contains("slots has 7 values, must have one for each of 8 GPUs"), "{text}");
    assert!(refused(Cluster::new(8).nodes([0])).contains("nodes has 1 values"));
    let text = refused(Cluster::new(2).speeds([1.0, 0.0]));
    assert!(text.contains("speeds[GPU 1] is 0, must be positive"), "{text}");
    assert!(refused(Cluster::new(2).slots([2, usize::MAX])).contains("slots[GPU 1]"));
}

#[test]
fn a_cluster_of_equal_gpus_changes_nothing() {
    let mut context = uploaded();
    let placed = |context: &mut Context| {
        let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
        plan.physical_to_logical::<i32>().expect("it was solved")
    };
    let before = placed(&mut context);
    context.upload_cluster(&Cluster::new(8).slots([2; 8]).speeds([3.0; 8])).expect("they are equal");
    assert!(context.plan().is_none());
    assert_eq!(placed(&mut context), before);
    let other = Problem::new(16, 4);
    let error = context.solve(&other, &SolveOptions::new()).map(|_| ()).expect_err("the cluster has 8");
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("num_gpus is 4")), "{error}");
    context.forget_cluster().expect("there is nothing that could fail");
    assert!(context.solve(&other, &SolveOptions::new()).is_ok());
}

fn rebalanced(current: &[i32], options: SolveOptions) -> Result<(Vec<i32>, u64), Error> {
    let mut context = context();
    context.upload(&[10, 10, 10, 10, 20, 120, 560, 600], WeightShape::new(1, 8))?;
    let plan = context.rebalance(current, &PROBLEM, &options)?;
    Ok((plan.physical_to_logical()?, plan.report()?.moves))
}

#[test]
fn limits_of_a_rebalance() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let current: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    for (most, options) in [
        (0, SolveOptions::new().max_moves(0)),
        (2, SolveOptions::new().max_moves(2).target(0.0)),
        (16, SolveOptions::new().target(1.2).allow_empty(true)),
    ] {
        let (placement, moves) = rebalanced(&current, options).expect("it can be changed");
        assert!(moves <= most && (moves == 0) == (most == 0), "{moves} moves");
        let changes = placement.iter().zip(&current).filter(|(new, old)| new != old).count();
        assert!(usize::try_from(moves).expect("few") <= changes, "{moves} moves");
    }
    for (options, text) in [
        (SolveOptions::new().target(0.5), "target is 500 / 1000, must be -1, 0 for none, or 1 to 1024"),
        (SolveOptions::new().move_price(-1.0), "move_price is -1000 / 1000, must be 0 to 1024"),
        (SolveOptions::new().max_replicas(1), "max_replicas is 1, too few: 16 slots of 8 experts need at least 2"),
    ] {
        let error = rebalanced(&current, options).expect_err("there is no such limit");
        assert!(matches!(&error, Error::InvalidArgument(said) if said.contains(text)), "{error}");
    }
    let error = rebalanced(&current[1..], SolveOptions::new()).expect_err("a slot is missing");
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("15")), "{error}");
    let error = rebalanced(&[9; 16], SolveOptions::new()).expect_err("there is no such expert");
    assert!(matches!(&error, Error::InvalidPlacement(text) if text.contains("expert 9")), "{error}");
    let error = Context::new(&library(), &ContextOptions::new())
        .and_then(|mut empty| empty.rebalance(&current, &PROBLEM, &SolveOptions::new()).map(|_| ()));
    assert!(matches!(&error, Err(Error::InvalidState(_))), "{error:?}");
}

#[test]
fn a_rebalance_after_a_loss() {
    let mut context = uploaded();
    // GPU 0 is dead, with expert 0.
    let mut current: Vec<i32> = (0..16).map(|slot| slot % 8).collect();
    current[..2].fill(-1);
    current[8] = 5;
    context.upload_cluster(&Cluster::new(8).slots((0..8).map(|gpu| if gpu == 0 { 0 } else { 2 }))).expect("it fits");
    let none = SolveOptions::new().max_moves(0);
    let error = context.rebalance(&current, &PROBLEM, &none).map(|_| ()).expect_err("expert 0 must be loaded");
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("max_moves is 0")), "{error}");
    let plan = context.rebalance(&current, &PROBLEM, &SolveOptions::new()).expect("it can be repaired");
    let placement: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    assert_eq!(placement[..2], [-1, -1]);
    assert!((0..8).all(|expert| placement.contains(&expert)), "{placement:?}");
    let report = plan.report().expect("it was solved");
    assert!(report.moves_forced == 1 && report.reloads >= 1 && report.moves >= 1, "{report:?}");
}

#[test]
fn transfers_know_the_nodes_of_a_cluster() {
    let mut context = uploaded();
    let current: Vec<i32> = (0..16).map(|slot| slot % 8).collect();
    context.upload_placement(&current, 1, 16).expect("it is a placement");
    let problem = PROBLEM.num_nodes(2).policy(Policy::Global);
    for nodes in [None, Some([0, 1, 0, 1, 0, 1, 0, 1])] {
        if let Some(nodes) = nodes {
            context.upload_cluster(&Cluster::new(8).nodes(nodes)).expect("each GPU has a node");
        }
        let plan = context.solve(&problem, &SolveOptions::new()).expect("it can be solved");
        let node = |gpu: usize| nodes.map_or(gpu / 4, |nodes| nodes[gpu]);
        let mut between = 0;
        for each in plan.transfers().expect("there is a current placement") {
            let far = each.source_gpu.is_some_and(|from| node(from) != node(each.gpu));
            assert_eq!(each.kind == TransferKind::BetweenNodes, far, "{each:?}");
            between += u64::from(far);
        }
        assert_eq!(plan.report().map(|report| report.moves_between_nodes), Ok(between));
    }
}

#[test]
fn current_placements_that_do_not_fit() {
    let mut context = uploaded();
    context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let error = context.upload_placement(&[0_i64, -2], 1, 2).expect_err("-2 is no expert");
    assert!(matches!(&error, Error::InvalidPlacement(text) if text.contains("slot 1")), "{error}");
    let error = context.upload_placement(&[0_i32; 15], 1, 16).expect_err("one is missing");
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("15") && text.contains("16")), "{error}");
    assert!(context.plan().is_some());
    for (placement, text) in [(vec![8; 16], "expert 8"), (vec![0; 8], "1 layers of 8 slots")] {
        context.upload_placement(&placement, 1, placement.len()).expect("it may be one");
        let error = context.solve(&PROBLEM, &SolveOptions::new()).expect_err("it does not fit");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn transfers_one_by_one() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let new: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    assert!(matches!(plan.transfers().map(|_| ()), Err(Error::InvalidState(_))));
    let mut current = new.clone();
    current.rotate_left(3);
    current[..2].fill(-1);
    let problem = PROBLEM.num_nodes(2).policy(Policy::Global);
    for &order in TransferOrder::ALL {
        context.upload_placement(&current, 1, 16).expect("it is a placement");
        let plan = context.solve(&problem, &SolveOptions::new().transfer_order(order)).expect("it can be solved");
        let new: Vec<i32> = plan.physical_to_logical().expect("it was solved");
        let rounds: Vec<usize> = plan
            .move_round::<i32>()
            .expect("there is a current placement")
            .into_iter()
            .map(|round| usize::try_from(round).unwrap_or(usize::MAX))
            .collect();
        let report = plan.report().expect("it was solved");
        let transfers: Vec<Transfer> = plan.transfers().expect("there is a current placement").collect();
        assert!(transfers.is_sorted_by_key(|each| (each.layer, each.round, each.slot)));
        assert_eq!(transfers.len(), (0..16).filter(|&slot| new[slot] != current[slot]).count());
        for each in &transfers {
            assert_eq!((each.layer, each.gpu, each.round), (0, each.slot / 2, rounds[each.slot]));
            assert_eq!(usize::try_from(new[each.slot]), Ok(each.expert));
            assert_eq!(each.source_gpu, each.source_slot.map(|slot| slot / 2));
            let kind = match each.source_gpu {
                None => TransferKind::Reload,
                Some(gpu) if gpu == each.gpu => TransferKind::WithinGpu,
                Some(gpu) if gpu / 4 == each.gpu / 4 => TransferKind::WithinNode,
                Some(_) => TransferKind::BetweenNodes,
            };
            assert_eq!(each.kind, kind);
            assert!(each.source_slot.is_none_or(|slot| current[slot] == new[each.slot]));
            assert!(each.group.is_none() || order == TransferOrder::InPlace);
        }
        let alone = context.plan_transfers(&problem, order, &current, &new).expect("both are placements");
        assert_eq!(alone.transfers, transfers);
        assert_eq!((alone.report.moves, alone.report.rounds), (report.moves, report.rounds));
        assert!(context.plan().is_some());
    }
}

#[test]
fn transfers_that_cannot_be() {
    let context = Context::new(&library(), &ContextOptions::new()).expect("the CPU is there");
    let plan = |problem: &Problem, current: &[i32], placement: &[i32]| {
        let error = context.plan_transfers(problem, TransferOrder::Buffered, current, placement);
        error.expect_err("it cannot be").to_string()
    };
    let two = Problem::new(2, 1);
    for (text, words) in [
        (plan(&two, &[0, -2], &[0, 1]), ["current[layer 0, slot 1] is -2", "0 to 262143"]),
        (plan(&two, &[0, 1], &[1 << 18, 1]), ["placement[layer 0, slot 0] is 262144", "0 to 262143"]),
        (plan(&two, &[0, 1], &[0]), ["current has 2 elements", "placement 1"]),
        (plan(&two, &[0], &[0]), ["placement_length is 1", "num_slots = 2 (2)"]),
        (plan(&Problem::new(2, 3), &[0, 1], &[0, 1]), ["num_slots is 2", "num_gpus = 3"]),
    ] {
        assert!(words.iter().all(|&word| text.contains(word)), "{text}");
    }
}
