#include "model/json_reader.hpp"

#include <algorithm>
#include <limits>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/quantity_parse.hpp"

namespace moesim {
namespace {

// `parse` on the text of `node`, its error placed at the node.
template <class Parse>
auto quantity_at(const JsonNode& node, Parse parse, const char* example) {
  if (node.kind != JsonNode::Kind::string) {
    throw InputError(node.place(),
                     std::string("expected a quantity with a unit such as \"") + example +
                         "\", found " + node.describe());
  }
  try {
    return parse(node.text);
  } catch (const InputError& error) {
    throw InputError(node.place(), error.what());
  }
}

template <class Number, class Text>
std::string expected_range(const char* noun,
                           Number lowest,
                           Number highest,
                           Number none_below,
                           Number none_above,
                           Text text) {
  std::string sentence = std::string("expected ") + noun;
  const bool has_lowest = lowest > none_below;
  const bool has_highest = highest < none_above;
  if (has_lowest && has_highest) return sentence + " from " + text(lowest) + " to " + text(highest);
  if (has_lowest) return sentence + " of at least " + text(lowest);
  if (has_highest) return sentence + " of at most " + text(highest);
  return sentence;
}

const JsonNode& array_at(const JsonNode& node, const char* items) {
  if (node.kind != JsonNode::Kind::array) {
    throw InputError(node.place(),
                     std::string("expected an array of ") + items + ", found " + node.describe());
  }
  return node;
}

}  // namespace

std::int64_t as_integer(const JsonNode& node, std::int64_t lowest, std::int64_t highest) {
  if (node.kind != JsonNode::Kind::integer) {
    throw InputError(node.place(), "expected an integer, found " + node.describe());
  }
  if (node.integer < lowest || node.integer > highest) {
    using Limits = std::numeric_limits<std::int64_t>;
    throw InputError(node.place(),
                     expected_range("an integer",
                                    lowest,
                                    highest,
                                    Limits::min(),
                                    Limits::max(),
                                    [](std::int64_t v) { return std::to_string(v); }) +
                         ", found " + std::to_string(node.integer));
  }
  return node.integer;
}

double as_number(const JsonNode& node, double lowest, double highest) {
  if (node.kind != JsonNode::Kind::integer && node.kind != JsonNode::Kind::real) {
    throw InputError(node.place(), "expected a number, found " + node.describe());
  }
  if (!(node.real >= lowest && node.real <= highest)) {
    // Callers write an open end as infinity or as the largest double.
    const double largest = std::numeric_limits<double>::max();
    throw InputError(node.place(),
                     expected_range("a number", lowest, highest, -largest, largest, number_text) +
                         ", found " + number_text(node.real));
  }
  return node.real;
}

std::string as_text(const JsonNode& node) {
  if (node.kind != JsonNode::Kind::string) {
    throw InputError(node.place(), "expected a string, found " + node.describe());
  }
  return node.text;
}

ObjectReader::ObjectReader(const JsonNode& node) : node_(node) {
  if (node.kind != JsonNode::Kind::object) {
    throw InputError(node.place(), "expected an object, found " + node.describe());
  }
}

bool ObjectReader::has(const std::string& key) const {
  asked_.insert(key);
  const JsonNode* member = node_.find(key);
  return member != nullptr && member->kind != JsonNode::Kind::null;
}

const JsonNode& ObjectReader::required(const std::string& key) {
  const JsonNode* member = optional(key);
  if (member == nullptr) fail("missing key " + in_quotes(key));
  return *member;
}

const JsonNode* ObjectReader::optional(const std::string& key) {
  read_.insert(key);
  const JsonNode* member = node_.find(key);
  return member != nullptr && member->kind != JsonNode::Kind::null ? member : nullptr;
}

std::int64_t ObjectReader::integer(const std::string& key,
                                   std::int64_t lowest,
                                   std::int64_t highest) {
  return as_integer(required(key), lowest, highest);
}

std::int64_t ObjectReader::integer_or(const std::string& key,
                                      std::int64_t lowest,
                                      std::int64_t highest,
                                      std::int64_t fallback) {
  const JsonNode* member = optional(key);
  return member != nullptr ? as_integer(*member, lowest, highest) : fallback;
}

double ObjectReader::number(const std::string& key, double lowest, double highest) {
  return as_number(required(key), lowest, highest);
}

double ObjectReader::number_or(const std::string& key,
                               double lowest,
                               double highest,
                               double fallback) {
  const JsonNode* member = optional(key);
  return member != nullptr ? as_number(*member, lowest, highest) : fallback;
}

bool ObjectReader::boolean(const std::string& key) {
  const JsonNode& member = required(key);
  if (member.kind != JsonNode::Kind::boolean) {
    fail(key, "expected true or false, found " + member.describe());
  }
  return member.boolean;
}

bool ObjectReader::boolean_or(const std::string& key, bool fallback) {
  return optional(key) != nullptr ? boolean(key) : fallback;
}

std::string ObjectReader::text(const std::string& key) { return as_text(required(key)); }

std::string ObjectReader::text_or(const std::string& key, const std::string& fallback) {
  const JsonNode* member = optional(key);
  return member != nullptr ? as_text(*member) : fallback;
}

std::string ObjectReader::choice(const std::string& key, const std::vector<std::string>& choices) {
  std::string value = text(key);
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    fail(key, "unknown value " + in_quotes(value) + "; known: " + joined(choices));
  }
  return value;
}

