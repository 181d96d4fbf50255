#include "model/serving/request_bodies.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moesim {
namespace {

constexpr std::uint64_t kLengthStream = 0xa224, kMarkStream = 0xa225;

}  // namespace

RequestBodies::RequestBodies(const RequestSpec& spec, std::uint64_t seed)
    : lengths_(seed, kLengthStream),
      marks_(seed, kMarkStream),
      input_(spec.input),
      output_(spec.output),
      correlation_(spec.correlation),
      rest_(std::sqrt(1 - spec.correlation * spec.correlation)),
      max_context_(spec.max_context_tokens.value_or(0)),
      truncates_(spec.too_long == TooLong::truncate),
      num_requests_(spec.num_requests.value_or(std::numeric_limits<std::int64_t>::max())),
      cached_share_(spec.cached_share),
      cached_requests_(spec.cached_requests) {
  double sum = 0, up_to = 0;
  for (const RequestClass& one : spec.classes) sum += one.share;
  for (const RequestClass& one : spec.classes) {
    up_to += one.share / sum;
    classes_.push_back({up_to, one.priority});
  }
  ENSURE(!classes_.empty());
  if (spec.trace) {
    trace_.emplace(*spec.trace, seed);
    const RequestTrace& trace = *spec.trace->trace;
    block_tokens_ = trace.block_tokens;
    const std::int64_t repeat = spec.trace->repeat;
    counts_.outside_window = trace_->outside_window() * repeat;
    counts_.zero_dropped = trace.zero_dropped * repeat;
    counts_.zero_to_one = trace.zero_to_one * repeat;
    counts_.read = counts_.outside_window + counts_.zero_dropped;
  }
}

RequestBodies::Found RequestBodies::next(Request& request) {
  if (num_requests_ == 0) return Found::nothing;
  if (trace_) {
    if (next_index_ == static_cast<std::int64_t>(trace_->rows().size())) {
      next_index_ = 0;
      ++repetition_;
    }
    if (repetition_ == trace_->repetitions()) return Found::nothing;
    return row(next_index_++, repetition_, request);
  }
  request = Request();
  request.id = counts_.read;
  if (correlation_ != 0) {
    const double z = lengths_.normal();
    request.input_tokens = input_.at_normal(z);
    request.output_tokens = output_.at_normal(correlation_ * z + rest_ * lengths_.normal());
  } else {
    request.input_tokens = input_.draw(lengths_);
    request.output_tokens = output_.draw(lengths_);
  }
  return finish(request);
}

RequestBodies::Found RequestBodies::row(std::int64_t index,
                                        std::int64_t repetition,
                                        Request& request) {
  if (num_requests_ == 0) return Found::nothing;
  request = trace_->request(index, repetition);
  return finish(request);
}

RequestBodies::Found RequestBodies::finish(Request& request) {
  if (num_requests_ == 0) return Found::nothing;
  --num_requests_;
  ++counts_.read;
  if (!fit(request)) return Found::left_out;
  mark(request);
  return Found::request;
}

bool RequestBodies::fit(Request& request) {
  const std::int64_t tokens = std::int64_t{request.input_tokens} + request.output_tokens;
  if (max_context_ == 0 || tokens <= max_context_) return true;
  if (!truncates_) {
    ++counts_.too_long;
    return false;
  }
  ++counts_.truncated;
  request.output_tokens =
      static_cast<std::int32_t>(std::min<std::int64_t>(request.output_tokens, max_context_ - 1));
  request.input_tokens = static_cast<std::int32_t>(max_context_ - request.output_tokens);
  if (!request.blocks.empty()) {
    const auto blocks = static_cast<std::size_t>(
        (request.input_tokens + block_tokens_ - 1) / block_tokens_);
    request.blocks = request.blocks.first(std::min(blocks, request.blocks.size()));
  }
  return true;
}

void RequestBodies::mark(Request& request) {
  if (classes_.size() > 1) {
    const double u = marks_.uniform();
    std::size_t at = 0;
    while (at + 1 < classes_.size() && u >= classes_[at].up_to) ++at;
    request.slo_class = static_cast<std::int32_t>(at);
  }
  request.priority = classes_[static_cast<std::size_t>(request.slo_class)].priority;
  if (cached_share_ > 0) {
    if (cached_requests_ < 1 && marks_.uniform() >= cached_requests_) return;
    // What rounding, and the token that is always computed, leaves over goes to the next one.
    owed_ += request.input_tokens * (cached_share_ / cached_requests_);
    const double cached = std::min(std::floor(owed_), request.input_tokens - 1.0);
    request.stated_cached_tokens = static_cast<std::int32_t>(cached);
    owed_ -= cached;
  }
}

}  // namespace moesim
