#include "reports/commands/deliver.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <sstream>

#include "reports/tables.hpp"
#include "reports/writers.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw std::runtime_error(folder.string() + ": cannot be created: " + error.message());
}

}  // namespace

void add_output_option(CLI::App& command, std::string& output_folder) {
  command.add_option(
      "-o,--output",
      output_folder,
      "Folder for report.html, report.md, report.json and the tables as CSV and JSON");
}

void make_output_folder(const std::string& output_folder) {
  if (!output_folder.empty()) make_folder(fs::path(output_folder) / "tables");
}

void deliver(const Report& report,
             const JsonValue& document,
             const std::string& output_folder,
             const CommandContext& context) {
  const auto markdown_of = [](const Report& shown) {
    std::ostringstream markdown;
    write_markdown(shown, markdown);
    return markdown.str();
  };
  const std::string json = document.dump();
  if (!output_folder.empty()) {
    make_output_folder(output_folder);
    const fs::path folder = output_folder;
    std::ostringstream html;
    write_html(report, html);
    for (const NamedTable& named : tables_of(report))
      write_file(folder / "tables" / (named.slug + ".csv"), csv_text(named.table));
    write_file(folder / "tables.json", tables_json(report).dump_wrapped(100));
    write_file(folder / "report.md", markdown_of(report));
    write_file(folder / "report.json", json);
    write_file(folder / "report.html", html.str());
  }
  if (context.common.json)
    print(json);
  else
    print_markdown(markdown_of(for_terminal(report)), context.common);
}

}  // namespace moesim
