#include "model/settings.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "model/field_range.hpp"
#include "model/json_message.hpp"

namespace moesim {

std::pair<std::string, JsonNode> parse_setting(const std::string& text, const std::string& option) {
  const std::size_t equals = text.find('=');
  if (text.empty() || text[0] != '/' || equals == std::string::npos)
    throw InputError(option + " " + text,
                     "expected /pointer=value, such as /cluster/nic_bandwidth=\"100 GB/s\"");
  const std::string pointer = text.substr(0, equals), value = text.substr(equals + 1),
                    origin = option + " " + pointer;
  JsonNode node;
  try {
    node = parse_json(value, origin);
  } catch (const InputError&) {
    node.kind = JsonNode::Kind::string;
    node.text = value;
    node.file = std::make_shared<const std::string>(origin);
  }
  return {pointer, std::move(node)};
}

namespace {

constexpr const char* kExpected = "expected /pointer=value,value, such as /plan/tp=1,2,4";

// At the commas, semicolons, ... that are in no quotes and no brackets.
std::vector<std::string> split_outside(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\' && i + 1 < text.size()) {
      parts.back() += c;
      parts.back() += text[++i];
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == '[' || c == '{')) ++depth;
    if (!quoted && (c == ']' || c == '}')) --depth;
    if (!quoted && depth == 0 && c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

// The fields of one alternative each: all that a single "/pointer=values" says.
FieldAxis parse_field_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (text.empty() || text[0] != '/' || equals == std::string::npos || equals + 1 == text.size())
    throw InputError("--vary " + text, kExpected);
  const std::string pointer = text.substr(0, equals), origin = "--vary " + pointer;
  FieldAxis axis{pointer.substr(pointer.rfind('/') + 1), {}};
  std::set<std::string> seen;
  const auto add = [&](const std::string& value) {
    auto setting = parse_setting(pointer + "=" + value, "--vary");
    if (!seen.insert(canonical_text(setting.second)).second)
      throw InputError(origin, "the value " + one_line(value) + " is given twice");
    axis.alternatives.push_back({axis.name + " " + value, {std::move(setting)}});
  };
  for (const std::string& item : split_outside(text.substr(equals + 1), ',')) {
    if (item.empty()) throw InputError(origin, "an empty value between two commas");
    const std::optional<std::vector<std::string>> range = range_values(item, origin);
    if (!range)
      add(item);
    else
      for (const std::string& value : *range) add(value);
  }
  return axis;
}

}  // namespace

FieldAxis parse_axis(const std::string& text) {
  std::optional<FieldAxis> axis;
  for (std::string part : split_outside(text, ';')) {
    part.erase(0, std::min(part.find_first_not_of(' '), part.size()));
    FieldAxis field = parse_field_axis(part);
    if (!axis) {
      axis = std::move(field);
      continue;
    }
    if (field.alternatives.size() != axis->alternatives.size())
      throw InputError("--vary " + text,
                       "fields that change together need as many values each; found " +
                           std::to_string(axis->alternatives.size()) + " and " +
                           std::to_string(field.alternatives.size()));
    axis->name += ", " + field.name;
    for (std::size_t i = 0; i < field.alternatives.size(); ++i) {
      FieldAxis::Alternative& alternative = axis->alternatives[i];
      alternative.name += ", " + field.alternatives[i].name;
      for (const auto& [pointer, value] : alternative.set)
        if (pointer == field.alternatives[i].set.front().first)
          throw InputError("--vary " + text, "the field " + pointer + " is given twice");
      alternative.set.push_back(std::move(field.alternatives[i].set.front()));
    }
  }
  return *axis;
}

}  // namespace moesim
