// Where a command's report goes: to standard output, and with -o to a folder as well.
#pragma once

#include <string>

#include "model/json_writer.hpp"
#include "reports/commands/commands.hpp"
#include "reports/report.hpp"

namespace moesim {

// Adds -o, --output.
void add_output_option(CLI::App& command, std::string& output_folder);
// Makes the folder, if one is asked for: before the work, so that nobody waits for a refusal.
void make_output_folder(const std::string& output_folder);
// Prints the report as Markdown, or the document with --json. With a folder, writes there
// report.md, report.json (the document), report.html, tables.json and tables/NAME.csv.
void deliver(const Report& report,
             const JsonValue& document,
             const std::string& output_folder,
             const CommandContext& context);

}  // namespace moesim
