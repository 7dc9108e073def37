// The golden vectors, as vectors_text.py writes them.
#pragma once

#include <map>
#include <optional>
#include <utility>

#include "session.h"

namespace eplb::tests {

using Answer = std::map<eplb_map, std::vector<std::string>>;  // numbers as words

struct Vector {
  std::string name;
  Input in;
  std::map<std::pair<eplb_strategy, eplb_effort>, Answer> answers;
  std::string refused, refusal;  // name of the status and text; empty: it is answered
  int refused_strategy = -1;     // -1: by whichever
};

// Empty if the file cannot be read.
std::vector<Vector> read_vectors(const std::string& path);

bool answer_agrees(const Answer& answer, const plan* got);

}  // namespace eplb::tests
