// What interrupts a run, as the user of the program meets it.
#include <regex>

#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kRun = "build/moesim run scenarios/deepseek-v3-interrupted.jsonc --quiet";

}  // namespace

TEST_CASE("the report of an interrupted run says what it costs", "[golden]") {
  const Shell shell;
  const Result run = shell(kRun);
  REQUIRE(run.code == 0);
  check_golden("deepseek-v3-interrupted-section.md",
               section_of(run.out, "What interrupts the run"));
}

TEST_CASE("a run without operations says that nothing interrupts it") {
  const Shell shell;
  const Result run = shell("build/moesim run scenarios/deepseek-v3-megatron-256.jsonc --quiet");
  CHECK(section_of(run.out, "What interrupts the run").find("No interruptions are assumed") !=
        std::string::npos);
}

TEST_CASE("the JSON of an interrupted run, the same on any threads") {
  const Shell shell;
  const Result one = shell(kRun + " --json --threads 1"), two = shell(kRun + " --json --threads 2");
  REQUIRE(one.code == 0);
  CHECK(one.out == two.out);
  for (const char* key : {"wall_time_s",
                          "effective_training_time_ratio",
                          "goodput",
                          "interruptions",
                          "gpu_hours_with_interruptions",
                          "cost_with_interruptions_usd"})
    CHECK(std::regex_search(one.out, std::regex(std::string("\"") + key + "\": [0-9.]+,?\n")));
  CHECK(one.out.find("\"num_sampled_runs\": 2000") != std::string::npos);
  // What the run costs without its interruptions is as it was.
  const Result plain = shell(kRun + " --json --set /operations=null");
  REQUIRE(plain.code == 0);
  std::smatch with, without;
  const std::regex hours("\"gpu_hours\": ([0-9.]+)");
  REQUIRE(std::regex_search(one.out, with, hours));
  REQUIRE(std::regex_search(plain.out, without, hours));
  CHECK(with[1] == without[1]);
  CHECK(plain.out.find("wall_time_s") == std::string::npos);
}

TEST_CASE("wrong operations exit with 2, a run without an end with 4") {
  const Shell shell;
  const Result bad =
      shell(kRun + R"( --set '/operations/checkpoint/interval="9 s"' --set /operations/x=1)");
  CHECK(bad.code == 2);
  const Result slow = shell(kRun + R"( --set '/operations/checkpoint/interval="9 s"')");
  CHECK(slow.code == 2);
  CHECK(slow.err.find("/checkpoint/interval: a checkpoint of 6.826 TB at 111 GB/s is written in "
                      "61.499 s, longer than the interval of 9 s; it must be done before the next "
                      "one\n") != std::string::npos);
  const Result endless = shell(kRun + R"( --set '/operations/recovery/warm_up="300 d"')");
  CHECK(endless.code == 4);
  CHECK(endless.out.find("> Warning: the run would not come to an end: it fails every 460") !=
        std::string::npos);
}

}  // namespace moesim::cli
