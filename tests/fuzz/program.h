// The calls that an input stands for: a step makes one call, with what belongs to it, and checks
// its answer.
#pragma once

#include <memory>

#include "bytes.h"
#include "draw.h"
#include "subject.h"

namespace eplb::fuzz {

// Filled by the library's _init functions.
struct Defaults {
  eplb_problem problem;
  eplb_solve_options options;
  eplb_split_options split_options;
  eplb_static_dispatch_options dispatch_options;
  eplb_report report;
};
const Defaults& defaults();

struct Program {
  explicit Program(std::span<const uint8_t> data) : bytes(data) {}

  Bytes bytes;
  Shape shape;
  std::unique_ptr<Subject> subjects[2];
  size_t chosen = 0;
  int64_t work = 0;  // what solves have cost, in slots times chains

  Subject& subject() { return *subjects[chosen]; }
  // Makes the call of a step, disturbed as the next byte says. Did it succeed?
  bool make(Wanted wanted, Call function, std::initializer_list<Output> outputs,
            const Subject::Body& body) {
    subject().disturb(draw_disturbance(bytes));
    return subject().call_as(wanted, function, outputs, body);
  }
  // Of the shape's problem, with the cluster if it fits.
  Gpus gpus() {
    const eplb_problem problem = problem_of(shape, defaults().problem);
    const KnownCluster& cluster = subject().known.cluster;
    return gpus_of(cluster.gpus == shape.gpus ? cluster : KnownCluster{}, problem);
  }
};

// Of any size.
Sized<eplb_problem> draw_sized_problem(Program& program);
Sized<eplb_solve_options> draw_sized_options(Program& program, const eplb_problem& problem);

// Of an array of `length` elements, which more must not be read of: another one fits no layers.
int64_t draw_wrong_length(Bytes& bytes, int64_t length, int64_t slots);

void create(Program& program);

// Uploads.
void upload_weights(Program& program);
void upload_cluster(Program& program);
void upload_prices(Program& program);
void upload_window_weights(Program& program);
void upload_placement(Program& program);

// What solves, and what can be read then.
void solve(Program& program);
void solve_alone(Program& program);
void fetch(Program& program);
void map_shape(Program& program);
void report(Program& program);
void fingerprint(Program& program);
void check_all(Program& program);

// What judges placements from anywhere.
void evaluate(Program& program);
void evaluate_windows(Program& program);
void plan_transfers(Program& program);

// What splits tokens over placements.
void prepare_split(Program& program);
void split(Program& program);
void dispatch(Program& program);

// The rest.
void reserve(Program& program);
void synchronize(Program& program);
void interrupt(Program& program);
void device_calls(Program& program);
void information(Program& program);
void initialise(Program& program);
void strange_contexts(Program& program);

void run(Program& program);

}  // namespace eplb::fuzz
