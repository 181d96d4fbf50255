// `moesim optimize` and `moesim run --explain` as their user meets them.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A search of two plans in a second: the full one is in docs/planning-training.md.
const std::string kSmall =
    "build/moesim optimize scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced "
    "--vary /plan/tp=1 --vary /plan/pp=16 --vary /plan/ep=32,48 --vary /plan/schedule=dualpipe "
    "--vary /plan/microbatch=1 --vary '/plan/recompute=null' ";

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
