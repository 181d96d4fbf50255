// The choices of a training plan that are worth trying when nobody says which.
#pragma once

#include <vector>

#include "model/scenario.hpp"

namespace moesim {

// tp, pp, ep, schedule (with its SMs for communication), microbatch and recomputation, in the
// values that a model and its cluster make worth trying.
std::vector<FieldAxis> training_axes(const Scenario& scenario);

// A field and its value as JSON; messages name the field.
std::pair<std::string, JsonNode> field_setting(const std::string& pointer, const std::string& text);
std::pair<std::string, JsonNode> field_setting(const std::string& pointer, std::int64_t number);

}  // namespace moesim
