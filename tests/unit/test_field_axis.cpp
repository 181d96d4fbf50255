// The values that a field takes in a sweep: lists, ranges, fields that change together, and what
// must hold for a point to exist.
#include <random>

#include "model/composed_scenario.hpp"
#include "model/condition.hpp"
#include "model/field_range.hpp"
#include "model/settings.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

namespace moesim {
namespace {

using Values = std::vector<std::string>;

Values values_of(const std::string& axis) {
  Values values;
  for (const FieldAxis::Alternative& alternative : parse_axis("/a/b=" + axis).alternatives)
    values.push_back(canonical_text(alternative.set.front().second));
  return values;
}

std::string axis_refusal(const std::string& axis) {
  return refusal([&] { parse_axis(axis); });
}

bool holds(const std::string& condition, const JsonNode& document) {
  return Condition(condition).holds(
      [&](const std::string& pointer) { return value_at(document, pointer); });
}

}  // namespace

TEST_CASE("axis: lists keep JSON values whole", "[axis]") {
  CHECK(values_of("1,2,4") == Values{"1", "2", "4"});
  CHECK(values_of("[1,2],[3,4]") == Values{"[1,2]", "[3,4]"});
  CHECK(values_of(R"({"kind": "dirichlet", "cv": 0.3},{"kind": "uniform"})") ==
        Values{R"({"cv":0.3,"kind":"dirichlet"})", R"({"kind":"uniform"})"});
  CHECK(values_of(R"("a,b","c;d]",e)") == Values{R"("a,b")", R"("c;d]")", R"("e")"});
  CHECK(values_of(R"("a\",b",2)") == Values{R"("a\",b")", "2"});
  CHECK(values_of("1F1B,null,true,0.5") == Values{R"("1F1B")", "null", "true", "0.5"});
  CHECK(values_of("../x.json,a/../b.json") == Values{R"("../x.json")", R"("a/../b.json")"});
  CHECK(parse_axis("/plan/tp=1,2").name == "tp");
  CHECK(parse_axis("/plan/tp=1,2").alternatives[1].name == "tp 2");
}

TEST_CASE("axis: ranges end where they say and add up as decimals", "[axis]") {
  CHECK(values_of("8..32:8") == Values{"8", "16", "24", "32"});
  CHECK(values_of("32..8:-8") == Values{"32", "24", "16", "8"});
  CHECK(values_of("0.1..0.5:0.1") == Values{"0.1", "0.2", "0.3", "0.4", "0.5"});
  CHECK(values_of("5..5:1") == Values{"5"});
  CHECK(values_of("1..16:x2") == Values{"1", "2", "4", "8", "16"});
  CHECK(values_of("16..1:x0.5") == Values{"16", "8", "4", "2", "1"});
  CHECK(values_of("0.001..10:x10") == Values{"0.001", "0.01", "0.1", "1", "10"});
  CHECK(values_of("1..1000:4 log") == Values{"1", "10", "100", "1000"});
  CHECK(values_of("1.0..100.0:5 log") == Values{"1", "3.16228", "10", "31.6228", "100"});
  CHECK(values_of("1..100:5 log") == Values{"1", "3", "10", "32", "100"});
  CHECK(values_of("0.0..1.0:5 lin") == Values{"0", "0.25", "0.5", "0.75", "1"});
  CHECK(values_of("1,2,4..8:2,16") == Values{"1", "2", "4", "6", "8", "16"});
  CHECK(values_of("25 GB/s..100 GB/s:25 GB/s") ==
        Values{R"("25 GB/s")", R"("50 GB/s")", R"("75 GB/s")", R"("100 GB/s")"});
  CHECK(values_of("25..50 GB/s:25") == Values{R"("25 GB/s")", R"("50 GB/s")"});
  CHECK(values_of("1T..4T:x2") == Values{R"("1T")", R"("2T")", R"("4T")"});
  CHECK(values_of("1 GB/s..100 GB/s:3 log") ==
        Values{R"("1 GB/s")", R"("10 GB/s")", R"("100 GB/s")"});
  // Ten thousand decimal steps without a digit of noise.
  const Values fine = *range_values("0..1:0.0001", "");
  REQUIRE(fine.size() == 10001);
  for (const std::string& value : fine) CHECK(value.size() <= 6);
}

TEST_CASE("axis: fields that change together", "[axis]") {
  const FieldAxis axis = parse_axis("/plan/pp=8,16; /plan/dp=256..128:x0.5");
  CHECK(axis.name == "pp, dp");
  REQUIRE(axis.alternatives.size() == 2);
  CHECK(axis.alternatives[1].name == "pp 16, dp 128");
  REQUIRE(axis.alternatives[0].set.size() == 2);
  CHECK(axis.alternatives[0].set[1].first == "/plan/dp");
  CHECK(axis.alternatives[0].set[1].second.integer == 256);
}

