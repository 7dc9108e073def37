// A value in host memory, in the memory of a machine, or in both.
#pragma once

#include <cstdint>
#include <utility>

namespace eplb {

enum Place { kNowhere, kOnHost, kOnMachine, kOnBoth };

// A new value is written into the spare one and exchanged on success, so that a failed call changes
// nothing; and the next of the same size allocates nothing. Sizes, or the problem, stand in the
// value wherever it lies.
template <class Value> struct Resident {
  Value value, spare;
  Place place = kNowhere;

  bool exists() const { return place != kNowhere; }
  bool on_host() const { return place == kOnHost || place == kOnBoth; }
  bool on_machine() const { return place == kOnMachine || place == kOnBoth; }
  // Takes all the memory that keeping the spare one will need.
  void prepare_keep() { value.reserve(spare); }
  // What was written into the spare one is the value now, and lies there.
  void keep_spare(Place new_place) {
    prepare_keep();
    std::swap(value, spare);
    place = new_place;
  }
  template <class... Size> void resize(const Size&... size) {
    value.resize(size...);
    spare.resize(size...);
  }
  int64_t bytes() const { return value.bytes() + spare.bytes(); }
};

}  // namespace eplb
