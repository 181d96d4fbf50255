// A report before it is text: facts, sections, tables. Sections read a finished run and never
// compute physics.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/scenario.hpp"
#include "reports/chart.hpp"
#include "reports/known_figures.hpp"
#include "sim/routing_picture.hpp"
#include "sim/run.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

struct Section {
  std::string title;
  std::vector<std::string> paragraphs;  // before the tables
  std::vector<Table> tables;
  std::vector<std::string> notes;  // after them
  std::vector<Chart> charts = {};  // between paragraphs and tables
  bool only_in_files = false;      // too long for a terminal
};

struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // scenario hash, profile, seed
  std::vector<Section> sections;
  std::vector<std::string> warnings;
};

// A changed scenario and what came of it.
struct VariantResult {
  const Variant* variant = nullptr;
  RunResult run;  // main phase only
};

// A value of the scenario and where it came from (reports/inputs).
struct InputRow {
  std::string pointer, value;
  std::string from;    // the file and the place in it, or the override
  std::string source;  // as the file gives it
};

struct ReportInput {
  const Scenario& scenario;
  const RunResult& run;
  const std::optional<Uncertainty>& uncertainty;
  std::vector<KnownRow> known;  // published figures that speak to this scenario
  std::vector<VariantResult> variants;
  // For reports that are written to files; else empty.
  std::vector<InputRow> inputs = {};
  std::optional<RoutingPicture> routing = {};
};

Report make_report(const ReportInput& input);
// Without the sections that are only for files.
Report for_terminal(Report report);

// The document `moesim run --json` prints (docs/run-json.md). Without an uncertainty it has no
// intervals.
JsonValue run_json(const Scenario& scenario,
                   const RunResult& run,
                   const std::optional<Uncertainty>& uncertainty);

}  // namespace moesim
