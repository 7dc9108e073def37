// What gpu_bench measured, as Markdown and as tab-separated values.
#pragma once

#include <string>
#include <vector>

#include "gpu_splits.h"
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
  Replays replays{};
  std::vector<double> host{}, one_thread{}, all_threads{};
  Stages stages{};
  std::vector<double> imbalances{}, gaps{};
  int layers = 0;
  std::string fault{};  // why there is nothing
  int64_t bytes_in = 0, bytes_out = 0, context_bytes = 0;
};

// Tokens split on the GPU, and by the same calls on one thread.
struct SplitRow {
  Shape shape;
  bool made_for_splits = false, one_layer = false;
  Replays replays{};
  SplitStages stages{};
  std::vector<double> prepare_and_send{};  // from host memory on
  std::vector<double> one_thread{}, thread_split{}, thread_prepare{};
  std::vector<double> imbalances{}, gaps{};
  int layers = 0;
  std::string fault{};

  const char* name() const { return made_for_splits ? "SPLIT, BEST for splits" : "SPLIT, BEST"; }
};

std::string problem_name(int layers, Shape shape);

std::string heading(const Arguments& arguments);
const char* times_heading();
std::string times(const Row& row);  // a row of the table below that heading
std::string stages(const std::vector<Row>& rows);
const char* splits_heading();
std::string times(const SplitRow& row);
std::string stages(const std::vector<SplitRow>& rows);

std::string tsv(const std::vector<Row>& rows);

}  // namespace bench
