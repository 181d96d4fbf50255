#include "reports/commands/command_line.hpp"

#include <CLI/CLI.hpp>

namespace moesim {
namespace {

// CLI11 appends "{a,b,c}" to the type of an option that has to be one of a set.
std::vector<std::string> values_of(const std::string& type) {
  std::vector<std::string> values;
  const std::size_t open = type.find('{');
  if (open == std::string::npos || type.back() != '}') return values;
  std::string word;
  for (const char c : type.substr(open + 1, type.size() - open - 2) + ",") {
    if (c != ',') {
      word += c;
    } else {
      values.push_back(word);
      word.clear();
    }
  }
  return values;
}

DescribedOption describe_option(const CLI::Option& option) {
  DescribedOption d;
  for (const std::string& name : option.get_snames()) d.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) d.names.push_back("--" + name);
  if (d.names.empty()) d.positional = option.get_name();
  d.text = option.get_description();
  d.takes_value = option.get_items_expected_max() > 0;
  if (d.takes_value) {
    const std::string type = option.get_type_name();
    d.values = values_of(type);
    for (const char* number : {"INT", "UINT", "FLOAT"}) d.is_number |= type.rfind(number, 0) == 0;
  }
  d.required = option.get_required();
  d.repeats = option.get_items_expected_max() > 1 ||
              option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return d;
}

}  // namespace

DescribedCommand describe(const CLI::App& app) {
  DescribedCommand d{app.get_name(), app.get_description(), app.get_footer(), {}, {}};
  for (const CLI::Option* option : app.get_options())
    if (option != app.get_help_ptr()) d.options.push_back(describe_option(*option));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    d.commands.push_back(describe(*command));
  return d;
}

}  // namespace moesim
