#include "model/json_writer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "model/errors.hpp"

namespace moesim {

// Appends one value to `out`; `pointer` is where it stands, for the message about a NaN.
struct JsonDumper {
  bool pretty = false;
  std::size_t width = 0;  // arrays and objects that fit are written on one line; 0: none is
  std::string out;
  std::string pointer;

  void dump(const JsonValue& value, std::size_t depth) {
    std::visit([&](const auto& v) { dump_one(v, depth); }, value.value_);
  }

  void dump_one(std::nullptr_t, std::size_t) { out += "null"; }
  void dump_one(bool value, std::size_t) { out += value ? "true" : "false"; }
  void dump_one(std::int64_t value, std::size_t) { out += std::to_string(value); }

  void dump_one(double value, std::size_t) {
    if (!std::isfinite(value)) {
      throw std::logic_error("internal error: " + std::to_string(value) + " at \"" + pointer +
                             "\" cannot be written as JSON");
    }
    std::array<char, 32> buffer{};  // the longest shortest form has 24 characters
    char* const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    const std::string text(buffer.data(), end);
    out += text;
    // Whole doubles keep their point, so that a reader can tell them from integers.
    if (text.find_first_not_of("-0123456789") == std::string::npos) out += ".0";
  }

  void dump_one(const std::string& value, std::size_t) {
    const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\';
    });
    if (plain) {
      out += '"';
      out += value;
      out += '"';
    } else {
      // Bytes that are not UTF-8 (a file name may hold some) become U+FFFD: the output stays JSON.
      out += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
  }

  // Whether `value` was short enough for the line it begins on.
  template <class Value>
  bool dump_in_line(const Value& value, std::size_t depth) {
    if (width == 0 || value.empty()) return false;
    JsonDumper line;
    line.pointer = pointer;
    line.dump_one(value, 0);
    if (2 * depth + line.out.size() > width) return false;
    out += line.out;
    return true;
  }

  void dump_one(const JsonValue::Array& items, std::size_t depth) {
    if (dump_in_line(items, depth)) return;
    out += '[';
    const std::size_t parent = pointer.size();
    for (std::size_t i = 0; i < items.size(); ++i) {
      separate(i, depth + 1);
      pointer += "/" + std::to_string(i);
      dump(items[i], depth + 1);
      pointer.resize(parent);
    }
    if (!items.empty()) break_line(depth);
    out += ']';
  }

  void dump_one(const JsonValue::Object& members, std::size_t depth) {
    if (dump_in_line(members, depth)) return;
    out += '{';
    const std::size_t parent = pointer.size();
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto& [key, member] = members[i];
      separate(i, depth + 1);
      dump_one(key, depth);
      out += pretty ? ": " : ":";
      pointer += "/" + key;
      dump(member, depth + 1);
      pointer.resize(parent);
    }
    if (!members.empty()) break_line(depth);
    out += '}';
  }

  void separate(std::size_t index, std::size_t depth) {
    if (index > 0) out += ',';
    break_line(depth);
  }

  void break_line(std::size_t depth) {
    if (!pretty) return;
    out += '\n';
    out.append(2 * depth, ' ');
  }
};

JsonValue& JsonValue::set(const std::string& key, JsonValue value) {
  auto* const members = std::get_if<Object>(&value_);
  ENSURE(members != nullptr);
  for (const auto& member : *members) {
    if (member.first == key) {
      throw std::logic_error("internal error: JSON key \"" + key + "\" is written twice");
    }
  }
  members->emplace_back(key, std::move(value));
  return *this;
}

JsonValue& JsonValue::push(JsonValue value) {
  auto* const items = std::get_if<Array>(&value_);
  ENSURE(items != nullptr);
  items->push_back(std::move(value));
  return *this;
}

std::optional<double> JsonValue::number_at(const std::string& pointer) const {
  const JsonValue* value = this;
  for (std::size_t begin = 1; begin <= pointer.size();) {
    const std::size_t end = std::min(pointer.find('/', begin), pointer.size());
    const std::string key = pointer.substr(begin, end - begin);
    const JsonValue* next = nullptr;
    if (const auto* members = std::get_if<Object>(&value->value_)) {
      for (const auto& [name, member] : *members)
        if (name == key) next = &member;
    } else if (const auto* items = std::get_if<Array>(&value->value_)) {
      std::size_t index = 0;
      const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      if (error == std::errc() && stop == key.data() + key.size() && index < items->size())
        next = &(*items)[index];
    }
    if (next == nullptr) return std::nullopt;
    value = next;
    begin = end + 1;
  }
  return value->number();
}

