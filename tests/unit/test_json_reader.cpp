#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("object reader: the right values", "[json_reader]") {
  const JsonNode node = parse_json(R"({
    "i": 7, "n": 2, "r": 0.5, "b": true, "t": "text", "c": "bf16", "null": null,
    "words": ["a", "b"], "ints": [1, 2, 3], "empty": [], "o": {"k": 1}
  })",
                                   "x.json");
  ObjectReader reader(node);
  CHECK(reader.has("i"));
  CHECK_FALSE(reader.has("null"));  // and finish() takes it for a key left out
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
  check({{"700 W", 700}, {"1.2 kW", 1200}}, parse_power, 1 * W);
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
