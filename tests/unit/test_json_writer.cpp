#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "model/json_reader.hpp"
#include "model/json_writer.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

template <class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::size_t num_files(const std::filesystem::path& folder) {
  const auto files = std::filesystem::directory_iterator(folder);
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

// Files cannot grow past `bytes` while this lives: the nearest thing to a full disk that a test can
// make for itself. Catch2 must not print in between, its output may be a file too.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_action_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    struct rlimit limit = old_limit_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    ::signal(SIGXFSZ, old_action_);
  }

 private:
  struct rlimit old_limit_ {};
  void (*old_action_)(int) = SIG_DFL;
};

}  // namespace

TEST_CASE("json writer: scalars on one line", "[json_writer]") {
  struct Row {
    JsonValue value;
    std::string text;
  };
  const std::vector<Row> rows = {
      {JsonValue(), "null"},
      {true, "true"},
      {false, "false"},
      {0, "0"},
      {-7, "-7"},
      {std::numeric_limits<std::int64_t>::max(), "9223372036854775807"},
      {std::numeric_limits<std::int64_t>::min(), "-9223372036854775808"},
      {std::uint64_t{42}, "42"},
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-3.0, "-3.0"},
      {0.1, "0.1"},
      {0.1 + 0.2, "0.30000000000000004"},
      {1.0 / 3, "0.3333333333333333"},
      {2.788e6, "2788000.0"},
      {1e22, "1e+22"},
      {1e-9, "1e-09"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {"", R"("")"},
      {"plain text", R"("plain text")"},
      {"a \"b\" \\ c", R"("a \"b\" \\ c")"},
      {"tab\tline\nend", R"("tab\tline\nend")"},
      {std::string("nul\0!", 5), R"("nul\u0000!")"},
      {"\xC3\xA9 \xE2\x82\xAC", "\"\xC3\xA9 \xE2\x82\xAC\""},
      {"bad \xFF byte", "\"bad \xEF\xBF\xBD byte\""},
      {"</script>", R"("</script>")"},
      {JsonValue::array(), "[]"},
      {JsonValue::object(), "{}"},
  };
  for (const Row& row : rows) CHECK(row.value.dump_line() == row.text);
}

TEST_CASE("json writer: every double reads back as itself", "[json_writer]") {
  std::uint64_t state = 1;
  for (int i = 0; i < 2000; ++i) {
    // Knuth's 64-bit linear congruential generator; all bit patterns, so all exponents.
    state = state * 6364136223846793005U + 1442695040888963407U;
    double value = 0;
    static_assert(sizeof value == sizeof state);
    std::memcpy(&value, &state, sizeof value);
    if (!std::isfinite(value)) continue;
    const JsonNode node = parse_json(JsonValue(value).dump_line(), "x.json");
    REQUIRE(node.kind == JsonNode::Kind::real);
    REQUIRE(node.real == value);
  }
}

TEST_CASE("json writer: nested values, members in the order they were set", "[json_writer]") {
  JsonValue list = JsonValue::array();
  list.push(1).push("two").push(JsonValue::array()).push(JsonValue::object());
  JsonValue value = JsonValue::object();
  value.set("z", 1).set("a", 2.5).set("list", list);
  value.set("inner", JsonValue::object().set("k", true));
  CHECK(value.dump_line() == R"({"z":1,"a":2.5,"list":[1,"two",[],{}],"inner":{"k":true}})");
  CHECK(value.dump() == R"({
  "z": 1,
  "a": 2.5,
  "list": [
    1,
    "two",
    [],
    {}
  ],
  "inner": {
    "k": true
  }
}
)");
  CHECK(JsonValue(3).dump() == "3\n");
}

TEST_CASE("json writer: NaN and infinity are our own error, with their place", "[json_writer]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  JsonValue report = JsonValue::object();
  report.set("ok", 1.0);
  report.set("rows", JsonValue::array().push(JsonValue::object().set("error_pct", nan)));
  CHECK_THROWS_AS(report.dump(), std::logic_error);
  CHECK(message_of([&] { report.dump(); }) ==
        "internal error: nan at \"/rows/0/error_pct\" cannot be written as JSON");
  CHECK(message_of([&] { JsonValue(infinity).dump_line(); }) ==
        "internal error: inf at \"\" cannot be written as JSON");
  CHECK(message_of([&] { JsonValue(-infinity).dump_line(); }) ==
        "internal error: -inf at \"\" cannot be written as JSON");
}