Seconds ObjectReader::seconds(const std::string& key) {
  return quantity_at(required(key), parse_seconds, kTimeExample);
}
Seconds ObjectReader::seconds_at_most(const std::string& key, const char* highest) {
  const Seconds value = seconds(key);
  if (value > parse_seconds(highest)) {
    fail(key, std::string("expected at most ") + highest + ", found " + in_quotes(text(key)));
  }
  return value;
}
Bytes ObjectReader::bytes(const std::string& key) {
  return quantity_at(required(key), parse_bytes, kByteExample);
}
Bandwidth ObjectReader::bandwidth(const std::string& key) {
  return quantity_at(required(key), parse_bandwidth, kBandwidthExample);
}
Bandwidth ObjectReader::bandwidth_at_least(const std::string& key, const char* lowest) {
  const Bandwidth value = bandwidth(key);
  if (value < parse_bandwidth(lowest)) {
    fail(key, std::string("expected at least ") + lowest + ", found " + in_quotes(text(key)));
  }
  return value;
}
Power ObjectReader::power(const std::string& key) {
  return quantity_at(required(key), parse_power, kPowerExample);
}
FlopRate ObjectReader::flop_rate(const std::string& key) {
  return quantity_at(required(key), parse_flop_rate, kFlopRateExample);
}
FlopRate ObjectReader::flop_rate_at_least(const std::string& key, const char* lowest) {
  const FlopRate value = flop_rate(key);
  if (value < parse_flop_rate(lowest)) {
    fail(key, std::string("expected at least ") + lowest + ", found " + in_quotes(text(key)));
  }
  return value;
}
Dollars ObjectReader::dollars(const std::string& key) {
  return quantity_at(required(key), parse_dollars, kDollarExample);
}
DollarRate ObjectReader::dollar_rate(const std::string& key) {
  return quantity_at(required(key), parse_dollar_rate, kDollarRateExample);
}

std::int64_t ObjectReader::count(const std::string& key) {
  const JsonNode& member = required(key);
  std::optional<std::int64_t> value;
  if (member.kind == JsonNode::Kind::integer && member.integer > 0) value = member.integer;
  if (member.kind == JsonNode::Kind::string) value = parse_count(member.text);
  if (!value) {
    fail(
        key,
        "expected a whole number above zero such as 4096 or \"14.8T\", found " + member.describe());
  }
  return *value;
}

ObjectReader ObjectReader::object(const std::string& key) { return ObjectReader(required(key)); }

std::vector<std::string> ObjectReader::text_list(const std::string& key) {
  std::vector<std::string> list;
  for (const JsonNode& item : array_at(required(key), "strings").items) {
    list.push_back(as_text(item));
  }
  return list;
}

std::vector<std::int64_t> ObjectReader::integer_list(const std::string& key,
                                                     std::int64_t lowest,
                                                     std::int64_t highest) {
  std::vector<std::int64_t> list;
  for (const JsonNode& item : array_at(required(key), "integers").items) {
    list.push_back(as_integer(item, lowest, highest));
  }
  return list;
}

void ObjectReader::finish() const {
  for (const auto& [key, member] : node_.members) {
    if (read_.count(key) != 0) continue;
    // A null stands for a key left out: one that was looked for and not needed.
    if (member.kind == JsonNode::Kind::null && asked_.count(key) != 0) continue;
    std::set<std::string> known = read_;
    known.insert(asked_.begin(), asked_.end());
    const std::string problem = unknown_key(key, {known.begin(), known.end()});
    // A key that was written elsewhere (an override, the plan below a phase's changes) is wrong
    // there.
    const bool elsewhere =
        member.file && node_.file &&
        (*member.file != *node_.file || member.pointer != child_pointer(node_.pointer, key));
    throw UnknownKey(elsewhere ? member.place() : node_.place(), problem);
  }
}

void ObjectReader::fail(const std::string& key, const std::string& problem) const {
  const JsonNode* member = node_.find(key);
  if (member != nullptr) throw InputError(member->place(), problem);
  throw InputError(
      place_of(node_.file ? *node_.file : std::string(), child_pointer(node_.pointer, key)),
      problem);
}

void ObjectReader::fail(const std::string& problem) const {
  throw InputError(node_.place(), problem);
}

}  // namespace moesim
