#include "calls.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <initializer_list>

namespace eplb::fuzz {
namespace {

// Statuses as bits.
constexpr uint32_t set_of(std::initializer_list<eplb_status> statuses) {
  uint32_t set = 0;
  for (const eplb_status status : statuses) set |= uint32_t{1} << status;
  return set;
}

// What its comment in eplb.h adds to success and EPLB_INVALID_ARGUMENT.
struct Row {
  const char* name;
  uint32_t may = 0;
};

constexpr uint32_t kNoDevice = set_of({EPLB_NOT_BUILT, EPLB_NO_DRIVER, EPLB_NO_DEVICE});
constexpr uint32_t kNoPlan = set_of({EPLB_INVALID_STATE, EPLB_UNAVAILABLE});

constexpr Row kRows[] = {
    {"eplb_abi_version"},
    {"eplb_version_string"},
    {"eplb_status_name"},
    {"eplb_backend_init"},
    {"eplb_backend_info"},
    {"eplb_device_count", set_of({EPLB_NOT_BUILT, EPLB_NO_DRIVER})},
    {"eplb_device_name", kNoDevice},
    {"eplb_context_options_init"},
    {"eplb_context_create", kNoDevice},
    {"eplb_context_destroy"},
    {"eplb_context_interrupt"},
    {"eplb_context_synchronize"},
    {"eplb_context_reserve", set_of({EPLB_UNAVAILABLE})},
    {"eplb_upload_weights", set_of({EPLB_INVALID_WEIGHT})},
    {"eplb_upload_weights_device"},
    {"eplb_upload_cluster"},
    {"eplb_upload_prices"},
    {"eplb_upload_window_weights"},
    {"eplb_upload_placement", set_of({EPLB_INVALID_PLACEMENT})},
    {"eplb_upload_placement_device"},
    {"eplb_problem_init"},
    {"eplb_solve_options_init"},
    {"eplb_solve",
     set_of({EPLB_INVALID_STATE, EPLB_UNAVAILABLE, EPLB_INVALID_WEIGHT, EPLB_INVALID_PLACEMENT})},
    {"eplb_solve_device"},
    {"eplb_map_shape", kNoPlan},
    {"eplb_fetch_map", kNoPlan},
    {"eplb_fetch_map_device"},
    {"eplb_fingerprint", set_of({EPLB_INVALID_STATE})},
    {"eplb_report_init"},
    {"eplb_fetch_report", set_of({EPLB_INVALID_STATE})},
    {"eplb_evaluate", set_of({EPLB_INVALID_STATE, EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
    {"eplb_evaluate_windows",
     set_of({EPLB_INVALID_STATE, EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
    {"eplb_plan_transfers", set_of({EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
    {"eplb_split_options_init"},
    {"eplb_split_prepare", set_of({EPLB_INVALID_STATE, EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
    {"eplb_split_prepare_device"},
    {"eplb_split", set_of({EPLB_INVALID_STATE, EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
    {"eplb_split_device"},
    {"eplb_static_dispatch_options_init"},
    {"eplb_static_dispatch",
     set_of({EPLB_INVALID_STATE, EPLB_INVALID_PLACEMENT, EPLB_UNAVAILABLE})},
};
static_assert(sizeof kRows / sizeof *kRows == static_cast<size_t>(Call::kCount));

constexpr int kStatuses = 31;
std::array<std::atomic<int64_t>, std::size(kRows)> counts;
std::array<std::array<std::atomic<int64_t>, kStatuses>, std::size(kRows)> answers;

size_t row_of(Call call) { return static_cast<size_t>(call); }

}  // namespace

const char* name_of(Call call) { return kRows[row_of(call)].name; }

void note(Call call, int64_t times) {
  counts[row_of(call)].fetch_add(times, std::memory_order_relaxed);
}

void note_answer(Call call, eplb_status status) {
  note(call);
  if (status >= 0 && status < kStatuses)
    answers[row_of(call)][static_cast<size_t>(status)].fetch_add(1, std::memory_order_relaxed);
}

int64_t calls_so_far() {
  int64_t sum = 0;
  for (const auto& count : counts) sum += count.load(std::memory_order_relaxed);
  return sum;
}

bool may_return(Call call, eplb_status status) {
  constexpr uint32_t kAlways = set_of({EPLB_OK, EPLB_INVALID_ARGUMENT});
  return status >= 0 && status < kStatuses &&
         ((kRows[row_of(call)].may | kAlways) >> status & 1) != 0;
}

std::string table_of_calls() {
  std::string table;
  char line[128];
  for (size_t row = 0; row < std::size(kRows); ++row) {
    std::snprintf(line, sizeof line, "%12lld %s", static_cast<long long>(counts[row].load()),
                  kRows[row].name);
    table += line;
    for (int status = 0; status < kStatuses; ++status) {
      const int64_t seen = answers[row][static_cast<size_t>(status)];
      if (seen == 0) continue;
      std::snprintf(line, sizeof line, " %s %lld", eplb_status_name(status) + 5,
                    static_cast<long long>(seen));
      table += line;
    }
    table += '\n';
  }
  return table;
}

}  // namespace eplb::fuzz