TEST_CASE("json writer: misuse is our own error", "[json_writer]") {
  JsonValue object = JsonValue::object();
  object.set("a", 1);
  CHECK_THROWS_AS(object.set("a", 2), std::logic_error);
  CHECK(message_of([&] { object.set("a", 2); }) ==
        "internal error: JSON key \"a\" is written twice");
  CHECK(object.dump_line() == R"({"a":1})");
  CHECK_THROWS_AS(object.push(1), std::logic_error);
  CHECK_THROWS_AS(JsonValue::array().set("a", 1), std::logic_error);
  CHECK_THROWS_AS(JsonValue(1).push(1), std::logic_error);
  CHECK_THROWS_AS(JsonValue(std::uint64_t{1} << 63U), std::logic_error);
}

TEST_CASE("write_file: creates and replaces, and leaves nothing else", "[json_writer]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "report.json";
  write_file(path, "first\n");
  CHECK(file_text(path) == "first\n");
  write_file(path, "");
  CHECK(file_text(path).empty());
  const std::string large(3000000, 'x');
  write_file(path, large);
  CHECK(file_text(path) == large);
  CHECK(num_files(folder.path()) == 1);
}

TEST_CASE("write_file: a name without a folder is in the current one", "[json_writer]") {
  const TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const std::string message = message_of([] { write_file("plain.txt", "x"); });
  std::filesystem::current_path(before);
  CHECK(message == "nothing was thrown");
  CHECK(file_text(folder.path() / "plain.txt") == "x");
}

TEST_CASE("write_file: keeps the permissions of what it replaces", "[json_writer]") {
  const TemporaryFolder folder;
  const auto path = folder.add_file("private.json", "old");
  ::chmod(path.c_str(), 0600);
  write_file(path, "new");
  struct ::stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
}

TEST_CASE("write_file: follows a symbolic link and keeps it", "[json_writer]") {
  const TemporaryFolder folder;
  const auto target = folder.add_file("target.json", "old");
  const auto link = folder.path() / "link.json";
  std::filesystem::create_symlink(target, link);
  write_file(link, "new");
  CHECK(std::filesystem::is_symlink(link));
  CHECK(file_text(target) == "new");
}

TEST_CASE("write_file: links over links, and one whose file is still to be made", "[json_writer]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "results");
  const auto first = folder.path() / "first", second = folder.path() / "second";
  std::filesystem::create_symlink("second", first);
  std::filesystem::create_symlink("results/report.json", second);
  write_file(first, "text");
  CHECK(std::filesystem::is_symlink(first));
  CHECK(std::filesystem::is_symlink(second));
  CHECK(file_text(folder.path() / "results" / "report.json") == "text");

  const auto loop = folder.path() / "loop";
  std::filesystem::create_symlink("loop", loop);
  CHECK(message_of([&] { write_file(loop, "text"); }) ==
        loop.string() + ": cannot be written: Too many levels of symbolic links");
  const auto nowhere = folder.path() / "nowhere";
  std::filesystem::create_symlink("missing/report.json", nowhere);
  CHECK(message_of([&] { write_file(nowhere, "text"); }) ==
        nowhere.string() + ": cannot be written: No such file or directory");
  CHECK(std::filesystem::is_symlink(nowhere));
}

