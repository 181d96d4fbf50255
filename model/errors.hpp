// The three kinds of error (docs/architecture.md, "Errors").
//   InputError          the user's input is wrong: file, JSON pointer, what was found, what was
//   expected. Exit 2. std::runtime_error  the world refused: disk full, no such device. Exit 1.
//   ENSURE              we are wrong: active in every build type, throws std::logic_error. Exit 1.
// An infeasible plan is none of these: it is a result (exit 4, with its full report).
#pragma once

#include <stdexcept>
#include <string>

namespace moesim {

// Exit codes of both programs.
inline constexpr int kDone = 0, kRefused = 1, kBadInput = 2, kPastTolerance = 3, kInfeasible = 4;

class InputError : public std::runtime_error {
 public:
  // `place` is "file: /json/pointer" or a command-line option; `problem` says what was found and
  // what was expected.
  InputError(const std::string& place, const std::string& problem)
      : std::runtime_error(place.empty() ? problem : place + ": " + problem) {}
};

[[noreturn]] inline void ensure_failed(const char* condition, const char* file, int line) {
  throw std::logic_error(std::string("internal error: ") + condition + " is false at " + file +
                         ":" + std::to_string(line));
}

}  // namespace moesim

#define ENSURE(condition) \
  ((condition) ? void(0) : ::moesim::ensure_failed(#condition, __FILE__, __LINE__))
