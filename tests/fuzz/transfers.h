// Transfers from one placement to another, carried out round by round as eplb.h says.
#pragma once

#include <cstdint>
#include <vector>

#include "known.h"

namespace eplb::fuzz {

// The maps [L,S] of transfers.
struct TransferMaps {
  std::vector<int64_t> source, round, group;
};

// Of a report.
struct MoveFigures {
  int64_t layers_changed = 0, moves = 0, between_nodes = 0, reloads = 0, rounds = 0, most_sent = 0,
          most_received = 0;
};

// Checks that the maps lead from one placement [L,S] to the other. Returns their figures; `counts`,
// unless null, receives the moves of each layer.
MoveFigures carry_out(const std::vector<int64_t>& current, const std::vector<int64_t>& placement,
                      const TransferMaps& maps, const Gpus& gpus, eplb_transfer_order order,
                      std::vector<int64_t>* counts);

void check_report(const MoveFigures& figures, const eplb_report& report);

}  // namespace eplb::fuzz
