#include "gpu_report.h"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <thread>

#include "program.h"

namespace bench {
namespace {

constexpr double kHostAim = 60;  // microseconds that the way from and to the host may add

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto nth = values.begin() + ptrdiff_t(q * double(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / double(values.size());
}

std::string cell(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Bold where the aim is reached.
std::string against(double value, double aim) {
  if (aim == 0) return cell("%.1f", value);
  return value <= aim ? cell("**%.1f**", value) : cell("%.1f", value);
}

}  // namespace

std::string problem_name(int layers, Shape shape) {
  std::ostringstream out;
  out << layers << (layers == 1 ? " layer, " : " layers, ") << shape.slots << "/" << shape.gpus;
  if (shape.nodes > 1) out << ", " << shape.groups << " groups on " << shape.nodes << " nodes";
  return out.str();
}

const char* times_heading() {
  return "| problem | strategy | device to device, us (quartiles) | aim | in a row, each | until "
         "the host knows | host to host | more than device to device | CPU, 1 thread | CPU, all "
         "threads | 1 thread / GPU | "
         "imbalance | gap |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
}

std::string times(const Row& row) {
  if (!row.fault.empty())
    return "| " + problem_name(row.layers, row.shape) + " | " + row.candidate.name + " | " +
           row.fault + " | | | | | | | | | | |\n";
  const double device = median(row.replays.each), host = median(row.host);
  std::ostringstream out;
  out << "| " << problem_name(row.layers, row.shape) << " | " << row.candidate.name << " | "
      << against(device, row.aim) << cell(" (%.1f", quantile(row.replays.each, 0.25))
      << cell(" to %.1f)", quantile(row.replays.each, 0.75)) << " | "
      << (row.aim == 0 ? "-" : cell("%.0f", row.aim)) << " | "
      << cell("%.1f", median(row.replays.in_a_row)) << " | "
      << cell("%.1f", median(row.replays.known)) << " | " << cell("%.1f", host) << " | "
      << against(host - device, kHostAim) << " | " << cell("%.0f", median(row.one_thread)) << " | "
      << cell("%.0f", median(row.all_threads)) << " | "
      << cell("%.1f", median(row.one_thread) / device) << " | "
      << cell("%.4f", mean(row.imbalances)) << " | " << cell("%.3f %%", 100 * mean(row.gaps))
      << " |\n";
  return out.str();
}

std::string stages(const std::vector<Row>& rows) {
  if (rows.empty()) return "";
  std::ostringstream out;
  out << "\n## Where the time goes\n\n"
      << "Each stage alone, not captured, by events around it: their own cost of a microsecond or "
         "two is in every figure,\n"
         "and so is the time between launches of one call.\n\n"
      << "| problem | strategy | upload, us | solve | fetch of physical_to_logical | fetch of "
         "logical_to_physical | "
         "weights in, bytes | map out, bytes | context |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const Row& row : rows)
    if (row.fault.empty())
      out << "| " << problem_name(row.layers, row.shape) << " | " << row.candidate.name << " | "
          << cell("%.1f", median(row.stages.upload)) << " | "
          << cell("%.1f", median(row.stages.solve)) << " | "
          << cell("%.1f", median(row.stages.fetch)) << " | "
          << cell("%.1f", median(row.stages.fetch_logical_to_physical)) << " | " << row.bytes_in
          << " | " << row.bytes_out << " | "
          << cell("%.2f MiB |\n", double(row.context_bytes) / (1 << 20));
  out << "\nRegisters, shared memory and spills of every kernel: `cuobjdump --dump-resource-usage "
         "libeplb.so`, which\n"
         "`./dev gpu` writes to build.log. Occupancy and what moved through memory, by the "
         "hardware's counters:\n"
      << "`ncu --profile-from-start off eplb_gpu_bench --profile`, which `./dev gpu` puts below.\n";
  return out.str();
}

const char* splits_heading() {
  return "\n## Splits\n\n"
         "Tokens of a trace, split over placements of the trace before it (of one trace alone: "
         "each "
         "layer over the placement of the next).\n"
         "Weights, placement and shares are in device memory; a replay is upload, split and fetch "
         "of "
         "shares. The CPU does the same from and to host memory.\n\n"
         "| problem | strategy, of the placement | device to device, us (quartiles) | per layer | "
         "in a row, each | "
         "until the host knows | CPU, 1 thread | 1 thread / GPU | imbalance | gap |\n"
         "|---|---|---|---|---|---|---|---|---|---|\n";
}

std::string times(const SplitRow& row) {
  const std::string begin = "| " + problem_name(row.layers, row.shape) + " | " + row.name() + " | ";
  if (!row.fault.empty()) return begin + row.fault + " | | | | | | | |\n";
  const Replays& replays = row.replays;
  const double device = median(replays.each), thread = median(row.one_thread);
  std::ostringstream out;
  out << begin << cell("%.1f", device) << cell(" (%.1f", quantile(replays.each, 0.25))
      << cell(" to %.1f)", quantile(replays.each, 0.75)) << " | "
      << cell("%.2f", device / row.layers) << " | " << cell("%.1f", median(replays.in_a_row))
      << " | " << cell("%.1f", median(replays.known)) << " | " << cell("%.1f", thread) << " | "
      << cell("%.1f", thread / device) << " | " << cell("%.4f", mean(row.imbalances)) << " | "
      << cell("%.4f %%", 100 * mean(row.gaps)) << " |\n";
  return out.str();
}

std::string stages(const std::vector<SplitRow>& rows) {
  if (rows.empty()) return "";
  std::ostringstream out;
  out << "\nEach call alone, not captured; the last columns are of the host's clock.\n\n"
      << "| problem | strategy, of the placement | upload, us | prepare | split | split, per layer "
         "| fetch of "
         "shares "
         "| prepare on the host and send | CPU, 1 thread: prepare | its split | its split, per "
         "layer |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const SplitRow& row : rows) {
    if (!row.fault.empty()) continue;
    const double split = median(row.stages.split), thread = median(row.thread_split);
    out << "| " << problem_name(row.layers, row.shape) << " | " << row.name();
    for (const double value : {median(row.stages.upload), median(row.stages.prepare), split})
      out << " | " << cell("%.1f", value);
    out << " | " << cell("%.2f", split / row.layers);
    for (const double value : {median(row.stages.fetch), median(row.prepare_and_send),
                               median(row.thread_prepare), thread})
      out << " | " << cell("%.1f", value);
    out << " | " << cell("%.2f", thread / row.layers) << " |\n";
  }
  return out.str();
}

std::string heading(const Arguments& arguments) {
  char gpu[128] = "", cpu[256] = "", cuda[256] = "";
  eplb_device_name(EPLB_DEVICE_CUDA, 0, gpu, sizeof gpu, nullptr);
  eplb_backend_info(EPLB_DEVICE_CPU, nullptr, cpu, sizeof cpu, nullptr);
  eplb_backend_info(EPLB_DEVICE_CUDA, nullptr, cuda, sizeof cuda, nullptr);
  std::ostringstream out;
  out << "# Speed on a GPU\n\n"
      << "- machine: " << gpu << "; " << cuda << "; " << processor() << ", "
      << std::thread::hardware_concurrency() << " threads; " << arguments.machine << "\n"
      << "- library: libeplb " << eplb_version_string() << ", commit " << arguments.commit
      << "; on the CPU it " << cpu << "\n- compiled by " << compiled_by() << "; CUDA for "
      << EPLB_BENCH_CUDA << "\n"
      << "- device to device: upload, solve and fetch of physical_to_logical as int32, captured in "
         "one graph;\n"
      << "  median of up to " << arguments.replays
      << " replays for each trace after a warm-up, by events before and behind each: the\n"
      << "  launch from the host is in it\n"
      << "- in a row: replays behind each other, without the host waiting between them; until the "
         "host knows: launch "
         "and\n"
      << "  cudaStreamSynchronize by the host's clock\n"
      << "- host to host: the same three calls on host memory; CPU: the same on a CPU context\n"
      << "- bold: the aim is reached (" << kHostAim
      << " us more from host to host)\n- weights, pooled:";
  for (const Trace& trace : arguments.traces)
    out << " " << trace.name << (&trace == &arguments.traces.back() ? "" : ",");
  out << "\n\n";
  return out.str();
}

std::string tsv(const std::vector<Row>& rows) {
  std::ostringstream out;
  for (const Row& row : rows)
    if (row.fault.empty())
      out << row.candidate.name << "\t" << row.layers << "\t" << row.shape.slots << "\t"
          << row.shape.gpus << "\t" << row.shape.nodes << "\t" << row.shape.groups << "\t"
          << median(row.replays.each) << "\t" << mean(row.imbalances) << "\n";
  return out.str();
}

}  // namespace bench
