// moesim schema: the JSON Schemas of what people write, for editors to complete and check from. The
// vocabulary is the data file scenarios/schema/inputs.json; tests/unit/test_schema.cpp holds it
// against the readers.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>

#include "reports/commands/commands.hpp"

namespace moesim {
namespace {

std::string schema_of(const std::string& kind) {
  const std::filesystem::path path =
      std::filesystem::path(scenario_folder("")) / "schema" / "inputs.json";
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  // The file is the scenario's schema; the others are the same definitions seen from elsewhere.
  const std::string root = "\"$ref\": \"#/$defs/scenario\"";
  const std::size_t at = text.find(root);
  if (!file || at == std::string::npos)
    throw InputError(path.string(), "cannot be read as the schema of a scenario");
  return text.replace(at, root.size(), "\"$ref\": \"#/$defs/" + kind + "\"");
}

}  // namespace

void add_schema_command(CLI::App& app, CommandContext& context) {
  auto kind = std::make_shared<std::string>("scenario");
  CLI::App* command = app.add_subcommand(
      "schema", "Print the JSON Schema of an input, for editors to complete from");
  command->footer(
      "Examples:\n  moesim schema > scenario.schema.json\n"
      "  moesim schema cluster > cluster.schema.json");
  command->add_option("input", *kind, "Of what (scenario)")
      ->check(CLI::IsMember({"scenario", "cluster", "gpu", "operations"}));
  command->callback([kind, &context] {
    context.chosen = [kind] {
      print(schema_of(*kind));
      return kDone;
    };
  });
}

}  // namespace moesim
