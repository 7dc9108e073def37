#include "transfers.h"

#include <algorithm>
#include <map>

#include "failure.h"

namespace eplb::fuzz {
namespace {

// One layer.
struct Change {
  const int64_t *current, *placement, *source, *round, *group;
  const Gpus& gpus;
  eplb_transfer_order order;

  int64_t slots() const { return gpus.count() * gpus.places; }
  bool is_link(int64_t slot) const {
    return source[slot] >= 0 && gpus.of(source[slot]) != gpus.of(slot);
  }
  bool in_place() const { return order == EPLB_TRANSFER_IN_PLACE; }
  bool holds(int64_t gpu, int64_t expert) const {
    const int64_t* const first = current + gpu * gpus.places;
    return std::find(first, first + gpus.places, expert) != first + gpus.places;
  }
};

enum class Near { kGpu, kNode, kElsewhere, kNowhere };

// How near the nearest slot is that holds an expert.
Near nearest(const Change& change, int64_t expert, int64_t slot) {
  Near found = Near::kNowhere;
  for (int64_t other = 0; other < change.slots(); ++other) {
    if (change.current[other] != expert) continue;
    if (change.gpus.of(other) == change.gpus.of(slot)) return Near::kGpu;
    const bool same = change.gpus.node_of(other) == change.gpus.node_of(slot);
    found = std::min(found, same ? Near::kNode : Near::kElsewhere);
  }
  return found;
}

Near nearness(const Change& change, int64_t slot) {
  const int64_t source = change.source[slot];
  if (source == -2) return Near::kNowhere;
  if (!change.is_link(slot)) return Near::kGpu;
  return change.gpus.node_of(source) == change.gpus.node_of(slot) ? Near::kNode : Near::kElsewhere;
}

void check_slot(const Change& change, int64_t slot) {
  const int64_t expert = change.placement[slot], source = change.source[slot];
  const int64_t round = change.round[slot];
  if (expert < 0 || change.current[slot] == expert) {
    REQUIRE(source == (expert < 0 ? -1 : slot) && round == -1 && change.group[slot] == -1);
    return;
  }
  REQUIRE(source >= -2 && source != -1 && source < change.slots() && source != slot);
  REQUIRE(source == -2 || change.current[source] == expert);
  REQUIRE(nearness(change, slot) == nearest(change, expert, slot));
  REQUIRE(change.in_place() || change.group[slot] == -1);
  REQUIRE(change.in_place() || change.is_link(slot) ? round >= 1 : round == 0);
}

// Carries a layer out. A buffer holds what the first slot of a cycle had; in other orders all that
// arrives waits in buffers.
class Simulation {
 public:
  explicit Simulation(const Change& change)
      : change_(change), memory_(change.current, change.current + change.slots()) {}

  int64_t run() {
    std::map<int64_t, std::vector<int64_t>> rounds;
    for (int64_t slot = 0; slot < change_.slots(); ++slot)
      if (change_.round[slot] >= 0) rounds[change_.round[slot]].push_back(slot);
    int64_t last = 0;
    for (const auto& [number, slots] : rounds) {
      if (number > 0) REQUIRE(number == last + 1, "round %lld follows %lld", ll(number), ll(last));
      last = number;
      if (number > 0) check_links(slots);
      run_round(slots);
    }
    for (int64_t slot = 0; slot < change_.slots(); ++slot)
      REQUIRE(change_.placement[slot] < 0 ||
              memory_[static_cast<size_t>(slot)] == change_.placement[slot]);
    REQUIRE(buffers_.empty());
    return last;
  }

 private:
  using ll = long long;

  void check_links(const std::vector<int64_t>& slots) const {
    std::vector<int64_t> senders, receivers;
    for (const int64_t slot : slots) {
      if (!change_.is_link(slot)) continue;
      senders.push_back(change_.gpus.of(change_.source[slot]));
      receivers.push_back(change_.gpus.of(slot));
    }
    if (change_.order == EPLB_TRANSFER_EXCLUSIVE)
      senders.insert(senders.end(), receivers.begin(), receivers.end());
    for (auto* gpus : {&senders, &receivers}) {
      std::sort(gpus->begin(), gpus->end());
      REQUIRE(std::adjacent_find(gpus->begin(), gpus->end()) == gpus->end());
    }
  }
  // What arrives in a slot.
  int64_t read(int64_t slot, const std::vector<int64_t>& together) {
    const int64_t source = change_.source[slot];
    if (source < 0) return change_.placement[slot];
    if (!change_.in_place()) return change_.current[source];
    const auto buffer = buffers_.find(change_.group[slot]);
    if (written_.contains(source)) {
      REQUIRE(buffer != buffers_.end() && buffer->second.first == source);
      const int64_t saved = buffer->second.second;
      buffers_.erase(buffer);
      return saved;
    }
    REQUIRE(std::find(together.begin(), together.end(), source) == together.end());
    return memory_[static_cast<size_t>(source)];
  }
  void run_round(const std::vector<int64_t>& slots) {
    std::vector<int64_t> arrived;
    for (const int64_t slot : slots) arrived.push_back(read(slot, slots));
    for (size_t i = 0; i < slots.size(); ++i) {
      const int64_t slot = slots[i], group = change_.group[slot];
      int64_t& held = memory_[static_cast<size_t>(slot)];
      if (group >= 0 && !begun_.contains(group)) buffers_[group] = {slot, held};
      if (group >= 0) begun_[group] = true;
      written_[slot] = true;
      held = arrived[i];
    }
  }

