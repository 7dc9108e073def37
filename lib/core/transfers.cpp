#include "core/transfers.h"

#include <algorithm>

namespace eplb {

void fill_report(const Transfers& transfers, eplb_report& report) {
  for (const LayerMoves& layer : transfers.layers) {
    report.layers_changed += layer.changed ? 1 : 0;
    report.moves += layer.moves;
    report.moves_between_nodes += layer.between_nodes;
    report.reloads += layer.reloads;
    report.rounds += layer.rounds;
    report.most_sent = std::max<int64_t>(report.most_sent, layer.most_sent);
    report.most_received = std::max<int64_t>(report.most_received, layer.most_received);
  }
}

}  // namespace eplb
