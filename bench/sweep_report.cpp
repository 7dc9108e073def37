#include "sweep_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "sweep_weights.h"

namespace bench {
namespace {

std::string row(const Sweep& sweep, const Finding& finding, const std::string& first) {
  size_t cheap = finding.step.from, costly = finding.step.to;
  if (sweep.nanoseconds[cheap] > sweep.nanoseconds[costly]) std::swap(cheap, costly);
  char text[512];
  std::snprintf(text, sizeof text, "| %s | %.1f | %s | %.0f | %s | %.0f |\n", first.c_str(),
                finding.ratio, to_string(sweep.grid[cheap]).c_str(), sweep.nanoseconds[cheap],
                to_string(sweep.grid[costly]).c_str(), sweep.nanoseconds[costly]);
  return text;
}

std::string header(const std::string& first) {
  return "| " + first +
         " | ratio | cheaper shape | ns per slot | costlier shape | ns per slot |\n"
         "|---|---|---|---|---|---|\n";
}

// How many steps above the limit each reason explains, and the largest of them.
std::string known_steps(const Sweep& sweep, double limit) {
  std::map<const KnownStep*, std::pair<size_t, Finding>> by_reason;
  for (const Finding& finding : sweep.steps)
    if (finding.ratio > limit && finding.known)
      by_reason.emplace(finding.known, std::pair{0, finding}).first->second.first++;
  std::string rows;
  for (const auto& [known, entry] : by_reason)
    rows += row(sweep, entry.second, known->reason + (" | " + std::to_string(entry.first)));
  return rows;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

}  // namespace

std::string heading(const std::string& commit) {
  char backend[256] = "";
  eplb_backend_info(EPLB_DEVICE_CPU, nullptr, backend, sizeof backend, nullptr);
  std::ostringstream out;
  out << "# Time per slot from shape to shape\n\n"
      << "- machine: " << processor() << "; one thread\n"
      << "- library: libeplb " << eplb_version_string() << ", commit " << commit << "; " << backend
      << "\n"
      << "- compiled by " << EPLB_BENCH_COMPILER << ", library " << EPLB_BENCH_FLAGS << "\n"
      << "- shapes are written experts -> slots/GPUs\n"
      << "- time: a call for " << kLaws * kLayersOfEachLaw << " layers (" << kLaws << " above "
      << kFewSlots << " slots) from even to steep, per layer and slot, the median\n"
      << "- a step: two shapes that differ by one notch of one parameter\n\n";
  return out.str();
}

std::string table(const Sweep& sweep, double limit) {
  constexpr size_t kMostRows = 40;
  const std::vector<Finding> cliffs = cliffs_of(sweep, limit);
  const std::string known = known_steps(sweep, limit);
  int most_slots = 0;
  for (const GridShape& shape : sweep.grid) most_slots = std::max(most_slots, shape.slots());
  std::ostringstream out;
  out << "## " << title(sweep.kind) << "\n\n"
      << sweep.grid.size() << " shapes of up to " << most_slots << " slots, " << sweep.steps.size()
      << " steps, in " << std::lround(sweep.seconds) << " s. A slot of " << to_string(kReference)
      << " takes " << std::lround(sweep.reference) << " ns. Steps above " << limit
      << " without a known reason: " << cliffs.size() << ".\n\n";
  if (!cliffs.empty()) out << header("step of");
  for (size_t i = 0; i < std::min(kMostRows, cliffs.size()); i++)
    out << row(sweep, cliffs[i], cliffs[i].step.parameter);
  if (!cliffs.empty()) out << "\n";
  if (!known.empty())
    out << "The largest step of each known reason:\n\n"
        << "| reason | steps | ratio | cheaper shape | ns per slot | costlier shape | ns per slot "
           "|\n"
        << "|---|---|---|---|---|---|---|\n"
        << known << "\n";
  return out.str();
}

std::string extremes_header(double most_seconds) {
  std::ostringstream out;
  out << "## At the limits\n\n"
      << "Seconds of processor time for one layer; above " << most_seconds
      << " they are stopped. The report is that of the plan, with the simple bound.\n\n"
      << "| call | shape | weights | call | report |\n|---|---|---|---|---|\n";
  return out.str();
}

std::string row(const Extreme& extreme, double most_seconds) {
  const auto text = [&](const std::optional<double>& seconds) {
    char number[64];
    std::snprintf(number, sizeof number, seconds ? "%.2f" : "**above %.0f**",
                  seconds.value_or(most_seconds));
    return std::string(number);
  };
  std::string line = "| " + title(extreme.kind) + " | " + to_string(extreme.of.shape) + " | " +
                     law_name(extreme.of.law) + " | " + text(extreme.call_seconds) + " | ";
  if (extreme.has_report && extreme.call_seconds) line += text(extreme.report_seconds);
  return line + " |\n";
}

std::string all_times(const std::vector<Sweep>& sweeps) {
  std::ostringstream out;
  out << "kind\texperts\tslots\tgpus\tnodes\tgroups\tns_per_slot\n";
  for (const Sweep& sweep : sweeps) {
    for (size_t i = 0; i < sweep.grid.size(); i++) {
      const GridShape& s = sweep.grid[i];
      out << title(sweep.kind) << "\t" << s.experts << "\t" << s.slots() << "\t" << s.gpus << "\t"
          << s.nodes << "\t" << s.groups << "\t" << sweep.nanoseconds[i] << "\n";
    }
  }
  return out.str();
}

}  // namespace bench
