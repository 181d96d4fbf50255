// Wrong operations of a scenario: each is refused with an InputError whose text is checked in full.
#include "sim/run.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/small_scenario.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

const char* const kGood = R"({
  "failures": [{"component": "GPU", "per": "gpu", "mtbf": "50000 h", "source": "a"},
               {"component": "HBM", "per": "gpu", "source": "b",
                "observed": {"count": 72, "units": 16384, "time": "54 d"}}],
  "recovery": {"detection": "5 min", "reschedule": "1 min", "warm_up": "30 s", "source": "d"},
  "spares": {"nodes": 1, "swap": "2 min", "repair": "12 h", "source": "e"},
  "checkpoint": {"interval": "10 min", "size": "10 GB", "per": "cluster",
                 "write_bandwidth": "1 GB/s", "read_bandwidth": "2 GB/s", "asynchronous": true,
                 "copy_bandwidth": "20 GB/s", "source": "f"},
  "evaluation": {"every_steps": 1000, "pause": "3 min", "source": "g"},
  "stragglers": {"share": 0.05, "slowdown": 1.2, "source": "h"},
  "maintenance": {"pauses_per_month": 4, "pause": "2 h", "source": "i"}
})";

std::string operations_refusal(const std::vector<std::pair<std::string, std::string>>& edits) {
  Texts texts = small_scenario();
  texts["operations.json"] = kGood;
  for (const auto& [from, to] : edits) replace_once(texts["operations.json"], from, to);
  replace_once(
      texts["scenario.json"], R"("seed": 7)", R"("seed": 7, "operations": "operations.json")");
  const std::string message = refusal_of(texts);
  CHECK(is_one_line(message));
  return message;
}

// With a file of operations, `from` replaced by `to`.
void check(const std::string& from, const std::string& to, const std::string& message) {
  CAPTURE(from, to);
  CHECK(operations_refusal({{from, to}}) == "operations.json: " + message);
}

}  // namespace

TEST_CASE("bad operations: what the cases spoil is good") {
  CHECK(operations_refusal({}) == "nothing was refused");
}

TEST_CASE("bad operations: failures") {
  check(R"("mtbf": "50000 h")",
        R"("mtbf": "-5 h")",
        R"(/failures/0/mtbf: expected a quantity of zero or more, found "-5 h")");
  check(R"("mtbf": "50000 h")",
        R"("mtbf": "0 h")",
        R"(/failures/0/mtbf: expected a time above zero, found "0 h")");
  check(
      R"("mtbf": "50000 h")",
      R"("mtbf": 50000)",
      R"(/failures/0/mtbf: expected a quantity with a unit such as "2.8 us", found the number 50000)");
  check(R"("mtbf": "50000 h")",
        R"("mtbf": "50000 W")",
        R"(/failures/0/mtbf: unknown unit "W"; known: ps, ns, us, ms, s, min, h, d)");
  check(R"("mtbf": "50000 h", )",
        "",
        R"(/failures/0: missing key "mtbf" or "observed": how often it fails)");
  check(R"("source": "b")",
        R"("source": "b", "mtbf": "1 h")",
        R"(/failures/1: "mtbf" and "observed" are both given; expected one of the two)");
  check(R"("count": 72)",
        R"("count": 0)",
        R"(/failures/1/observed/count: expected a number from 1 to 1e+12, found 0)");
  check(R"("per": "gpu", "mtbf")",
        R"("per": "rack", "mtbf")",
        R"(/failures/0/per: unknown value "rack"; known: gpu, node, switch, cluster)");
  check(R"("mtbf": "50000 h")",
        R"("mtbf": "50000 h", "mttr": "1 h")",
        R"(/failures/0: unknown key "mttr"; did you mean "mtbf"?)");
}

TEST_CASE("bad operations: what failures need and what needs failures") {
  const std::string recovery =
      R"("recovery": {"detection": "5 min", "reschedule": "1 min", "warm_up": "30 s", "source": "d"},)";
  check(recovery, "", R"(missing key "recovery": what a failure costs depends on it)");
  check(R"("checkpoint": {)",
        R"("evaluations": {)",
        R"(missing key "checkpoint": what a failure costs depends on it)");
  check(R"("detection": "5 min")",
        R"("detection": "-1 s")",
        R"(/recovery/detection: expected a quantity of zero or more, found "-1 s")");
  check(R"("repair": "12 h")",
        R"("repair": "0 h")",
        R"(/spares/repair: expected a time above zero, found "0 h")");
  check(R"("nodes": 1)",
        R"("nodes": -1)",
        R"(/spares/nodes: expected an integer from 0 to 1000000, found -1)");
  Texts texts = small_scenario();
  for (
      const auto& [operations, message] : std::vector<std::pair<std::string, std::string>>{
          {"{}",
           R"(scenario.json: /operations: an empty object; leave "operations" out for a run without interruptions)"},
          {R"({"failures": []})",
           R"(scenario.json: /operations/failures: expected an array of at least one component, found an empty array)"},
          {R"({"spares": {}})",
           R"(scenario.json: /operations/spares: given without "failures": nothing to recover from)"},
          {R"({"checkpoint": {"interval": "optimal"}})",
           R"(scenario.json: /operations/checkpoint/interval: "optimal" needs "failures": without them the best checkpoint is none)"},
          {R"("none.json")",
           R"(scenario.json: /operations: none.json: cannot be read: no such file)"}}) {
    texts = small_scenario();
    replace_once(
        texts["scenario.json"], R"("seed": 7)", R"("seed": 7, "operations": )" + operations);
    CHECK(refusal_of(texts) == message);
  }
}

