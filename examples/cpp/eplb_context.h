// What planners in C++ need of the C API: a context that frees itself, and errors as exceptions.
#ifndef EPLB_CONTEXT_H
#define EPLB_CONTEXT_H

#include <eplb.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace eplb_example {

struct Destroy {
  void operator()(eplb_context* context) const { eplb_context_destroy(context); }
};
using Context = std::unique_ptr<eplb_context, Destroy>;

// Calls a function of the library, whose last argument is the error.
template <typename Function, typename... Arguments>
void call(Function* function, Arguments... arguments) {
  eplb_error error;
  if (function(arguments..., &error) != EPLB_OK)
    throw std::runtime_error(std::string("libeplb: ") + error.text);
}

inline Context make_context() {
  eplb_context* context = nullptr;
  call(eplb_context_create, &context, static_cast<const eplb_context_options*>(nullptr));
  return Context(context);
}

}  // namespace eplb_example

#endif
