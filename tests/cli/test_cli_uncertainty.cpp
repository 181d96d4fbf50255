// Intervals as the user of the program meets them: in the report, in both JSON documents and in
// what validate says last.
#include <regex>

#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

// Places of these keys in a document, each looked for after the one before.
void check_order(const std::string& json, const std::vector<std::string>& keys) {
  std::size_t at = 0;
  for (const std::string& key : keys) {
    INFO(key);
    at = json.find("\"" + key + "\": ", at);
    REQUIRE(at != std::string::npos);
  }
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

}  // namespace

TEST_CASE("the JSON of a run has its intervals after its metrics, the same on any threads") {
  const Shell shell;
  const std::string command = "build/moesim run scenarios/deepseek-v3-chunk.jsonc --json --quiet";
  const Result one = shell(command + " --threads 1"), two = shell(command + " --threads 2");
  REQUIRE(one.code == 0);
  CHECK(one.out == two.out);
  check_order(one.out,
              {"metrics",
               "step_time_s",
               "cost_usd",
               "intervals",
               "step_time_s",
               "tokens_per_s",
               "mfu_causal",
               "bubble_s",
               "gpu_hours",
               "cost_first_phase_usd",
               "intervals_from",
               "uncertainty",
               "source",
               "half_width_pct",
               "step_time_effect_s",
               "basis",
               "breakdown"});
  CHECK(one.out.find("\"intervals_from\": \"this_run\"") != std::string::npos);
  CHECK(count_of(one.out, "\"step_time_effect_s\"") >= 5);
}

TEST_CASE("a report says how sure it is and what that rests on") {
  const Shell shell;
  const Result run = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc --quiet");
  REQUIRE(run.code == 0);
  CHECK(std::regex_search(
      run.out, std::regex(R"(\| pair of chunks +\| [0-9.]+ ms \([0-9.]+ to [0-9.]+\) +\|)")));
  const std::string section = section_of(run.out, "How sure");
  CHECK(std::regex_search(section, std::regex(R"(\| FP8 GEMM +\| [0-9.]+ % +\| -[0-9.]+ ms)")));
  CHECK(section.find("in_sample") != std::string::npos);
  CHECK(section.find("simulated again") != std::string::npos);
  CHECK(section.find("balanced routing") == std::string::npos);  // this run was repeated itself
}

TEST_CASE("validate counts the held-out figures inside their intervals and names the others") {
  const Shell shell;
  const fs::path folder = shell.folder() / "few";
  fs::create_directories(folder / "published");
  for (const char* name : {"gpus", "models", "clusters", "profiles", "deepseek-v3-chunk.jsonc"})
    fs::create_symlink(kSource / "scenarios" / name, folder / name);
  const std::string from =
      R"("from": {"scenario": "deepseek-v3-chunk.jsonc", "value": "/metrics/step_time_s"}})";
  // The pair takes some 129 ms and its profile is good to some 8 %.
  write(folder / "published" / "a.json",
        R"({"id": "A", "source": "s", "quote": "q", "figures": [
          {"id": "near", "quantity": "pair", "unit": "s", "known": 0.129, "role": "held_out",
           "tolerance_pct": 1000, )" +
            from + R"(,
          {"id": "far", "quantity": "pair", "unit": "s", "known": 0.2, "role": "held_out",
           "tolerance_pct": 1000, )" +
            from + R"(,
          {"id": "fitted", "quantity": "pair", "unit": "s", "known": 0.2, "role": "fit",
           "tolerance_pct": 1000, )" +
            from + R"(,
          {"id": "defined", "quantity": "pair", "unit": "s", "known": 0.2, "role": "definition",
           "tolerance_pct": 1000, )" +
            from + "]}");
  const Result table = shell("build/moesim validate --scenarios few --quiet");
  REQUIRE(table.code == 0);
  CHECK(table.out.find("1 of 2 held-out figures with a 90 % interval lie inside it; outside: "
                       "A.far.\n") != std::string::npos);
  CHECK(table.out.find("| 90 % interval") != std::string::npos);
  CHECK(std::regex_search(table.out, std::regex(R"(\| A\.near .*\| 0\.1\d+ to 0\.1\d+ +\|)")));
  CHECK(std::regex_search(table.out, std::regex(R"(\| A\.defined .*\| 0\.1\d+ +\| +\|)")));
  const Result json = shell("build/moesim validate --scenarios few --quiet --json");
  REQUIRE(json.code == 0);
  check_order(json.out, {"id", "predicted", "interval", "error_pct", "role"});
  CHECK(count_of(json.out, "\"interval\": [") == 3);
  CHECK(count_of(json.out, "\"interval\": null") == 1);
}

}  // namespace moesim::cli
