// Lower bounds on a layer's largest GPU load: what no placement can beat.
#pragma once

#include <cstdint>
#include <vector>

namespace eplb {

// The largest of: the mean load; the largest replica when every extra goes to the largest weight per replica (Jefferson,
// D'Hondt: no counts make it smaller); and pigeonhole arguments about large replicas that must meet on a GPU. In doubles, in
// a fixed order, made smaller by 2^-40 so that no rounding lifts it above the optimum. Holds for every placement, ones with
// duplicates on a GPU too.
double simple_bound(const std::vector<double>& weights, int64_t slots, int64_t gpus);

// With two slots per GPU a closer one, and slower; else the simple one. From Hall's condition on
// which replicas may share a GPU, relaxed.
double threshold_bound(const std::vector<double>& weights, int64_t slots, int64_t gpus);

// Under a hierarchical policy: whole groups on nodes, as many on each, whatever the placement. No way to do that makes the
// heaviest node's mean load less than this. 0 if the ways are too many to be gone through.
double node_bound(const std::vector<double>& weights, int64_t gpus, int64_t nodes, int64_t groups);

}  // namespace eplb
