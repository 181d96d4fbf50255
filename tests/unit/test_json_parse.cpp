#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

}  // namespace

TEST_CASE("json reader: values keep their kind, file and pointer", "[json_reader]") {
  const JsonNode root = parse_json(R"({
    // a line comment
    "whole": 3, "real": 3.0, "big": -9223372036854775808, "text": "a\u00e9\n", "yes": true,
    "none": null, /* a block
    comment */ "list": [1, [2.5], {}], "a/b~c": {"": 1}
  } // the end)",
                                   "dir/x.json");
  REQUIRE(root.kind == JsonNode::Kind::object);
  CHECK(root.place() == "dir/x.json");
  REQUIRE(root.members.size() == 8);
  CHECK(root.members[0].first == "whole");
  CHECK(root.members[7].first == "a/b~c");

  CHECK(root.find("whole")->kind == JsonNode::Kind::integer);
  CHECK(root.find("whole")->integer == 3);
  CHECK(root.find("whole")->real == 3.0);
  CHECK(root.find("real")->kind == JsonNode::Kind::real);
  CHECK(root.find("real")->real == 3.0);
  CHECK(root.find("big")->integer == kLowest);
  CHECK(root.find("text")->text == "a\xC3\xA9\n");
  CHECK(root.find("yes")->boolean);
  CHECK(root.find("none")->kind == JsonNode::Kind::null);
  CHECK(root.find("missing") == nullptr);

  const JsonNode& list = *root.find("list");
  REQUIRE(list.items.size() == 3);
  CHECK(list.items[1].items[0].real == 2.5);
  CHECK(list.items[1].items[0].place() == "dir/x.json: /list/1/0");
  CHECK(root.find("a/b~c")->place() == "dir/x.json: /a~1b~0c");
  CHECK(root.find("a/b~c")->find("")->place() == "dir/x.json: /a~1b~0c/");
}

TEST_CASE("json reader: a place is one line whatever the key holds", "[json_reader]") {
  CHECK(parse_json("{\"a\\nb\": 1}", "x.json").members[0].second.place() == "x.json: /a?b");
}

TEST_CASE("json reader: scalars may stand alone, and a byte order mark is skipped",
          "[json_reader]") {
  CHECK(parse_json("9223372036854775807", "x.json").integer == kHighest);
  CHECK(parse_json(" \"text\" ", "x.json").text == "text");
  CHECK(parse_json("\xEF\xBB\xBF[]", "x.json").kind == JsonNode::Kind::array);
  CHECK(parse_json("1e3", "x.json").kind == JsonNode::Kind::real);
  CHECK(parse_json("1.7976931348623157e308", "x.json").real == std::numeric_limits<double>::max());
}

TEST_CASE("json reader: our own refusals, in full", "[json_reader]") {
  struct Row {
    std::string text;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"", "x.json: is empty"},
      {" \n\t\r ", "x.json: is empty"},
      {"\xEF\xBB\xBF", "x.json: is empty"},
      {R"({"a": 1, "a": 2})", R"(x.json: key "a" appears twice)"},
      {R"({"p": {"k": 1, "l": 2, "k": 1}})", R"(x.json: /p: key "k" appears twice)"},
      {R"([{"k": 1}, {"k": 1, "k": 1}])", R"(x.json: /1: key "k" appears twice)"},
      {R"({"n": 9223372036854775808})",
       "x.json: /n: the integer 9223372036854775808 does not fit in 64 bits"},
      {R"({"n": 18446744073709551615})",
       "x.json: /n: the integer 18446744073709551615 does not fit in 64 bits"},
      {R"({"n": 18446744073709551616})",
       "x.json: /n: the integer 18446744073709551616 does not fit in 64 bits"},
      {R"([-9223372036854775809])",
       "x.json: /0: the integer -9223372036854775809 does not fit in 64 bits"},
      {"[\n  1e999]", "x.json: line 2, column 7: number overflow parsing '1e999'"},
      {"[-1e999]", "x.json: line 1, column 7: number overflow parsing '-1e999'"},
      {std::string("{}\0{\"a\": 1}", 11),
       "x.json: line 1, column 3: a NUL byte; this is not JSON text"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(parse_refusal(row.text) == row.message);
  }
}

