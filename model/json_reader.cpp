#include "model/json_reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <unordered_set>

#include "model/errors.hpp"
#include "model/json_writer.hpp"

namespace moesim {
namespace {

// Far above any configuration file; a trace belongs to a streaming reader, not in a tree of nodes.
constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;
// Deep enough for any hand-written file; keeps the recursion over nodes off the stack limit.
constexpr std::size_t kMaxDepth = 64;
// Longer strings are cut in messages, which must stay readable on one line.
constexpr std::size_t kMaxQuoted = 60;

bool is_utf8_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// As a JSON string, so that it stays on one line whatever the user wrote; cut when long.
std::string in_quotes(const std::string& text) {
  if (text.size() <= kMaxQuoted) return JsonValue(text).dump_line();
  std::size_t cut = kMaxQuoted;
  while (cut > 0 && is_utf8_continuation(text[cut])) --cut;
  return JsonValue(text.substr(0, cut) + "...").dump_line();
}

// Shortest text that reads back; no ".0" on whole numbers, because it stands in sentences.
std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

std::string escape_pointer_step(const std::string& key) {
  std::string step;
  for (const char c : key) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

std::string child_pointer(const std::string& parent, const std::string& key) {
  return parent + "/" + escape_pointer_step(key);
}

std::string place_of(const std::string& file, const std::string& pointer) {
  if (pointer.empty()) return file;
  std::string place = file.empty() ? "" : file + ": ";
  for (const char c : pointer) {  // a key may hold a newline, a message may not
    place += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return place;
}

// Levenshtein distance: insertions, deletions and replacements that turn `a` into `b`.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above + 1, row[j - 1] + 1, replaced});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// `where` is " in /plan", or empty where the place already says it.
std::string unknown_key(const std::string& key,
                        const std::vector<std::string>& known,
                        const std::string& where = "") {
  const std::string problem = "unknown key " + in_quotes(key) + where;
  const std::string* nearest = nullptr;
  std::size_t nearest_distance = 3;  // two typing errors are still a typo, three are another word
  if (key.size() <= kMaxQuoted) {
    for (const std::string& candidate : known) {
      const std::size_t distance = edit_distance(key, candidate);
      if (distance < nearest_distance && distance < key.size()) {
        nearest = &candidate;
        nearest_distance = distance;
      }
    }
  }
  if (nearest != nullptr) return problem + "; did you mean " + in_quotes(*nearest) + "?";
  if (known.empty()) return problem + "; no key is known here";
  return problem + "; known: " + joined(known);
}

// ---- parsing ----

struct Position {
  std::size_t line = 1;
  std::size_t column = 1;  // counts characters, not bytes
};

Position position_of(const std::string& text, std::size_t offset) {
  Position position;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++position.line;
      position.column = 1;
    } else if (!is_utf8_continuation(text[i])) {
      ++position.column;
    }
  }
  return position;
}

[[noreturn]] void fail_at(const std::string& text,
                          const std::string& file,
                          std::size_t offset,
                          const std::string& problem) {
  const Position position = position_of(text, offset);
  throw InputError(file + ": line " + std::to_string(position.line) + ", column " +
                       std::to_string(position.column),
                   problem);
}

// The library's sentence without its "[json.exception...] parse error at line 1, column 2: ", which
// counts the line of an unterminated string differently, and with every byte printable.
std::string plain_problem(const std::string& what) {
  std::string problem = what;
  const std::size_t bracket = problem.find("] ");
  if (bracket != std::string::npos) problem.erase(0, bracket + 2);
  if (problem.rfind("parse error", 0) == 0) {
    const std::size_t colon = problem.find(": ");
    if (colon != std::string::npos) problem.erase(0, colon + 2);
  }
  for (char& c : problem) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) c = '?';
  }
  // A syntax error quotes all of the token it stopped in, which may be megabytes.
  static const std::string kLastRead = "last read: '";
  const std::size_t token = problem.find(kLastRead);
  const std::size_t token_end = problem.rfind('\'');
  if (token != std::string::npos && token_end > token + kLastRead.size() + kMaxQuoted) {
    problem.replace(
        token + kLastRead.size(), token_end - token - kLastRead.size() - kMaxQuoted, "...");
  }
  return problem;
}

// Builds nodes from parser events, because the library's own tree has already lost repeated keys.
class NodeBuilder {
 public:
  NodeBuilder(const std::string& text, const std::string& name)
      : text_(text), file_(std::make_shared<const std::string>(name)) {}

  JsonNode take_root() { return std::move(root_); }