TEST_CASE("axis: wrong ones in one line", "[axis]") {
  CHECK(axis_refusal("plan/tp=1") ==
        "--vary plan/tp=1: expected /pointer=value,value, such as /plan/tp=1,2,4");
  CHECK(axis_refusal("/a=1,,2") == "--vary /a: an empty value between two commas");
  CHECK(axis_refusal("/a=1,2,1") == "--vary /a: the value 1 is given twice");
  CHECK(axis_refusal("/a=1..4:1,2") == "--vary /a: the value 2 is given twice");
  CHECK(axis_refusal("/a=8..60:8") ==
        "--vary /a: in the range \"8..60:8\" steps of 8 miss the end: the last would be 56, "
        "expected 60");
  CHECK(axis_refusal("/a=64..8:8") ==
        "--vary /a: in the range \"64..8:8\" steps of 8 lead away from 8");
  CHECK(axis_refusal("/a=1..8:0") ==
        "--vary /a: in the range \"1..8:0\" a step of 0 leads nowhere");
  CHECK(axis_refusal("/a=1..9:x2") ==
        "--vary /a: in the range \"1..9:x2\" a factor of 2 misses the end: the last would be 8, "
        "expected 9");
  CHECK(axis_refusal("/a=8..1:x2") ==
        "--vary /a: in the range \"8..1:x2\" a factor of 2 leads away from 1");
  CHECK(axis_refusal("/a=0..8:x2") ==
        "--vary /a: in the range \"0..8:x2\" a factor leads from zero or a sign to no other");
  CHECK(axis_refusal("/a=1..8:x1") ==
        "--vary /a: in the range \"1..8:x1\" expected a factor above 0 that is not 1");
  CHECK(axis_refusal("/a=1..8") ==
        "--vary /a: in the range \"1..8\" the step is missing; expected one such as :8, :x2, "
        ":7 log or :5 lin");
  CHECK(axis_refusal("/a=1..b:2") ==
        "--vary /a: in the range \"1..b:2\" expected a number on either side of \"..\"");
  CHECK(axis_refusal("/a=1..4:4 lin,2 GB..4 MB:1 GB") ==
        "--vary /a: in the range \"2 GB..4 MB:1 GB\" the units \"GB\" and \"MB\" differ");
  CHECK(axis_refusal("/a=0..1:5 lin") ==
        "--vary /a: in the range \"0..1:5 lin\" the value 0 would come twice; ends with a decimal "
        "point (1.0) give values that are not whole");
  CHECK(axis_refusal("/a=0..1:5 log") ==
        "--vary /a: in the range \"0..1:5 log\" the ends have no logarithm; expected numbers above "
        "0");
  CHECK(axis_refusal("/a=1..2:1 lin") ==
        "--vary /a: in the range \"1..2:1 lin\" expected from 2 to 100000 values");
  CHECK(axis_refusal("/a=0..1:0.000001") ==
        "--vary /a: in the range \"0..1:0.000001\" there are more than 100000 values");
  CHECK(axis_refusal("/a=1,2;/b=1,2,3") ==
        "--vary /a=1,2;/b=1,2,3: fields that change together need as many values each; found 2 and "
        "3");
  CHECK(axis_refusal("/a=1,2;/a=3,4") == "--vary /a=1,2;/a=3,4: the field /a is given twice");
}

TEST_CASE("condition: fields, arithmetic, quantities", "[condition]") {
  const JsonNode document = parse_json(
      R"({"plan": {"pp": 16, "dp": 128, "schedule": "dualpipe", "none": null, "on": true},
          "nic": "50 GB/s", "nvlink": "0.45 TB/s", "tokens": "14.8T", "list": [4, 8]})",
      "x.json");
  for (const char* condition : {"/plan/pp * /plan/dp == 2048",
                                "/plan/dp / /plan/pp == 8",
                                "/plan/dp % 3 == 2",
                                "/nic == \"50 GB/s\"",
                                "/nvlink / /nic == 9",
                                "/nic * 9 == /nvlink",
                                "9 * /nic == /nvlink",
                                "/nic + \"400 GB/s\" == /nvlink",
                                "/nic < /nvlink",
                                "/nic >= \"400 Gb/s\"",
                                "/tokens > 1e12",
                                "/list/1 == 2 * /list/0",
                                "/plan/schedule == \"dualpipe\"",
                                "/plan/schedule != \"1f1b\"",
                                "/plan/none == null",
                                "/plan/pp != null",
                                "/plan/on",
                                "!(/plan/pp == 8) && /plan/on == true",
                                "/plan/pp == 8 || -/plan/pp < -15",
                                "1 + 2 * 3 - 4 / 2 == 5",
                                "(1 + 2) * 3 == 9",
                                "10 - 3 - 2 == 5",
                                "-2 * -3 == 6",
                                "true || /nothing == 1"}) {
    CAPTURE(condition);
    CHECK(holds(condition, document));
    CHECK_FALSE(holds("!(" + std::string(condition) + ")", document));
  }
  CHECK(Condition("/a/b == /c").fields() == Values{"/a/b", "/c"});
}

