// Tokens split over a placement that was made for other loads, on a GPU and on one thread of the
// CPU, through eplb.h alone.
#pragma once

#include <string>
#include <vector>

#include "gpu_stream.h"
#include "subject.h"

namespace bench {

struct SplitTask {
  Trace tokens;
  Shape shape;
  std::vector<int32_t> placement{};  // [layers, slots]
};

// BEST's placement of `before`, or the one that it makes for splits, for the tokens of `now`.
SplitTask split_task(const Trace& before, const Trace& now, Shape shape, bool made_for_splits);

// A context with the placement prepared from host memory.
class SplitSubject {
 public:
  SplitSubject(const SplitSubject&) = delete;
  SplitSubject& operator=(const SplitSubject&) = delete;

  void prepare();
  // Of the last split.
  std::vector<int32_t> shares();
  std::vector<double> reals(eplb_map map, int64_t length);

 protected:
  SplitSubject(const SplitTask& task, eplb_device_kind kind);
  ~SplitSubject();
  void check(eplb_status status, const eplb_error& err) const;

  const SplitTask& task_;
  eplb_problem problem_;
  eplb_context* context_ = nullptr;
};

class SplitOnHost : public SplitSubject {
 public:
  explicit SplitOnHost(const SplitTask& task);

  void split();
  // What a replay on the device does: upload, split, and fetch of shares (int32) into a buffer.
  void run();

 private:
  std::vector<int32_t> shares_;
};

// Microseconds of each call alone, by events around it.
struct SplitStages {
  std::vector<double> upload{}, prepare{}, split{}, fetch{};
};

// Upload, split and fetch of shares (int32) are captured once and replayed.
class SplitOnGpu : public SplitSubject {
 public:
  explicit SplitOnGpu(const SplitTask& task);
  ~SplitOnGpu();

  GpuStream& stream() { return stream_; }
  void add_stages(SplitStages& stages);
  std::vector<int32_t> fetched() const { return shares_.read(); }

 private:
  void upload();
  void prepare_there();
  void split();
  void fetch();

  GpuStream stream_;
  GpuArray<float> weights_;
  GpuArray<int32_t> placement_, shares_;
};

}  // namespace bench