  const Change& change_;
  std::vector<int64_t> memory_;
  std::map<int64_t, bool> written_, begun_;                 // slots; cycles
  std::map<int64_t, std::pair<int64_t, int64_t>> buffers_;  // by cycle: slot and what it held
};

int64_t moves_of(const Change& change) {
  int64_t moves = 0;
  for (int64_t slot = 0; slot < change.slots(); ++slot) {
    const int64_t expert = change.placement[slot], gpu = change.gpus.of(slot);
    const int64_t* const first = change.placement + gpu * change.gpus.places;
    const bool again = std::find(first, change.placement + slot, expert) != change.placement + slot;
    moves += expert >= 0 && !again && !change.holds(gpu, expert);
  }
  return moves;
}

int64_t largest(const std::vector<int64_t>& values) {
  return *std::max_element(values.begin(), values.end());
}

// What GPUs do in a layer.
struct Links {
  std::vector<int64_t> sent, received, both;
  int64_t reloads = 0, between_nodes = 0;

  explicit Links(const Change& change)
      : sent(change.gpus.open.size()), received(sent.size()), both(sent.size()) {
    for (int64_t slot = 0; slot < change.slots(); ++slot) {
      reloads += change.source[slot] == -2;
      if (!change.is_link(slot)) continue;
      const auto from = static_cast<size_t>(change.gpus.of(change.source[slot]));
      const auto to = static_cast<size_t>(change.gpus.of(slot));
      between_nodes += change.gpus.node[from] != change.gpus.node[to];
      ++sent[from], ++received[to], ++both[from], ++both[to];
    }
  }
};

// No order takes more rounds than it says.
void check_rounds(const Links& links, eplb_transfer_order order, int64_t rounds) {
  const int64_t both = largest(links.both);
  if (order == EPLB_TRANSFER_BUFFERED)
    REQUIRE(rounds == std::max(largest(links.sent), largest(links.received)));
  if (order == EPLB_TRANSFER_EXCLUSIVE) REQUIRE(rounds >= both && rounds <= 3 * both / 2);
}

// Returns its moves.
int64_t add_layer(const Change& change, MoveFigures& figures) {
  for (int64_t slot = 0; slot < change.slots(); ++slot) check_slot(change, slot);
  const int64_t rounds = Simulation(change).run(), moves = moves_of(change);
  const Links links(change);
  check_rounds(links, change.order, rounds);
  figures.reloads += links.reloads;
  figures.between_nodes += links.between_nodes;
  figures.most_sent = std::max(figures.most_sent, largest(links.sent));
  figures.most_received = std::max(figures.most_received, largest(links.received));
  figures.rounds += rounds;
  figures.moves += moves;
  figures.layers_changed +=
      !std::equal(change.current, change.current + change.slots(), change.placement);
  return moves;
}

}  // namespace

MoveFigures carry_out(const std::vector<int64_t>& current, const std::vector<int64_t>& placement,
                      const TransferMaps& maps, const Gpus& gpus, eplb_transfer_order order,
                      std::vector<int64_t>* counts) {
  MoveFigures figures;
  const auto slots = static_cast<size_t>(gpus.count() * gpus.places);
  for (size_t first = 0; first < placement.size(); first += slots) {
    const Change change{&current[first],
                        &placement[first],
                        &maps.source[first],
                        &maps.round[first],
                        &maps.group[first],
                        gpus,
                        order};
    const int64_t moves = add_layer(change, figures);
    if (counts) counts->push_back(moves);
  }
  return figures;
}

void check_report(const MoveFigures& figures, const eplb_report& report) {
  REQUIRE(report.layers_changed == figures.layers_changed);
  REQUIRE(report.moves == figures.moves);
  REQUIRE(report.moves_between_nodes == figures.between_nodes);
  REQUIRE(report.reloads == figures.reloads);
  REQUIRE(report.rounds == figures.rounds);
  REQUIRE(report.most_sent == figures.most_sent);
  REQUIRE(report.most_received == figures.most_received);
}

}  // namespace eplb::fuzz
