// What a report puts first, and what only a report in a file has.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string first_section(const std::string& report) {
  const std::size_t begin = report.find("## ");
  return report.substr(begin, report.find('\n', begin) - begin);
}

}  // namespace

TEST_CASE("reports begin with a verdict", "[reports]") {
  const Shell shell;
  const Result training = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc");
  CHECK(training.code == 0);
  CHECK(first_section(training.out) == "## Verdict");
  CHECK(says(section_of(training.out, "Verdict"), "| what binds "));

  const Result capacity = shell("build/moesim capacity scenarios/azure-conversation-h200.jsonc");
  CHECK(capacity.code == 0);
  CHECK(first_section(capacity.out) == "## Verdict");
  CHECK(says(section_of(capacity.out, "Verdict"), "p99_tpot<50ms"));

  const Result refused = shell(
      "build/moesim run scenarios/mixtral-8x22b-h100-128.jsonc --set /cluster/gpu/hbm='\"20 GB\"'");
  CHECK(refused.code == 4);
  CHECK(says(section_of(refused.out, "Verdict"), "memory: in phase "));
}

TEST_CASE("a report in a file has every input, the printed one has not", "[reports]") {
  const Shell shell;
  const Result training = shell(
      "build/moesim run scenarios/deepseek-v3-chunk.jsonc -o out --set "
      "/cluster/nic_bandwidth='\"45 "
      "GB/s\"'");
  REQUIRE(training.code == 0);
  const std::string file = read(shell.folder() / "out" / "report.md");
  CHECK_FALSE(says(training.out, "## All inputs"));
  const std::string inputs = section_of(file, "All inputs");
  CHECK(says(inputs, "| /cluster/nic_bandwidth "));
  CHECK(says(inputs, "| override --set "));
  CHECK(says(inputs, "| models/deepseek-v3.json: /hidden_size "));
  CHECK(says(inputs, "| /profile/kernels/gemm_fp8 "));
  CHECK(says(file, "## Timeline of the step"));
  CHECK_FALSE(says(training.out, "## Timeline of the step"));
  for (const char* title : {"How to check a number", "Where the numbers come from"})
    CHECK(section_of(file, title) == section_of(training.out, title));

  const Result serving = shell(
      "build/moesim run scenarios/deepseek-moe-16b-one-gpu.jsonc -o served --set "
      "/requests/num_requests=100 --set /measure/warm_up='\"0 s\"'");
  REQUIRE(serving.code == 0);
  CHECK(says(section_of(serving.out, "Latency against load"), "| times the load "));
  CHECK(
      says(section_of(serving.out, "Assumptions"), "- An A100 of 40 GB has the memory bandwidth"));
  CHECK(says(read(shell.folder() / "served" / "report.md"), "## All inputs"));
  const Result printed = shell(
      "build/moesim run scenarios/deepseek-moe-16b-one-gpu.jsonc --set /requests/num_requests=100");
  CHECK_FALSE(says(printed.out, "## Latency against load"));
}

TEST_CASE("too many requests for a load curve: the report says why there is none", "[reports]") {
  const Shell shell;
  const Result run = shell(
      "build/moesim run scenarios/deepseek-moe-16b-one-gpu.jsonc -o out --set "
      "/requests/num_requests=20500 --set /requests/output_tokens='{\"distribution\": "
      "\"constant\", "
      "\"tokens\": 1}'");
  CHECK(run.code == 0);
  CHECK(says(section_of(run.out, "Latency against load"),
             "Not looked at: 20500 requests, of which no more than 20000 are served again"));
}

}  // namespace moesim::cli
