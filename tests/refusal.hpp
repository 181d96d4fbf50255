// The message with which wrong JSON is refused.
#pragma once

#include <string>

#include "model/errors.hpp"
#include "model/json_reader.hpp"

namespace moesim {

// The message of the InputError that `action` throws.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing was refused";
}

inline std::string parse_refusal(const std::string& text) {
  return refusal([&] { parse_json(text, "x.json"); });
}

// The message when `read` is called on a reader of the object `text`.
template <class Read>
std::string read_refusal(const std::string& text, Read read) {
  const JsonNode node = parse_json(text, "x.json");
  ObjectReader reader(node);
  return refusal([&] { read(reader); });
}

}  // namespace moesim
