// Transfers between any two placements of the caller.
#include <algorithm>

#include "core/check_problem.h"
#include "session/clock.h"
#include "session/session.h"

namespace eplb {
namespace {

void write_transfers(const Transfers& transfers, eplb_dtype dtype, const TransferOutputs& outputs) {
  const Answer answer{.transfers = &transfers};
  auto write = [&](eplb_map map, void* out) {
    if (out) write_map(map_entry(map), answer, dtype, out);
  };
  write(EPLB_MAP_MOVE_SOURCE, outputs.source);
  write(EPLB_MAP_MOVE_ROUND, outputs.round);
  write(EPLB_MAP_MOVE_GROUP, outputs.group);
}

int experts_of(const std::vector<int32_t>& placement) {
  return 1 + *std::max_element(placement.begin(), placement.end());
}

}  // namespace

void Session::plan_transfers(const eplb_problem& asked, eplb_transfer_order order,
                             const PlacementPair& pair, const TransferOutputs& outputs,
                             eplb_report& report) {
  const double start = now_microseconds();
  Problem problem = check_transfers(asked, tables_.cluster, order, pair.length);
  PlacementSource source{pair.current, pair.length, pair.dtype, problem.layers,
                         problem.cluster.slots};
  check_source(source);
  std::vector<int32_t> current, placement;
  read_any_placement("current", source, current);
  source.data = pair.placement;
  read_any_placement("placement", source, placement);
  check_closed(placement, problem);
  problem.experts = std::max({1, experts_of(current), experts_of(placement)});
  problem.current.expert = current.data();
  Transfers transfers;
  transfers.resize(problem);
  machine_->plan_transfers(problem, placement.data(), transfers);
  write_transfers(transfers, pair.dtype, outputs);
  fill_report(transfers, report);
  report.microseconds = now_microseconds() - start;
  report.strategy = -1;
  report.policy = EPLB_POLICY_GLOBAL;
  report.context_bytes = bytes();
}

}  // namespace eplb
