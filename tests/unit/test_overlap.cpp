// Overlap inside a schedule step: pairs of forward and backward steps on request, and the order of
// the blocks of an overlapped layer as data.
#include <string>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "sim/run.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

using Names = std::vector<std::string>;

std::pair<std::string, std::string> order_of(const Names& names) {
  std::string json;
  for (const std::string& name : names) json += (json.empty() ? "\"" : ", \"") + name + "\"";
  return {"/plan/overlap_order", "[" + json + "]"};
}
const Names kTrace = {
    "combine(B)", "attn(F)", "mlp(B)", "mlp(W)", "mlp(F)", "combine(F)", "attn(B)", "attn(W)"};
const Names kOther = {
    "attn(F)", "combine(B)", "mlp(F)", "mlp(B)", "combine(F)", "attn(B)", "mlp(W)", "attn(W)"};

std::string plan_error(const Changes& changes) {
  try {
    small_v3(changes);
  } catch (const InputError& error) {
    const std::string what = error.what();
    return what.substr(what.find("/plan"));
  }
  return "";
}

// Names of the first layer's kernels on the rank of the pair of chunks, in the order they start.
Names first_layer(const Changes& changes) {
  SimulationOptions options;
  options.timeline_ranks = {0};
  const StepResult result =
      simulate_first_phase(shipped_scenario("deepseek-v3-chunk", changes), options);
  Names names;
  for (const Span& span : result.timeline.spans)
    if (span.rank == 0 && span.stream == StreamKind::compute && span.name != "chunk start" &&
        names.size() < 6)
      names.push_back(span.name.substr(0, span.name.find(' ')));
  return names;
}

}  // namespace

TEST_CASE("overlap: the order of an overlapped layer is the plan's", "[simulator]") {
  const Names kernels = {"attn(F)", "mlp(B)", "mlp(W)", "mlp(F)", "attn(B)", "attn(W)"};
  CHECK(first_layer({}) == kernels);
  CHECK(first_layer({order_of(kTrace)}) == kernels);
  CHECK(first_layer({order_of(kOther)}) ==
        Names{"attn(F)", "mlp(F)", "mlp(B)", "attn(B)", "mlp(W)", "attn(W)"});
}

TEST_CASE("overlap: an order in which a block comes before what it needs is refused", "[plan]") {
  Names early = kTrace;
  std::swap(early[1], early[4]);
  CHECK(plan_error({order_of(early)}) ==
        "/plan/overlap_order: \"mlp(F)\" needs \"attn(F)\", which comes after it; found "
        "\"combine(B)\", \"mlp(F)\", \"mlp(B)\", \"mlp(W)\", \"attn(F)\", \"combine(F)\", "
        "\"attn(B)\", \"attn(W)\"");
  CHECK(plan_error({order_of({"combine(B)", "attn(F)", "attn(F)"})}) ==
        "/plan/overlap_order: expected \"combine(B)\", \"attn(F)\", \"mlp(B)\", \"mlp(W)\", "
        "\"mlp(F)\", \"combine(F)\", \"attn(B)\", \"attn(W)\", each once, in the order they start; "
        "found \"combine(B)\", \"attn(F)\", \"attn(F)\"");
  Changes nothing_overlaps = with_schedule("zb_h1");
  nothing_overlaps.push_back(order_of(kTrace));
  CHECK(plan_error(nothing_overlaps) ==
        "/plan/overlap_order: is given, but schedule \"zb_h1\" overlaps nothing here; expected the "
        "key left out");
}

TEST_CASE("overlap: pairs are refused where a schedule has none to make", "[plan]") {
  auto asked = [](const std::string& schedule) {
    Changes changes = with_schedule(schedule);
    changes.emplace_back("/plan/fallback_schedule", "\"" + schedule + "\"");
    if (schedule == "zb_v" || schedule == "dualpipe_v")
      changes.emplace_back("/plan/layers_per_stage", "[1, 1, 1, 1, 1, 1, 1, 1]");
    changes.emplace_back("/plan/overlap_expert_comm", "true");
    return plan_error(changes);
  };
  CHECK(asked("1f1b").empty());
  for (const std::string schedule : {"dualpipe", "dualpipe_v"})
    CHECK(asked(schedule) == "/plan/overlap_expert_comm: schedule \"" + schedule +
                                 "\" overlaps by itself; expected false");
  for (const std::string schedule : {"gpipe", "zb_h1", "zb_h2", "zb_v"})
    CHECK(asked(schedule) ==
          "/plan/overlap_expert_comm: schedule \"" + schedule +
              "\" has no steady pairs of a forward and a backward step; expected false, or the "
              "schedule \"1f1b\" or \"interleaved_1f1b\"");
}

TEST_CASE("overlap: 1F1B in pairs hides transfers and holds more", "[simulator]") {
  const Changes apart = {{"/plan/schedule", "\"1f1b\""}, {"/phases/0/batch", "512"}};
  Changes pairs = apart;
  pairs.emplace_back("/plan/overlap_expert_comm", "true");
  auto exposed = [](const StepResult& result) {
    Tick sum = 0;
    for (const RankTimes& rank : result.timeline.ranks)
      sum += rank.by_category[static_cast<std::size_t>(Category::exposed_comm)];
    return sum;
  };
  // What is left: the first and last microbatches, which run alone.
  const StepResult before = simulate_first_phase(small_v3(apart)),
                   after = simulate_first_phase(small_v3(pairs));
  CHECK(3 * exposed(after) < 2 * exposed(before));
  auto bytes = [](const Changes& changes) {
    return run_scenario(small_v3(changes), {}).phases[0].memory[1].total();
  };
  CHECK(bytes(pairs) > bytes(apart));
}
