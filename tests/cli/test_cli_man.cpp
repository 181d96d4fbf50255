// The manual page, the completions and an installed tree: made from the commands, so each is
// compared with what --help says.
#include <iostream>
#include <set>

#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

// Names at the start of the lines of --help: of commands (indented words) or options.
std::vector<std::string> commands_in(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help.substr(help.find("Subcommands:")));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && line.rfind("  ", 0) == 0)
    if (line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  return names;
}

std::set<std::string> options_in(const std::string& help) {
  std::set<std::string> names;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  -", 0) != 0) continue;
    const std::size_t at = line.find("--");
    names.insert(line.substr(at, line.find_first_of(" ,", at) - at));
  }
  return names;
}

std::string without_escapes(std::string page) {
  for (std::size_t at = 0; (at = page.find("\\-", at)) != std::string::npos; ++at)
    page.erase(at, 1);
  return page;
}

bool installed(const Shell& shell, const std::string& program) {
  if (shell("command -v " + program).code == 0) return true;
  std::cout << "SKIPPED: " << program << " is not installed\n";
  return false;
}

}  // namespace

TEST_CASE("the manual page has every command and every option") {
  const Shell shell;
  const Result page = shell("build/moesim man");
  REQUIRE(page.code == 0);
  const std::string text = without_escapes(page.out);
  const std::vector<std::string> commands = commands_in(shell("build/moesim --help").out);
  CHECK(commands.size() >= 13);
  for (const std::string& command : commands) {
    const std::size_t begin = text.find(".SS " + command + "\n");
    INFO(command);
    REQUIRE(begin != std::string::npos);
    const std::string section = text.substr(begin, text.find("\n.S", begin) - begin);
    if (command == "calibrate") continue;  // its options are another program's
    for (const std::string& option : options_in(shell("build/moesim " + command + " --help").out)) {
      INFO(option);
      CHECK((option == "--help" || section.find(option) != std::string::npos));
    }
  }
  for (const char* part : {".SH EXIT STATUS", "2 bad input", ".SH ENVIRONMENT", ".SH FILES"})
    CHECK(text.find(part) != std::string::npos);
}

TEST_CASE("the manual page names every variable that the sources read") {
  const Shell shell;
  const std::string page = shell("build/moesim man").out;
  std::size_t found = 0;
  for (const char* folder : {"model", "sim", "reports"})
    for (const auto& file : fs::recursive_directory_iterator(kSource / folder)) {
      if (file.path().extension() != ".cpp") continue;
      const std::string text = read(file.path());
      const std::string call = "getenv(\"";
      for (std::size_t at = 0; (at = text.find(call, at)) != std::string::npos;) {
        at += call.size();
        const std::string name = text.substr(at, text.find('"', at) - at);
        INFO(name << " in " << file.path());
        CHECK(page.find(name) != std::string::npos);
        ++found;
      }
    }
  CHECK(found >= 2);
}

TEST_CASE("the manual page is roff without a warning") {
  const Shell shell;
  if (!installed(shell, "groff")) return;
  const Result result = shell("build/moesim man | groff -man -Tutf8 -ww -z");
  CHECK(result.code == 0);
  CHECK(result.err.empty());
}

TEST_CASE("bash completes commands, options, values and files") {
  const Shell shell;
  const auto completed = [&](const std::string& words, int at) {
    return shell("build/moesim completion bash > c.sh; bash -c 'source c.sh; COMP_WORDS=(" + words +
                 "); COMP_CWORD=" + std::to_string(at) + "; _moesim; echo ${COMPREPLY[*]}'")
        .out;
  };
  CHECK(completed("moesim comple", 1) == "completion\n");
  CHECK(completed("moesim run --tr", 2) == "--trace --trace-ranks\n");
  CHECK(completed("moesim run --color \"\"", 3) == "auto always never\n");
  CHECK(completed("moesim run --color a", 3) == "auto always\n");
  CHECK(completed("moesim completion z", 2) == "zsh\n");
  CHECK(completed("moesim run scenarios/deepseek-v3-ch", 2) ==
        "scenarios/deepseek-v3-chunk.jsonc\n");
  CHECK(completed("moesim run x -o sc", 4) == "scenarios\n");
  CHECK(completed("moesim run x --seed sc", 4) == "\n");
}

