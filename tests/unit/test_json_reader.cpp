#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The message of the InputError that `action` throws.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing was refused";
}

std::string parse_refusal(const std::string& text) {
  return refusal([&] { parse_json(text, "x.json"); });
}

// The message when `read` is called on a reader of the object `text`.
template <class Read>
std::string read_refusal(const std::string& text, Read read) {
  const JsonNode node = parse_json(text, "x.json");
  ObjectReader reader(node);
  return refusal([&] { read(reader); });
}

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

TEST_CASE("object reader: the right values", "[json_reader]") {
  const JsonNode node = parse_json(R"({
    "i": 7, "n": 2, "r": 0.5, "b": true, "t": "text", "c": "bf16", "null": null,
    "words": ["a", "b"], "ints": [1, 2, 3], "empty": [], "o": {"k": 1}
  })",
                                   "x.json");
  ObjectReader reader(node);
  CHECK(reader.has("i"));
  CHECK_FALSE(reader.has("null"));
  CHECK_FALSE(reader.has("missing"));
  CHECK(reader.integer("i", 7, 7) == 7);
  CHECK(reader.integer_or("i", 1, 9, 5) == 7);
  CHECK(reader.integer_or("missing", 1, 9, 5) == 5);
  CHECK(reader.integer_or("null", 1, 9, 5) == 5);
  CHECK(reader.number("n", 0, 2) == 2.0);
  CHECK(reader.number("r", 0, 1) == 0.5);
  CHECK(reader.number_or("r", 0, 1, 0.25) == 0.5);
  CHECK(reader.number_or("missing", 0, 1, 0.25) == 0.25);
  CHECK(reader.boolean("b"));
  CHECK(reader.boolean_or("b", false));
  CHECK(reader.boolean_or("missing", true));
  CHECK(reader.text("t") == "text");
  CHECK(reader.text_or("t", "other") == "text");
  CHECK(reader.text_or("missing", "other") == "other");
  CHECK(reader.choice("c", {"bf16", "fp8"}) == "bf16");
  CHECK(reader.text_list("words") == std::vector<std::string>{"a", "b"});
  CHECK(reader.integer_list("ints", 1, 3) == std::vector<std::int64_t>{1, 2, 3});
  CHECK(reader.text_list("empty").empty());
  CHECK(reader.optional("missing") == nullptr);
  CHECK(reader.optional("null") == nullptr);
  CHECK(reader.required("i").integer == 7);
  CHECK(reader.node().find("i") == node.find("i"));
  ObjectReader inner = reader.object("o");
  CHECK(inner.integer("k", 0, 1) == 1);
  CHECK_NOTHROW(inner.finish());
  CHECK_NOTHROW(reader.finish());
}

