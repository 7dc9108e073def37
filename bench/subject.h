// What is measured: one strategy of libeplb, through its public header alone.
#pragma once

#include <string>
#include <vector>

#include "eplb.h"
#include "trace.h"

namespace bench {

struct Shape {
  int slots = 0;
  int gpus = 0;
  int nodes = 1;
  int groups = 1;
};

struct Candidate {
  const char* name;
  eplb_strategy strategy;
  eplb_effort effort;
};

const std::vector<Candidate>& all_candidates();

// Fills in what the candidate is asked for.
void ask(const Candidate& candidate, Shape shape, eplb_problem& problem,
         eplb_solve_options& options);

// A context that solves one shape again and again, as an engine would. Throws std::runtime_error
// with the library's words.
class Subject {
 public:
  // options NULL: the CPU, one thread.
  Subject(const Candidate& candidate, const Trace& trace, Shape shape,
          const eplb_context_options* options = nullptr);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  bool available();
  // Upload, solve, fetch of physical_to_logical as int32 into a reused buffer: the time that an
  // engine waits.
  void run();
  // The solve alone, of the weights that available() or run() uploaded.
  void solve();
  // The map that costs as much as a solve, so that nobody who does not need it should pay for it.
  void fetch_logical_to_physical();
  eplb_report report();

 private:
  void check(eplb_status status, const eplb_error& err) const;

  const Trace& trace_;
  eplb_problem problem_;
  eplb_solve_options options_;
  eplb_context* context_ = nullptr;
  std::vector<int32_t> placement_;
  std::vector<int32_t> slots_of_experts_;
};

}  // namespace bench
