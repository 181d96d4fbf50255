// The strict reader of comma-separated values behind two of the importers.
#include "calibrate/import/csv_table.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

CsvTable table(const std::string& text) {
  const TemporaryFolder folder;
  return CsvTable(folder.add_file("t.csv", text));
}

// What follows the file's path.
std::string refused(const std::string& text) {
  const std::string message = refusal([&] {
    const CsvTable t = table(text);
    for (std::size_t i = 0; i < t.size(); ++i) t.integer(i, "m");
  });
  const std::size_t at = message.find("t.csv: ");
  return at == std::string::npos ? message : message.substr(at + 7);
}

}  // namespace

TEST_CASE("csv: quotes and carriage returns and a byte-order mark and empty lines", "[import]") {
  const CsvTable t = table(
      "\xef\xbb\xbf"
      "m, name ,\"us\"\r\n"
      "1,\"a, \"\"b\"\"\", 2.5\r\n"
      "\r\n"
      "128.0,\"two\nlines\",1e3\r\n"
      "3,,.5");
  REQUIRE(t.size() == 3);
  CHECK(t.columns() == std::vector<std::string>{"m", "name", "us"});
  CHECK(t.text(0, "name") == "a, \"b\"");
  CHECK(t.text(1, "name") == "two\nlines");
  CHECK(t.text(2, "name").empty());
  CHECK(t.number(0, "us") == 2.5);
  CHECK(t.number(1, "us") == 1000);
  CHECK(t.integer(1, "m") == 128);
  CHECK(t.place(1).substr(t.place(1).size() - 6) == "line 4");
  CHECK(t.place(2).substr(t.place(2).size() - 6) == "line 6");  // a field above took two lines
}

TEST_CASE("csv: what is no table is refused by name", "[import]") {
  CHECK(refused("") == "is empty; expected a header line");
  CHECK(refused("\n\n") == "is empty; expected a header line");
  CHECK(refused("m,us\n") == "has a header and no rows");
  CHECK(refused("m,us,m\n1,2,3\n") == "column \"m\" appears twice");
  CHECK(refused("m,,us\n1,2,3\n") == "column 2 has no name");
  CHECK(refused("m;us\n1;2\n") == "has another separator than commas in its header");
  CHECK(refused("m,us\n1,2\n3\n") == "line 3: has 1 fields; expected 2 as in the header");
  CHECK(refused("m,us\n1,2,5\n") == "line 2: has 3 fields; expected 2 as in the header");
  CHECK(refused("m,us\n\"1\"2,3\n") == "line 2: text follows the closing quote of a field");
  CHECK(refused("m,us\n1\"2\",3\n") == "line 2: a quote stands inside an unquoted field");
  CHECK(refused("m,us\n1,\"2\n3,4\n") ==
        "line 2: a quoted field is not closed before the end of the file");
  CHECK(refused("m,us\r1,2\r") == "line 1: a carriage return stands inside the line");
  CHECK(refused(std::string("m,us\n1,\0\n", 9)) == "holds NUL bytes; expected CSV text in UTF-8");
  CHECK(refused("\x1f\x8b...") == "is compressed (gzip); expected plain text");
  CHECK(refused("PAR1....") == "is a Parquet file; expected CSV text");
}

TEST_CASE("csv: a number is a whole field and a count is whole", "[import]") {
  const auto field = [](const std::string& text) { return refused("m\n" + text + "\n"); };
  CHECK(field("12") == "nothing was refused");
  CHECK(field("12x") == "line 2: column \"m\": expected a number, found \"12x\"");
  CHECK(field("nan") == "line 2: column \"m\": expected a number, found \"nan\"");
  CHECK(field("inf") == "line 2: column \"m\": expected a number, found \"inf\"");
  CHECK(field("1e999") == "line 2: column \"m\": expected a number, found \"1e999\"");
  CHECK(field("0x10") == "line 2: column \"m\": expected a number, found \"0x10\"");
  CHECK(field("\"1,5\"") == "line 2: column \"m\": expected a number, found \"1,5\"");
  const std::string range = "expected an integer from 1 to 1099511627776, found ";
  CHECK(field("1.5") == "line 2: column \"m\": " + range + "\"1.5\"");
  CHECK(field("0") == "line 2: column \"m\": " + range + "\"0\"");
  CHECK(field("-3") == "line 2: column \"m\": " + range + "\"-3\"");
  CHECK(field("1e30") == "line 2: column \"m\": " + range + "\"1e30\"");
}

TEST_CASE("csv: rows are chosen by the values of columns", "[import]") {
  const std::string text = "m,kind\n1,a\n2,b\n3,c\n4,a\n";
  const auto kept = [&](std::vector<std::pair<std::string, std::string>> only) {
    CsvTable t = table(text);
    t.keep(only);
    std::string m;
    for (std::size_t i = 0; i < t.size(); ++i) m += t.text(i, "m");
    return m;
  };
  CHECK(kept({}) == "1234");
  CHECK(kept({{"kind", "a"}}) == "14");
  CHECK(kept({{"kind", "a"}, {"kind", "c"}}) == "134");  // either
  CHECK(kept({{"kind", "a"}, {"m", "4"}}) == "4");       // both
  CHECK(refusal([&] {
          kept({{"sort", "a"}});
        }).find("has no such column; found: m, kind") != std::string::npos);
  CHECK(refusal([&] {
          kept({{"kind", "z"}});
        }).find("has this value; found: a, b, c") != std::string::npos);
  CHECK(refusal([&] {
          kept({{"kind", "a"}, {"m", "2"}});
        }).find("has all of these values") != std::string::npos);
}

TEST_CASE("csv: the unit of a time is in its column's name", "[import]") {
  const auto found = [](const std::string& header, const std::string& stem) {
    const CsvTable t = table(header + "\n1,2\n");
    const TimeColumn c = time_column(t, stem);
    return c.name + " " + std::to_string(c.unit.in(ns));
  };
  CHECK(found("m,latency_us", "latency") == "latency_us 1000.000000");
  CHECK(found("m,latency_ms", "latency") == "latency_ms 1000000.000000");
  CHECK(found("m,us", "") == "us 1000.000000");
  CHECK(refusal([&] {
          found("latency_us,latency_ms", "latency");
        }).find("has columns \"latency_us\" and \"latency_ms\", two units for one time") !=
        std::string::npos);
  CHECK(refusal([&] {
          found("m,latency", "latency");
        }).find("missing column \"latency_us\"; found: m, latency") != std::string::npos);
}
