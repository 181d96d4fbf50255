// The program as its user meets it: commands, exit codes, messages.
#include "tests/cli/shell.hpp"

namespace moesim::cli {

void run_commands(const char* file, std::size_t least) {
  const Shell shell;
  std::size_t commands = 0;
  std::istringstream lines(read(kSource / file));
  bool in_shell_block = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("```", 0) == 0) {
      in_shell_block = line == "```sh";
      continue;
    }
    if (!in_shell_block || line.rfind("build/moesim", 0) != 0) continue;
    ++commands;
    const Result result = shell(line);
    INFO(line << "\n" << result.err);
    CHECK(result.code == 0);
    CHECK(!result.out.empty());
  }
  CHECK(commands >= least);
}

TEST_CASE("every command of the README runs") { run_commands("README.md", 15); }

TEST_CASE("every command of the guides runs") {
  run_commands("docs/importing-plans.md", 4);
  run_commands("docs/physics.md", 1);
  run_commands("docs/planning-training.md", 4);
  run_commands("docs/routing-and-network.md", 8);
  run_commands("docs/run-json.md", 2);
}

TEST_CASE("every command of the serving guide runs") { run_commands("docs/serving.md", 4); }

TEST_CASE("help names an example for each command") {
  const Shell shell;
  CHECK(shell("build/moesim --help").code == 0);
  for (const char* command : {"model",
                              "run",
                              "routing",
                              "topology",
                              "collective",
                              "import",
                              "validate",
                              "compare-trace",
                              "optimize",
                              "completion"}) {
    const Result help = shell(std::string("build/moesim ") + command + " --help");
    CHECK(help.code == 0);
    CHECK(help.out.find("Example") != std::string::npos);
    CHECK(help.out.find(std::string("moesim ") + command) != std::string::npos);
  }
}

TEST_CASE("wrong usage and wrong input exit with 2 and one line") {
  const Shell shell;
  write(shell.folder() / "truncated.jsonc", "{\"name\": ");
  write(shell.folder() / "empty.jsonc", "");
  struct Case {
    const char* command;
    const char* message;  // part of standard error
  };
  const Case cases[] = {
      {"build/moesim run nothing.jsonc", "nothing.jsonc: cannot be read"},
      {"build/moesim run scenarios", "scenarios: cannot be read: it is a directory"},
      {"build/moesim run empty.jsonc", "empty.jsonc"},
      {"build/moesim run truncated.jsonc", "truncated.jsonc: line 1"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --set /plan/ep=63",
       "63 does not divide"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc"
       " --set /cluster='\"clusters/gb200-nvl72.jsonc\"' --set /plan/dp=576"
       " --set /phases/0/batch=1152",
       "64 does not divide a node of 72 GPUs: a group would lie across two nodes"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --set /plan/pp=2",
       "= 128 ranks, but the cluster has 8 nodes x 8 GPUs = 64"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --set /plan/ppp=2", "ppp"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --set plan", "expected /pointer=value"},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --variants",
       "the scenario has no \"variants\""},
      {"build/moesim run scenarios/deepseek-v3-chunk.jsonc --trace-ranks 64", "rank 64 of 64"},
      {"build/moesim model scenarios/deepseek-v3-chunk.jsonc", "missing key \"model_type\""},
      {"build/moesim validate --scenarios /nowhere", "no known figures"},
  };
  for (const Case& c : cases) {
    const Result result = shell(c.command);
    INFO(c.command << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find(c.message) != std::string::npos);
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
  for (const char* usage : {"build/moesim",
                            "build/moesim frobnicate",
                            "build/moesim run",
                            "build/moesim run a b c",
                            "build/moesim run scenarios/deepseek-v3-chunk.jsonc --threads 0",
                            "build/moesim model x --seq-len 0"})
    CHECK(shell(usage).code == 2);
}

TEST_CASE("a plan that does not fit is a result: exit 4 with its full report") {
  const Shell shell;
  const Result result =
      shell("build/moesim run scenarios/deepseek-v3-pretrain.jsonc --set /plan/recipe=bf16 -o out");
  CHECK(result.code == 4);
  CHECK(result.out.find("DOES NOT FIT") != std::string::npos);
  CHECK(result.out.find("short of") != std::string::npos);
  CHECK(read(shell.folder() / "out" / "report.json").find("\"feasible\": false") !=
        std::string::npos);
  const Result schedule =
      shell("build/moesim run scenarios/deepseek-v3-pretrain.jsonc --set /phases/0/batch=3840");
  CHECK(schedule.code == 4);
  CHECK(schedule.out.find("DualPipe over 16 stages needs an even number of at least 32 "
                          "microbatches a pipeline, found 30") != std::string::npos);
}

