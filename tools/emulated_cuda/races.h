// What a watch for races needs to know of the block that runs.
#pragma once

namespace emulated {

struct RaceWatch {
  int lane = 0;        // that runs
  unsigned epoch = 1;  // grows with every barrier of the warp
  bool on = false;     // while a block of one warp runs: others are not watched
};
extern RaceWatch race_watch;

}  // namespace emulated
