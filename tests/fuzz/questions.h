// What is asked about a placement that may come from anywhere.
#pragma once

#include "program.h"

namespace eplb::fuzz {

// A placement to be judged and the problem that it is judged under.
struct Question {
  Sized<eplb_problem> problem;
  eplb_problem seen;
  std::vector<int64_t> placement;
  bool of_plan;  // of the plan, and under its problem?
  std::vector<std::byte> data{};
  eplb_dtype dtype = EPLB_INT32;
  int64_t length = 0;
};
Question draw_question(Program& program);

// fits: the arguments that functions do not share.
Wanted expect_answer(const Known& known, Question& question, bool fits);

}  // namespace eplb::fuzz
