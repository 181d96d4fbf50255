#include "model/profiler_trace.hpp"

#include <algorithm>
#include <functional>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

constexpr std::size_t kDeepest = 64;

// Steps over JSON without building it. Only its brackets and strings are looked at: what is read of
// the file is parsed strictly, what is stepped over is not judged.
class JsonScanner {
 public:
  JsonScanner(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  char peek() {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (at_ == text_.size()) fail("ends in the middle; the file may be cut off");
    return text_[at_];
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c))
      fail("expected '" + std::string(1, c) + "', found " + in_quotes(std::string(1, peek())));
  }
  std::string_view string() {
    peek();
    const std::size_t begin = at_;
    if (text_[at_] != '"') fail("expected a string");
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        return text_.substr(begin, ++at_ - begin);
      }
    }
    fail("ends inside a string; the file may be cut off");
  }
  // Any value; its text.
  std::string_view value() {
    peek();
    const std::size_t begin = at_;
    std::size_t depth = 0;
    do {
      const char c = peek();
      if (c == '"') {
        string();
      } else if (c == '{' || c == '[') {
        if (++depth > kDeepest) fail("is nested deeper than 64");
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) fail("expected a value");
        --depth;
        ++at_;
      } else if (depth > 0 && (c == ',' || c == ':')) {
        ++at_;
      } else {
        const std::size_t end = text_.find_first_of(",:{}[]\" \t\r\n", at_);
        if (end == at_) fail("expected a value");
        at_ = std::min(end, text_.size());
      }
    } while (depth > 0);
    return text_.substr(begin, at_ - begin);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    const std::string_view before = text_.substr(0, at_);
    const std::size_t newline = before.rfind('\n');  // npos counts as -1
    throw InputError(file_ + ": line " +
                         std::to_string(1 + std::count(before.begin(), before.end(), '\n')) +
                         ", column " + std::to_string(before.size() - newline),
                     why);
  }
  const std::string& file_;
  std::string_view text_;
  std::size_t at_ = 0;
};

double time_us(const JsonNode& event, const char* key) {
  const JsonNode* const node = event.find(key);
  if (node == nullptr ||
      (node->kind != JsonNode::Kind::integer && node->kind != JsonNode::Kind::real))
    throw InputError(event.place(), "expected a number \"" + std::string(key) + "\"");
  return node->real;
}

// Of a member of "args".
const JsonNode* argument(const JsonNode& event, const char* key) {
  const JsonNode* const args = event.find("args");
  return args == nullptr || args->kind != JsonNode::Kind::object ? nullptr : args->find(key);
}

std::optional<std::int64_t> correlation(const JsonNode& event) {
  const JsonNode* const node = argument(event, "correlation");
  if (node == nullptr || node->kind != JsonNode::Kind::integer) return std::nullopt;
  return node->integer;
}

std::string thread_of(const JsonNode& event) {
  std::string thread;
  for (const char* key : {"pid", "tid"})
    if (const JsonNode* const node = event.find(key); node != nullptr)
      thread += canonical_text(*node) + " ";
  return thread;
}

TraceKernel kernel(const JsonNode& event, const std::string& name) {
  TraceKernel k;
  k.name = name;
  k.place = event.place();
  k.start_us = time_us(event, "ts");
  k.duration_us = time_us(event, "dur");
  if (k.duration_us < 0)
    throw InputError(k.place, "kernel " + in_quotes(name) + " has a negative duration");
  k.correlation = correlation(event);
  if (const JsonNode* const grid = argument(event, "grid");
      grid != nullptr && grid->kind == JsonNode::Kind::array && grid->items.size() == 3) {
    k.grid.emplace();
    for (std::size_t i = 0; i < 3; ++i) (*k.grid)[i] = grid->items[i].integer;
  }
  return k;
}

