#include "machines/cpu/threads.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <vector>

namespace eplb::cpu {
namespace {

struct Layers {
  const std::function<void(int64_t, int)>& work;
  int64_t count;
  std::atomic<int64_t> next{0};

  void take(int worker) {
    for (int64_t layer; (layer = next.fetch_add(1, std::memory_order_relaxed)) < count;)
      work(layer, worker);
  }
};

struct Worker {
  Layers& layers;
  int number;
  pthread_t thread;
};

void* start(void* argument) {
  const Worker& worker = *static_cast<Worker*>(argument);
  worker.layers.take(worker.number);
  return nullptr;
}

}  // namespace

void share_layers(int workers, int64_t count, const std::function<void(int64_t, int)>& work) {
  Layers layers{work, count};
  if (workers <= 1) return layers.take(0);
  std::vector<Worker> others;
  others.reserve(workers - 1);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the new threads
  for (int w = 1; w < workers; ++w) {
    others.push_back({layers, w, {}});
    if (pthread_create(&others.back().thread, nullptr, start, &others.back()) != 0) {
      others.pop_back();
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  layers.take(0);
  for (const Worker& worker : others) pthread_join(worker.thread, nullptr);
}

}  // namespace eplb::cpu
