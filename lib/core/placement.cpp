#include "core/placement.h"

#include "core/caller_array.h"
#include "core/error.h"

namespace eplb {
namespace {

// Which placement it is, and the largest expert.
struct Ids {
  const char* name;
  int64_t most;
};

template <class T>
void copy_ids(const T* from, int64_t length, int64_t slots, const Ids& ids,
              std::vector<int32_t>& to) {
  read_pieces(from, length, [&](const T* piece, int64_t n, int64_t at) {
    for (int64_t i = 0; i < n; ++i) {
      if (piece[i] < -1 || piece[i] > ids.most)
        fail(EPLB_INVALID_PLACEMENT,
             "%s[layer %lld, slot %lld] is %lld, must be an expert from 0 to %lld, or -1 for none",
             ids.name, ll((at + i) / slots), ll((at + i) % slots), ll(piece[i]), ll(ids.most));
      to[at + i] = static_cast<int32_t>(piece[i]);
    }
  });
}

void check_pointer(const char* name, const PlacementSource& source) {
  if (source.data == nullptr) fail(EPLB_INVALID_ARGUMENT, "%s is NULL", name);
}

void read_ids(const PlacementSource& from, const Ids& ids, std::vector<int32_t>& to) {
  to.resize(static_cast<size_t>(from.length));
  if (from.dtype == EPLB_INT32)
    copy_ids(static_cast<const int32_t*>(from.data), from.length, from.slots, ids, to);
  else
    copy_ids(static_cast<const int64_t*>(from.data), from.length, from.slots, ids, to);
}

// How many groups each node has. Throws if replicas of a group are on two nodes.
std::vector<int64_t> count_groups_on_nodes(const int32_t* row, int64_t layer,
                                           const Problem& problem) {
  std::vector<int64_t> node_of_group(problem.partition.groups, -1),
      groups_on(problem.partition.nodes, 0);
  const int64_t group_size = problem.experts / problem.partition.groups;
  const int64_t node_slots = problem.cluster.slots / problem.partition.nodes;
  for (int64_t slot = 0; slot < problem.cluster.slots; ++slot) {
    if (row[slot] < 0) continue;
    const int64_t node = slot / node_slots, group = row[slot] / group_size;
    if (node_of_group[group] < 0) {
      node_of_group[group] = node;
      ++groups_on[node];
    } else if (node_of_group[group] != node) {
      fail(EPLB_INVALID_PLACEMENT,
           "placement[layer %lld, slot %lld] puts expert %d on node %lld, but its group %lld is on "
           "node %lld: hierarchical replicas stay on one node",
           ll(layer), ll(slot), row[slot], ll(node), ll(group), ll(node_of_group[group]));
    }
  }
  return groups_on;
}

void check_closed_of_layer(const int32_t* row, int64_t layer, const Cluster& cluster) {
  const int per_gpu = cluster.slots / cluster.gpus;
  for (int gpu = 0; cluster.gpu_slots && gpu < cluster.gpus; ++gpu)
    for (int slot = gpu * per_gpu + cluster.gpu_slots[gpu]; slot < (gpu + 1) * per_gpu; ++slot)
      if (row[slot] >= 0)
        fail(EPLB_INVALID_PLACEMENT,
             "placement[layer %lld, slot %d] is %d, must be -1: GPU %d has %d of %d slots open",
             ll(layer), slot, row[slot], gpu, cluster.gpu_slots[gpu], per_gpu);
}

void check_counts_of_layer(const int32_t* row, int64_t layer, const Problem& problem) {
  std::vector<int> count(problem.experts, 0);
  for (int64_t slot = 0; slot < problem.cluster.slots; ++slot)
    if (row[slot] >= 0) ++count[row[slot]];
  const int cap = problem.limits.max_replicas;
  for (int64_t e = 0; e < problem.experts; ++e) {
    if (count[e] == 0)
      fail(EPLB_INVALID_PLACEMENT, "placement[layer %lld] has no replica of expert %lld", ll(layer),
           ll(e));
    if (cap > 0 && count[e] > cap)
      fail(EPLB_INVALID_PLACEMENT,
           "placement[layer %lld] has %d replicas of expert %lld, but max_replicas is %d",
           ll(layer), count[e], ll(e), cap);
  }
}

// Closed slots hold nothing, and every expert needs a replica, at most as many as the cap allows.
// Under a hierarchical policy each group stays on one node, and all nodes have the same number of
// groups.
void check_layer(const int32_t* row, int64_t layer, const Problem& problem) {
  const std::vector<int64_t> groups_on = count_groups_on_nodes(row, layer, problem);
  check_closed_of_layer(row, layer, problem.cluster);
  check_counts_of_layer(row, layer, problem);
  const int64_t wanted = problem.partition.groups / problem.partition.nodes;
  for (int64_t n = 0; n < problem.partition.nodes; ++n)
    if (groups_on[n] != wanted)
      fail(EPLB_INVALID_PLACEMENT,
           "placement[layer %lld] has %lld groups on node %lld, must be num_groups / num_nodes = "
           "%lld",
           ll(layer), ll(groups_on[n]), ll(n), ll(wanted));
}

}  // namespace

std::vector<int32_t> read_placement(const void* placement, int64_t length, eplb_dtype dtype,
                                    const Problem& problem) {
  const int64_t slots = problem.cluster.slots;
  const PlacementSource source{placement, length, dtype, problem.layers, slots};
  check_pointer("placement", source);
  check_source(source);
  std::vector<int32_t> ids;
  read_ids(source, {"placement", problem.experts - 1}, ids);
  for (int64_t l = 0; l < problem.layers; ++l) check_layer(&ids[l * slots], l, problem);
  return ids;
}

void check_closed(const std::vector<int32_t>& placement, const Problem& problem) {
  for (int64_t l = 0; l < problem.layers; ++l)
    check_closed_of_layer(&placement[l * problem.cluster.slots], l, problem.cluster);
}

void check_source(const PlacementSource& source) {
  check_least("num_layers", source.layers, 1);
  check_least("num_slots", source.slots, 1);
  check_most("num_slots", source.slots, kMaxSlots, "2^18, the most slots there can be");
  check_most("num_layers", source.layers, (int64_t{1} << 50) / source.slots,
             "memory cannot hold more");
  if (source.dtype != EPLB_INT32 && source.dtype != EPLB_INT64)
    fail(EPLB_INVALID_ARGUMENT, "dtype is %d, must be EPLB_INT32 or EPLB_INT64 for a placement",
         source.dtype);
  const int64_t length = source.layers * source.slots;
  if (source.length != length)
    fail(EPLB_INVALID_ARGUMENT,
         "placement_length is %lld, must be num_layers * num_slots = %lld * %lld = %lld",
         ll(source.length), ll(source.layers), ll(source.slots), ll(length));
}

void read_any_placement(const char* name, const PlacementSource& source,
                        std::vector<int32_t>& ids) {
  check_pointer(name, source);
  read_ids(source, {name, kMaxSlots - 1}, ids);
}

void check_current(const CurrentPlacement& current, bool on_host, const Problem& problem) {
  if (current.layers != problem.layers || current.slots != problem.cluster.slots)
    fail(EPLB_INVALID_ARGUMENT,
         "the current placement has %lld layers of %lld slots, but the problem has %lld of %d: "
         "upload another one, or NULL to forget it",
         ll(current.layers), ll(current.slots), ll(problem.layers), problem.cluster.slots);
  for (size_t i = 0; on_host && i < current.expert.size(); ++i)
    if (current.expert[i] >= problem.experts)
      fail(EPLB_INVALID_PLACEMENT,
           "the current placement has expert %d in layer %lld, slot %lld, but there are %d experts",
           current.expert[i], ll(i) / current.slots, ll(i) % current.slots, problem.experts);
}

void check_has_current(const Problem& problem) {
  if (problem.current.expert == nullptr)
    fail(EPLB_INVALID_STATE,
         "there is no current placement: call eplb_upload_placement before eplb_solve");
}

}  // namespace eplb