TEST_CASE("zsh is offered the same") {
  const Shell shell;
  if (!installed(shell, "zsh")) return;
  const std::string script =
      "build/moesim completion zsh > _moesim && zsh -n _moesim && zsh -f -c '";
  // The functions of zsh's own system, printing what they are told.
  const std::string stand_ins =
      "compdef() { }; _arguments() { print -rl -- \"$@\" }; _describe() { print -rl -- $commands "
      "}; ";
  const Result options =
      shell(script + stand_ins + "source ./_moesim; words=(moesim run --tr); CURRENT=3; _moesim'");
  CHECK(options.code == 0);
  CHECK(options.out.find("(--color)--color[When to colour") != std::string::npos);
  CHECK(options.out.find(":value:(auto always never)") != std::string::npos);
  CHECK(options.out.find("*--set[Override a field\\: /json/pointer=value") != std::string::npos);
  CHECK(options.out.find(":scenario:_files") != std::string::npos);
  const Result commands =
      shell(script + stand_ins + "source ./_moesim; words=(moesim r); CURRENT=2; _moesim'");
  CHECK(commands.out.find("capacity:The fewest GPUs") != std::string::npos);
}

TEST_CASE("fish is offered the same") {
  const Shell shell;
  if (!installed(shell, "fish")) return;
  const auto completed = [&](const std::string& line) {
    return shell(
        "build/moesim completion fish > c.fish && HOME=$PWD fish -N -c 'source c.fish; "
        "complete -C \"" +
        line + "\"'");
  };
  CHECK(completed("moesim comple").out.find("completion\t") == 0);
  CHECK(completed("moesim run --trace-").out.find("--trace-ranks\t") == 0);
  const std::string colours = completed("moesim run --color a").out;
  CHECK(colours.find("auto\t") != std::string::npos);
  CHECK(colours.find("always\t") != std::string::npos);
  CHECK(colours.find("never\t") == std::string::npos);
  CHECK(completed("moesim completion z").out.find("zsh") == 0);
}

TEST_CASE("an unknown shell is refused with the known ones") {
  const Shell shell;
  const Result result = shell("build/moesim completion tcsh");
  CHECK(result.code == 2);
  CHECK(result.err.find("bash,zsh,fish") != std::string::npos);
}

TEST_CASE("schemas of all inputs are printed, each from its own root") {
  const Shell shell;
  const std::string scenario = shell("build/moesim schema").out;
  CHECK(scenario == read(kSource / "scenarios" / "schema" / "inputs.json"));
  for (const char* input : {"scenario", "cluster", "gpu", "operations"}) {
    const Result result = shell(std::string("build/moesim schema ") + input);
    CHECK(result.code == 0);
    CHECK(result.out.find(std::string("\"$ref\": \"#/$defs/") + input + "\",") !=
          std::string::npos);
    CHECK(result.out.find(std::string("\n    \"") + input + "\": {") != std::string::npos);
  }
  CHECK(shell("build/moesim schema profile").code == 2);
  const Result gone = shell("MOESIM_SCENARIOS=/nowhere build/moesim schema");
  CHECK(gone.code == 2);
  CHECK(gone.err.find("/nowhere/schema/inputs.json: cannot be read") != std::string::npos);
}

TEST_CASE("an installed tree is whole, and finds its own scenarios") {
  const Shell shell;
  const fs::path build = fs::path(MOESIM_BINARY).parent_path();
  REQUIRE(shell("cmake --install '" + build.string() + "' --prefix \"$PWD/root\"").code == 0);
  const fs::path root = shell.folder() / "root";
  for (const char* file : {"bin/moesim",
                           "bin/moesim-calibrate",
                           "share/moesim/scenarios/deepseek-v3-chunk.jsonc",
                           "share/man/man1/moesim.1",
                           "share/bash-completion/completions/moesim",
                           "share/zsh/site-functions/_moesim",
                           "share/fish/vendor_completions.d/moesim.fish"}) {
    INFO(file);
    CHECK(fs::file_size(root / file) > 100);
  }
  CHECK(read(root / "share/man/man1/moesim.1") == shell("build/moesim man").out);
  // Its scenarios, not the sources': a claims file and a GPU that only the installation has.
  write(root / "share/moesim/scenarios/published/claims.json",
        R"({"about": "a", "claims": [{"id": "only.here", "claim": "c", "where": "w", "source": "s",
            "because": "b", "not_computed": "n", "verdict": "true"}]})");
  fs::rename(root / "share/moesim/scenarios/gpus/h20.json",
             root / "share/moesim/scenarios/gpus/only-here.json");
  const Result claims = shell("env -u MOESIM_SCENARIOS root/bin/moesim validate --claims");
  CHECK(claims.code == 0);
  CHECK(claims.out.find("only.here") != std::string::npos);
  const Result gpu = shell(
      "env -u MOESIM_SCENARIOS root/bin/moesim calibrate measure --device=fake --gpu only-here "
      "--list");
  CHECK(gpu.code == 0);
  // What the environment names comes first.
  const Result other = shell("MOESIM_SCENARIOS=/nowhere root/bin/moesim validate --claims");
  CHECK(other.code == 2);
  CHECK(other.err.find("/nowhere/published/claims.json") != std::string::npos);
}

}  // namespace moesim::cli