TEST_CASE("condition: wrong ones name the column", "[condition]") {
  const JsonNode document =
      parse_json(R"({"n": 2, "text": "x", "nic": "50 GB/s", "list": []})", "x.json");
  const auto told = [&](const std::string& condition) {
    const std::string message = refusal([&] { holds(condition, document); });
    const std::string start = "--where " + canonical_text([&] {
                                JsonNode node;
                                node.kind = JsonNode::Kind::string;
                                node.text = condition;
                                return node;
                              }()) +
                              ": ";
    return message.rfind(start, 0) == 0 ? message.substr(start.size()) : message;
  };
  CHECK(told("") ==
        "column 1: expected a field such as /plan/pp, a number or a \"text\", found the end");
  CHECK(told("/n ==") ==
        "column 6: expected a field such as /plan/pp, a number or a \"text\", found the end");
  CHECK(told("/n = 2") == "column 4: expected an operator or the end, found \"=\"");
  CHECK(told("(/n == 2") == "column 9: expected \")\", found the end");
  CHECK(told("1 < 2 < 3") == "column 7: a comparison of a comparison; write a < b && b < c");
  CHECK(told("/n") == "column 1: expected a condition, which is true or false; found a number");
  CHECK(told("/m == 2") ==
        "column 1: the scenario has no /m; conditions see what files and settings give, not "
        "defaults");
  CHECK(told("/n == \"a\"") == "column 4: compares a number with a text");
  CHECK(told("/n + /text == 2") == "column 4: \"+\" needs numbers, found a text \"x\"");
  CHECK(told("/nic > 50") == "column 6: \">\" between bandwidth and a plain number");
  CHECK(told("/nic * /nic > 50") == "column 6: a product of bandwidth has no meaning here");
  CHECK(told("/n / 0 == 1") == "column 4: a division by zero");
  CHECK(told("/list == 1") == "column 1: /list is an array; expected a single value");
  CHECK(told("/n == \"a") == "column 7: the text does not end, found \"\\\"\"");
}

// Random arithmetic and comparisons against the same evaluated while they are made up.
TEST_CASE("condition: random expressions equal their values", "[condition]") {
  std::mt19937_64 random(1);
  const JsonNode document = parse_json(R"({"a": 3, "b": 7, "c": 11})", "x.json");
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  struct Made {
    std::string text;
    double value;
  };
  const std::function<Made(int)> make = [&](int depth) -> Made {
    if (depth == 0 || pick(4) == 0) {
      const int which = pick(4);
      if (which == 3) {
        const int number = pick(20);
        return {std::to_string(number), static_cast<double>(number)};
      }
      const char* const names[] = {"/a", "/b", "/c"};
      const double values[] = {3, 7, 11};
      return {names[which], values[which]};
    }
    const Made left = make(depth - 1), right = make(depth - 1);
    switch (pick(4)) {
      case 0: return {"(" + left.text + " + " + right.text + ")", left.value + right.value};
      case 1: return {"(" + left.text + " - " + right.text + ")", left.value - right.value};
      case 2: return {"(" + left.text + " * " + right.text + ")", left.value * right.value};
      default: return {"-" + left.text, -left.value};
    }
  };
  int held = 0;
  for (int i = 0; i < 2000; ++i) {
    const Made left = make(4), right = make(4);
    CAPTURE(left.text, right.text);
    CHECK(holds(left.text + " < " + right.text, document) == (left.value < right.value));
    CHECK(holds(left.text + " >= " + right.text, document) == (left.value >= right.value));
    CHECK(holds(left.text + " == " + right.text + " || " + left.text + " > " + right.text,
                document) == (left.value >= right.value));
    held += left.value < right.value ? 1 : 0;
  }
  CHECK(held > 500);
  CHECK(held < 1500);
}

}  // namespace moesim
