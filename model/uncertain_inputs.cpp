#include "model/uncertain_inputs.hpp"

#include <charconv>

#include "model/json_message.hpp"

namespace moesim {

double parse_percentage(const std::string& text, const std::string& place) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string unit(rest, end);
  if (error != std::errc() || (unit != "%" && unit != " %") || !(number > 0 && number < 100))
    throw InputError(
        place,
        "expected a percentage above 0 and below 100, such as \"5 %\", found " + in_quotes(text));
  return number / 100;
}

std::vector<UncertainInput> read_uncertain_inputs(const JsonNode& uncertain) {
  if (uncertain.kind != JsonNode::Kind::object)
    throw InputError(uncertain.place(),
                     "expected an object of JSON pointers, found " + uncertain.describe());
  std::vector<UncertainInput> inputs;
  for (const auto& [pointer, by] : uncertain.members) {
    if (pointer.empty() || pointer[0] != '/')
      throw InputError(by.place(),
                       "expected a JSON pointer such as \"/cluster/nic_bandwidth\", found " +
                           in_quotes(pointer));
    inputs.push_back({pointer, by.place(), parse_percentage(as_text(by), by.place())});
  }
  return inputs;
}

}  // namespace moesim
