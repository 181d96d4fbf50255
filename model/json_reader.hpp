// Strict reading of JSON with comments. The only file that may include <nlohmann/json.hpp> on the
// way in is json_parse.cpp: everything else sees these types. Text becomes nodes in json_parse.cpp,
// nodes are described and overridden in json_node.cpp, units are in quantity_parse.cpp and the
// checks of ObjectReader in json_reader.cpp.
//
// What is refused that the library would accept: a key that appears twice (the library keeps the
// last), an unknown key (a misspelt option must not become a default), 3.7 where an integer
// belongs, a bare number where a quantity with a unit belongs, numbers out of range, trailing
// content. Every refusal is an InputError with "file: /json/pointer: ...".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "model/units.hpp"

namespace moesim {

// A parsed JSON value that remembers which file it came from and where in it.
struct JsonNode {
  enum class Kind { null, boolean, integer, real, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;  // set for integer and real
  std::string text;
  std::vector<JsonNode> items;                            // array
  std::vector<std::pair<std::string, JsonNode>> members;  // object, in file order, keys unique
  std::shared_ptr<const std::string> file;                // path as the user named it
  std::string pointer;  // RFC 6901 pointer inside `file`; "" is the root

  // Defined in the .cpp: clang 14 cannot make them here, where the pair in `members` is incomplete.
  JsonNode();
  JsonNode(const JsonNode&);
  JsonNode(JsonNode&&) noexcept;
  JsonNode& operator=(const JsonNode&);
  JsonNode& operator=(JsonNode&&) noexcept;
  ~JsonNode();

  const JsonNode* find(const std::string& key) const;  // object member or nullptr
  std::string place() const;                           // "file: /pointer", "file" at the root
  std::string describe() const;  // "the string \"x\"", "the number 3.7", "an array", ...
};

// Reads and parses one file. Comments (// and /* */) are allowed. Refuses a directory, an
// unreadable, empty, truncated or larger than 64 MiB file, NaN and Infinity literals, numbers that
// overflow, nesting deeper than 64, repeated keys.
JsonNode read_json_file(const std::filesystem::path& path);
// The same from memory; `name` stands for the file in messages.
JsonNode parse_json(const std::string& text, const std::string& name);

// Replaces the value at `pointer` below `root`; every step must exist (so that a typo cannot add a
// key), except that the last step may add a member when `may_add` is true. `origin` is where the
// override was written, for messages.
void set_at(JsonNode& root,
            const std::string& pointer,
            const JsonNode& value,
            const std::string& origin,
            bool may_add = false);

// Canonical one-line text of a value (members sorted by key): what a scenario hash is computed
// from.
std::string canonical_text(const JsonNode& node);

// A key that nobody reads: wrong whatever its value, unlike a value that does not fit the others.
class UnknownKey : public InputError {
 public:
  using InputError::InputError;
};

// Reads the members of one object, each exactly once, then `finish()` refuses what was not asked
// for.
class ObjectReader {
 public:
  explicit ObjectReader(const JsonNode& node);  // refuses anything but an object
  explicit ObjectReader(JsonNode&&) = delete;   // it keeps a reference: the node has to outlive it

  bool has(const std::string& key) const;  // present and not null
  const JsonNode& node() const { return node_; }
  const JsonNode& required(const std::string& key);  // marks as read; null counts as missing
  const JsonNode* optional(const std::string& key);  // nullptr when missing or null

  std::int64_t integer(const std::string& key, std::int64_t lowest, std::int64_t highest);
  std::int64_t integer_or(const std::string& key,
                          std::int64_t lowest,
                          std::int64_t highest,
                          std::int64_t fallback);
  double number(const std::string& key, double lowest, double highest);
  double number_or(const std::string& key, double lowest, double highest, double fallback);
  bool boolean(const std::string& key);
  bool boolean_or(const std::string& key, bool fallback);
  std::string text(const std::string& key);
  std::string text_or(const std::string& key, const std::string& fallback);
  // One of `choices`, or an error that lists them.
  std::string choice(const std::string& key, const std::vector<std::string>& choices);

  // Quantities are strings with a unit ("80 GiB", "50 GB/s", "400 Gb/s", "989 TFLOP/s", "2.8 us",
  // "45000 USD", "2 USD/h"); always finite and positive (zero allowed for seconds and dollars).
  Seconds seconds(const std::string& key);
  Bytes bytes(const std::string& key);
  Bandwidth bandwidth(const std::string& key);
  FlopRate flop_rate(const std::string& key);
  Power power(const std::string& key);
  Dollars dollars(const std::string& key);
  DollarRate dollar_rate(const std::string& key);
  // The same with a bound, itself a quantity ("100 MB/s"): a wrong prefix is off by a thousand.
  Seconds seconds_at_most(const std::string& key, const char* highest);
  Bandwidth bandwidth_at_least(const std::string& key, const char* lowest);
  FlopRate flop_rate_at_least(const std::string& key, const char* lowest);
  // A count: a JSON integer, or a string with K, M, B or T ("14.8T" is 14.8e12; must come out whole
  // and positive).
  std::int64_t count(const std::string& key);

  ObjectReader object(const std::string& key);
  std::vector<std::string> text_list(const std::string& key);
  std::vector<std::int64_t> integer_list(const std::string& key,
                                         std::int64_t lowest,
                                         std::int64_t highest);

  void ignore(const std::string& key) { read_.insert(key); }
  void finish() const;  // unknown key: error naming it, and the nearest known key when one is close

  [[noreturn]] void fail(const std::string& key,
                         const std::string& problem) const;  // "file: /path/key: problem"
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  const JsonNode& node_;
  std::set<std::string> read_;
  mutable std::set<std::string> asked_;  // by has(): known, but refused by finish() unless read too
};

// The value checks behind ObjectReader, for list items.
std::int64_t as_integer(const JsonNode& node, std::int64_t lowest, std::int64_t highest);
double as_number(const JsonNode& node, double lowest, double highest);
std::string as_text(const JsonNode& node);

// The parsers behind the quantities; InputError with empty place on failure ("unknown unit \"GHz\";
// known: B, KB, ...").
Seconds parse_seconds(const std::string& text);
Bytes parse_bytes(const std::string& text);
Bandwidth parse_bandwidth(const std::string& text);
FlopRate parse_flop_rate(const std::string& text);
Power parse_power(const std::string& text);
Dollars parse_dollars(const std::string& text);
DollarRate parse_dollar_rate(const std::string& text);

}  // namespace moesim
