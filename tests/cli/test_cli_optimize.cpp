// `moesim optimize` and `moesim run --explain` as their user meets them.
#include "tests/cli/shell.hpp"

namespace moesim::cli {

void run_commands(const char* file, std::size_t least);

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A search of two plans in a second: the full one is in docs/planning-training.md.
const std::string kSmall =
    "build/moesim optimize scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced "
    "--vary /plan/tp=1 --vary /plan/pp=16 --vary /plan/ep=32,48 --vary /plan/schedule=dualpipe "
    "--vary /plan/microbatch=1 --vary '/plan/recompute=null' ";

const std::string kTraining =
    "build/moesim optimize scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced "
    "--vary /plan/tp=1 --vary /plan/pp=16 --vary /plan/ep=32,64 --vary /plan/microbatch=1 --vary "
    "'/plan/recompute=null' --best 2 ";
// Two pools on eight GPUs each, or the same units tensor-parallel.
const std::string kServing =
    "build/moesim optimize scenarios/azure-conversation-h200.jsonc --vary "
    "/serving/pools/*/unit/two_batch_overlap=false --vary "
    "/serving/pools/*/engine/max_requests=128 --vary "
    "/serving/pools/*/engine/max_batch_tokens=4096 ";

}  // namespace

TEST_CASE("optimize: the best plans and the reasons of the others") {
  const Shell shell;
  const Result result = shell(kSmall);
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "## Best plans"));
  CHECK(has(result.out, "the scenario's own plan"));
  CHECK(has(result.out, "tp 1, pp 16, ep 32, schedule dualpipe"));
  CHECK(has(result.out, "48 does not divide the tp x cp x dp = 128 ranks of a stage"));

  const Result json = shell(kSmall + "--json --threads 1");
  REQUIRE(json.code == 0);
  CHECK(has(json.out, "\"num_plans\": 2"));
  CHECK(has(json.out, "\"num_refused\": 1"));
  CHECK(json.out == shell(kSmall + "--json --threads 2").out);
}

TEST_CASE("optimize: wrong input in one line") {
  const Shell shell;
  const std::string run = "build/moesim optimize scenarios/deepseek-v3-pretrain.jsonc ";
  struct Case {
    std::string command, message;
  };
  const Case cases[] = {
      {"build/moesim optimize scenarios/deepseek-v3-chunk.jsonc",
       "is one pair of chunks, which has no plan to choose; expected a training run"},
      {run + "--vary plan/tp=1", "expected /pointer=value,value, such as /plan/tp=1,2,4"},
      {run + "--vary /plan/tp=", "expected /pointer=value,value, such as /plan/tp=1,2,4"},
      {run + "--vary /plan/tq=1,2", "unknown key \"tq\""},
      {"build/moesim optimize nothing.jsonc", "nothing.jsonc: cannot be read"}};
  for (const Case& c : cases) {
    const Result result = shell(c.command);
    INFO(c.command << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(has(result.err, c.message));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
}

TEST_CASE("every command of the guide to planning serving runs") {
  run_commands("docs/planning-serving.md", 3);
}

TEST_CASE("optimize: what was looked at, and the same from simulating everything") {
  const Shell shell;
  const Result quick = shell(kTraining);
  INFO(quick.err);
  REQUIRE(quick.code == 0);
  CHECK(has(quick.out, "bounded away"));
  const Result all = shell(kTraining + "--exhaustive");
  REQUIRE(all.code == 0);
  const auto best = [](const std::string& report) {
    return report.substr(0, report.find("## What was looked at"));
  };
  CHECK(best(quick.out) == best(all.out));
  CHECK(has(shell(kTraining + "--json").out, "\"num_bounded_away\""));
}

TEST_CASE("optimize: a limit that nothing keeps is a result with what is closest") {
  const Shell shell;
  const Result none = shell(kTraining + "--limit 'days<20'");
  CHECK(none.code == 4);
  CHECK(has(none.out, "No plan can be run, fits and keeps the limits."));
  CHECK(has(none.out, "The closest to what days<20 asks for: a step of at least"));
  const Result small = shell(kTraining + "--limit 'memory<40 GB'");
  CHECK(small.code == 4);
  CHECK(has(small.out, "The closest to fitting needs"));
}

TEST_CASE("optimize: clusters to choose from") {
  const Shell shell;
  const Result result = shell(kTraining + "--vary /cluster/num_nodes=128,256 --for cheapest");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "## Days against dollars"));
  CHECK(has(result.out, "num_nodes 128"));
}

TEST_CASE("optimize: serving deployments") {
  const Shell shell;
  const Result report = shell(kServing);
  INFO(report.err);
  REQUIRE(report.code == 0);
  CHECK(has(report.out, "## Cheapest deployments"));
  CHECK(has(report.out, "colocated, units of 8 GPUs tp 8 ep 8"));
  CHECK(has(report.out, "## What was looked at"));
  CHECK(has(report.out, "1 ms is assumed for prefill and decode apart"));
  const Result json = shell(kServing + "--json --threads 1");
  REQUIRE(json.code == 0);
  CHECK(has(json.out, "\"bounded_away\""));
  CHECK(json.out == shell(kServing + "--json --threads 2").out);

  const Result none = shell(kServing + "--slo 'p99_tpot<10ms'");
  CHECK(none.code == 4);
  CHECK(has(none.out, "No deployment holds the bounds within the limits. The closest is"));
}

TEST_CASE("optimize: wrong limits, bounds and goals in one line") {
  const Shell shell;
  struct Case {
    std::string command, message;
  };
  const Case cases[] = {
      {kTraining + "--limit 'gpu<8'", "--limit: unknown quantity \"gpu\"; known here: gpus"},
      {kTraining + "--limit 'days'", "--limit: expected quantity<value"},
      {kTraining + "--slo 'p99_ttft<2s'",
       "--slo: given, but scenarios/deepseek-v3-pretrain.jsonc "
       "is no serving scenario"},
      {kTraining + "--vary /cluster=clusters/none.jsonc", "clusters/none.jsonc: cannot be read"},
      {kServing + "--limit 'days<8'", "--limit: unknown quantity \"days\"; known here: gpus"},
      {kServing + "--for fastest", "--for: \"fastest\" is for training"},
      {kServing + "--slo 'p99_tftt<2s'", "--slo: at \"p99_tftt\""},
      {kServing + "--vary /serving/pools/*/engine/max_request=8", "unknown key \"max_request\""},
      {"build/moesim optimize scenarios/deepseek-v3-gb200-decode.jsonc", "/requests: missing"}};
  for (const Case& c : cases) {
    const Result result = shell(c.command);
    INFO(c.command << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(has(result.err, c.message));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
}

TEST_CASE("explain: the critical path in report and JSON") {
  const Shell shell;
  const std::string run =
      "build/moesim run scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced ";
  const Result report = shell(run + "--explain");
  REQUIRE(report.code == 0);
  CHECK(has(report.out, "## Critical path of the step"));
  CHECK(has(report.out, "the step begins"));
  CHECK_FALSE(has(shell(run).out, "Critical path"));
  CHECK(has(shell(run + "--explain --json").out, "\"seconds_by_operation\""));
}

}  // namespace moesim::cli
