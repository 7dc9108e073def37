// What the programs of this folder share: options, what a table says of machine and library, files.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Option {
  const char* name;   // without dashes
  const char* value;  // what --help calls it; nullptr: there is none
  const char* help;
  std::function<void(const char*)> take;  // throws std::runtime_error for what it does not take
};

std::function<void(const char*)> into(std::string& text);
std::function<void(const char*)> into(double& number);  // of at least 0
std::function<void(const char*)> into(int& number);     // whole, of at least 0
std::function<void(const char*)> into(bool& chosen);

// Returns the operands, in order. about: what the program does, which --help prints above the options
// before it exits. operands: what --help calls them; nullptr: there may be none. Throws
// std::runtime_error.
std::vector<std::string> parse_options(int argc, char** argv, const char* about,
                                       const char* operands, const std::vector<Option>& options);

// What `main` returns: what `program` does, or 2 for an exception, which is printed.
int run_program(const char* name, const std::function<int()>& program);

std::string processor();
std::string compiled_by();
// The lines of a heading: processor, library and its commit, compiler.
std::string machine_and_library(const std::string& commit);

// Nothing is written without a path. Throws std::runtime_error.
void write_file(const std::string& path, const std::string& text);

}  // namespace bench
