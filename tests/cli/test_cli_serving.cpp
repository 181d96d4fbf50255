// Serving from the command line: runs, capacity, what is refused and how it exits.
#include "tests/cli/shell.hpp"

using namespace moesim::cli;

namespace {
const std::string kNode = "scenarios/azure-conversation-h200.jsonc";
}

TEST_CASE("a serving run prints the same bytes for any number of threads") {
  const Shell shell;
  const Result one = shell("build/moesim run " + kNode + " --threads 1"),
               two = shell("build/moesim run " + kNode + " --threads 2");
  REQUIRE(one.code == 0);
  CHECK(one.out == two.out);
  CHECK(one.out.find("time to first token, 99th percentile") != std::string::npos);
  CHECK(one.err.find("requests per wall second") != std::string::npos);
  CHECK(shell("build/moesim run " + kNode + " --quiet").err.empty());
}

TEST_CASE("a serving run's JSON has the benchmark tools' names") {
  const Shell shell;
  const Result run = shell("build/moesim run " + kNode + " --json --quiet");
  REQUIRE(run.code == 0);
  for (const char* key : {"\"mean_ttft_ms\"", "\"p99_tpot_ms\"", "\"request_goodput\"",
                          "\"time_to_first_token\"", "\"output_tokens_per_s_per_gpu\"",
                          "\"per_million", "\"series\""})
    CHECK(run.out.find(key) != std::string::npos);
}

TEST_CASE("capacity finds the fewest GPUs, and says when nothing holds") {
  const Shell shell;
  const Result found =
      shell("build/moesim capacity " + kNode + " --slo 'p99_ttft<2s,p99_tpot<60ms' --quiet");
  CHECK(found.code == 0);
  CHECK(found.out.find("| fewest GPUs ") != std::string::npos);
  const Result none = shell("build/moesim capacity " + kNode + " --slo 'p99_tpot<1ms' --quiet");
  CHECK(none.code == 4);
  CHECK(none.out.find("which does NOT hold") != std::string::npos);
}

TEST_CASE("a plan whose weights do not fit exits 4 with its report") {
  const Shell shell;
  const std::string small = " --set /cluster/gpu/hbm='\"60 GB\"' --quiet";
  const Result run = shell("build/moesim run " + kNode + small);
  CHECK(run.code == 4);
  CHECK(run.out.find("does not fit in memory") != std::string::npos);
  CHECK(run.out.find("| fits ") != std::string::npos);
  CHECK(shell("build/moesim capacity " + kNode + small).code == 4);
}

TEST_CASE("serving: what is wrong is one line, and exits 2") {
  const Shell shell;
  const auto said = [&](const std::string& command) {
    const Result result = shell("build/moesim " + command);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(said("run " + kNode + " --explain") ==
        "moesim: --explain: " + kNode +
            " is a serving scenario; this option is for training\n");
  CHECK(said("capacity scenarios/deepseek-v3-chunk.jsonc") ==
        "moesim: scenarios/deepseek-v3-chunk.jsonc: not a serving scenario: it has no \"serving\"\n");
  CHECK(said("capacity scenarios/deepseek-v3-h100-sglang.jsonc --slo 'p99_ttft<2s'") ==
        "moesim: scenarios/deepseek-v3-h100-sglang.jsonc: /requests: missing; capacity is searched "
        "for requests\n");
  write(shell.folder() / "bad.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:45.0000000,396,109\n");
  const std::string unsorted = said("run " + kNode + " --set /requests/trace/file='\"" +
                                    (shell.folder() / "bad.csv").string() + "\"'");
  CHECK(unsorted.find("bad.csv: line 3") != std::string::npos);
  CHECK(std::count(unsorted.begin(), unsorted.end(), '\n') == 1);
  const std::string slo = said("capacity " + kNode + " --slo 'p99_tftt<2s'");
  CHECK(slo.find("moesim: --slo: at \"") == 0);
}
