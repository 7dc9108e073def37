#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "chance.h"
#include "fiber.h"
#include "include/emulated/warp.h"
#include "races.h"
#include "sanitizer.h"

// Dynamic shared memory of the running block. Device code declares it without a size, perhaps
// inside a function: then it belongs to the namespace around.
alignas(1024) __thread char eplb_shared[emulated::kSharedBytes];
#define EMULATED_ALIAS \
  extern __thread char eplb_shared[emulated::kSharedBytes] __attribute__((alias("eplb_shared")))
namespace eplb {
EMULATED_ALIAS;
namespace cuda {
EMULATED_ALIAS;
}
namespace solver {
EMULATED_ALIAS;
}
}  // namespace eplb
#undef EMULATED_ALIAS

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulated {

RaceWatch race_watch;

namespace {

struct Lane {
  Lane() : fiber(&Lane::run) {}
  static void run(Fiber&);

  Fiber fiber;
  uint3 index{};
  int warp = 0, number = 0;  // in the block, in the warp
  const Operation* waits_in = nullptr;
  bool exited = false;
};

struct Warp {
  int size = 0, waiting = 0, exited = 0;
  const Operation* operation = nullptr;  // that the waiting lanes wait in
  int turn = 0;
  Meeting meetings[2];  // by turns: a lane that is ahead must not write over what others still read
};

// The one block that runs. Lanes and their stacks are kept for the next.
struct Block {
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<Warp> warps;
  std::vector<Lane*> ready;
  Lane* current = nullptr;
  Fiber outside;
  int live = 0, at_barrier = 0;
  bool trapped = false;
  const std::function<void()>* body = nullptr;
};
Block& block() {
  static Block& block = *new Block;
  return block;
}

[[noreturn]] void fail(const char* format, ...) {
  std::fprintf(stderr, "emulated CUDA: block (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

[[noreturn]] void fail_to_meet(const Lane& lane, const char* where) {
  Block& b = block();
  for (int i = lane.warp * 32; i < lane.warp * 32 + b.warps[lane.warp].size; ++i) {
    const Lane& other = *b.lanes[i];
    if (&other == &lane || (!other.exited && !other.waits_in)) continue;
    fail("warp %d: lane %d %s %s while lane %d %s: on a GPU a deadlock, or undefined", lane.warp,
         lane.number, lane.exited ? "has" : "is in", where, other.number,
         other.exited ? "has exited" : (std::string("waits in ") + other.waits_in->name).c_str());
  }
  fail("warp %d: lane %d %s, alone", lane.warp, lane.number, where);
}

// Goes on with any lane that can run.
void next_lane(Fiber& from, bool for_ever) {
  Block& b = block();
  if (b.ready.empty()) fail("no lane can go on: a deadlock");
  const size_t i = chance().below(b.ready.size());
  Lane* lane = b.ready[i];
  b.ready[i] = b.ready.back();
  b.ready.pop_back();
  if (lane == b.current && !for_ever) return;
  b.current = lane;
  race_watch.lane = lane->number;
  threadIdx = lane->index;
  Fiber::change(from, lane->fiber, for_ever);
}

void arrive(const Operation& operation) {
  Block& b = block();
  Lane& lane = *b.current;
  Warp& warp = b.warps[lane.warp];
  if (warp.exited || (warp.waiting && warp.operation != &operation))
    fail_to_meet(lane, operation.name);
  warp.operation = &operation;
  ++warp.waiting;
  lane.waits_in = &operation;
}

void release(int warp_number) {
  Block& b = block();
  Warp& warp = b.warps[warp_number];
  for (int i = 0; i < warp.size; ++i) {
    b.lanes[warp_number * 32 + i]->waits_in = nullptr;
    b.ready.push_back(b.lanes[warp_number * 32 + i].get());
  }
  warp.waiting = 0;
}

void open_barrier() {
  Block& b = block();
  b.at_barrier = 0;
  for (size_t w = 0; w < b.warps.size(); ++w)
    if (b.warps[w].waiting) release(static_cast<int>(w));
}

void Lane::run(Fiber& fiber) {
  Block& b = block();
  (*b.body)();
  Lane& lane = *b.current;
  Warp& warp = b.warps[lane.warp];
  lane.exited = true;
  if (warp.waiting) fail_to_meet(lane, "exited");
  ++warp.exited;
  --b.live;
  if (b.live && b.at_barrier == b.live) open_barrier();
  if (b.live == 0) Fiber::change(fiber, b.outside, true);
  next_lane(fiber, true);
  std::abort();
}

void prepare_block(dim3 size) {
  Block& b = block();
  const unsigned count = size.x * size.y * size.z;
  while (b.lanes.size() < count) b.lanes.push_back(std::make_unique<Lane>());
  b.warps.assign((count + 31) / 32, Warp());
  b.ready.clear();
  for (unsigned i = 0; i < count; ++i) {
    Lane& lane = *b.lanes[i];
    lane.fiber.rewind();
    lane.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    lane.warp = static_cast<int>(i / 32);
    lane.number = static_cast<int>(i % 32);
    lane.waits_in = nullptr;
    lane.exited = false;
    Warp& warp = b.warps[lane.warp];
    ++warp.size;
    for (Meeting& meeting : warp.meetings) meeting.present |= 1u << lane.number;
    b.ready.push_back(&lane);
  }
  b.live = static_cast<int>(count);
  b.at_barrier = 0;
}

// What lies just behind a block's shared memory: seen to if it changes.
constexpr size_t kBehind = 1024;

void run_block(dim3 size, size_t shared_bytes) {
  Block& b = block();
  prepare_block(size);
  chance().fill(eplb_shared, std::min(shared_bytes + kBehind, kSharedBytes));
  const size_t behind = std::min(kBehind, kSharedBytes - shared_bytes);
  char before[kBehind];
  std::memcpy(before, eplb_shared + shared_bytes, behind);
  forbid(eplb_shared + shared_bytes, kSharedBytes - shared_bytes);
  b.current = nullptr;
  ++race_watch.epoch;
  race_watch.on = b.warps.size() == 1;
  next_lane(b.outside, false);
  race_watch.on = false;
  allow(eplb_shared, kSharedBytes);
  if (std::memcmp(before, eplb_shared + shared_bytes, behind) != 0)
    fail("something was written behind the %zu bytes of shared memory", shared_bytes);
}

}  // namespace

const Meeting& meet(const Operation& operation, unsigned mask, uint64_t value) {
  Block& b = block();
  Lane& lane = *b.current;
  Warp& warp = b.warps[lane.warp];
  Meeting& meeting = warp.meetings[warp.turn];
  if (mask != kFullMask)
    fail("warp %d: lane %d is in %s with the mask %08x: only the full mask is emulated", lane.warp,
         lane.number, operation.name, mask);
  arrive(operation);
  meeting.values[lane.number] = value;
  if (warp.waiting == warp.size) {
    if (operation.combine) meeting.combined = operation.combine(meeting);
    if (operation.orders_memory) ++race_watch.epoch;
    warp.turn ^= 1;
    release(lane.warp);
  }
  next_lane(lane.fiber, false);
  return meeting;
}

void meet_block(const Operation& operation) {
  Block& b = block();
  Lane& lane = *b.current;
  arrive(operation);
  if (++b.at_barrier == b.live) {
    ++race_watch.epoch;
    open_barrier();
  }
  next_lane(lane.fiber, false);
}

void yield() {
  Block& b = block();
  if (!b.current || !chance().one_in(8)) return;
  b.ready.push_back(b.current);
  next_lane(b.current->fiber, false);
}

void trap() {
  Block& b = block();
  b.trapped = true;
  Fiber::change(b.current->fiber, b.outside, true);
  std::abort();
}

int lane_index() { return block().current->number; }

long long ticks() {
  static long long now = 0;
  return now += static_cast<long long>(1 + chance().below(100));
}

bool run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& body) {
  Block& b = block();
  b.body = &body;
  b.trapped = false;
  gridDim = grid;
  blockDim = size;
  std::vector<uint64_t> order(uint64_t{grid.x} * grid.y * grid.z);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  chance().shuffle(order);
  for (const uint64_t i : order) {
    blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                static_cast<unsigned>(i / grid.x / grid.y)};
    run_block(size, shared_bytes);
    if (b.trapped) break;
  }
  b.current = nullptr;
  return !b.trapped;
}

}  // namespace emulated
