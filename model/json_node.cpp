// The tree of parsed values: places, descriptions, overrides, canonical text.
#include <algorithm>
#include <charconv>
#include <system_error>

#include "model/composed_scenario.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"
#include "model/json_writer.hpp"

namespace moesim {
namespace {

std::vector<std::string> pointer_steps(const std::string& pointer, const std::string& origin) {
  if (pointer.empty()) return {};
  if (pointer.front() != '/') {
    throw InputError(origin, "a path must start with \"/\", found " + in_quotes(pointer));
  }
  std::vector<std::string> steps;
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    const char c = pointer[i];
    if (c == '/') {
      steps.emplace_back();
    } else if (c != '~') {
      steps.back() += c;
    } else {
      ++i;
      if (i == pointer.size() || (pointer[i] != '0' && pointer[i] != '1')) {
        throw InputError(origin,
                         "in a path \"~\" is written \"~0\" and \"/\" in a key \"~1\", found " +
                             in_quotes(pointer));
      }
      steps.back() += pointer[i] == '0' ? '~' : '/';
    }
  }
  return steps;
}

// The item of an array that a step of a path names; nothing where it names none.
std::optional<std::size_t> item_index(const std::string& step, std::size_t size) {
  std::size_t index = 0;
  const char* const end = step.data() + step.size();
  const auto [rest, error] = std::from_chars(step.data(), end, index);
  const bool padded = step.size() > 1 && step.front() == '0';  // RFC 6901 knows no "01"
  if (error != std::errc{} || rest != end || padded || index >= size) return std::nullopt;
  return index;
}

// A value without a file of its own (built in memory) is placed at the override that brought it.
void give_origin(JsonNode& node,
                 const std::shared_ptr<const std::string>& origin,
                 const std::string& pointer) {
  if (node.file) return;
  node.file = origin;
  node.pointer = pointer;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    give_origin(node.items[i], origin, pointer + "/" + std::to_string(i));
  }
  for (auto& [key, member] : node.members) give_origin(member, origin, child_pointer(pointer, key));
}

}  // namespace

JsonNode::JsonNode() = default;
JsonNode::JsonNode(const JsonNode&) = default;
JsonNode::JsonNode(JsonNode&&) noexcept = default;
JsonNode& JsonNode::operator=(const JsonNode&) = default;
JsonNode& JsonNode::operator=(JsonNode&&) noexcept = default;
JsonNode::~JsonNode() = default;

const JsonNode* JsonNode::find(const std::string& key) const {
  for (const auto& [name, member] : members) {
    if (name == key) return &member;
  }
  return nullptr;
}

std::string JsonNode::place() const { return place_of(file ? *file : std::string(), pointer); }

std::string JsonNode::describe() const {
  switch (kind) {
    case Kind::null: return "null";
    case Kind::boolean: return boolean ? "true" : "false";
    case Kind::integer: return "the number " + std::to_string(integer);
    case Kind::real: return "the number " + JsonValue(real).dump_line();
    case Kind::string: return "the string " + in_quotes(text);
    case Kind::array: return "an array";
    case Kind::object: return "an object";
  }
  ENSURE(!"every kind of node is handled");
}

void set_at(JsonNode& root,
            const std::string& pointer,
            const JsonNode& value,
            const std::string& origin,
            bool may_add) {
  const std::vector<std::string> steps = pointer_steps(pointer, origin);
  JsonNode* target = &root;
  std::string walked;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::string& step = steps[i];
    const std::string here = walked.empty() ? "" : " in " + place_of("", walked);
    JsonNode* next = nullptr;
    if (target->kind == JsonNode::Kind::object) {
      std::vector<std::string> known;
      for (auto& [key, member] : target->members) {
        if (key == step) next = &member;
        known.push_back(key);
      }
      if (next == nullptr && may_add && i + 1 == steps.size()) {
        next = &target->members.emplace_back(step, JsonNode{}).second;
      }
      if (next == nullptr) throw InputError(origin, unknown_key(step, known, here));
    } else if (target->kind == JsonNode::Kind::array) {
      const std::size_t size = target->items.size();
      const std::optional<std::size_t> index = item_index(step, size);
      if (!index) {
        throw InputError(
            origin, "no item " + in_quotes(step) + here + ", an array of " + std::to_string(size));
      }
      next = &target->items[*index];
    } else {
      throw InputError(origin,
                       "no key " + in_quotes(step) + here + ", which is " + target->describe());
    }
    target = next;
    walked = child_pointer(walked, step);
  }
  JsonNode placed = value;  // a copy first: `value` may lie inside what it replaces
  give_origin(placed, std::make_shared<const std::string>(origin), "");
  *target = std::move(placed);
}

const JsonNode* value_at(const JsonNode& root, const std::string& pointer) {
  const JsonNode* value = &root;
  for (const std::string& step : pointer_steps(pointer, pointer)) {
    if (value->kind == JsonNode::Kind::array) {
      const std::optional<std::size_t> index = item_index(step, value->items.size());
      value = index ? &value->items[*index] : nullptr;
    } else {
      value = value->find(step);
    }
    if (value == nullptr) return nullptr;
  }
  return value;
}

JsonValue canonical_value(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::null: return {};
    case JsonNode::Kind::boolean: return node.boolean;
    case JsonNode::Kind::integer: return node.integer;
    case JsonNode::Kind::real: return node.real;
    case JsonNode::Kind::string: return node.text;
    case JsonNode::Kind::array: {
      JsonValue::Array items;
      items.reserve(node.items.size());
      for (const JsonNode& item : node.items) items.push_back(canonical_value(item));
      return items;
    }
    case JsonNode::Kind::object: {
      JsonValue::Object members;
      members.reserve(node.members.size());
      for (const auto& [key, member] : node.members) {
        members.emplace_back(key, canonical_value(member));
      }
      std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
        return a.first < b.first;
      });
      return members;
    }
  }
  ENSURE(!"every kind of node is handled");
}

std::string canonical_text(const JsonNode& node) { return canonical_value(node).dump_line(); }

}  // namespace moesim
