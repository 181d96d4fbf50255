// moesim validate: every known figure next to its prediction; with --claims, what is commonly said
// of the models next to what comes out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "reports/claims.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

JsonValue rows_json(const std::vector<KnownRow>& rows) {
  JsonValue list = JsonValue::array();
  for (const KnownRow& row : rows) {
    const KnownFigure& f = row.figure;
    JsonValue item = JsonValue::object();
    item.set("id", f.id).set("quantity", f.quantity).set("unit", f.unit).set("known", f.known);
    item.set("predicted", row.predicted ? JsonValue(*row.predicted) : JsonValue());
    item.set("interval",
             row.interval ? JsonValue::array().push(row.interval->low).push(row.interval->high)
                          : JsonValue());
    item.set("error_pct", row.error_pct ? JsonValue(*row.error_pct) : JsonValue());
    item.set("role", role_name(f.role));
    item.set("tolerance_pct", f.unpredicted.empty() ? JsonValue(f.tolerance_pct) : JsonValue());
    item.set("source", f.source);
    item.set("note", f.unpredicted.empty() ? f.note : f.unpredicted);
    list.push(std::move(item));
  }
  return JsonValue::object().set("schema_version", 1).set("rows", std::move(list));
}

std::string verdict(const std::vector<KnownRow>& rows) {
  std::vector<double> held_out;
  std::size_t past = 0, unpredicted = 0;
  for (const KnownRow& row : rows) {
    past += row.within_tolerance ? 0 : 1;
    unpredicted += row.predicted ? 0 : 1;
    if (row.error_pct && row.figure.role == FigureRole::held_out)
      held_out.push_back(std::abs(*row.error_pct));
  }
  std::sort(held_out.begin(), held_out.end());
  std::string text = std::to_string(rows.size()) + " figures: " + std::to_string(past) +
                     " past tolerance, " + std::to_string(unpredicted) + " not predicted";
  if (!held_out.empty())
    text += "; " + std::to_string(held_out.size()) + " held out, median error " +
            digits4(held_out[held_out.size() / 2]) + " %, largest " + digits4(held_out.back()) +
            " %";
  return text + ".";
}

// How many held-out figures their predictions' intervals hold, and which not.
std::string interval_verdict(const std::vector<KnownRow>& rows) {
  std::size_t with_interval = 0;
  std::vector<std::string> outside;
  for (const KnownRow& row : rows) {
    if (row.figure.role != FigureRole::held_out || !row.interval) continue;
    ++with_interval;
    if (!row.interval->contains(row.figure.known)) outside.push_back(row.figure.id);
  }
  if (with_interval == 0) return "No held-out figure has an interval.";
  std::string text = std::to_string(with_interval - outside.size()) + " of " +
                     std::to_string(with_interval) +
                     " held-out figures with a 90 % interval lie inside it";
  for (std::size_t i = 0; i < outside.size(); ++i)
    text += (i == 0 ? "; outside: " : ", ") + outside[i];
  return text + ".";
}

Report validation_report(const std::vector<KnownRow>& rows) {
  Report report;
  report.title = "Known figures next to their predictions";
  Section table{"Figures", {}, {known_table(rows)}, {}};
  table.paragraphs.push_back(known_legend());
  Section notes{"Notes", {}, {}, {}};
  for (const KnownRow& row : rows) {
    const std::string& note =
        row.figure.unpredicted.empty() ? row.figure.note : row.figure.unpredicted;
    if (!note.empty()) notes.notes.push_back(row.figure.id + ": " + note + ".");
  }
  notes.paragraphs.push_back(verdict(rows));
  notes.paragraphs.push_back(interval_verdict(rows));
  report.sections = {std::move(table), std::move(notes)};
  return report;
}

int validate_figures(const std::filesystem::path& folder,
                     const std::string& output_folder,
                     const CommandContext& context) {
  Progress progress(context.common.quiet);
  FigureEvaluator evaluator(folder, context.common.num_threads());
  std::vector<KnownRow> rows;
  const auto figures = read_known_figures(folder);
  if (figures.empty())
    throw InputError(folder.string(),
                     "no known figures: expected JSON files in published/ or measured/");
  make_output_folder(output_folder);
  for (const KnownFigure& figure : figures) {
    progress("evaluating " + figure.id);
    rows.push_back(evaluator.evaluate(figure));
  }
  deliver(validation_report(rows), rows_json(rows), output_folder, context);
  const auto within = [](const KnownRow& row) { return row.within_tolerance; };
  return std::all_of(rows.begin(), rows.end(), within) ? kDone : kPastTolerance;
}

int audit_claims(const std::filesystem::path& folder,
                 const std::string& output_folder,
                 const CommandContext& context) {
  Progress progress(context.common.quiet);
  FigureEvaluator evaluator(folder, context.common.num_threads());
  std::vector<AuditedClaim> claims;
  const std::vector<Claim> stated = read_claims(folder);
  make_output_folder(output_folder);
  for (const Claim& claim : stated) {
    progress("auditing " + claim.id);
    claims.push_back(audit(claim, evaluator, folder));
  }
  deliver(claims_report(claims), claims_json(claims), output_folder, context);
  const auto expected = [](const AuditedClaim& claim) { return claim.as_expected(); };
  return std::all_of(claims.begin(), claims.end(), expected) ? kDone : kPastTolerance;
}

}  // namespace

void add_validate_command(CLI::App& app, CommandContext& context) {
  auto folder = std::make_shared<std::string>(), output_folder = std::make_shared<std::string>();
  auto claims = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "validate", "Every known figure next to its prediction; exit 3 past a tolerance");
  command->footer("Examples: moesim validate --json\n          moesim validate --claims");
  command->add_flag("--claims",
                    *claims,
                    "Audit what is commonly said of the models instead; exit 3 where a verdict is "
                    "not the expected one");
  command->add_option(
      "--scenarios",
      *folder,
      "Folder with published/, measured/ and the scenarios they name (default: the shipped one)");
  add_output_option(*command, *output_folder);
  add_common_options(*command, context);
  command->callback([folder, output_folder, claims, &context] {
    context.chosen = [folder, output_folder, claims, &context]() -> int {
      const std::filesystem::path path = scenario_folder(*folder);
      return *claims ? audit_claims(path, *output_folder, context)
                     : validate_figures(path, *output_folder, context);
    };
  });
}

}  // namespace moesim
