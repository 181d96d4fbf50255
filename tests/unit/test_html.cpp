// The HTML page: nothing in a report can become markup, and its policy lets only its own scripts
// run.
#include <sstream>

#include "reports/html/assets.hpp"
#include "reports/html/chart_data.hpp"
#include "reports/html/escape.hpp"
#include "reports/writers.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

const std::string kEvil = "</script><img src=x onerror=\"x\">&<!--'";

std::string page_of(const Report& report) {
  std::ostringstream out;
  write_html(report, out);
  return out.str();
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++count;
  return count;
}

}  // namespace

TEST_CASE("HTML text: markup is escaped, what is no UTF-8 or a control character replaced",
          "[html]") {
  CHECK(html_escaped("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
  CHECK(html_escaped("µs, 専門家") == "µs, 専門家");
  CHECK(html_escaped("a\xff\xc3") == "a\uFFFD\uFFFD");
  CHECK(html_escaped("\xc0\xbc") == "\uFFFD\uFFFD");            // an overlong "<"
  CHECK(html_escaped("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");  // a surrogate
  CHECK(html_escaped(std::string("a\0b\x1b", 4)) == "a\uFFFDb\uFFFD");
  CHECK(html_escaped("line\nnext\t.") == "line\nnext\t.");
}

TEST_CASE("HTML text: code and strong words of a sentence", "[html]") {
  CHECK(html_inline("role `fit` and `<b>`") == "role <code>fit</code> and <code>&lt;b&gt;</code>");
  CHECK(html_inline("a **strong** word") == "a <strong>strong</strong> word");
  CHECK(html_inline("2 ** 3 ** 4, and a ` alone") == "2 ** 3 ** 4, and a ` alone");
  CHECK(html_inline("``") == "``");
}

TEST_CASE("JSON in a script element cannot end it", "[html]") {
  const std::string json = JsonValue::object().set("name", kEvil + "\u2028\u2029").dump_line();
  const std::string safe = script_json(json);
  for (const char* c : {"<", ">", "&", "\u2028", "\u2029"})
    CHECK(safe.find(c) == std::string::npos);
  CHECK(safe.find("\\u003c/script\\u003e") != std::string::npos);
  CHECK(safe.find("\\u2028\\u2029") != std::string::npos);
}

TEST_CASE("a hash of the security policy is base64", "[html]") {
  // Of the empty text, as sha256sum and base64 print it.
  CHECK(csp_hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") ==
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST_CASE("hostile names in every place of a report stay text", "[html]") {
  XyChart xy{
      {kEvil, kEvil}, {kEvil, kEvil}, {{kEvil, XyChart::Drawn::points, {{1, 2}}, {kEvil}}}, {}};
  xy.marks = {{kEvil, 1, 2}};
  const BarChart bars{{kEvil, kEvil}, kEvil, {kEvil}, {{kEvil, {{0, 1}}}}, false, {}};
  const Heatmap map{kEvil, kEvil, {kEvil}, {kEvil}, {kEvil, kEvil}, {{1}}};
  const TimelineChart timeline{{kEvil}, {kEvil}, {{0, 0, 0, 1, kEvil + "2"}}};
  Report report{kEvil, {{kEvil, kEvil}}, {}, {kEvil}};
  Section section{kEvil, {kEvil}, {{kEvil, {kEvil, kEvil}, {{kEvil, kEvil}}}}, {kEvil}};
  section.charts = {
      {kEvil, kEvil, xy}, {kEvil, kEvil, bars}, {kEvil, kEvil, map}, {kEvil, kEvil, timeline}};
  report.sections = {section, section};

  const std::string page = page_of(report);
  CHECK(count_of(page, "<img") == 0);
  CHECK(count_of(page, "onerror=\"") == 0);
  CHECK(count_of(page, "<!--") == 0);
  CHECK(count_of(page, "<script") == count_of(page, "</script>"));
  const bool bundled = !chart_script().text.empty();
  CHECK(count_of(page, "</script>") == (bundled ? 2U + 8U : 1U));
  // Style attributes, which the policy would refuse; ECharts has the words in its code.
  CHECK(count_of(page, " style=") == count_of(std::string(chart_script().text), " style="));
  CHECK(count_of(page, "<figure") == 8);
  CHECK(count_of(page, "<table") == count_of(page, "<caption"));
}

TEST_CASE("the policy names the hash of every script, and the parts can stand in a page",
          "[html]") {
  Report report{"title", {}, {{"section", {}, {}, {}}}, {}};
  report.sections[0].charts = {
      {"chart", "", XyChart{{"x", ""}, {"y", ""}, {{"s", {}, {{0, 1}}, {}}}, {}}}};
  const std::string page = page_of(report);
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.find("unsafe") == page.npos);
  for (const PageAsset& part : {page_style(), theme_script(), chart_script()}) {
    if (part.text.empty()) continue;
    CHECK(page.find("'" + csp_hash(part.sha256_hex) + "'") != std::string::npos);
    CHECK(count_of(page, std::string(part.text)) == 1);
    CHECK(part.text.find("</script") == part.text.npos);
  }
}

TEST_CASE("chart data: spans by their start in whole ticks, names once", "[html]") {
  const TimelineChart timeline{
      {"lane"},
      {"F", "B"},
      {{0, 1, 2, 3, "B of 1"}, {0, 0, 0, 1.0 / 3, "F"}, {0, 1, 5, 6.5, "B of 1"}}};
  CHECK(
      chart_data({"t", "", timeline}).dump_line() ==
      R"({"type":"timeline","lanes":["lane"],"kinds":["F","B"],"names":["B of 1"],)"
      R"("start_s":0.0,"tick_s":6.5e-07,"spans":[0,0,0,512821,-1,0,1,3076923,1538462,0,0,1,7692308,2307692,0]})");
  const XyChart broken{{"x", ""}, {"y", ""}, {{"s", {}, {{0, std::nan("")}}, {}}}, {}};
  CHECK_THROWS_AS(chart_data({"t", "", broken}).dump_line(), std::logic_error);
}

TEST_CASE("a table too long for a page is cut, and says where the rest is", "[html]") {
  Report report{"title", {}, {{"Section", {}, {{"Long one", {"a", "b", "c"}, {}}}, {}}}, {}};
  for (int i = 0; i < 10000; ++i)
    report.sections[0].tables[0].rows.push_back({std::to_string(i), "1", "2"});
  const std::string page = page_of(report);
  CHECK(page.find("The first 2666 of 10000 rows; all are in tables/01-long-one.csv.") !=
        std::string::npos);
  CHECK(count_of(page, "<tr>") == 2667);
}
