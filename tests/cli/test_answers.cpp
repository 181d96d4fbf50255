// `moesim solve`, `sensitivity` and `compare` as their user meets them.
#include "tests/cli/shell.hpp"

namespace moesim::cli {

void run_commands(const char* file, std::size_t least);  // test_cli.cpp

namespace {

const std::string kScenario = "scenarios/deepseek-v3-interrupted.jsonc";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Bad input: exit 2 and one line.
void check_refused(const Shell& shell, const std::string& command, const std::string& part) {
  const Result result = shell("build/moesim " + command);
  INFO(command << "\n" << result.err);
  CHECK(result.code == 2);
  CHECK(result.out.empty());
  CHECK(has(result.err, part));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
}

}  // namespace

TEST_CASE("every command of the what-if guide runs") { run_commands("docs/what-if.md", 9); }

TEST_CASE("what-if commands have help with an example") {
  const Shell shell;
  for (const std::string command : {"solve", "sensitivity", "compare"}) {
    const Result help = shell("build/moesim " + command + " --help");
    CHECK(help.code == 0);
    CHECK(has(help.out, "Examples:\n  moesim " + command));
  }
}

TEST_CASE("solve: an answer, never, and on any number of threads the same") {
  const Shell shell;
  const std::string start = "build/moesim solve " + kScenario + " --field /cluster/nic_bandwidth ";
  const Result found = shell(start + "--for 'step_time<19s'");
  INFO(found.err);
  REQUIRE(found.code == 0);
  CHECK(has(found.out, "Holds from "));
  CHECK(has(found.out, "The scenario has 50 GB/s: step_time_s is "));
  CHECK(shell(start + "--for 'step_time<19s' --threads 3").out == found.out);

  const Result never = shell(start + "--for 'step_time<1s'");
  CHECK(never.code == 4);
  CHECK(has(never.out, "Never holds between 3.125 GB/s to 800 GB/s. Nearest at 800 GB/s"));

  const Result always = shell(start + "--from '40 GB/s' --for 'step_time<100s' --json");
  CHECK(always.code == 0);
  CHECK(has(always.out, "\"outcome\": \"always_holds\""));

  // Memory decides nothing but whether the plan fits.
  const Result fits = shell("build/moesim solve " + kScenario +
                            " --field /cluster/gpu/hbm --from '40 GiB' --for 'step_time<100s'");
  CHECK(fits.code == 0);
  CHECK(has(fits.out, "but the plan is infeasible"));
}

TEST_CASE("what-if commands refuse wrong input on one line") {
  const Shell shell;
  check_refused(shell,
                "solve " + kScenario + " --field /cluster/nic_bandwith --for 'step_time<9s'",
                "did you mean \"nic_bandwidth\"?");
  check_refused(shell,
                "solve " + kScenario + " --field nic_bandwidth --for 'step_time<9s'",
                "expected a JSON pointer");
  check_refused(shell,
                "solve " + kScenario + " --field /cluster/nic_bandwidth --for 'step_time<9'",
                "expected a time with its unit");
  check_refused(shell,
                "solve " + kScenario + " --field /cluster/nic_bandwidth --for 'mfu>0.4'",
                "mfu_causal, mfu_noncausal");
  check_refused(
      shell,
      "solve " + kScenario + " --field /cluster/num_nodes --from 3 --to 9 --for 'step_time<9s'",
      "no value of the range can be simulated");
  check_refused(
      shell, "solve none.jsonc --field /cluster/price --for 'step_time<9s'", "none.jsonc");
  check_refused(shell, "sensitivity " + kScenario + " --by 10", "expected a percentage");
  check_refused(shell, "sensitivity " + kScenario + " --metric p99_ttft", "unknown metric");
  check_refused(shell, "compare " + kScenario, "expected a second file");
  check_refused(shell,
                "compare " + kScenario + " scenarios/deepseek-v3-h100-sglang.jsonc",
                "expected two of a kind");
  check_refused(shell, "compare " + kScenario + " --set-b nonsense", "--set-b nonsense");
}

TEST_CASE("compare: result files, scenarios, and one of each") {
  const Shell shell;
  REQUIRE(shell("build/moesim run " + kScenario + " -o a --quiet").code == 0);
  const Result same = shell("build/moesim compare a/report.json " + kScenario);
  INFO(same.err);
  REQUIRE(same.code == 0);
  CHECK(has(same.out, "No number of the two differs."));
  CHECK(has(same.out, "Both results are of one scenario: the hashes are the same."));

  const Result slower =
      shell("build/moesim compare a/report.json " + kScenario + " --set-b /plan/schedule=1f1b");
  REQUIRE(slower.code == 0);
  CHECK(has(slower.out, "## Step, by what the time goes to"));
  CHECK(has(slower.out, "errors of the two are taken to be independent"));
  CHECK(has(slower.out, "the hashes differ"));

  std::string later = read(shell.folder() / "a" / "report.json");
  const std::string version = "\"schema_version\": 1";
  later.replace(later.find(version), version.size(), "\"schema_version\": 7");
  write(shell.folder() / "later.json", later);
  check_refused(shell, "compare a/report.json later.json", "expected 1, found the number 7");
  write(shell.folder() / "other.json", "{\"schema_version\": 1, \"metrics\": {}}");
  check_refused(shell, "compare a/report.json other.json", "is not a result");
  check_refused(
      shell, "compare a/report.json a/report.json --one-at-a-time", "expected two scenarios");
  check_refused(shell,
                "compare a/report.json a/report.json --set /plan/tp=1",
                "only a scenario can be changed");
}

}  // namespace moesim::cli
