// Users who come, ask a number of times and leave: "sessions" in request_spec.hpp.
#pragma once

#include <cstdint>
#include <memory>

#include "model/serving/request_spec.hpp"

namespace moesim {

std::unique_ptr<RequestSource> make_session_source(const RequestSpec& spec, std::uint64_t seed);

}  // namespace moesim
