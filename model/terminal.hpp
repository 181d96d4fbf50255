// What both programs say to a person at a terminal. Results are values that are printed last; only
// these write on the way.
#pragma once

#include <cstdint>
#include <string>

namespace moesim {

// Writes to standard output and makes sure it arrived: std::runtime_error on a full disk or a
// closed pipe.
void print(const std::string& text);

// One line on standard error while work takes over a second and standard error is a terminal;
// nothing when quiet.
class Progress {
 public:
  explicit Progress(bool quiet);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();
  void operator()(const std::string& what);

 private:
  bool enabled_, printed_ = false;
  std::int64_t start_ms_;
};

}  // namespace moesim