TEST_CASE("json reader: syntax errors are one line with their position", "[json_reader]") {
  struct Row {
    std::string text;
    std::string place;
  };
  const std::vector<Row> rows = {
      {R"({"a" 1})", "line 1, column 6"},
      {"{\n  \"a\": 1\n  \"b\": 2\n}", "line 3, column 5"},
      {"{\"a\": 1,\n}", "line 2, column 1"},
      {"[1, 2,]", "line 1, column 7"},
      {"[1 2]", "line 1, column 4"},
      {"[NaN]", "line 1, column 2"},
      {"[Infinity]", "line 1, column 2"},
      {"[-Infinity]", "line 1, column 3"},
      {"{\"a\": tru}", "line 1, column 10"},
      {"{\"a\":", "line 1, column 6"},
      {"{\"a\": 1", "line 1, column 8"},
      {"\"abc", "line 1, column 5"},
      {"\"a\nb\"", "line 1, column 3"},
      {"\"\xFF\"", "line 1, column 2"},
      {"\"\xC3\xA9\xC3\xA9\" x", "line 1, column 6"},
      {"/* open", "line 1, column 8"},
      {"{} {}", "line 1, column 4"},
      {"{a: 1}", "line 1, column 2"},
      {"{'a': 1}", "line 1, column 2"},
      {"01", "line 1, column 2"},
      {"+1", "line 1, column 1"},
      {".5", "line 1, column 1"},
      {"1.", "line 1, column 3"},
      {"// only a comment", "line 1, column 18"},
      {"\xFF\xFE{}", "line 1, column 1"},
      {std::string(1000, '#'), "line 1, column 1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const std::string message = parse_refusal(row.text);
    CAPTURE(message);
    CHECK(starts_with(message, "x.json: " + row.place + ": "));
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.find("json.exception") == std::string::npos);
    CHECK(message.find("parse error") == std::string::npos);
  }
  CHECK(parse_refusal(R"({"a" 1})") ==
        "x.json: line 1, column 6: syntax error while parsing object separator - unexpected "
        "number literal; expected ':'");
}

TEST_CASE("json reader: a syntax error in a huge token stays short", "[json_reader]") {
  const std::string message = parse_refusal("\"" + std::string(1000000, 'x'));
  CHECK(message.size() < 300);
  CHECK(starts_with(message, "x.json: line 1, column 1000002: "));
}

TEST_CASE("json reader: 64 levels are read and 65 are refused", "[json_reader]") {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  CHECK_NOTHROW(parse_json(nested(64), "x.json"));
  std::string pointer;
  for (int i = 0; i < 64; ++i) pointer += "/0";
  CHECK(parse_refusal(nested(65)) == "x.json: " + pointer + ": nested deeper than 64 levels");
  CHECK(parse_refusal(std::string(1000000, '[')) ==
        "x.json: " + pointer + ": nested deeper than 64 levels");
}

TEST_CASE("json reader: files", "[json_reader]") {
  const TemporaryFolder folder;
  const auto good = folder.add_file("good.json", "{\"a\": 1} // comment\n");
  const JsonNode node = read_json_file(good);
  CHECK(node.find("a")->integer == 1);
  CHECK(node.place() == good.string());

  const std::string path = folder.path().string();
  CHECK(refusal([&] { read_json_file(folder.path()); }) ==
        path + ": cannot be read: it is a directory");
  CHECK(refusal([&] { read_json_file(folder.path() / "none.json"); }) ==
        path + "/none.json: cannot be read: no such file");
  CHECK(refusal([&] { read_json_file(good / "x.json"); }) ==
        path + "/good.json/x.json: cannot be read: Not a directory");
  CHECK(refusal([&] { read_json_file(folder.add_file("empty.json", "")); }) ==
        path + "/empty.json: is empty");
  CHECK(refusal([&] { read_json_file(folder.add_file("cut.json", "{\"a\": [1, 2")); }) ==
        path +
            "/cut.json: line 1, column 12: syntax error while parsing array - unexpected end of "
            "input; expected ']'");
  std::filesystem::create_symlink(folder.path() / "loop.json", folder.path() / "loop.json");
  CHECK(refusal([&] { read_json_file(folder.path() / "loop.json"); }) ==
        path + "/loop.json: cannot be read: Too many levels of symbolic links");
}