TEST_CASE("output that cannot be written: exit 1, one line, nothing half-written") {
  const Shell shell;
  write(shell.folder() / "file", "x");
  const Result parent = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc -o file/out");
  CHECK(parent.code == 1);
  CHECK(std::count(parent.err.begin(), parent.err.end(), '\n') == 1);
  // A limit on file size stands for a full disk; SIGXFSZ must be ignored for the write to fail
  // instead.
  const Result full = shell(
      "trap '' XFSZ; ulimit -f 1; build/moesim run scenarios/deepseek-v3-chunk.jsonc -o out "
      ">/dev/null");
  CHECK(full.code == 1);
  CHECK(full.err.find("cannot be written") != std::string::npos);
  CHECK(std::count(full.err.begin(), full.err.end(), '\n') == 1);
  // What had room is whole, and the rest is not there.
  CHECK(shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc -o whole").code == 0);
  CHECK(!fs::exists(shell.folder() / "out/report.html"));
  for (const auto& entry : fs::recursive_directory_iterator(shell.folder() / "out")) {
    if (!entry.is_regular_file()) continue;
    const fs::path file = fs::relative(entry.path(), shell.folder() / "out");
    INFO(file);
    CHECK(read(entry.path()) == read(shell.folder() / "whole" / file));
  }
  if (fs::exists("/dev/full")) {
    const Result out = shell("build/moesim model scenarios/models/deepseek-v3.json >/dev/full");
    CHECK(out.code == 1);
    CHECK(out.err.find("standard output") != std::string::npos);
  }
}

TEST_CASE("the same input gives the same bytes for any number of threads, and the seed matters") {
  const Shell shell;
  const std::string run = "build/moesim run scenarios/deepseek-v3-chunk.jsonc --json ";
  const Result one = shell(run + "--threads 1"), four = shell(run + "--threads 4"),
               other = shell(run + "--seed 7");
  REQUIRE(one.code == 0);
  CHECK(one.out == four.out);
  CHECK(one.out != other.out);
  CHECK(shell(run + "--seed 7").out == other.out);
}

TEST_CASE("a timeline is written for the ranks asked for") {
  const Shell shell;
  const Result result = shell(
      "build/moesim run scenarios/deepseek-v3-chunk.jsonc --trace t.json --trace-ranks 0,63 "
      "--json");
  REQUIRE(result.code == 0);
  const std::string trace = read(shell.folder() / "t.json");
  CHECK(trace.find("\"pid\":63") != std::string::npos);
  CHECK(trace.find("\"pid\":1,") == std::string::npos);
  CHECK(trace.find("dispatch(F)") != std::string::npos);
}

TEST_CASE("validate exits with 3 past a tolerance and names the figure") {
  const Shell shell;
  fs::create_directories(shell.folder() / "mine" / "published");
  fs::create_directory_symlink(kSource / "scenarios" / "models",
                               shell.folder() / "mine" / "models");
  write(shell.folder() / "mine" / "published" / "X1.json",
        R"({"id": "X1", "source": "made up", "quote": "70,000 B", "figures": [
    {"quantity": "KV bytes per token", "unit": "B", "known": 70000, "role": "held_out", "tolerance_pct": 0.1,
     "from": {"model": "models/deepseek-v3.json", "value": "/kv_bytes_per_token/bf16"}}]})");
  const Result result = shell("build/moesim validate --scenarios mine");
  CHECK(result.code == 3);
  CHECK(result.out.find("past 0.1") != std::string::npos);
  const Result json = shell("build/moesim validate --scenarios mine --json");
  CHECK(json.code == 3);
  CHECK(json.out.find("\"id\": \"X1\"") != std::string::npos);
  CHECK(json.out.find("\"predicted\": 70272.0") != std::string::npos);
}

TEST_CASE("completion knows the commands and their options") {
  const Shell shell;
  const Result result = shell(
      "build/moesim completion > c.sh; bash -c 'source c.sh; COMP_WORDS=(moesim run --tr); "
      "COMP_CWORD=2; _moesim; echo ${COMPREPLY[*]}'");
  CHECK(result.code == 0);
  CHECK(result.out == "--trace --trace-ranks\n");
}

TEST_CASE("colour only when asked for") {
  const Shell shell;
  const std::string model = "build/moesim model scenarios/models/deepseek-v3.json";
  CHECK(shell(model).out.find('\033') == std::string::npos);
  CHECK(shell(model + " --color always").out.find('\033') != std::string::npos);
  CHECK(shell("NO_COLOR=1 " + model + " --color auto").out.find('\033') == std::string::npos);
}

}  // namespace moesim::cli
