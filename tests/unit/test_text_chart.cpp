// Charts in characters: shapes that can be told by eye, on lines that stay narrow.
#include "reports/text_chart.hpp"
#include "reports/utf8.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {
using Lines = std::vector<std::string>;

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}
}  // namespace

TEST_CASE("display width: combining marks have none, wide characters two, broken bytes one",
          "[text_chart]") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("µ█▏") == 3);
  CHECK(display_width("e\u0301") == 1);
  CHECK(display_width("専門家") == 6);
  CHECK(display_width("\xff\xe2\x82") == 3);
  CHECK(fitted("専門家", 4) == "専… ");
  CHECK(fitted("ab", 4) == "ab  ");
  CHECK(fitted("abcdef", 4) == "abc…");
}

TEST_CASE("bars are as long as their values, to an eighth of a column", "[text_chart]") {
  const BarChart chart{
      {"time", "s"}, "rank", {"a", "bb"}, {{"t", {{0, 2}, {0, 1}}}}, false, {{"limit", {}, 1.5}}};
  CHECK(text_chart({"", "", chart}) == Lines{"a        2.000 s  " + repeated("█", 46),
                                             "bb       1.000 s  " + repeated("█", 23),
                                             "limit: 1.500 s"});
  const BarChart tiny{
      {"n", ""}, "", {"a", "b", "c"}, {{"t", {{0, 1000}, {0, 0.001}, {0, 0}}}}, false, {}};
  const Lines lines = text_chart({"", "", tiny});
  CHECK(lines[1] == "b      0.001000  ▏");  // there, but hardly
  CHECK(lines[2].find("▏") == std::string::npos);
}

TEST_CASE("bars hang where they are: a waterfall, and both sides of zero", "[text_chart]") {
  const BarChart fall{{"MFU", "%"}, "", {"peak", "loss"}, {{"m", {{0, 46}, {46, 23}}}}, true, {}};
  CHECK(text_chart({"", "", fall})[1] ==
        "loss      -23.00 %  " + std::string(23, ' ') + repeated("█", 23));
  const BarChart both{{"d", ""}, "", {"x"}, {{"down", {{0, -1}}}, {"up", {{0, 1}}}}, true, {}};
  CHECK(text_chart({"", "", both})[0] == "x  |" + repeated("█", 23) + repeated("▓", 23) + "|");
  // Around a value: what lies below it, and above.
  const BarChart around{
      {"t", "s"}, "", {"x"}, {{"fast", {{100, 90}}}, {"slow", {{100, 110}}}}, true, {}};
  CHECK(text_chart({"", "", around})[0] == text_chart({"", "", both})[0]);
  // Bars that would cover each other have lines of their own.
  const BarChart beside{{"d", ""}, "", {"x"}, {{"one", {{0, 1}}}, {"two", {{0, 1}}}}, true, {}};
  CHECK(text_chart({"", "", beside}).size() == 2);
}

TEST_CASE("a sparkline rises as its series does, on a scale all share", "[text_chart]") {
  XyChart chart{{"t", "s"}, {"queue", ""}, {}, {{"limit", {}, 3}}};
  XyChart::Series rising{"up", XyChart::Drawn::line, {}, {}},
      flat{"flat", XyChart::Drawn::steps, {{0, 0}, {47, 0}}, {}};
  for (int i = 0; i < 48; ++i) rising.points.emplace_back(i, i);
  chart.series = {rising, flat};
  const Lines lines = text_chart({"", "", chart});
  REQUIRE(lines.size() == 5);
  const std::string up = repeated("▁", 6) + repeated("▂", 6) + repeated("▃", 6) + repeated("▄", 6) +
                         repeated("▅", 6) + repeated("▆", 6) + repeated("▇", 6) + repeated("█", 6);
  CHECK(lines[1] == "up    " + up + "  0 to 47.00");
  CHECK(lines[2] == "flat  " + repeated("▁", 48) + "  0 to 0");
  CHECK(lines[4] == "limit: queue 3.000");
}

