// Tables of a report as files: names, quoting, numbers.
#include "reports/tables.hpp"
#include "tests/catch.hpp"

using namespace moesim;

TEST_CASE("CSV: commas, quotes and line breaks stand in quotes", "[tables]") {
  const Table table{
      "", {"name", "a, b"}, {{"plain", "1.5"}, {"say \"no\"", "two\nlines"}, {"", "é"}}};
  CHECK(csv_text(table) == "name,\"a, b\"\nplain,1.5\n\"say \"\"no\"\"\",\"two\nlines\"\n,é\n");
}

TEST_CASE("every table has a name of its own, charts among them", "[tables]") {
  Report report;
  Section section{
      "Where it goes", {}, {{"", {"a"}, {{"1"}}}, {"Where it goes", {"a"}, {{"2"}}}}, {}};
  section.charts = {
      {"Time, by rank!", "", BarChart{{"time", "s"}, "rank", {"0"}, {{"F", {{0, 2}}}}, false, {}}}};
  report.sections = {section, {"専門家", {}, {{"", {"x"}, {}}}, {}}};
  const auto tables = tables_of(report);
  REQUIRE(tables.size() == 4);
  CHECK(tables[0].slug == "01-time-by-rank");
  CHECK(tables[0].table.rows == std::vector<std::vector<std::string>>{{"0", "2.000"}});
  CHECK(tables[1].slug == "01-where-it-goes");
  CHECK(tables[2].slug == "01-where-it-goes-2");
  CHECK(tables[3].slug == "02");
  CHECK(tables[3].table.title == "専門家");
}

TEST_CASE("tables as JSON: numbers where a cell is nothing else", "[tables]") {
  Report report;
  report.sections = {
      {"S",
       {},
       {{"T", {"c"}, {{"12.5"}, {"12.5 ms"}, {"007"}, {"0"}, {"-3"}, {"inf"}, {""}}}},
       {}}};
  CHECK(tables_json(report).dump_line() ==
        R"({"schema_version":1,"tables":[{"name":"01-t","section":"S","title":"T","columns":["c"],)"
        R"("rows":[[12.5],["12.5 ms"],["007"],[0.0],[-3.0],["inf"],[""]]}]})");
}

TEST_CASE("a chart's table has its numbers: steps, bars from elsewhere, cells, lanes", "[tables]") {
  using Rows = std::vector<std::vector<std::string>>;
  const BarChart fall{
      {"MFU", "%"}, "loss", {"peak", "bubble"}, {{"MFU", {{0, 100}, {100, 90}}}}, true, {}};
  const Table bars = table_of({"fall", "", fall});
  CHECK(bars.columns == std::vector<std::string>{"loss", "MFU, from (%)", "to (%)"});
  CHECK(bars.rows == Rows{{"peak", "0", "100.0"}, {"bubble", "100.0", "90.00"}});
  const Heatmap map{"to", "from", {"a", "b"}, {"c"}, {"v", ""}, {{1, 2}}};
  CHECK(table_of({"map", "", map}).rows == Rows{{"c", "1.000", "2.000"}});
  const TimelineChart timeline{
      {"l"}, {"F", "B"}, {{0, 0, 0, 1, ""}, {0, 0, 2, 4, ""}, {0, 1, 1, 2, ""}}};
  CHECK(table_of({"t", "", timeline}).rows ==
        Rows{{"l", "F", "2", "3.000"}, {"l", "B", "1", "1.000"}});
}
