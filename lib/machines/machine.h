// The seam: what a session asks of the machine that does its work. Everything that crosses it was
// checked before.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/evaluation.h"
#include "core/interrupt.h"
#include "core/maps.h"
#include "core/move_shares.h"
#include "core/placement.h"
#include "core/plan.h"
#include "core/split.h"
#include "core/static_dispatch.h"
#include "core/tables.h"
#include "core/weights.h"
#include "eplb.h"

namespace eplb {

struct MachineFacts {
  eplb_backend backend{};
  std::string sentence;  // why it can or cannot be used
};

// Calls come one at a time, on values in host memory, and return finished; or they throw what
// `interrupt` throws, before anything of the machine or of the caller has become known.
class Machine {
 public:
  virtual ~Machine() = default;

  // A machine that leaves work to another one shares it with that.
  std::shared_ptr<Interrupt> interrupt = std::make_shared<Interrupt>();

  // Takes memory such that solves of problems up to this one allocate nothing, and calls `then`
  // before anything is given up for it. If that throws, or this does, no value has changed.
  virtual void reserve(const Problem& problem, const std::function<void()>& then) = 0;

  // Fills the maps of a plan whose problem is set, its current placement in host memory.
  // `resident`: these weights lie in the machine's own memory. Returns whether weights, current
  // placement and plan do now.
  virtual bool solve(const Weights& weights, bool resident, Plan& plan) = 0;

  // Works out parts of an evaluation of a placement [L,S]; `evaluation` has the size, the parts
  // become known. `resident`: as of solve.
  virtual void evaluate(const Weights& weights, bool resident, const Problem& problem,
                        const int32_t* placement, EvaluationParts parts,
                        Evaluation& evaluation) = 0;

  // Works out parts of the figures of every window, kLoads and kBounds, of a placement [L,S];
  // `figures` has the size, the parts become known.
  virtual void evaluate_windows(const Weights& weights, const Problem& problem,
                                const int32_t* placement, EvaluationParts parts,
                                WindowFigures& figures) = 0;

  // Works out what moves are worth to each layer; `paths` has the size. `resident`: as of solve.
  virtual void find_paths(const Weights& weights, bool resident, const Problem& problem,
                          MovePaths& paths) = 0;

  // Works out how the current placement of the problem becomes this one [L,S]; `transfers` has the
  // size and becomes known.
  virtual void plan_transfers(const Problem& problem, const int32_t* placement,
                              Transfers& transfers) = 0;

  // Makes what splits over a placement need, whose problem and experts are set.
  virtual void prepare_split(SplitPlacement& over) = 0;
  // Splits tokens; `split` has the size. tolerance: in kToleranceUnits.
  virtual void split(const Weights& weights, SplitPlacement& over, int tolerance, Split& split) = 0;
  // Works out parts of the figures of a split of these weights; `evaluation` has the size, the
  // parts become known.
  virtual void evaluate_split(const Weights& weights, SplitPlacement& over, const Split& split,
                              SplitParts parts, SplitEvaluation& evaluation) = 0;
  // Lets each rank use one slot of each expert; `dispatch` has its problem, that of the placement
  // with limits, and the size.
  virtual void dispatch(const Weights& weights, SplitPlacement& over, StaticDispatch& dispatch) = 0;

  virtual int64_t bytes() const = 0;
};

// A machine with memory of its own, of which a part is reserved for calls that come on streams:
// those neither wait nor allocate, and what they leave there is brought to the host when a host
// call needs it.
class StreamMachine : public Machine {
 public:
  // In the order of `stream`. They throw InvalidState beyond what was reserved. The current
  // placement of a problem is the one in reserved memory.
  virtual void upload_on(const WeightSource& source, void* stream) = 0;
  virtual void upload_on(const PlacementSource& source, void* stream) = 0;
  virtual void solve_on(const Problem& problem, bool integer, void* stream) = 0;
  virtual void fetch_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                        void* buffer, void* stream) = 0;

  virtual void wait() = 0;  // until all work on streams is done
  // Was work captured, so that it may be repeated without a call?
  virtual bool replays() const = 0;
  virtual void throw_fault() = 0;     // what only the data could show, once
  virtual double microseconds() = 0;  // of the last solve on a stream; 0 if it was captured

  // Tables of the problems to come, into the machine's own memory. If it throws, those before
  // stay.
  virtual void send(const Tables& tables) = 0;

  // Host weights into reserved memory, if they fit: false if not. `prepare_send` does all that may
  // fail for want of memory.
  virtual bool prepare_send(int64_t layers, int64_t experts) = 0;
  virtual void send(const Weights& weights) = 0;
  // Of the size and type that they have. How many windows are known apart is found there.
  virtual void bring(Weights& weights) = 0;
  // Does reserved memory have room for the windows of such weights?
  virtual bool keeps_windows(const Weights& weights) const = 0;
  // The same for the current placement.
  virtual bool send(const CurrentPlacement& current) = 0;
  virtual void bring(CurrentPlacement& current) = 0;
  virtual const int32_t* current() const = 0;  // where it lies
  // Of the problem that it has. False if that is not what is there: its solve may have been
  // captured and never launched.
  virtual bool bring(Plan& plan) = 0;

  // Takes memory for splits over a placement, and sends that there. Where there is as much already,
  // it stays in place.
  virtual void send(const SplitPlacement& over) = 0;
  // In the order of `stream`; InvalidState beyond what was taken. placement [L,S]: in the machine's
  // memory, null for the plan in reserved memory.
  virtual void prepare_split_on(const Problem& problem, const void* placement, eplb_dtype dtype,
                                void* stream) = 0;
  virtual void split_on(const Problem& problem, bool integer, int tolerance, void* stream) = 0;
  virtual void fetch_split_on(const Problem& problem, bool integer, eplb_map map, eplb_dtype dtype,
                              void* buffer, void* stream) = 0;
  // The experts [L,S] of a placement whose problem is set, and the split that was made last.
  virtual void bring(SplitPlacement& over, Split& split) = 0;

  // In a process forked from the context's: forgets the device without a call to it.
  virtual void abandon() = 0;
};

namespace cpu {
MachineFacts facts();
std::string device_name();
std::unique_ptr<Machine> make_machine(int64_t num_threads);
}  // namespace cpu

// Either machines/cuda or machines/no_cuda defines these.
namespace cuda {
MachineFacts facts();
std::string device_name(int index);
std::unique_ptr<Machine> make_machine(int index);
}  // namespace cuda

}  // namespace eplb