TEST_CASE("object reader: wrong types, ranges and missing keys, in full", "[json_reader]") {
  const std::string text = R"({"p": {
    "real": 3.7, "whole": 3.0, "minus": -3, "half": 1.5, "text": "x", "yes": true, "list": [1, "b"],
    "object": {}, "null": null
  }})";
  const auto message = [&](auto read) {
    return read_refusal(text, [&](ObjectReader& root) {
      ObjectReader reader = root.object("p");
      read(reader);
    });
  };
  using R = ObjectReader&;
  CHECK(message([](R r) { r.integer("real", 1, 9); }) ==
        "x.json: /p/real: expected an integer, found the number 3.7");
  CHECK(message([](R r) { r.integer("whole", 1, 9); }) ==
        "x.json: /p/whole: expected an integer, found the number 3.0");
  CHECK(message([](R r) { r.integer("text", 1, 9); }) ==
        "x.json: /p/text: expected an integer, found the string \"x\"");
  CHECK(message([](R r) { r.integer("minus", 1, 1024); }) ==
        "x.json: /p/minus: expected an integer from 1 to 1024, found -3");
  CHECK(message([](R r) { r.integer("minus", 1, kHighest); }) ==
        "x.json: /p/minus: expected an integer of at least 1, found -3");
  CHECK(message([](R r) { r.integer("minus", kLowest, -4); }) ==
        "x.json: /p/minus: expected an integer of at most -4, found -3");
  CHECK(message([](R r) { r.integer_or("real", 1, 9, 2); }) ==
        "x.json: /p/real: expected an integer, found the number 3.7");
  CHECK(message([](R r) { r.number("half", 0, 1); }) ==
        "x.json: /p/half: expected a number from 0 to 1, found 1.5");
  CHECK(message([](R r) { r.number("minus", 0.25, kInfinity); }) ==
        "x.json: /p/minus: expected a number of at least 0.25, found -3");
  CHECK(message([](R r) { r.number("half", -kInfinity, 1); }) ==
        "x.json: /p/half: expected a number of at most 1, found 1.5");
  CHECK(message([](R r) { r.number("text", 0, 1); }) ==
        "x.json: /p/text: expected a number, found the string \"x\"");
  CHECK(message([](R r) { r.number_or("yes", 0, 1, 0); }) ==
        "x.json: /p/yes: expected a number, found true");
  CHECK(message([](R r) { r.boolean("minus"); }) ==
        "x.json: /p/minus: expected true or false, found the number -3");
  CHECK(message([](R r) { r.boolean_or("text", false); }) ==
        "x.json: /p/text: expected true or false, found the string \"x\"");
  CHECK(message([](R r) { r.text("list"); }) ==
        "x.json: /p/list: expected a string, found an array");
  CHECK(message([](R r) { r.text_or("object", ""); }) ==
        "x.json: /p/object: expected a string, found an object");
  CHECK(message([](R r) {
          r.choice("text", {"bf16", "fp8"});
        }) == "x.json: /p/text: unknown value \"x\"; known: bf16, fp8");
  CHECK(message([](R r) { r.text_list("text"); }) ==
        "x.json: /p/text: expected an array of strings, found the string \"x\"");
  CHECK(message([](R r) { r.text_list("list"); }) ==
        "x.json: /p/list/0: expected a string, found the number 1");
  CHECK(message([](R r) { r.integer_list("object", 0, 1); }) ==
        "x.json: /p/object: expected an array of integers, found an object");
  CHECK(message([](R r) { r.integer_list("list", 0, 9); }) ==
        "x.json: /p/list/1: expected an integer, found the string \"b\"");
  CHECK(message([](R r) { r.integer_list("list", 2, 9); }) ==
        "x.json: /p/list/0: expected an integer from 2 to 9, found 1");
  CHECK(message([](R r) { r.object("list"); }) ==
        "x.json: /p/list: expected an object, found an array");
  CHECK(message([](R r) { r.required("num_layers"); }) == "x.json: /p: missing key \"num_layers\"");
  CHECK(message([](R r) { r.required("null"); }) == "x.json: /p: missing key \"null\"");
  CHECK(message([](R r) { r.integer("num_layers", 1, 9); }) ==
        "x.json: /p: missing key \"num_layers\"");
  CHECK(message([](R r) { r.fail("text", "is no good"); }) == "x.json: /p/text: is no good");
  CHECK(message([](R r) { r.fail("new/key", "is missed"); }) == "x.json: /p/new~1key: is missed");
  CHECK(message([](R r) { r.fail("is no good"); }) == "x.json: /p: is no good");

  CHECK(refusal([] {
          const JsonNode node = parse_json("[]", "x.json");
          const ObjectReader reader(node);
        }) == "x.json: expected an object, found an array");
  CHECK(read_refusal("{}", [](R r) { r.required("num_layers"); }) ==
        "x.json: missing key \"num_layers\"");
}

TEST_CASE("object reader: unknown keys, with the nearest known one", "[json_reader]") {
  struct Row {
    std::string key;
    std::string problem;
  };
  const std::vector<Row> rows = {
      {"hbn", R"(unknown key "hbn"; did you mean "hbm"?)"},
      {"hm", R"(unknown key "hm"; did you mean "hbm"?)"},
      {"hbmm", R"(unknown key "hbmm"; did you mean "hbm"?)"},
      {"HBm", R"(unknown key "HBm"; did you mean "hbm"?)"},
      {"num_layer", R"(unknown key "num_layer"; did you mean "num_layers"?)"},
      {"price", R"(unknown key "price"; known: bandwidth, hbm, num_layers)"},
      // Two replacements would turn any short word into any other.
      {"xy", R"(unknown key "xy"; known: bandwidth, hbm, num_layers)"},
      {"", R"(unknown key ""; known: bandwidth, hbm, num_layers)"},
  };
  for (const Row& row : rows) {
    CHECK(read_refusal(R"({"hbm": 1, ")" + row.key + R"(": 2})", [](ObjectReader& reader) {
            reader.integer("hbm", 0, 9);
            reader.integer_or("num_layers", 0, 9, 1);
            reader.optional("bandwidth");
            reader.finish();
          }) == "x.json: " + row.problem);
  }
  CHECK(read_refusal(R"({"p": {"a": 1}})", [](ObjectReader& r) { r.object("p").finish(); }) ==
        "x.json: /p: unknown key \"a\"; no key is known here");
  CHECK(read_refusal(R"({"typo": null})", [](ObjectReader& r) { r.finish(); }) ==
        "x.json: unknown key \"typo\"; no key is known here");
  CHECK(read_refusal(R"({"a": 1, "b": 2})", [](ObjectReader& r) {
          r.ignore("a");
          r.ignore("b");
          r.finish();
        }) == "nothing was refused");
}