std::optional<double> JsonValue::number() const {
  if (const auto* real = std::get_if<double>(&value_)) return *real;
  if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
  return std::nullopt;
}

const JsonValue::Object* JsonValue::members() const { return std::get_if<Object>(&value_); }

std::string JsonValue::dump() const {
  JsonDumper dumper;
  dumper.pretty = true;
  dumper.dump(*this, 0);
  return dumper.out + "\n";
}

std::string JsonValue::dump_wrapped(std::size_t width) const {
  JsonDumper dumper;
  dumper.pretty = true;
  dumper.width = width;
  dumper.dump(*this, 0);
  return dumper.out + '\n';
}

std::string JsonValue::dump_line() const {
  JsonDumper dumper;
  dumper.dump(*this, 0);
  return dumper.out;
}

namespace {

// An open file descriptor. The destructor's close is for the error path; success closes by hand,
// because some file systems report a full disk only there.
class OpenFile {
 public:
  OpenFile(const std::filesystem::path& path, int flags)
      : descriptor_(::open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, 0666)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  bool is_open() const { return descriptor_ >= 0; }
  bool copy_mode(const struct ::stat& existing) const {
    return ::fchmod(descriptor_, existing.st_mode & 07777U) == 0;
  }
  bool write_all(const std::string& text) const {
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t written = ::write(descriptor_, text.data() + done, text.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      done += static_cast<std::size_t>(written);
    }
    return true;
  }
  bool sync() const { return ::fsync(descriptor_) == 0; }
  bool close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return ::close(descriptor) == 0;
  }

 private:
  int descriptor_;
};

}  // namespace

void write_file(const std::filesystem::path& path, const std::string& text) {
  const auto refuse = [&](const std::string& reason) {
    throw std::runtime_error(path.string() + ": cannot be written: " + reason);
  };
  const auto refuse_with_errno = [&](int error) { refuse(std::generic_category().message(error)); };

  std::filesystem::path target = path;
  struct ::stat existing {};
  const bool exists = ::stat(path.c_str(), &existing) == 0;
  if (exists && S_ISDIR(existing.st_mode)) refuse("it is a directory");
  if (exists && !S_ISREG(existing.st_mode)) {
    // A rename would replace /dev/null or a pipe by a plain file, so these are written in place.
    OpenFile device(path, 0);
    if (!device.is_open() || !device.write_all(text) || !device.close()) refuse_with_errno(errno);
    return;
  }
  // The file that a symbolic link names, even if it is still to be made: the link survives.
  std::error_code error;
  constexpr int kMaxLinks = 40;  // as the Linux kernel follows
  for (int links = 0; std::filesystem::is_symlink(target, error); ++links) {
    if (links == kMaxLinks) refuse_with_errno(ELOOP);
    target = target.parent_path() / std::filesystem::read_symlink(target, error);
    if (error) refuse(error.message());
  }

  // A killed process leaves its temporary file behind and its id may come again: try the next name.
  static std::atomic<std::uint64_t> next_number{0};
  constexpr int kMaxAttempts = 1000;
  for (int attempt = 1;; ++attempt) {
    std::filesystem::path temporary = target;
    temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(next_number++);
    OpenFile file(temporary, O_CREAT | O_EXCL);
    if (!file.is_open()) {
      if (errno == EEXIST && attempt < kMaxAttempts) continue;
      refuse_with_errno(errno);
    }
    const bool written = (!exists || file.copy_mode(existing)) && file.write_all(text) &&
                         file.sync() && file.close() &&
                         ::rename(temporary.c_str(), target.c_str()) == 0;
    if (!written) {
      const int reason = errno;
      ::unlink(temporary.c_str());
      refuse_with_errno(reason);
    }
    return;
  }
}

}  // namespace moesim
