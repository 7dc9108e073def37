#include "machines/cpu/threads.h"

#include <pthread.h>
#include <signal.h>

#include <vector>

namespace eplb::cpu {
namespace {

struct Job {
  const std::function<void(int)>& work;
  int index;
  pthread_t thread;
};

void* start(void* argument) {
  const Job& job = *static_cast<Job*>(argument);
  job.work(job.index);
  return nullptr;
}

}  // namespace

void run_workers(int count, const std::function<void(int)>& work) {
  if (count <= 1) return work(0);
  std::vector<Job> jobs;
  jobs.reserve(count - 1);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the new threads
  for (int w = 1; w < count; ++w) {
    jobs.push_back({work, w, {}});
    if (pthread_create(&jobs.back().thread, nullptr, start, &jobs.back()) != 0) {
      jobs.pop_back();
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  work(0);
  for (const Job& job : jobs) pthread_join(job.thread, nullptr);
}

}  // namespace eplb::cpu
