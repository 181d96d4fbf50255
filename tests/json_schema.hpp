// As much of JSON Schema (draft 2020-12) as the shipped schema uses. A keyword it does not know is
// an error, so that a schema cannot ask for what nothing checks.
#pragma once

#include <algorithm>
#include <regex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

class JsonSchema {
 public:
  explicit JsonSchema(JsonNode root) : root_(std::move(root)) {}

  const JsonNode& definition(const std::string& name) const {
    const JsonNode* found = root_.find("$defs")->find(name);
    if (found == nullptr) throw std::logic_error("no definition " + name);
    return *found;
  }

  const JsonNode& resolved(const JsonNode& schema) const {
    const JsonNode* ref = schema.find("$ref");
    return ref == nullptr ? schema : resolved(definition(ref->text.substr(kDefs.size())));
  }

  // What is wrong with `value`, one line each.
  std::vector<std::string> problems(const JsonNode& value, const JsonNode& schema) const {
    std::vector<std::string> found;
    check(value, schema, value.pointer, found);
    return found;
  }

 private:
  using Problems = std::vector<std::string>;
  inline static const std::string kDefs = "#/$defs/";

  static bool has_type(const JsonNode& value, const std::string& type) {
    using Kind = JsonNode::Kind;
    return type == "object"    ? value.kind == Kind::object
           : type == "array"   ? value.kind == Kind::array
           : type == "string"  ? value.kind == Kind::string
           : type == "boolean" ? value.kind == Kind::boolean
           : type == "integer" ? value.kind == Kind::integer
           : type == "number"  ? value.kind == Kind::integer || value.kind == Kind::real
                               : throw std::logic_error("type " + type);
  }

  void check(const JsonNode& value,
             const JsonNode& schema,
             const std::string& place,
             Problems& problems) const {
    for (const auto& [keyword, rule] : schema.members) {
      if (keyword == "description" || keyword == "title" || keyword == "$schema" ||
          keyword == "$defs")
        continue;
      if (keyword == "$ref") {
        check(value, resolved(schema), place, problems);
      } else if (keyword == "type") {
        if (!has_type(value, rule.text)) problems.push_back(place + ": is no " + rule.text);
      } else if (keyword == "enum") {
        const auto same = [&](const JsonNode& one) {
          return canonical_text(one) == canonical_text(value);
        };
        if (std::none_of(rule.items.begin(), rule.items.end(), same))
          problems.push_back(place + ": is none of the values");
      } else if (keyword == "pattern") {
        if (!std::regex_search(value.text, std::regex(rule.text)))
          problems.push_back(place + ": \"" + value.text + "\" is not as " + rule.text);
      } else if (keyword == "anyOf") {
        const auto fits = [&](const JsonNode& one) {
          Problems inside;
          check(value, one, place, inside);
          return inside.empty();
        };
        if (std::none_of(rule.items.begin(), rule.items.end(), fits))
          problems.push_back(place + ": fits no alternative");
      } else if (keyword == "items") {
        for (const JsonNode& item : value.items)
          check(item, rule, place + "/" + std::to_string(&item - value.items.data()), problems);
      } else if (keyword == "required") {
        for (const JsonNode& key : rule.items)
          if (value.find(key.text) == nullptr) problems.push_back(place + ": lacks " + key.text);
      } else if (keyword == "properties") {
        for (const auto& [key, inside] : rule.members)
          if (const JsonNode* member = value.find(key))
            check(*member, inside, place + "/" + key, problems);
      } else if (keyword == "additionalProperties") {
        const JsonNode* known = schema.find("properties");
        for (const auto& [key, member] : value.members) {
          if (known != nullptr && known->find(key) != nullptr) continue;
          if (rule.kind == JsonNode::Kind::object)
            check(member, rule, place + "/" + key, problems);
          else if (!rule.boolean)
            problems.push_back(place + ": unknown " + key);
        }
      } else {
        throw std::logic_error("the schema has the keyword " + keyword);
      }
    }
  }

  JsonNode root_;
};

}  // namespace moesim
