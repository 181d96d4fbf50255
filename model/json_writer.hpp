// Writing JSON: ordered, deterministic, no NaN. The only file that may include <nlohmann/json.hpp>
// on the way out is json_writer.cpp. Plain SI numbers; the unit is last in the key ("step_time_s").
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/errors.hpp"

namespace moesim {

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<std::pair<std::string, JsonValue>>;  // kept in insertion order
  JsonValue() : value_(nullptr) {}
  JsonValue(bool v) : value_(v) {}
  JsonValue(int v) : value_(static_cast<std::int64_t>(v)) {}
  JsonValue(std::int64_t v) : value_(v) {}
  JsonValue(std::uint64_t v) : value_(static_cast<std::int64_t>(v)) { ENSURE(v >> 63U == 0); }
  JsonValue(double v) : value_(v) {}
  JsonValue(const char* v) : value_(std::string(v)) {}
  JsonValue(std::string v) : value_(std::move(v)) {}
  JsonValue(Array v) : value_(std::move(v)) {}
  JsonValue(Object v) : value_(std::move(v)) {}

  static JsonValue object() { return JsonValue(Object{}); }
  static JsonValue array() { return JsonValue(Array{}); }
  JsonValue& set(const std::string& key,
                 JsonValue value);   // object; a repeated key is a logic_error
  JsonValue& push(JsonValue value);  // array

  // The number at an RFC 6901 pointer without escapes ("/metrics/step_time_s"; array items by
  // index), or nothing.
  std::optional<double> number_at(const std::string& pointer) const;
  std::optional<double> number() const;  // nothing where it is none
  const Object* members() const;         // nullptr where it is no object

  // Pretty-printed with two spaces and a final newline; doubles in the shortest form that reads
  // back exactly. A NaN or infinity anywhere throws std::logic_error that names its place: it must
  // not become null.
  std::string dump() const;
  // The same, but what fits into `width` columns stands on one line: files that people read too.
  std::string dump_wrapped(std::size_t width) const;
  std::string dump_line() const;  // the same on one line, no newline

 private:
  friend struct JsonDumper;
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_;
};

// Writes `text` to `path` all or nothing: to a temporary file beside it, flushed and checked, then
// renamed. On failure the temporary file is removed, an existing `path` is left as it was, and
// std::runtime_error names the path and the reason.
void write_file(const std::filesystem::path& path, const std::string& text);

}  // namespace moesim
