#include "reports/scaled_field.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "model/json_message.hpp"

namespace moesim {
namespace {

bool is_quantity(const std::string& text) {
  const auto parses = [&](auto parse) {
    try {
      parse(text);
      return true;
    } catch (const InputError&) {
      return false;
    }
  };
  return parses(parse_seconds) || parses(parse_bytes) || parses(parse_bandwidth) ||
         parses(parse_flop_rate) || parses(parse_power) || parses(parse_dollars) ||
         parses(parse_dollar_rate);
}

double power_of_letter(const std::string& letter) {
  constexpr std::array<std::pair<char, double>, 4> kPowers = {
      {{'K', 1e3}, {'M', 1e6}, {'B', 1e9}, {'T', 1e12}}};
  if (letter.size() == 1)
    for (const auto& [name, power] : kPowers)
      if (name == letter[0]) return power;
  return 0;
}

// The number that `text` starts with and what follows it.
std::optional<std::pair<double, std::string>> split(const std::string& text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  std::string unit(rest, end);
  if (!unit.empty() && unit.front() == ' ') unit.erase(0, 1);
  return std::pair{number, unit};
}

bool is_bare(const JsonNode& node) {
  return node.kind == JsonNode::Kind::integer || node.kind == JsonNode::Kind::real;
}

void walk(const JsonNode& node,
          const std::string& pointer,
          std::vector<ScaledField>& fields,
          std::vector<std::string>& lists) {
  if (std::optional<ScaledField> field = scaled_field(pointer, node))
    fields.push_back(std::move(*field));
  for (const auto& [key, member] : node.members) {
    constexpr std::array kNoInputs = {"sources",
                                      "variants",
                                      "assumptions",
                                      "override",
                                      "seed",
                                      "model",
                                      "profile",
                                      "uncertain",
                                      "name",
                                      "description",
                                      "source",
                                      "because",
                                      "about",
                                      "measure"};
    if (std::find(kNoInputs.begin(), kNoInputs.end(), key) == kNoInputs.end())
      walk(member, child_pointer(pointer, key), fields, lists);
  }
  if (node.kind != JsonNode::Kind::array) return;
  if (!node.items.empty() && std::all_of(node.items.begin(), node.items.end(), is_bare)) {
    lists.push_back(pointer);
    return;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i)
    walk(node.items[i], pointer + "/" + std::to_string(i), fields, lists);
}

}  // namespace

double ScaledField::possible(double at) const {
  if (is_whole) return std::round(at);
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", at);
  return std::strtod(buffer, nullptr);
}

std::string ScaledField::text(double at) const {
  const std::string number = number_text(possible(at));
  if (is_count) return number + unit;
  return unit.empty() ? number : number + " " + unit;
}

JsonNode ScaledField::node(double at) const {
  const double value_there = possible(at);
  JsonNode node;
  if (is_whole || is_count) {
    node.kind = JsonNode::Kind::integer;
    node.real = is_count ? std::round(value_there * power_of_letter(unit)) : value_there;
    node.integer = static_cast<std::int64_t>(node.real);
  } else if (unit.empty()) {
    node.kind = JsonNode::Kind::real;
    node.real = value_there;
  } else {
    node.kind = JsonNode::Kind::string;
    node.text = text(at);
  }
  node.file = std::make_shared<const std::string>(pointer + " = " + text(at));
  return node;
}

std::optional<ScaledField> scaled_field(const std::string& pointer, const JsonNode& node) {
  ScaledField field;
  field.pointer = pointer;
  if (is_bare(node)) {
    field.value = node.real;
    field.is_whole = node.kind == JsonNode::Kind::integer;
    return field;
  }
  if (node.kind != JsonNode::Kind::string) return std::nullopt;
  const auto parts = split(node.text);
  if (!parts) return std::nullopt;
  field.value = parts->first;
  field.unit = parts->second;
  field.is_count = power_of_letter(field.unit) > 0;
  if (!field.is_count && !is_quantity(node.text)) return std::nullopt;
  return field;
}

ScaledField field_from_text(const std::string& pointer,
                            const std::string& text,
                            const std::string& place) {
  const auto parts = split(text);
  JsonNode node;
  node.kind = JsonNode::Kind::string;
  if (parts && parts->second.empty()) {
    const bool is_whole = text.find_first_of(".eE") == std::string::npos;
    node.kind = is_whole ? JsonNode::Kind::integer : JsonNode::Kind::real;
    node.real = parts->first;
  } else if (parts) {
    const bool is_count = power_of_letter(parts->second) > 0;
    node.text = number_text(parts->first) + (is_count ? "" : " ") + parts->second;
  }
  std::optional<ScaledField> field = scaled_field(pointer, node);
  if (!field)
    throw InputError(
        place, "expected a number or a quantity such as \"50 GB/s\", found " + in_quotes(text));
  return *field;
}

double read_field_value(const ScaledField& field,
                        const std::string& text,
                        const std::string& place) {
  const ScaledField given = field_from_text(field.pointer, text, place);
  if (given.unit == field.unit) return given.value;
  // Another prefix of the same dimension.
  const auto in_base = [](const ScaledField& f) -> std::optional<std::pair<int, double>> {
    if (f.is_count) return std::pair{0, power_of_letter(f.unit) * f.value};
    if (f.unit.empty()) return std::pair{0, f.value};
    const std::string spaced = number_text(f.value) + " " + f.unit;
    int dimension = 0;
    std::optional<std::pair<int, double>> found;
    const auto attempt = [&](auto parse, auto base) {
      ++dimension;
      try {
        found = std::pair{dimension, parse(spaced) / base};
      } catch (const InputError&) {
      }
    };
    attempt(parse_seconds, s);
    attempt(parse_bytes, B);
    attempt(parse_bandwidth, B_per_s);
    attempt(parse_flop_rate, FLOP_per_s);
    attempt(parse_power, W);
    attempt(parse_dollars, USD);
    attempt(parse_dollar_rate, USD_per_hour);
    return found;
  };
  ScaledField one = field;
  one.value = 1;
  const auto base = in_base(given), unit = in_base(one);
  if (!base || !unit || base->first != unit->first)
    throw InputError(place,
                     "expected a value like " + in_quotes(field.text(field.value)) + ", found " +
                         in_quotes(text));
  return base->second / unit->second;
}

std::vector<ScaledField> scaled_fields(const JsonNode& document, std::vector<std::string>& lists) {
  std::vector<ScaledField> fields;
  walk(document, "", fields, lists);
  return fields;
}

}  // namespace moesim
