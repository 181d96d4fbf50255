// The public DeepSeek-V3 training trace next to the simulation of its pair of chunks.
#include <map>

#include "reports/trace_comparison.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/shipped_data.hpp"
#include "tests/train_trace.hpp"

using namespace moesim;

namespace {

TraceTimes measured_times(const std::filesystem::path& reference) {
  return trace_times(read_profiler_trace(reference / "train_trace" / "train.json"),
                     read_block_mapping(scenario_folder() / "traces" / "deepseek-v3-train.json",
                                        pair_block_names()));
}

}  // namespace

TEST_CASE("the training trace: every kernel is an operation, as its table has them",
          "[trace][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const TraceTimes times = measured_times(*folder);
  CHECK(times.unmapped.empty());
  CHECK(times.all.calls == 983);
  CHECK(times.all.kernels.in(us) == Approx(244069));  // the sum of all durations in the file
  std::map<std::pair<std::string, std::string>, KernelTimes> ops;
  for (const TracedBlock& block : times.blocks) {
    CHECK(block.occurrences == 4);
    for (const TracedOp& op : block.ops) ops[{block.block, op.op}] = op.times;
  }
  const std::vector<TrainTraceRow> table = read_train_trace(*folder);
  CHECK(table.size() == ops.size());
  for (const TrainTraceRow& row : table) {
    CAPTURE(row.phase, row.op);
    REQUIRE(ops.count({row.block(), row.op}) == 1);
    const KernelTimes& op = ops[{row.block(), row.op}];
    CHECK(static_cast<double>(op.calls) == 4 * row.calls_per_layer);
    CHECK(op.kernels.in(us) == Approx(4 * row.us_per_layer).margin(0.3));  // rounded to a tenth
  }
}

TEST_CASE("the training trace: the simulated blocks are within 10 %, the pair within 3 %",
          "[trace][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const TraceComparison c =
      compare_trace(measured_times(*folder), pair_times(shipped_scenario("deepseek-v3-chunk"), 1));
  REQUIRE(c.blocks.size() == 10);
  for (const ComparedBlock& block : c.blocks) {
    if (block.is_transfer) continue;
    CAPTURE(block.name);
    REQUIRE(block.wall().error_pct());
    CHECK(std::abs(*block.wall().error_pct()) <= 10);
  }
  REQUIRE(c.pair.front().key == "span");
  CHECK(c.pair.front().time.measured->in(us) == Approx(129012));
  CHECK(std::abs(*c.pair.front().time.error_pct()) <= 3);
  for (const ComparedQuantity& quantity : c.pair)
    if (quantity.key == "compute_busy" || quantity.key == "transfers")
      CHECK(std::abs(*quantity.time.error_pct()) <= 3);
}
