// How far a scenario's own numbers may be off, as it says itself: `"uncertain":
// {"/cluster/nic_bandwidth": "5 %"}` maps pointers of the composed document to a share of their
// value, to both sides. A run does not use it; `moesim sensitivity` does (reports/sensitivity).
#pragma once

#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

struct UncertainInput {
  std::string pointer, place;  // place: of the entry, for messages
  double by = 0;               // a fraction, above 0 and below 1
};

std::vector<UncertainInput> read_uncertain_inputs(const JsonNode& uncertain);
// "5 %" or "5%" as 0.05; InputError at `place`.
double parse_percentage(const std::string& text, const std::string& place);

}  // namespace moesim
