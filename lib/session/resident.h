// A value in host memory, in the memory of a machine, or in both.
#pragma once

#include <utility>

namespace eplb {

// A new value is written into a spare one and exchanged on success, so that a failed call changes
// nothing; and the next of the same size allocates nothing.
template <class Value> class Resident {
 public:
  bool exists() const { return on_host_ || on_machine_; }
  bool on_host() const { return on_host_; }
  bool on_machine() const { return on_machine_; }

  const Value& host() const { return value_; }
  Value& host() { return value_; }
  Value& spare() { return spare_; }

  // Takes all the memory that keeping the spare one will need.
  void prepare_keep() { value_.reserve(spare_); }
  // What was written into the spare one is the value now, and nowhere else.
  void keep_spare() {
    prepare_keep();
    std::swap(value_, spare_);
    on_host_ = true;
    on_machine_ = false;
  }
  // The spare one holds what was brought from the machine.
  void keep_brought() {
    keep_spare();
    on_machine_ = true;
  }
  void set_on_machine(bool there) { on_machine_ = there; }
  void only_on_machine() {
    on_host_ = false;
    on_machine_ = true;
  }
  void forget() { on_host_ = on_machine_ = false; }
  void take(Value&& value, Value&& spare) {
    value_ = std::move(value);
    spare_ = std::move(spare);
    forget();
  }
  int64_t bytes() const { return value_.bytes() + spare_.bytes(); }

 private:
  Value value_, spare_;
  bool on_host_ = false, on_machine_ = false;
};

}  // namespace eplb
