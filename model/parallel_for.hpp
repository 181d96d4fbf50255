// Runs independent pieces of work on several threads. Piece i goes to thread i modulo their number,
// so as long as no piece reads what another writes, results do not depend on how many there are.
#pragma once

#include <algorithm>
#include <exception>
#include <thread>
#include <vector>

namespace moesim {

template <class Body>
void parallel_for(std::size_t n, int num_threads, const Body& body) {
  const auto workers =
      std::max<std::size_t>(1, std::min(n, static_cast<std::size_t>(std::max(1, num_threads))));
  std::vector<std::exception_ptr> failed(workers);
  auto work = [&](std::size_t w) {
    try {
      for (std::size_t i = w; i < n; i += workers) body(i);
    } catch (...) {
      failed[w] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t w = 1; w < workers; ++w) threads.emplace_back(work, w);
  work(0);
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& e : failed)
    if (e) std::rethrow_exception(e);
}

}  // namespace moesim