TEST_CASE("quantities: every unit", "[json_reader]") {
  struct Row {
    std::string text;
    double base_value;
  };
  const auto check = [](const std::vector<Row>& rows, auto parse, auto base) {
    for (const Row& row : rows) {
      CAPTURE(row.text);
      CHECK(parse(row.text).in(base) == Approx(row.base_value).epsilon(1e-14));
    }
  };
  check({{"1 ps", 1e-12},
         {"1 ns", 1e-9},
         {"2.8 us", 2.8e-6},
         {"5ms", 5e-3},
         {"1.5e2 s", 150},
         {"1.5E-2 s", 0.015},
         {"2 min", 120},
         {"2 h", 7200},
         {"1 d", 86400},
         {"0 s", 0},
         {"0.0 us", 0}},
        parse_seconds,
        1 * s);
  check({{"7 B", 7},
         {"1 KB", 1e3},
         {"1 MB", 1e6},
         {"80 GB", 80e9},
         {"1.5TB", 1.5e12},
         {"1 KiB", 1024},
         {"1 MiB", 1048576},
         {"80 GiB", 80 * 1073741824.0},
         {"2 TiB", 2 * 1099511627776.0}},
        parse_bytes,
        1 * B);
  check({{"1 B/s", 1},
         {"1 KB/s", 1e3},
         {"1 MB/s", 1e6},
         {"50 GB/s", 50e9},
         {"3.35 TB/s", 3.35e12},
         {"8 Kb/s", 1e3},
         {"8 Mb/s", 1e6},
         {"400 Gb/s", 50e9},
         {"51.2 Tb/s", 6.4e12}},
        parse_bandwidth,
        1 * B_per_s);
  check({{"1 FLOP/s", 1}, {"1 GFLOP/s", 1e9}, {"989 TFLOP/s", 989e12}, {"1.979 PFLOP/s", 1.979e15}},
        parse_flop_rate,
        1 * FLOP_per_s);
  check({{"2 USD/h", 2}, {"0 USD/h", 0}}, parse_dollar_rate, 1 * USD_per_hour);
}

