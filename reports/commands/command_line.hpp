// What a command line may hold, as the commands themselves declare it: the man page and the shell
// completions are made from this, so neither can go stale.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace moesim {

struct DescribedOption {
  std::vector<std::string> names;  // "-o", "--output"; empty of a positional argument
  std::string positional;          // its name: "scenario"
  std::string text;
  std::vector<std::string> values;  // all it may be, where these are few
  bool takes_value = false, is_number = false, required = false, repeats = false;

  bool operator==(const DescribedOption&) const = default;
};

struct DescribedCommand {
  std::string name, text, footer;
  std::vector<DescribedOption> options;    // in the order they were declared, without --help
  std::vector<DescribedCommand> commands;  // below it
};

DescribedCommand describe(const CLI::App& app);

}  // namespace moesim
