// An import as its reader sees it: the report, the JSON document, the file that -o writes.
#pragma once

#include "model/json_writer.hpp"
#include "reports/import/launcher.hpp"
#include "reports/report.hpp"

namespace moesim {

// `plan_file`: where the plan was written, for the command that uses it.
Report import_report(const LaunchImport& imported, const std::string& plan_file);
JsonValue import_json(const LaunchImport& imported);
// The plan (or, for serving, {"serving": ...}) in JSON with comments: grids and defaults above it.
std::string plan_file_text(const LaunchImport& imported);

}  // namespace moesim