TEST_CASE("quantities: refusals, in full", "[json_reader]") {
  const auto expected = [](const std::string& found) {
    return R"(x.json: /q: expected a quantity with a unit such as "80 GiB", found )" + found;
  };
  const std::string unknown_start = "x.json: /q: unknown unit ";
  const std::string known = "; known: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";
  struct Row {
    std::string json;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"80", expected("the number 80")},
      {"80.5", expected("the number 80.5")},
      {"true", expected("true")},
      {"[]", expected("an array")},
      {R"("80")", expected(R"(the string "80")")},
      {R"("80 ")", expected(R"(the string "80 ")")},
      {R"("")", expected(R"(the string "")")},
      {R"("GiB")", expected(R"(the string "GiB")")},
      {R"(" 80 GiB")", expected(R"(the string " 80 GiB")")},
      {R"("80  GiB")", expected(R"(the string "80  GiB")")},
      {R"("+80 GiB")", expected(R"(the string "+80 GiB")")},
      {R"(".5 GiB")", expected(R"(the string ".5 GiB")")},
      {R"("inf GiB")", expected(R"(the string "inf GiB")")},
      {R"("nan GiB")", expected(R"(the string "nan GiB")")},
      {R"("80 gib")", unknown_start + R"("gib")" + known},
      {R"("80 Gb")", unknown_start + R"("Gb")" + known},
      {R"("80 GHz")", unknown_start + R"("GHz")" + known},
      {R"("80 GiB ")", unknown_start + R"("GiB ")" + known},
      {R"("0x10 B")", unknown_start + R"("x10 B")" + known},
      {R"("1,000 B")", unknown_start + R"(",000 B")" + known},
      {R"("1 000 B")", unknown_start + R"("000 B")" + known},
      {R"("50 GB/s")", unknown_start + R"("GB/s")" + known},
      {R"("0 B")", R"(x.json: /q: expected a quantity above zero, found "0 B")"},
      {R"("-3 GB")", R"(x.json: /q: expected a quantity above zero, found "-3 GB")"},
      {R"("1e400 B")",
       R"(x.json: /q: expected a quantity that a double can hold, found "1e400 B")"},
      {R"("1e300 TB")",
       R"(x.json: /q: expected a quantity that a double can hold, found "1e300 TB")"},
      {R"("1e-400 B")",
       R"(x.json: /q: expected a quantity that a double can hold, found "1e-400 B")"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.json);
    CHECK(read_refusal(R"({"q": )" + row.json + "}", [](ObjectReader& r) { r.bytes("q"); }) ==
          row.message);
  }

  using R = ObjectReader&;
  const auto on_number = [](auto read) { return read_refusal(R"({"q": 80})", read); };
  const std::string start = "x.json: /q: expected a quantity with a unit such as ";
  CHECK(on_number([](R r) { r.seconds("q"); }) == start + R"("2.8 us", found the number 80)");
  CHECK(on_number([](R r) { r.bandwidth("q"); }) == start + R"("50 GB/s", found the number 80)");
  CHECK(on_number([](R r) { r.flop_rate("q"); }) ==
        start + R"("989 TFLOP/s", found the number 80)");
  CHECK(on_number([](R r) { r.dollar_rate("q"); }) == start + R"("2 USD/h", found the number 80)");
  CHECK(read_refusal("{}", [](R r) { r.bytes("q"); }) == "x.json: missing key \"q\"");

  const auto alone = [](auto parse, const std::string& text) {
    return refusal([&] { parse(text); });
  };
  CHECK(alone(parse_seconds, "-1 us") == R"(expected a quantity of zero or more, found "-1 us")");
  CHECK(alone(parse_seconds, "1 sec") ==
        R"(unknown unit "sec"; known: ps, ns, us, ms, s, min, h, d)");
  CHECK(alone(parse_bandwidth, "50 Gbps") ==
        R"(unknown unit "Gbps"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s)");
  CHECK(alone(parse_bandwidth, "0 GB/s") == R"(expected a quantity above zero, found "0 GB/s")");
  CHECK(alone(parse_flop_rate, "989 TFLOPS") ==
        R"(unknown unit "TFLOPS"; known: FLOP/s, GFLOP/s, TFLOP/s, PFLOP/s)");
  CHECK(alone(parse_dollar_rate, "-1 USD/h") ==
        R"(expected a quantity of zero or more, found "-1 USD/h")");
  CHECK(alone(parse_dollar_rate, "2 USD") == R"(unknown unit "USD"; known: USD/h)");
}

TEST_CASE("counts: integers and letters", "[json_reader]") {
  struct Row {
    std::string json;
    std::int64_t count;
  };
  const std::vector<Row> rows = {
      {"1", 1},
      {"4096", 4096},
      {R"("4K")", 4000},
      {R"("1.5K")", 1500},
      {R"("3M")", 3000000},
      {R"("671B")", 671000000000},
      {R"("14.8T")", 14800000000000},
      {R"("14.8 T")", 14800000000000},
      {R"("14.800T")", 14800000000000},
      {R"("0.001K")", 1},
      {R"("1.0000000K")", 1000},
      {R"("9223372.036854775807T")", kHighest},
  };
  for (const Row& row : rows) {
    CAPTURE(row.json);
    const JsonNode node = parse_json("{\"n\": " + row.json + "}", "x.json");
    CHECK(ObjectReader(node).count("n") == row.count);
  }
  for (const std::string bad : {"0",
                                "-1",
                                "1.5",
                                "14.8e12",
                                "true",
                                R"("")",
                                R"("T")",
                                R"("4096")",
                                R"("0K")",
                                R"("-1K")",
                                R"("+1K")",
                                R"("1.0001K")",
                                R"("1.K")",
                                R"(".5K")",
                                R"("1.2.3K")",
                                R"("1e3K")",
                                R"("4k")",
                                R"("4 KB")",
                                R"("4  K")",
                                R"(" 4K")",
                                R"("9223372.036854775808T")",
                                R"("99999999T")"}) {
    CAPTURE(bad);
    const std::string found = parse_json(bad, "x.json").describe();
    CHECK(read_refusal("{\"n\": " + bad + "}", [](ObjectReader& r) { r.count("n"); }) ==
          "x.json: /n: expected a whole number above zero such as 4096 or \"14.8T\", found " +
              found);
  }
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