  // The names and parameter types below are the library's SAX interface.
  bool null() {
    add(JsonNode::Kind::null);
    return true;
  }
  bool boolean(bool value) {
    add(JsonNode::Kind::boolean).boolean = value;
    return true;
  }
  bool number_integer(std::int64_t value) {
    JsonNode& node = add(JsonNode::Kind::integer);
    node.integer = value;
    node.real = static_cast<double>(value);
    return true;
  }
  bool number_unsigned(std::uint64_t value) {
    JsonNode& node = add(JsonNode::Kind::integer);
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail_too_large(node, std::to_string(value));
    }
    node.integer = static_cast<std::int64_t>(value);
    node.real = static_cast<double>(value);
    return true;
  }
  bool number_float(double value, const std::string& literal) {
    JsonNode& node = add(JsonNode::Kind::real);
    // The library hands integers that do not fit 64 bits to this function.
    if (literal.find_first_not_of("-0123456789") == std::string::npos) {
      fail_too_large(node, literal);
    }
    node.real = value;
    return true;
  }
  bool string(std::string& value) {
    add(JsonNode::Kind::string).text = std::move(value);
    return true;
  }
  bool binary(nlohmann::json::binary_t& /*value*/) { ENSURE(!"JSON text holds no binary values"); }
  bool start_object(std::size_t /*size*/) { return open(JsonNode::Kind::object); }
  bool key(std::string& value) {
    Frame& frame = open_.back();
    if (!frame.keys.insert(value).second) {
      throw InputError(frame.node->place(), "key " + in_quotes(value) + " appears twice");
    }
    frame.next_key = std::move(value);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t /*size*/) { return open(JsonNode::Kind::array); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t bytes_read,
                   const std::string& /*last_token*/,
                   const nlohmann::json::exception& error) {
    // `bytes_read` counts the byte that was refused, which at the end of the text does not exist.
    fail_at(text_, *file_, bytes_read == 0 ? 0 : bytes_read - 1, plain_problem(error.what()));
  }

 private:
  struct Frame {
    JsonNode* node;
    std::unordered_set<std::string> keys;
    std::string next_key;
  };

  // Pointers in open_ stay valid: a container grows only while none of its children is open.
  JsonNode& add(JsonNode::Kind kind) {
    JsonNode* node = &root_;
    if (!open_.empty()) {
      Frame& frame = open_.back();
      JsonNode& parent = *frame.node;
      if (parent.kind == JsonNode::Kind::object) {
        std::string pointer = child_pointer(parent.pointer, frame.next_key);
        node = &parent.members.emplace_back(std::move(frame.next_key), JsonNode{}).second;
        node->pointer = std::move(pointer);
      } else {
        std::string pointer = parent.pointer + "/" + std::to_string(parent.items.size());
        node = &parent.items.emplace_back();
        node->pointer = std::move(pointer);
      }
    }
    node->kind = kind;
    node->file = file_;
    return *node;
  }

  bool open(JsonNode::Kind kind) {
    JsonNode& node = add(kind);
    if (open_.size() == kMaxDepth) {
      throw InputError(node.place(), "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    open_.push_back(Frame{&node, {}, {}});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  [[noreturn]] static void fail_too_large(const JsonNode& node, const std::string& literal) {
    const std::string shown =
        literal.size() <= kMaxQuoted ? literal : literal.substr(0, kMaxQuoted) + "...";
    throw InputError(node.place(), "the integer " + shown + " does not fit in 64 bits");
  }

  const std::string& text_;
  std::shared_ptr<const std::string> file_;
  JsonNode root_;
  std::vector<Frame> open_;
};

// ---- quantities ----

struct NumberAndUnit {
  double number = 0;
  std::string unit;
};

// Decimal digits, optional point and exponent, at most one space, then the unit; nothing else.
std::optional<NumberAndUnit> split_quantity(const std::string& text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  NumberAndUnit result;
  // from_chars would also take "inf", "nan" and ".5"; a quantity starts with a digit.
  const char* digits = begin;
  if (digits != end && *digits == '-') ++digits;
  if (digits == end || *digits < '0' || *digits > '9') return std::nullopt;
  const auto [rest, error] = std::from_chars(begin, end, result.number);
  if (error == std::errc::result_out_of_range) {
    result.number = std::numeric_limits<double>::infinity();
  } else if (error != std::errc{}) {
    return std::nullopt;
  }
  const char* unit = rest;
  if (unit != end && *unit == ' ') ++unit;
  result.unit.assign(unit, end);
  if (result.unit.empty() || result.unit.front() == ' ') return std::nullopt;
  return result;
}

template <class Quantity>
struct NamedUnit {
  const char* name;
  Quantity unit;
};

enum class Zero { refused, allowed };

template <class Quantity, std::size_t num_units>
Quantity parse_quantity(const std::string& text,
                        const std::array<NamedUnit<Quantity>, num_units>& units,
                        Zero zero,
                        const char* example) {
  const std::optional<NumberAndUnit> parts = split_quantity(text);
  if (!parts) {
    throw InputError("",
                     std::string("expected a quantity with a unit such as \"") + example +
                         "\", found the string " + in_quotes(text));
  }
  const auto named = std::find_if(
      units.begin(), units.end(), [&](const auto& u) { return parts->unit == u.name; });
  if (named == units.end()) {
    std::vector<std::string> known;
    for (const auto& u : units) known.emplace_back(u.name);
    throw InputError("", "unknown unit " + in_quotes(parts->unit) + "; known: " + joined(known));
  }
  const Quantity quantity = parts->number * named->unit;
  const double base_value = quantity / (1.0 * units.front().unit);
  if (!std::isfinite(parts->number) || !std::isfinite(base_value)) {
    throw InputError("", "expected a quantity that a double can hold, found " + in_quotes(text));
  }
  if (zero == Zero::refused && !(base_value > 0)) {
    throw InputError("", "expected a quantity above zero, found " + in_quotes(text));
  }
  if (zero == Zero::allowed && !(base_value >= 0)) {
    throw InputError("", "expected a quantity of zero or more, found " + in_quotes(text));
  }
  return quantity;
}

constexpr std::array kTimeUnits{NamedUnit<Seconds>{"ps", ps},
                                NamedUnit<Seconds>{"ns", ns},
                                NamedUnit<Seconds>{"us", us},
                                NamedUnit<Seconds>{"ms", ms},
                                NamedUnit<Seconds>{"s", s},
                                NamedUnit<Seconds>{"min", minute},
                                NamedUnit<Seconds>{"h", hour},
                                NamedUnit<Seconds>{"d", day}};
constexpr std::array kByteUnits{NamedUnit<Bytes>{"B", B},
                                NamedUnit<Bytes>{"KB", KB},
                                NamedUnit<Bytes>{"MB", MB},
                                NamedUnit<Bytes>{"GB", GB},
                                NamedUnit<Bytes>{"TB", TB},
                                NamedUnit<Bytes>{"KiB", KiB},
                                NamedUnit<Bytes>{"MiB", MiB},
                                NamedUnit<Bytes>{"GiB", GiB},
                                NamedUnit<Bytes>{"TiB", 1024 * GiB}};
constexpr std::array kBandwidthUnits{NamedUnit<Bandwidth>{"B/s", B_per_s},
                                     NamedUnit<Bandwidth>{"KB/s", 1e3 * B_per_s},
                                     NamedUnit<Bandwidth>{"MB/s", 1e6 * B_per_s},
                                     NamedUnit<Bandwidth>{"GB/s", GB_per_s},
                                     NamedUnit<Bandwidth>{"TB/s", TB_per_s},
                                     NamedUnit<Bandwidth>{"Kb/s", 1e-6 * Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Mb/s", 1e-3 * Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Gb/s", Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Tb/s", 1e3 * Gbit_per_s}};
constexpr std::array kFlopRateUnits{NamedUnit<FlopRate>{"FLOP/s", FLOP_per_s},
                                    NamedUnit<FlopRate>{"GFLOP/s", GFLOP_per_s},
                                    NamedUnit<FlopRate>{"TFLOP/s", TFLOP_per_s},
                                    NamedUnit<FlopRate>{"PFLOP/s", PFLOP_per_s}};
constexpr std::array kDollarRateUnits{NamedUnit<DollarRate>{"USD/h", USD_per_hour}};

constexpr const char* kTimeExample = "2.8 us";
constexpr const char* kByteExample = "80 GiB";
constexpr const char* kBandwidthExample = "50 GB/s";
constexpr const char* kFlopRateExample = "989 TFLOP/s";
constexpr const char* kDollarRateExample = "2 USD/h";

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

// ---- values ----

// "14.8T" as 14800000000000, in decimal: 14.8 * 1e12 in binary need not come out whole.
std::optional<std::int64_t> parse_count(const std::string& text) {
  if (text.size() < 2) return std::nullopt;
  int power = 0;
  switch (text.back()) {
    case 'K': power = 3; break;
    case 'M': power = 6; break;
    case 'B': power = 9; break;
    case 'T': power = 12; break;
    default: return std::nullopt;
  }
  std::string digits = text.substr(0, text.size() - 1);
  if (digits.back() == ' ') digits.pop_back();
  const std::size_t point = digits.find('.');
  if (point == 0) return std::nullopt;
  if (point != std::string::npos) {
    if (point + 1 == digits.size()) return std::nullopt;
    while (digits.back() == '0') digits.pop_back();
    power -= static_cast<int>(std::min<std::size_t>(digits.size() - point - 1, 100));
    digits.erase(point, 1);
  }
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos || power < 0) {
    return std::nullopt;
  }
  digits.append(static_cast<std::size_t>(power), '0');
  std::int64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc{} || rest != end || value <= 0) return std::nullopt;
  return value;
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

// ---- overrides ----

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

}  // namespace

// ---- JsonNode ----

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

JsonNode parse_json(const std::string& text, const std::string& name) {
  if (text.size() > kMaxFileBytes) throw InputError(name, "is larger than 64 MiB");
  static const std::string kByteOrderMark = "\xEF\xBB\xBF";
  if (text.compare(0, kByteOrderMark.size(), kByteOrderMark) == 0) {
    return parse_json(text.substr(kByteOrderMark.size()), name);
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) throw InputError(name, "is empty");
  // The library takes a NUL byte for the end of the text and would ignore what follows.
  const std::size_t nul = text.find('\0');
  if (nul != std::string::npos) fail_at(text, name, nul, "a NUL byte; this is not JSON text");
  NodeBuilder builder(text, name);
  const bool complete = nlohmann::json::sax_parse(text.data(),
                                                  text.data() + text.size(),
                                                  &builder,
                                                  nlohmann::json::input_format_t::json,
                                                  /*strict=*/true,
                                                  /*ignore_comments=*/true);
  ENSURE(complete);  // every refusal throws
  return builder.take_root();
}

JsonNode read_json_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  const auto refuse = [&](const std::string& why) {
    throw InputError(name, "cannot be read: " + why);
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) refuse("it is a directory");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) {
    refuse(errno == ENOENT ? "no such file" : std::generic_category().message(errno));
  }
  std::string text;
  std::array<char, 65536> buffer{};
  std::size_t num_read = 0;
  while ((num_read = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0) {
    text.append(buffer.data(), num_read);
    // Stops at the limit rather than asking for the size first: a pipe or a device has none.
    if (text.size() > kMaxFileBytes) throw InputError(name, "is larger than 64 MiB");
  }
  if (std::ferror(file.get()) != 0) refuse(std::generic_category().message(errno));
  return parse_json(text, name);
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
    const std::string here = walked.empty() ? "" : " in " + walked;
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
      std::size_t index = 0;
      const char* const end = step.data() + step.size();
      const auto [rest, error] = std::from_chars(step.data(), end, index);
      if (error != std::errc{} || rest != end || index >= size) {
        throw InputError(
            origin, "no item " + in_quotes(step) + here + ", an array of " + std::to_string(size));
      }
      next = &target->items[index];
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

std::string canonical_text(const JsonNode& node) { return canonical_value(node).dump_line(); }

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

Seconds parse_seconds(const std::string& text) {
  return parse_quantity(text, kTimeUnits, Zero::allowed, kTimeExample);
}
Bytes parse_bytes(const std::string& text) {
  return parse_quantity(text, kByteUnits, Zero::refused, kByteExample);
}
Bandwidth parse_bandwidth(const std::string& text) {
  return parse_quantity(text, kBandwidthUnits, Zero::refused, kBandwidthExample);
}
FlopRate parse_flop_rate(const std::string& text) {
  return parse_quantity(text, kFlopRateUnits, Zero::refused, kFlopRateExample);
}
DollarRate parse_dollar_rate(const std::string& text) {
  return parse_quantity(text, kDollarRateUnits, Zero::allowed, kDollarRateExample);
}

// ---- ObjectReader ----

ObjectReader::ObjectReader(const JsonNode& node) : node_(node) {
  if (node.kind != JsonNode::Kind::object) {
    throw InputError(node.place(), "expected an object, found " + node.describe());
  }
}

bool ObjectReader::has(const std::string& key) const {
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
Bytes ObjectReader::bytes(const std::string& key) {
  return quantity_at(required(key), parse_bytes, kByteExample);
}
Bandwidth ObjectReader::bandwidth(const std::string& key) {
  return quantity_at(required(key), parse_bandwidth, kBandwidthExample);
}
FlopRate ObjectReader::flop_rate(const std::string& key) {
  return quantity_at(required(key), parse_flop_rate, kFlopRateExample);
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
    const std::string problem = unknown_key(key, {read_.begin(), read_.end()});
    // A key that an override added is the override's mistake, not the file's.
    if (member.file && node_.file && *member.file != *node_.file) {
      throw InputError(member.place(), problem);
    }
    fail(problem);
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