TEST_CASE("write_file: a new file has the permissions that the user asks for", "[json_writer]") {
  const TemporaryFolder folder;
  const mode_t old_mask = ::umask(027);
  const std::string message =
      message_of([&] { write_file(folder.path() / "report.json", "text"); });
  ::umask(old_mask);
  CHECK(message == "nothing was thrown");
  struct ::stat status {};
  REQUIRE(::stat((folder.path() / "report.json").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0640U);
}

TEST_CASE("write_file: any bytes, and a path without a name", "[json_writer]") {
  const TemporaryFolder folder;
  const std::string bytes("\0\xFF\r\n\0", 5);
  write_file(folder.path() / "two\nlines", bytes);
  CHECK(file_text(folder.path() / "two\nlines") == bytes);
  CHECK(message_of([] { write_file("", "text"); }) ==
        ": cannot be written: No such file or directory");
}

TEST_CASE("write_file: a pipe gets the text and stays a pipe", "[json_writer]") {
  const TemporaryFolder folder;
  const auto pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::string received;
  std::thread reader([&] { received = file_text(pipe); });
  const std::string sent(200000, 'x');  // more than a pipe holds
  write_file(pipe, sent);
  reader.join();
  CHECK(received == sent);
  CHECK(std::filesystem::is_fifo(pipe));
  CHECK(num_files(folder.path()) == 1);
}

TEST_CASE("write_file: a folder that nobody may write to keeps its file", "[json_writer]") {
  if (::geteuid() == 0) return;  // the superuser may write anywhere
  const TemporaryFolder folder;
  const auto path = folder.add_file("report.json", "old");
  ::chmod(folder.path().c_str(), 0500);
  const std::string message = message_of([&] { write_file(path, "new"); });
  ::chmod(folder.path().c_str(), 0700);
  CHECK(message == path.string() + ": cannot be written: Permission denied");
  CHECK(file_text(path) == "old");
}

TEST_CASE("write_file: a device is written, not replaced", "[json_writer]") {
  write_file("/dev/null", "gone");
  CHECK(std::filesystem::is_character_file("/dev/null"));
  if (!std::filesystem::is_character_file("/dev/full")) return;
  CHECK(message_of([] { write_file("/dev/full", "x"); }) ==
        "/dev/full: cannot be written: No space left on device");
}

TEST_CASE("write_file: a path that cannot be written", "[json_writer]") {
  const TemporaryFolder folder;
  const auto file = folder.add_file("file", "kept");
  struct Row {
    std::filesystem::path path;
    std::string reason;
  };
  const std::vector<Row> rows = {
      {folder.path(), "it is a directory"},
      {folder.path() / "missing" / "x.json", "No such file or directory"},
      {file / "x.json", "Not a directory"},
      {folder.path() / std::string(300, 'n'), "File name too long"},
  };
  for (const Row& row : rows) {
    CHECK(message_of([&] { write_file(row.path, "text"); }) ==
          row.path.string() + ": cannot be written: " + row.reason);
    CHECK_THROWS_AS(write_file(row.path, "text"), std::runtime_error);
  }
  CHECK(file_text(file) == "kept");
  CHECK(num_files(folder.path()) == 1);
}

TEST_CASE("write_file: a full disk leaves the old file and no other", "[json_writer]") {
  const TemporaryFolder folder;
  const auto path = folder.add_file("report.json", "old content\n");
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = message_of([&] { write_file(path, std::string(100000, 'x')); });
  }
  CHECK(message == path.string() + ": cannot be written: File too large");
  CHECK(file_text(path) == "old content\n");
  CHECK(num_files(folder.path()) == 1);
}

TEST_CASE("write_file: a temporary file left by a killed process is in nobody's way",
          "[json_writer]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "x.json";
  // Enough names that some collide whatever the counter stands at in this process.
  for (int i = 0; i < 100; ++i) {
    folder.add_file("x.json.tmp-" + std::to_string(::getpid()) + "-" + std::to_string(i), "left");
  }
  write_file(path, "new");
  CHECK(file_text(path) == "new");
  CHECK(num_files(folder.path()) == 101);
}

TEST_CASE("write_file: threads that write one path leave one whole text", "[json_writer]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "shared.json";
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&path, w] {
      for (int i = 0; i < 20; ++i) {
        write_file(path, std::string(10000, static_cast<char>('a' + w)));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = file_text(path);
  CHECK(text.size() == 10000);
  CHECK(text == std::string(10000, text.empty() ? '?' : text.front()));
  CHECK(num_files(folder.path()) == 1);
}