TEST_CASE("bad operations: checkpoints") {
  check(
      R"("interval": "10 min")",
      R"("interval": "9 s")",
      R"(/checkpoint/interval: a checkpoint of 0.01 TB at 1 GB/s is written in 10 s, longer than the interval of 9 s; it must be done before the next one)");
  check(
      R"("interval": "10 min")",
      R"("interval": "often")",
      R"(/checkpoint/interval: expected a number of steps, a time such as "30 min" or "optimal", found "often" (expected a quantity with a unit such as "2.8 us", found the string "often"))");
  check(
      R"("interval": "10 min")",
      R"("interval": 1.5)",
      R"(/checkpoint/interval: expected a number of steps, a time such as "30 min" or "optimal", found the number 1.5)");
  check(R"("interval": "10 min")",
        R"("interval": 0)",
        R"(/checkpoint/interval: expected an integer from 1 to 1099511627776, found 0)");
  check(R"("interval": "10 min")",
        R"("interval": "0 s")",
        R"(/checkpoint/interval: expected a time above zero, found "0 s")");
  check(R"("interval": "10 min")",
        R"("interval": 9999999)",
        R"(/checkpoint/interval: 9999999 steps are longer than the run of 3827 steps)");
  check(
      R"("size": "10 GB")",
      R"("size": 10)",
      R"(/checkpoint/size: expected a quantity with a unit such as "80 GiB", found the number 10)");
  check(R"("size": "10 GB")",
        R"("size": "0 GB")",
        R"(/checkpoint/size: expected a quantity above zero, found "0 GB")");
  check(
      R"("asynchronous": true)",
      R"("asynchronous": false)",
      R"(/checkpoint/copy_bandwidth: given, but "asynchronous" is false: training waits for the write)");
  check(R"("copy_bandwidth": "20 GB/s", )", "", R"(/checkpoint: missing key "copy_bandwidth")");
  check(
      R"("write_bandwidth": "1 GB/s")",
      R"("write_bandwidth": "1 GB")",
      R"(/checkpoint/write_bandwidth: unknown unit "GB"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s)");
}

TEST_CASE("bad operations: pauses and slow nodes") {
  check(R"("every_steps": 1000)",
        R"("every_steps": 9999999)",
        R"(/evaluation/every_steps: 9999999 steps are longer than the run of 3827 steps)");
  check(R"("share": 0.05)",
        R"("share": 1.5)",
        R"(/stragglers/share: expected a number from 0 to 1, found 1.5)");
  check(R"("slowdown": 1.2)",
        R"("slowdown": 0.9)",
        R"(/stragglers/slowdown: expected a number from 1 to 10, found 0.9)");
  check(
      R"("share": 0.05)",
      R"("sigma": 0.05)",
      R"(/stragglers/slowdown: given beside "sigma"; expected either sigma or share and slowdown)");
  check(R"("pauses_per_month": 4)",
        R"("pauses_per_month": 400)",
        R"(/maintenance/pauses_per_month: 400 pauses x 2 h = 800 h, but a month has 730.5 h)");
}

TEST_CASE("bad operations: an overlapped pair is no run") {
  CHECK(
      refusal_of(scenario_folder() / "deepseek-v3-chunk.jsonc",
                 scenario_folder().string(),
                 {{"/operations", parse_json(R"({"maintenance": {}})", "x.json")}}) ==
      R"(x.json: given, but phase "pair of chunks" is an overlapped pair of chunks, not steps of a run)");
}

TEST_CASE("bad operations: intervals that only the simulated step shows to be wrong") {
  const auto run_refusal = [](const std::string& interval) {
    return refusal([&] {
      const Scenario scenario = small_v3(
          {{"/operations",
            R"({"checkpoint": {"interval": )" + interval + R"(, "size": "1 TB", "per": "cluster",
                "write_bandwidth": "10 GB/s", "read_bandwidth": "10 GB/s", "asynchronous": true,
                "copy_bandwidth": "20 GB/s", "source": "a"}})"},
           {"/phases",
            R"([{"name": "a", "seq_len": 4096, "batch": 128, "steps": 1000,
                 "routing": {"kind": "balanced"}}])"}});
      run_scenario(scenario, {});
    });
  };
  CHECK(
      run_refusal("\"30 d\"") ==
      R"(change of /operations: /checkpoint/interval: 2592000 s are longer than the run, whose steps take 1189.5 s)");
  CHECK(
      run_refusal("2") ==
      R"(change of /operations: /checkpoint/interval: a checkpoint of 1 TB at 10 GB/s is written in 100 s, longer than 2 steps of 1.2 s; it must be done before the next one)");
}
