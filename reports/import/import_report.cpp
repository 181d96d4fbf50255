#include "reports/import/import_report.hpp"

#include "reports/import/expanded_grid.hpp"

namespace moesim {
namespace {

constexpr const char* kNotSimulated =
    "Serving is not simulated yet: `moesim run` does not read these settings.";
constexpr std::size_t kWidth = 100;  // of a file that people read

JsonValue written(const LaunchPlan& plan) {
  return plan.serving ? JsonValue::object().set("serving", plan.settings) : plan.settings;
}

std::string node_text(const GridGroup& group) {
  return group.on_one_node() ? "yes" : "no: " + std::to_string(group.ranks_per_node) + " on a node";
}

Section plan_section(const LaunchPlan& plan, const std::string& plan_file) {
  Section section;
  section.title = plan.serving ? "Serving settings" : "Plan";
  section.paragraphs.push_back("```json\n" + written(plan).dump_wrapped(kWidth) + "```");
  if (plan.serving) {
    section.paragraphs.emplace_back(kNotSimulated);
    return section;
  }
  std::string use = "moesim run SCENARIO --set /plan=\"$(cat " +
                    (plan_file.empty() ? std::string("PLAN") : plan_file) + ")\"";
  if (plan.batch) use += " --set /phases/0/batch=" + std::to_string(*plan.batch);
  if (plan.seq_len) use += " --set /phases/0/seq_len=" + std::to_string(*plan.seq_len);
  use += " --set /cluster/num_nodes=" +
         std::to_string((plan.grid.world() + plan.gpus_per_node - 1) / plan.gpus_per_node);
  section.paragraphs.push_back("To run it on a scenario's model and cluster, its plan replaced:");
  section.paragraphs.push_back("```\n" + use + "\n```");
  return section;
}

Section grid_section(const LaunchPlan& plan) {
  Section section;
  section.title = "Rank grid";
  Table table{"", {"group", "ranks", "groups", "GPUs of the first", "on one node"}, {}};
  for (const GridGroup& group : expanded_grid(plan))
    table.rows.push_back({group.name,
                          std::to_string(group.ranks),
                          std::to_string(group.groups),
                          gpu_list(group.first),
                          node_text(group)});
  if (!table.rows.empty()) section.tables.push_back(std::move(table));
  section.notes = plan.arithmetic;
  return section;
}

std::string flag_text(const LaunchArguments::Given& given) {
  std::string text = given.flag;
  for (const std::string& value : given.values) text += " " + value;
  return text;
}

Section flags_section(const LaunchArguments& arguments, FlagUse use) {
  Section section;
  section.title = use == FlagUse::model ? "Belongs to the model's config.json"
                                        : "Bears on cost, but cannot be said here";
  Table table{"", {"flag", use == FlagUse::model ? "key of config.json" : "what"}, {}};
  for (const LaunchArguments::Given& given : arguments.given())
    if (given.use == use) table.rows.push_back({flag_text(given), given.becomes});
  if (!table.rows.empty()) section.tables.push_back(std::move(table));
  return section;
}

}  // namespace

Report import_report(const LaunchImport& imported, const std::string& plan_file) {
  const LaunchPlan& plan = imported.plan;
  const LaunchArguments& arguments = imported.arguments;
  Report report;
  report.title = std::string(plan.serving ? "Serving settings" : "Plan") + " imported from " +
                 imported.launcher->title;
  report.facts = {{"GPUs",
                   std::to_string(plan.grid.world()) + ", " + std::to_string(plan.gpus_per_node) +
                       " on a node"}};
  report.warnings = plan.warnings;
  report.sections = {plan_section(plan, plan_file), grid_section(plan)};
  auto add = [&report](Section section) {
    if (!section.tables.empty()) report.sections.push_back(std::move(section));
  };
  Section defaults{"Not given: " + arguments.launcher() + "'s defaults", {}, {}, {}};
  Table table{"", {"flag", "default"}, {}};
  for (const LaunchArguments::Default& taken : arguments.defaults())
    table.rows.push_back({taken.flag, taken.value});
  if (!table.rows.empty()) defaults.tables.push_back(std::move(table));
  add(std::move(defaults));
  add(flags_section(arguments, FlagUse::unexpressed));
  add(flags_section(arguments, FlagUse::model));
  Section ignored{"Ignored: no bearing on cost", {}, {}, {}};
  Table words{"", {"flag", "reason"}, {}};
  for (const LaunchArguments::Ignored& flag : arguments.ignored())
    words.rows.push_back({flag.words, flag.reason});
  if (!words.rows.empty()) ignored.tables.push_back(std::move(words));
  add(std::move(ignored));
  return report;
}

JsonValue import_json(const LaunchImport& imported) {
  const LaunchPlan& plan = imported.plan;
  JsonValue document = JsonValue::object();
  document.set("schema_version", 1).set("from", imported.launcher->name);
  document.set(plan.serving ? "serving" : "plan", plan.settings);
  if (!plan.serving) {
    JsonValue phase = JsonValue::object();
    if (plan.seq_len) phase.set("seq_len", *plan.seq_len);
    if (plan.batch) phase.set("batch", *plan.batch);
    document.set("phase", std::move(phase));
  }
  JsonValue groups = JsonValue::array(), arithmetic = JsonValue::array();
  for (const GridGroup& group : expanded_grid(plan))
    groups.push(JsonValue::object()
                    .set("group", group.name)
                    .set("ranks", group.ranks)
                    .set("groups", group.groups)
                    .set("first_gpus", gpu_list(group.first))
                    .set("ranks_per_node", group.ranks_per_node)
                    .set("on_one_node", group.on_one_node()));
  for (const std::string& line : plan.arithmetic) arithmetic.push(line);
  document.set("rank_grid",
               JsonValue::object()
                   .set("num_gpus", plan.grid.world())
                   .set("gpus_per_node", plan.gpus_per_node)
                   .set("arithmetic", std::move(arithmetic))
                   .set("groups", std::move(groups)));
  JsonValue defaults = JsonValue::array(), model = JsonValue::array(),
            unexpressed = JsonValue::array(), ignored = JsonValue::array(),
            warnings = JsonValue::array();
  auto pair =
      [](const char* first, const std::string& a, const char* second, const std::string& b) {
        return JsonValue::object().set(first, a).set(second, b);
      };
  for (const auto& taken : imported.arguments.defaults())
    defaults.push(pair("flag", taken.flag, "default", taken.value));
  for (const auto& given : imported.arguments.given()) {
    if (given.use == FlagUse::model)
      model.push(pair("flag", flag_text(given), "config_key", given.becomes));
    if (given.use == FlagUse::unexpressed)
      unexpressed.push(pair("flag", flag_text(given), "what", given.becomes));
  }
  for (const auto& flag : imported.arguments.ignored())
    ignored.push(pair("flag", flag.words, "reason", flag.reason));
  for (const std::string& warning : plan.warnings) warnings.push(warning);
  return document.set("defaults", std::move(defaults))
      .set("unexpressed", std::move(unexpressed))
      .set("model", std::move(model))
      .set("ignored", std::move(ignored))
      .set("warnings", std::move(warnings));
}

std::string plan_file_text(const LaunchImport& imported) {
  const LaunchPlan& plan = imported.plan;
  std::string text = std::string("// From ") + imported.launcher->title + " arguments.\n";
  for (const std::string& line : plan.arithmetic) text += "//   " + line + "\n";
  for (const GridGroup& group : expanded_grid(plan))
    text += "//   " + group.name + ": " + std::to_string(group.groups) + " groups of " +
            std::to_string(group.ranks) + ", the first on GPUs " + gpu_list(group.first) +
            "; on one node: " + node_text(group) + "\n";
  if (plan.serving) text += std::string("// ") + kNotSimulated + "\n";
  for (const std::string& warning : plan.warnings) text += "// Warning: " + warning + "\n";
  return text + written(plan).dump_wrapped(kWidth);
}

}  // namespace moesim
