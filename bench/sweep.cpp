// Looks for cliffs: shapes whose call costs several times as much per slot as that of a neighbouring
// shape; and for shapes within the documented limits that take longer than 10 s per layer.
//
//     eplb_sweep [--only TEXT] [--efforts FAST,NORMAL] [--short] [--extremes] [--limit RATIO]
//                [--milliseconds T] [--markdown FILE] [--commit TEXT] [--tsv FILE]
//
// Calls of each kind (sweep_kind.h) whose title contains TEXT are made for the shapes of a grid
// (sweep_grid.h) on one thread. A step between neighbours of more than --limit (3) must be one of
// those that are known, with its reason (sweep_known.h); the exit status is 1 if there is another.
// --milliseconds is spent on each shape at least, and the median time counts. Steps near the limit
// are measured again, ten times as long, so that a busy machine raises no false alarm. --tsv writes
// the time of every shape. --extremes measures the shapes of sweep_extremes.h instead. --short, for
// continuous integration, measures both on few shapes, and fails only where a step is far beyond
// what noise explains.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "sweep_report.h"

namespace bench {
namespace {

constexpr double kMostSeconds = 10;  // of a layer at FAST, and of its report

struct Arguments {
  std::string only;
  std::vector<std::string> efforts = {"FAST", "NORMAL", "MAX"};
  bool is_short = false, extremes = false;
  SweepOptions options;
  std::string markdown, commit = "not stated", tsv;
};

eplb_effort effort_named(const std::string& name) {
  for (eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX})
    if (name == effort_name(effort)) return effort;
  throw std::runtime_error("no effort is called " + name);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

// --short: steps far beyond noise alone count, each measured again for long.
constexpr double kShortLimit = 6, kShortSlack = 2;

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "--short" || word == "--extremes") {
      (word == "--short" ? arguments.is_short : arguments.extremes) = true;
      continue;
    }
    if (i + 1 == argc) throw std::runtime_error(word + " wants a value");
    const char* value = argv[++i];
    if (word == "--only") {
      arguments.only = value;
    } else if (word == "--efforts") {
      arguments.efforts = split(value);
    } else if (word == "--limit") {
      arguments.options.limit = std::atof(value);
    } else if (word == "--milliseconds") {
      arguments.options.milliseconds = std::atof(value);
    } else if (word == "--markdown") {
      arguments.markdown = value;
    } else if (word == "--commit") {
      arguments.commit = value;
    } else if (word == "--tsv") {
      arguments.tsv = value;
    } else {
      throw std::runtime_error("unknown: " + word + " " + value);
    }
  }
  if (arguments.is_short) arguments.options = {kShortLimit, 0.3, kShortSlack};
  return arguments;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text)) throw std::runtime_error(path + " cannot be written");
}

// What is printed, and written to a file in the end.
class Output {
 public:
  void add(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    text_ += text;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

bool is_plain_best(const Kind& kind) { return kind.name == "BEST"; }

GridSize grid_of(const Kind& kind, bool is_short) {
  if (is_short) return {.dense_slots = 6, .most_slots = 300, .factor = 4, .fine_node_slots = 0};
  if (!is_plain_best(kind))
    return {.dense_slots = 16, .most_slots = 2048, .factor = 2, .fine_node_slots = 0};
  if (kind.effort == EPLB_EFFORT_MAX)
    return {.dense_slots = 64, .most_slots = 8192, .factor = 4, .fine_node_slots = 300};
  return {.dense_slots = 64, .most_slots = 16384, .factor = 2, .fine_node_slots = 300};
}

// MAX of BEST on equal GPUs alone: of the others it takes hours.
std::vector<Kind> kinds_of(const Arguments& arguments) {
  std::vector<Kind> kinds;
  const auto add = [&](const Kind& kind) {
    if (title(kind).find(arguments.only) != std::string::npos) kinds.push_back(kind);
  };
  for (const Kind& kind : all_kinds()) {
    if (!has_effort(kind)) {
      add(kind);
      continue;
    }
    for (const std::string& effort : arguments.efforts)
      if (effort != "MAX" || is_plain_best(kind)) add(at_effort(kind, effort_named(effort)));
  }
  return kinds;
}

// The number of cliffs.
size_t sweep_grids(const Arguments& arguments, Output& output) {
  std::vector<Sweep> sweeps;
  size_t cliffs = 0;
  for (const Kind& kind : kinds_of(arguments)) {
    sweeps.push_back(sweep(kind, grid_of(kind, arguments.is_short), arguments.options));
    cliffs += cliffs_of(sweeps.back(), arguments.options.limit).size();
    output.add(table(sweeps.back(), arguments.options.limit));
  }
  if (!arguments.tsv.empty()) write_file(arguments.tsv, all_times(sweeps));
  return cliffs;
}

// The number of those that take too long.
size_t go_to_limits(const Arguments& arguments, Output& output) {
  output.add(extremes_header(kMostSeconds));
  size_t late = 0;
  const auto show = [&](const Extreme& extreme) {
    output.add(row(extreme, kMostSeconds));
    late += takes_too_long(extreme);
  };
  measure_extremes(arguments.is_short ? Extremes::kFew : Extremes::kAll, arguments.only,
                   kMostSeconds, show);
  output.add("\n");
  return late;
}

int run(const Arguments& arguments) {
  Output output;
  output.add(heading(arguments.commit));
  size_t faults = 0;
  if (!arguments.extremes) faults += sweep_grids(arguments, output);
  if (arguments.extremes || arguments.is_short) faults += go_to_limits(arguments, output);
  if (!arguments.markdown.empty()) write_file(arguments.markdown, output.text());
  return faults > 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "eplb_sweep: %s\n", error.what());
    return 2;
  }
}