TEST_CASE("json reader: a file of 64 MiB is read and a larger one refused", "[json_reader]") {
  const TemporaryFolder folder;
  const auto path = folder.add_file("large.json", "[]");
  const std::uintmax_t limit = std::uintmax_t{64} << 20U;
  folder.add_file("large.json", "[]" + std::string(limit - 2, ' '));
  CHECK_NOTHROW(read_json_file(path));
  std::filesystem::resize_file(path, limit + 1);
  CHECK(refusal([&] { read_json_file(path); }) == path.string() + ": is larger than 64 MiB");
  std::filesystem::resize_file(path, limit * 1000);  // sparse: must not be read to its end
  CHECK(refusal([&] { read_json_file(path); }) == path.string() + ": is larger than 64 MiB");
}

TEST_CASE("json reader: how a found value is described", "[json_reader]") {
  struct Row {
    std::string text;
    std::string description;
  };
  const std::vector<Row> rows = {
      {"null", "null"},
      {"true", "true"},
      {"false", "false"},
      {"80", "the number 80"},
      {"-3", "the number -3"},
      {"3.7", "the number 3.7"},
      {"80.0", "the number 80.0"},
      {"1e30", "the number 1e+30"},
      {R"("x")", R"(the string "x")"},
      {R"("a\nb")", R"(the string "a\nb")"},
      {"[]", "an array"},
      {"{}", "an object"},
  };
  for (const Row& row : rows) {
    CHECK(parse_json(row.text, "x.json").describe() == row.description);
  }
  CHECK(parse_json('"' + std::string(1000, 'x') + '"', "x.json").describe() ==
        "the string \"" + std::string(60, 'x') + "...\"");
  // A cut must not split a character of two bytes.
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "\xC3\xA9";
  CHECK(parse_json("\"x" + accents + "\"", "x.json").describe() ==
        "the string \"x" + accents.substr(0, 58) + "...\"");
}

TEST_CASE("set_at: replaces values, and adds only where allowed", "[json_reader]") {
  JsonNode root =
      parse_json(R"({"plan": {"ep": 8, "groups": [1, 2]}, "a/b": {"m~n": 1}})", "x.json");
  const auto value = [](const std::string& text) { return parse_json(text, "--vary /plan/ep"); };
  set_at(root, "/plan/ep", value("16"), "--vary");
  CHECK(root.find("plan")->find("ep")->integer == 16);
  CHECK(root.find("plan")->find("ep")->place() == "--vary /plan/ep");
  set_at(root, "/plan/groups/1", value("[3]"), "--vary");
  set_at(root, "/a~1b/m~0n", value("2.5"), "--vary");
  set_at(root, "/plan/new", value("\"x\""), "--vary", /*may_add=*/true);
  CHECK(canonical_text(root) ==
        R"({"a/b":{"m~n":2.5},"plan":{"ep":16,"groups":[1,[3]],"new":"x"}})");

  JsonNode built;  // has no file of its own
  built.kind = JsonNode::Kind::array;
  built.items.emplace_back();
  set_at(root, "/plan/ep", built, "--set");
  CHECK(root.find("plan")->find("ep")->place() == "--set");
  CHECK(root.find("plan")->find("ep")->items[0].place() == "--set: /0");

  set_at(root, "", *root.find("plan"), "--set");  // a part of the tree over the whole
  CHECK(canonical_text(root) == R"({"ep":[null],"groups":[1,[3]],"new":"x"})");
}

