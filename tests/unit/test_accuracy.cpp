// How well the forms fit published tables: rows are there or named as missing, and those that
// reached what was asked of them keep reaching it.
#include <algorithm>
#include <set>

#include "calibrate/fit/accuracy.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("accuracy: an empty folder skips every row, and says so") {
  const TemporaryFolder empty;
  const auto rows = accuracy(empty.path(), scenario_folder() / "gpus", 1);
  REQUIRE(rows.size() > 10);
  for (const AccuracyRow& row : rows) {
    CHECK(row.skipped);
    CHECK(row.within());
  }
  const std::string report = accuracy_report(rows);
  CHECK(has(report,
            "| FP8 GEMM, H20 (InferSim, DeepGEMM) | - | n and k | skipped: the table is "
            "not there | - | - |\n"));
  CHECK(has(report, "\nRows that miss what was asked: 0.\n"));
}

TEST_CASE("accuracy: a row is within its bars by median and 95th percentile both") {
  AccuracyRow row;
  row.title = "T";
  row.left_out = "m";
  row.error = {9, 0.02, 0.05, 0.10, 0.2};
  CHECK(row.within());  // nothing is asked
  row.median_bar = 0.02;
  row.p95_bar = 0.10;
  CHECK(row.within());
  CHECK(has(accuracy_report({row}), "| T | 9 | m | 2.0 / 10.0 / 20.0 | 2.0 / 10.0 | - |\n"));
  row.error.median = 0.021;
  CHECK_FALSE(row.within());
  CHECK(has(accuracy_report({row}),
            "| 2.0 / 10.0, missed | - |\n\nRows that miss what was asked: 1.\n"));
  row.error.median = 0.02;
  row.error.p95 = 0.11;
  CHECK_FALSE(row.within());
}

TEST_CASE("accuracy: a table without the points that a bar is about misses it") {
  AccuracyRow row;
  row.title = "T";
  row.left_out = "m";
  row.median_bar = 0.02;
  row.p95_bar = 0.10;
  CHECK_FALSE(row.within());
  CHECK(has(accuracy_report({row}), "| T | 0 | m | no points to leave out | missed | - |\n"));
}

TEST_CASE("accuracy: the tables that reached their bars keep reaching them") {
  const auto folder = reference_folder();
  if (!folder) return;
  const auto tables = *folder / "kernels";
  if (!std::filesystem::is_directory(tables)) {
    std::cout << "SKIPPED: " << tables << " is not there\n";
    return;
  }
  // What misses its bar today, by little.
  const std::set<std::string> may_miss = {"DeepEP low latency, H100: combine_low_latency, 8 ranks"};
  std::size_t with_bars = 0;
  for (const AccuracyRow& row : accuracy(tables, scenario_folder() / "gpus", 2)) {
    INFO(row.title << " without " << row.left_out << ": " << row.error.median << " / "
                   << row.error.p95);
    if (row.median_bar) ++with_bars;
    CHECK_FALSE(row.skipped);
    CHECK(row.error.num_points > 0);
    if (may_miss.contains(row.title)) {
      CHECK(row.error.median < 0.06);
      CHECK(row.error.p95 < 0.10);
    } else {
      CHECK(row.within());
    }
  }
  CHECK(with_bars == 26);
}

}  // namespace moesim
