// Everything of a request but its arrival: lengths, blocks, class, stated cached tokens. Drawn, or
// from a trace in its order. Counts what is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/random.hpp"
#include "model/serving/length_sampler.hpp"
#include "model/serving/played_trace.hpp"
#include "model/serving/request_spec.hpp"

namespace moesim {

class RequestBodies {
 public:
  RequestBodies(const RequestSpec& spec, std::uint64_t seed);

  enum class Found : std::uint8_t { request, left_out, nothing };
  // The next one; `left_out` when it is longer than the context and such are not served.
  Found next(Request& request);
  // A given row of the trace, marked and checked in the same way.
  Found row(std::int64_t index, std::int64_t repetition, Request& request);
  // For requests whose lengths come from elsewhere: cuts or leaves out, then draws class and cached
  // tokens.
  Found finish(Request& request);

  PlayedTrace* trace() { return trace_ ? &*trace_ : nullptr; }
  RequestCounts& counts() { return counts_; }
  const RequestCounts& counts() const { return counts_; }
  std::int64_t block_tokens() const { return block_tokens_; }

 private:
  bool fit(Request& request);
  void mark(Request& request);

  Random lengths_, marks_;
  LengthSampler input_, output_;
  double correlation_ = 0, rest_ = 1;  // sqrt(1 - correlation^2)
  std::optional<PlayedTrace> trace_;
  std::int64_t next_index_ = 0, repetition_ = 0;
  std::int64_t block_tokens_ = 0;
  std::int64_t max_context_ = 0;  // 0: any
  bool truncates_ = false;
  std::int64_t num_requests_;
  double cached_share_ = 0, cached_requests_ = 1, owed_ = 0;
  struct Class {
    double up_to = 1;
    std::int32_t priority = 0;
  };
  std::vector<Class> classes_;
  RequestCounts counts_;
};

}  // namespace moesim
