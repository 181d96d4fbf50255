// moesim calibrate ...: runs moesim-calibrate with the same arguments, so that one name reaches
// both programs. They share no code: measuring needs CUDA and NCCL, simulating must not.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "reports/commands/commands.hpp"

namespace moesim {
namespace {

constexpr const char* kProgram = "moesim-calibrate";

[[noreturn]] void run_calibrate(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {kProgram};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::error_code unknown;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) ::execv((self.parent_path() / kProgram).c_str(), argv.data());
  if (unknown || errno == ENOENT) ::execvp(kProgram, argv.data());
  const int reason = errno;
  throw std::runtime_error(
      std::string(kProgram) + ": " +
      (reason == ENOENT ? "found neither beside moesim nor on PATH" : std::strerror(reason)));
}

}  // namespace

void add_calibrate_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("calibrate", "Run moesim-calibrate: measure, import, fit");
  command->footer("Example: moesim calibrate measure --device=fake --list");
  // Every word after "calibrate" is for the other program, --help too.
  command->set_help_flag();
  command->prefix_command();
  command->callback([command, &context] {
    context.chosen = [command]() -> int { run_calibrate(command->remaining()); };
  });
}

}  // namespace moesim
