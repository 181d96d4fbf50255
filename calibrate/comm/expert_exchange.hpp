// What the benchmarks of dispatch and combine share.
#pragma once

#include "calibrate/comm/exchange_plan.hpp"
#include "calibrate/comm/session.hpp"

namespace moesim::comm {

// Of one row on the wire.
std::size_t row_words(const CommOptions& options, bool is_combine);
// Of the cases dispatch and combine.
Shape exchange_shape(const Session& session, std::int64_t tokens);
// Whether no rank needs more memory for it than the options allow.
bool fits(const Session& session, const ExchangePlan& plan);

}  // namespace moesim::comm