void take_event(const JsonNode& event, ProfilerTrace& trace) {
  if (event.kind != JsonNode::Kind::object) throw InputError(event.place(), "expected an object");
  const JsonNode* const category = event.find("cat");
  const JsonNode* const name = event.find("name");
  if (category == nullptr || category->kind != JsonNode::Kind::string) return;
  const std::string& cat = category->text;
  if (cat == "kernel" || cat == "Kernel") {
    if (name == nullptr || name->kind != JsonNode::Kind::string || name->text.empty())
      throw InputError(event.place(), "a kernel without a name");
    trace.kernels.push_back(kernel(event, name->text));
  } else if (cat == "gpu_memcpy" || cat == "gpu_memset") {
    trace.memory_operations.push_back(
        kernel(event, name != nullptr && !name->text.empty() ? name->text : cat));
  } else if (cat == "user_annotation" && name != nullptr && event.find("dur") != nullptr) {
    const double start_us = time_us(event, "ts");
    trace.annotations.push_back(
        {name->text, thread_of(event), start_us, start_us + time_us(event, "dur")});
  } else if (cat == "cuda_runtime" || cat == "cuda_driver" || cat == "Runtime") {
    if (const auto id = correlation(event); id)
      trace.launches.try_emplace(*id, TraceLaunch{time_us(event, "ts"), thread_of(event)});
  }
}

// Whether an event may be one of those, before the cost of parsing it.
bool may_matter(std::string_view event) {
  for (const std::string_view cat : {"\"kernel\"",
                                     "\"Kernel\"",
                                     "\"gpu_memcpy\"",
                                     "\"gpu_memset\"",
                                     "\"user_annotation\"",
                                     "\"cuda_runtime\"",
                                     "\"cuda_driver\"",
                                     "\"Runtime\""})
    if (event.find(cat) != std::string_view::npos) return true;
  return false;
}

void read_events(JsonScanner& scanner, const std::string& file, ProfilerTrace& trace) {
  scanner.expect('[');
  std::size_t number = 0;
  while (scanner.peek() != ']') {
    if (number > 0) scanner.expect(',');
    if (scanner.peek() == ']') break;  // profilers that were stopped leave a comma
    const std::string_view event = scanner.value();
    ++number;
    if (may_matter(event))
      take_event(parse_json(std::string(event), file + ": event " + std::to_string(number)), trace);
  }
  scanner.expect(']');
}

std::string first_device(const std::string& properties, const std::string& file) {
  const JsonNode node = parse_json(properties, file + ": deviceProperties");
  if (node.kind != JsonNode::Kind::array || node.items.empty()) return {};
  const JsonNode* const name = node.items[0].find("name");
  return name == nullptr ? std::string() : name->text;
}

}  // namespace

ProfilerTrace read_profiler_trace(const std::filesystem::path& path) {
  const std::string file = one_line(path.string()), bytes = read_bytes(path);
  if (bytes.substr(0, 2) == "\x1f\x8b")
    throw InputError(file, "is compressed (gzip); unpack it first");
  if (bytes.find_first_not_of(" \t\r\n") == std::string::npos) throw InputError(file, "is empty");
  ProfilerTrace trace;
  bool found = false;
  JsonScanner scanner(file, bytes);
  if (scanner.peek() == '[') {  // the format's short form: events alone
    read_events(scanner, file, trace);
    return trace;
  }
  scanner.expect('{');
  while (scanner.peek() != '}') {
    const std::string_view key = scanner.string();
    scanner.expect(':');
    if (key == "\"traceEvents\"") {
      if (found) throw InputError(file, "has \"traceEvents\" twice");
      found = true;
      read_events(scanner, file, trace);
    } else if (key == "\"deviceProperties\"") {
      trace.device = first_device(std::string(scanner.value()), file);
    } else {
      scanner.value();
    }
    if (!scanner.take(',')) break;
  }
  scanner.expect('}');
  if (!found) throw InputError(file, "is no trace: it has no \"traceEvents\"");
  return trace;
}

std::string short_kernel_name(const std::string& name) {
  constexpr std::size_t kMost = 160;
  return one_line(name.size() <= kMost ? name : name.substr(0, kMost - 3) + "...");
}

}  // namespace moesim
