// Changes of a scenario's fields, and the values that a field takes one after another: what --set
// and
// --vary say.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

using Settings = std::vector<std::pair<std::string, JsonNode>>;  // JSON pointer, new value

// "/plan/ep=32": the value is JSON where the text is, else a string. `option` stands before the
// text in messages.
std::pair<std::string, JsonNode> parse_setting(const std::string& text, const std::string& option);

// One choice: its alternatives, each a few fields set together.
struct FieldAxis {
  struct Alternative {
    std::string name;  // "interleaved_1f1b, 2 stages a rank"
    Settings set;
  };
  std::string name;  // "schedule"
  std::vector<Alternative> alternatives;
};

// "/plan/tp=1,2,4", "/plan/pp=4..16:x2" (model/field_range), "/a=1,2;/b=3,4" (both together).
FieldAxis parse_axis(const std::string& text);

}  // namespace moesim