TEST_CASE("set_at: refusals, in full", "[json_reader]") {
  struct Row {
    std::string pointer;
    bool may_add;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"plan/ep", false, R"(--vary: a path must start with "/", found "plan/ep")"},
      {"/plan/ap", false, R"(--vary: unknown key "ap" in /plan; did you mean "ep"?)"},
      {"/plan/schedule", false, R"(--vary: unknown key "schedule" in /plan; known: ep, groups)"},
      {"/palan/ep", false, R"(--vary: unknown key "palan"; did you mean "plan"?)"},
      {"/palan/ep", true, R"(--vary: unknown key "palan"; did you mean "plan"?)"},
      {"/plan/ep/x", true, R"(--vary: no key "x" in /plan/ep, which is the number 8)"},
      {"/plan/groups/2", true, R"(--vary: no item "2" in /plan/groups, an array of 2)"},
      {"/plan/groups/-", true, R"(--vary: no item "-" in /plan/groups, an array of 2)"},
      {"/plan/groups/1x", false, R"(--vary: no item "1x" in /plan/groups, an array of 2)"},
      {"/plan/", false, R"(--vary: unknown key "" in /plan; known: ep, groups)"},
      {"/a~2b",
       false,
       R"(--vary: in a path "~" is written "~0" and "/" in a key "~1", found "/a~2b")"},
      {"/a~", false, R"(--vary: in a path "~" is written "~0" and "/" in a key "~1", found "/a~")"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pointer);
    JsonNode root = parse_json(R"({"plan": {"ep": 8, "groups": [1, 2]}})", "x.json");
    const std::string before = canonical_text(root);
    const JsonNode value = parse_json("1", "--vary");
    CHECK(refusal([&] { set_at(root, row.pointer, value, "--vary", row.may_add); }) == row.message);
    CHECK(canonical_text(root) == before);
  }
}

TEST_CASE("object reader: an override is named where it was written", "[json_reader]") {
  JsonNode root = parse_json(R"({"plan": {"ep": 8}})", "x.json");
  set_at(root, "/plan/ep", parse_json("3.7", "--vary /plan/ep"), "--vary");
  set_at(root, "/plan/epp", parse_json("1", "--vary /plan/epp"), "--vary", true);
  ObjectReader reader(root);
  ObjectReader plan = reader.object("plan");
  CHECK(refusal([&] { plan.integer("ep", 1, 9); }) ==
        "--vary /plan/ep: expected an integer, found the number 3.7");
  CHECK(refusal([&] { plan.finish(); }) ==
        "--vary /plan/epp: unknown key \"epp\"; did you mean \"ep\"?");
}

TEST_CASE("canonical_text: order and layout do not matter, values and kinds do", "[json_reader]") {
  const auto canonical = [](const std::string& text) {
    return canonical_text(parse_json(text, "x.json"));
  };
  CHECK(canonical("{ \"b\": [1, 2], /* c */ \"a\": {\"d\": null, \"c\": true} }") ==
        R"({"a":{"c":true,"d":null},"b":[1,2]})");
  CHECK(canonical("{\"b\":1,\"a\":2}") == canonical("{\n\"a\": 2, \"b\": 1 }"));
  CHECK(canonical("[1, 2]") != canonical("[2, 1]"));
  CHECK(canonical("1") != canonical("1.0"));
  CHECK(canonical("1.50") == canonical("1.5"));
  CHECK(canonical("\"\\u0041\"") == canonical("\"A\""));
}

TEST_CASE("json reader: every real model configuration parses", "[json_reader][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  int num_files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder / "hf_configs")) {
    if (entry.path().extension() != ".json") continue;
    CAPTURE(entry.path().filename().string());
    CHECK_NOTHROW(read_json_file(entry.path()));
    ++num_files;
  }
  CHECK(num_files > 0);
}
