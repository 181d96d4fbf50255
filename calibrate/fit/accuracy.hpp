// How well the forms fit published tables: each row imports a table, fits it and compares the error
// on points left out with what was asked of it. The tables are not part of this repository; a row
// whose file is not in the folder is named and skipped.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/fit/held_out.hpp"

namespace moesim {

struct AccuracyRow {
  std::string title, left_out;
  ErrorSummary error;
  std::optional<ErrorSummary> repeat_noise;
  std::optional<double> median_bar, p95_bar;  // fractions; absent: printed, nothing asked
  bool skipped = false;                       // the file is not there
  bool within() const {
    return skipped || !median_bar ||
           (error.num_points > 0 && error.median <= *median_bar && error.p95 <= *p95_bar);
  }
};

std::vector<AccuracyRow> accuracy(const std::filesystem::path& tables,
                                  const std::filesystem::path& gpus,
                                  int num_threads);

std::string accuracy_report(const std::vector<AccuracyRow>& rows);  // Markdown

}  // namespace moesim
