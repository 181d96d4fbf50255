// Text to JsonNode: the only file on the way in that knows the JSON library.
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <unordered_set>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"

namespace moesim {
namespace {

// Far above any configuration file; a trace belongs to a streaming reader, not in a tree of nodes.
constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;
// What the nodes of one document may take; stops a data file given by mistake, and a long key over
// many values, each of which carries its pointer.
constexpr std::size_t kMaxTreeBytes = std::size_t{512} << 20;
// Deep enough for any hand-written file; keeps the recursion over nodes off the stack limit.
constexpr std::size_t kMaxDepth = 64;

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
  throw InputError(one_line(file) + ": line " + std::to_string(position.line) + ", column " +
                       std::to_string(position.column),
                   problem);
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '.' || c == '+' || c == '-';
}

// What a reader would call the token at `offset`: "NaN", where the library has read only "N".
std::string token_at(const std::string& text, std::size_t offset) {
  if (offset >= text.size()) return "";
  const auto is_letter = [](char c) { return is_word(c) && c > '9'; };
  // In "tru}" and "0.1f}" the literal ends before the character that was refused.
  if (!is_word(text[offset]) && offset > 0 && is_letter(text[offset - 1])) --offset;
  std::size_t begin = offset, end = offset + 1;
  while (begin > 0 && offset - begin < kMaxQuoted && is_word(text[begin - 1])) --begin;
  while (end < text.size() && end - offset < kMaxQuoted && is_word(text[end])) ++end;
  return is_word(text[offset]) ? text.substr(begin, end - begin) : std::string(1, text[offset]);
}

// The library's sentence without its "[json.exception...] parse error at line 1, column 2: ", which
// counts the line of an unterminated string differently, and without "last read", which quotes up
// to all of the file: a literal or number is shown as it stands instead.
std::string plain_problem(const std::string& what, const std::string& text, std::size_t offset) {
  std::string problem = what;
  const std::size_t bracket = problem.find("] ");
  if (bracket != std::string::npos) problem.erase(0, bracket + 2);
  if (problem.rfind("parse error", 0) == 0) {
    const std::size_t colon = problem.find(": ");
    if (colon != std::string::npos) problem.erase(0, colon + 2);
  }
  const std::size_t last_read = problem.find("; last read: '");
  if (last_read != std::string::npos) {
    const std::size_t end = problem.rfind("'; expected ");
    const std::string expected =
        end != std::string::npos && end > last_read ? problem.substr(end + 1) : "";
    problem.erase(last_read);
    const bool has_token = problem.find("invalid literal") != std::string::npos ||
                           problem.find("invalid number") != std::string::npos;
    if (has_token) problem += ", found " + in_quotes(token_at(text, offset));
    problem += expected;
  }
  constexpr std::size_t kMaxProblem = 300;  // a number that overflows may have a million digits
  if (problem.size() > kMaxProblem) problem = problem.substr(0, kMaxProblem) + "...";
  return one_line(problem);
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
    const std::size_t offset = bytes_read == 0 ? 0 : bytes_read - 1;
    fail_at(text_, *file_, offset, plain_problem(error.what(), text_, offset));
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
    tree_bytes_ += sizeof(JsonNode) + node->pointer.size();
    if (tree_bytes_ > kMaxTreeBytes) {
      throw InputError(one_line(*file_), "holds too many values: more than 512 MiB once read");
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
  std::size_t tree_bytes_ = 0;
};

}  // namespace

JsonNode parse_json(const std::string& text, const std::string& name) {
  if (text.size() > kMaxFileBytes) throw InputError(one_line(name), "is larger than 64 MiB");
  static const std::string kByteOrderMark = "\xEF\xBB\xBF";
  if (text.compare(0, kByteOrderMark.size(), kByteOrderMark) == 0) {
    return parse_json(text.substr(kByteOrderMark.size()), name);
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw InputError(one_line(name), "is empty");
  }
  if (text.compare(0, 2, "\xFF\xFE") == 0 || text.compare(0, 2, "\xFE\xFF") == 0) {
    fail_at(text, name, 0, "this is UTF-16 text; expected UTF-8");
  }
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
    throw InputError(one_line(name), "cannot be read: " + why);
  };
  // The operating system would take the name to end there, and open another file.
  if (name.find('\0') != std::string::npos) refuse("its name holds a NUL byte");
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
    if (text.size() > kMaxFileBytes) throw InputError(one_line(name), "is larger than 64 MiB");
  }
  if (std::ferror(file.get()) != 0) refuse(std::generic_category().message(errno));
  return parse_json(text, name);
}

}  // namespace moesim
