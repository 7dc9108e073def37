// What gpu_bench measured, as Markdown and as tab-separated values.
#pragma once

#include <string>
#include <vector>

#include "gpu_subject.h"

namespace bench {

struct Arguments {
  int replays = 200;
  double seconds = 0.2, budget = 1e9;
  bool profile = false;
  std::vector<Trace> traces;
  std::string only, markdown, tsv, commit = "not stated", machine = "not stated";
};

// What is asked of a GPU, in microseconds; 0: nothing is.
struct Row {
  Candidate candidate;
  Shape shape;
  double aim = 0;
  bool one_layer = false;
  std::vector<double> replay{}, known{}, in_a_row{}, host{}, one_thread{}, all_threads{};
  Stages stages{};
  std::vector<double> imbalances{}, gaps{};
  int layers = 0;
  std::string fault{};  // why there is nothing
  int64_t bytes_in = 0, bytes_out = 0, context_bytes = 0;
};

std::string problem_name(const Row& row);

std::string heading(const Arguments& arguments);
const char* times_heading();
std::string times(const Row& row);  // a row of the table below that heading
std::string stages(const std::vector<Row>& rows);

std::string tsv(const std::vector<Row>& rows);

}  // namespace bench
