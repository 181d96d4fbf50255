#include "model/terminal.hpp"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <stdexcept>

namespace moesim {
namespace {

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void print(const std::string& text) {
  std::cout << text << std::flush;
  if (!std::cout) throw std::runtime_error("standard output: cannot be written");
}

Progress::Progress(bool quiet)
    : enabled_(!quiet && isatty(STDERR_FILENO) != 0), start_ms_(now_ms()) {}
Progress::~Progress() {
  if (printed_) std::cerr << "\r\033[K" << std::flush;
}
void Progress::operator()(const std::string& what) {
  if (!enabled_ || now_ms() - start_ms_ < 1000) return;
  std::cerr << "\r\033[K" << what << std::flush;
  printed_ = true;
}

}  // namespace moesim