TEST_CASE("points stand where they are, marks have letters", "[text_chart]") {
  const XyChart chart{{"x", ""},
                      {"y", ""},
                      {{"p", XyChart::Drawn::points, {{0, 0}, {1, 1}}, {}}},
                      {{"best", 0.5, 0.5}}};
  const Lines lines = text_chart({"", "", chart});
  REQUIRE(lines.size() == 1 + 12 + 3 + 2);
  CHECK(lines[1].substr(lines[1].find('|')) == "|" + std::string(63, ' ') + "o");
  CHECK(lines[12].substr(lines[12].find('|')) == "|o");
  CHECK(lines[6].find('A') == lines[6].find('|') + 33);
  CHECK(lines.back() == "A best: x 0.5000, y 0.5000");
}

TEST_CASE("a heatmap is shaded, and says when neighbours share a block", "[text_chart]") {
  const Heatmap small{"to", "from", {"a", "b", "c"}, {"n"}, {"v", ""}, {{0, 1, 2}}};
  CHECK(text_chart({"", "", small})[0] == "n |  ▒▒██|");
  Heatmap large{"to", "from", {}, {"n"}, {"v", ""}, {{}}};
  for (int i = 0; i < 256; ++i) {
    large.x_categories.push_back(std::to_string(i));
    large.cells[0].push_back(i < 128 ? 0 : 1);
  }
  const Lines lines = text_chart({"", "", large});
  CHECK(lines[0] == "n |" + std::string(32, ' ') + repeated("█", 32) + "|");
  CHECK(lines.back().find("means of neighbours") != std::string::npos);
}

TEST_CASE("lanes have the letter of what took most of the time", "[text_chart]") {
  const TimelineChart chart{{"a", "b"},
                            {"forward", "fetch"},
                            {{0, 0, 0, 32, ""}, {0, 1, 32, 64, ""}, {1, 1, 60, 64, ""}}};
  const Lines lines = text_chart({"", "", chart});
  CHECK(lines[0] == "a |" + std::string(32, 'F') + std::string(32, 'f') + "|");
  CHECK(lines[1] == "b |" + std::string(60, ' ') + "ffff|");
  CHECK(lines.back() == "F forward   f fetch");
}

TEST_CASE("text charts of nothing, and of long names, stay in their columns", "[text_chart]") {
  const std::string longer(200, 'x');
  const std::vector<Chart> charts = {
      {"",
       "",
       XyChart{{longer, longer}, {longer, longer}, {{longer, {}, {{1, 1}}, {}}}, {{longer, 1, 1}}}},
      {"",
       "",
       BarChart{
           {longer, longer}, longer, {longer}, {{longer, {{0, 1}}}, {longer, {{0, 1}}}}, true, {}}},
      {"", "", Heatmap{longer, longer, {longer}, {longer}, {longer, longer}, {{1}}}},
      {"", "", TimelineChart{{longer}, {longer}, {{0, 0, 0, 1, longer}}}}};
  for (const Chart& chart : charts)
    for (const std::string& line : text_chart(chart))
      CHECK(display_width(line) <= kTextChartColumns);
  CHECK(text_chart({"", "", XyChart{}}) == Lines{"(no point)"});
  CHECK(text_chart({"", "", BarChart{}}) == Lines{"(no bar)"});
  CHECK(text_chart({"", "", Heatmap{}}) == Lines{"(no cell)"});
  CHECK(text_chart({"", "", TimelineChart{}}) == Lines{"(no span)"});
  // What a logarithmic axis cannot show is left out.
  const XyChart zero{{"x", "", true}, {"y", ""}, {{"s", {}, {{0, 1}}, {}}}, {}};
  CHECK(text_chart({"", "", zero}) == Lines{"(no point)"});
}
