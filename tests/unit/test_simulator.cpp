// A simulated step: folding, threads, where every tick goes, what must come before what, bounds,
// and the public DeepSeek-V3 training trace.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

constexpr std::size_t at(Category c) { return static_cast<std::size_t>(c); }

template <std::size_t n>
Tick sum(const std::array<Tick, n>& ticks) {
  return std::accumulate(ticks.begin(), ticks.end(), Tick{0});
}
// What a rank computed: kernels and the gaps between them.
Tick computed(const RankTimes& rank) {
  return std::accumulate(
      rank.by_category.begin(), rank.by_category.begin() + at(Category::exposed_comm), Tick{0});
}

void check_same(const StepResult& a, const StepResult& b) {
  CHECK(a.timeline.step == b.timeline.step);
  CHECK(a.num_events == b.num_events);
  REQUIRE(a.timeline.ranks.size() == b.timeline.ranks.size());
  for (std::size_t r = 0; r < a.timeline.ranks.size(); ++r) {
    CHECK(a.timeline.ranks[r].by_category == b.timeline.ranks[r].by_category);
    CHECK(a.timeline.ranks[r].by_phase == b.timeline.ranks[r].by_phase);
  }
  CHECK(a.timeline.seconds_by_origin == b.timeline.seconds_by_origin);
  CHECK(a.timeline.seconds_by_loss == b.timeline.seconds_by_loss);
  REQUIRE(a.timeline.spans.size() == b.timeline.spans.size());
  for (std::size_t i = 0; i < a.timeline.spans.size(); ++i) {
    CHECK(a.timeline.spans[i].name == b.timeline.spans[i].name);
    CHECK(a.timeline.spans[i].start == b.timeline.spans[i].start);
    CHECK(a.timeline.spans[i].end == b.timeline.spans[i].end);
  }
}

SimulationOptions traced(std::int64_t ranks, int num_threads = 1) {
  SimulationOptions options;
  options.allow_folding = false;
  options.num_threads = num_threads;
  for (std::int64_t r = 0; r < ranks; ++r) options.timeline_ranks.push_back(r);
  return options;
}

// Spans of one rank and stream, in time order.
std::vector<Span> spans_of(const StepResult& result, std::int64_t rank, StreamKind stream) {
  std::vector<Span> list;
  for (const Span& span : result.timeline.spans)
    if (span.rank == rank && span.stream == stream) list.push_back(span);
  return list;
}
bool is_collective(const std::string& name) {
  return name.rfind("dispatch", 0) == 0 || name.rfind("combine", 0) == 0;
}

// Occurrences of each name on a rank, in order: one for every layer of the chunk.
std::map<std::string, std::vector<Span>> by_name(const std::vector<Span>& spans) {
  std::map<std::string, std::vector<Span>> all;
  for (const Span& span : spans) all[span.name].push_back(span);
  return all;
}

ModelSpec dense_model(std::int64_t num_layers) {
  ModelSpec m = shipped_model("llama-3.1-70b");
  m.num_layers = num_layers;
  m.layer_is_moe.assign(static_cast<std::size_t>(num_layers), false);
  m.attention_window.assign(static_cast<std::size_t>(num_layers), 0);
  return m;
}

double step_ms(const Scenario& s) {
  return to_seconds(simulate_first_phase(s).timeline.step).in(ms);
}

}  // namespace

TEST_CASE("simulator: folded and unfolded runs agree to the tick", "[simulator]") {
  const std::vector<Changes> scenarios = {{{"/plan/recipe", "\"bf16\""}, {"/plan/ep", "8"}},
                                          {{"/plan/cp", "4"},
                                           {"/plan/dp", "4"},
                                           {"/phases/0/seq_len", "16384"},
                                           {"/phases/0/batch", "32"}}};
  std::vector<Scenario> all_alike;
  for (const Changes& changes : scenarios) all_alike.push_back(small_v3(changes));
  for (const ScheduleTraits& row : all_schedules()) {
    if (row.kind == ScheduleKind::overlapped_pair) continue;
    const bool interleaved = row.kind == ScheduleKind::interleaved_1f1b;
    const std::string name = "\"" + std::string(row.name) + "\"";
    Changes changes = {{"/plan/schedule", name},
                       {"/plan/fallback_schedule", name},
                       {"/plan/virtual_stages", interleaved ? "2" : "1"}};
    if (pipeline_layout(row.kind, 4, 2).num_stages() == 8)
      changes.emplace_back("/plan/layers_per_stage", "[1, 1, 1, 1, 1, 1, 1, 1]");
    all_alike.push_back(small_v3(changes));
    changes.emplace_back("/plan/overlap_expert_comm", "true");
    if (row.overlap == Overlap::on_request) all_alike.push_back(small_v3(changes));
  }
  all_alike.push_back(small_v3({{"/plan/ep", "1"}}));
  all_alike.back().model = dense_model(8);
  for (const Scenario& s : all_alike) {
    CAPTURE(&s - all_alike.data());
    REQUIRE(ranks_are_identical(s.model, s.phases[0]));
    SimulationOptions unfold;
    unfold.allow_folding = false;
    const StepResult one = simulate_first_phase(s), all = simulate_first_phase(s, unfold);
    CHECK(one.folded);
    CHECK_FALSE(all.folded);
    const ParallelPlan& plan = s.phases[0].plan;
    REQUIRE(static_cast<std::int64_t>(one.timeline.ranks.size()) == plan.pp);
    REQUIRE(all.timeline.ranks.size() == 64);
    CHECK(one.timeline.step == all.timeline.step);
    CHECK(one.num_events * static_cast<std::uint64_t>(plan.ranks_per_stage()) == all.num_events);
    for (const RankTimes& rank : all.timeline.ranks) {
      const RankTimes& fold = one.timeline.ranks[static_cast<std::size_t>(rank.pp)];
      CHECK(fold.rank == rank.pp * plan.ranks_per_stage());
      CHECK(rank.by_category == fold.by_category);
      CHECK(rank.by_phase == fold.by_phase);
    }
    for (std::size_t i = 0; i < kNumLosses; ++i)
      CHECK(one.timeline.seconds_by_loss[i] == Approx(all.timeline.seconds_by_loss[i]));
    for (std::size_t i = 0; i < kNumOrigins; ++i)
      CHECK(one.timeline.seconds_by_origin[i] == Approx(all.timeline.seconds_by_origin[i]));
  }
}

TEST_CASE("simulator: ranks that differ are not folded", "[simulator]") {
  const Scenario s = sampled_small_v3();
  CHECK_FALSE(ranks_are_identical(s.model, s.phases[0]));
  const StepResult result = simulate_first_phase(s);
  CHECK_FALSE(result.folded);
  CHECK(result.num_simulated_ranks == 64);
  CHECK(result.max_over_mean_rows > 1);
}

TEST_CASE("simulator: the same for any number of threads", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario s = sampled_small_v3(with_schedule(schedule));
    const StepResult one = simulate_first_phase(s, traced(64, 1));
    check_same(one, simulate_first_phase(s, traced(64, 4)));
    check_same(one, simulate_first_phase(s, traced(64, 1)));
  }
}

TEST_CASE("simulator: another seed, another step", "[simulator]") {
  Scenario s = sampled_small_v3();
  const Tick first = simulate_first_phase(s).timeline.step;
  s.seed = 2;
  CHECK(simulate_first_phase(s).timeline.step != first);
}

TEST_CASE("simulator: every tick is in one category and one phase", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario small = sampled_small_v3(with_schedule(schedule));
    const StepResult result = simulate_first_phase(small);
    for (const RankTimes& rank : result.timeline.ranks) {
      CHECK(sum(rank.by_category) == result.timeline.step);
      CHECK(sum(rank.by_phase) == result.timeline.step);
      for (const Tick t : rank.by_category) CHECK(t >= 0);
      for (const Tick t : rank.by_phase) CHECK(t >= 0);
      const OptimizerTimes& o = result.optimizer[static_cast<std::size_t>(rank.pp)];
      CHECK(to_seconds(rank.by_category[at(Category::optimizer)]).in(us) ==
            Approx(o.total().in(us)));
    }
    // Work by loss is the same work as by category.
    double kernels = 0;
    for (const RankTimes& rank : result.timeline.ranks)
      kernels += to_seconds(computed(rank) - rank.by_category[at(Category::launch_gap)]).in(s) / 64;
    const auto& losses = result.timeline.seconds_by_loss;
    const auto& origins = result.timeline.seconds_by_origin;
    CHECK(std::accumulate(losses.begin(), losses.end(), 0.0) == Approx(kernels));
    CHECK(std::accumulate(origins.begin(), origins.end(), 0.0) == Approx(kernels));
  }
}

TEST_CASE("simulator: a stream does one thing at a time, and all of it", "[simulator]") {
  const Scenario s = sampled_small_v3();
  const StepResult result = simulate_first_phase(s, traced(64));
  for (std::int64_t rank = 0; rank < 64; ++rank) {
    for (const StreamKind stream : {StreamKind::compute, StreamKind::communication}) {
      Tick busy = 0, last = 0;
      for (const Span& span : spans_of(result, rank, stream)) {
        CHECK(span.start >= last);
        CHECK(span.end >= span.start);
        last = span.end;
        busy += span.end - span.start;
      }
      CHECK(last <= result.timeline.step);
      if (stream == StreamKind::compute)
        CHECK(busy == computed(result.timeline.ranks[static_cast<std::size_t>(rank)]));
    }
  }
}

TEST_CASE("simulator: a collective starts when its last peer is there", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario s = sampled_small_v3(with_schedule(schedule));
    const StepResult result = simulate_first_phase(s, traced(64));
    int collectives = 0;
    Tick waited = 0;
    for (std::int64_t first = 0; first < 64; first += 16) {  // an expert-parallel group
      std::vector<std::vector<Span>> starts(16);
      std::vector<std::vector<Tick>> arrivals(16);
      for (std::int64_t r = 0; r < 16; ++r) {
        const auto i = static_cast<std::size_t>(r);
        const auto comm = spans_of(result, first + r, StreamKind::communication);
        for (std::size_t k = 0; k < comm.size(); ++k) {
          if (!is_collective(comm[k].name)) continue;
          const bool early = k > 0 && comm[k - 1].name == "wait for peers";
          if (early) CHECK(comm[k - 1].end == comm[k].start);
          starts[i].push_back(comm[k]);
          arrivals[i].push_back(early ? comm[k - 1].start : comm[k].start);
          waited += comm[k].start - arrivals[i].back();
        }
        REQUIRE(starts[i].size() == starts[0].size());
      }
      for (std::size_t k = 0; k < starts[0].size(); ++k) {
        ++collectives;
        Tick last = 0;
        for (std::size_t r = 0; r < 16; ++r) last = std::max(last, arrivals[r][k]);
        for (std::size_t r = 0; r < 16; ++r) {
          CHECK(starts[r][k].name == starts[0][k].name);
          CHECK(starts[r][k].start == last);
        }
      }
    }
    // Five of the eight layers and the MTP module's have experts: four collectives each, for
    // each of eight microbatches.
    CHECK(collectives == 4 * 8 * 6);
    CHECK(waited > 0);
  }
}

TEST_CASE("simulator: nothing starts before what it needs", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario s = sampled_small_v3(with_schedule(schedule));
    const StepResult result = simulate_first_phase(s, traced(64));
    std::vector<std::map<std::string, std::vector<Span>>> compute, comm;
    for (std::int64_t rank = 0; rank < 64; ++rank) {
      compute.push_back(by_name(spans_of(result, rank, StreamKind::compute)));
      comm.push_back(by_name(spans_of(result, rank, StreamKind::communication)));
    }
    int dispatches = 0, messages = 0;
    for (std::size_t rank = 0; rank < 64; ++rank)
      for (const auto& [name, spans] : comm[rank]) {
        const std::string chunk = name.substr(name.find(' '));  // " 3" or " 3.1"
        const bool reverse = chunk.find('.') != std::string::npos;
        // On a stage of MoE layers only, the k-th of a kind belongs to the k-th layer.
        const std::size_t stage = reverse ? 3 - rank / 16 : rank / 16;
        if (stage == 2 && name.rfind("dispatch(F)", 0) == 0)
          for (std::size_t k = 0; k < spans.size(); ++k, ++dispatches) {
            CHECK(spans[k].start >= compute[rank]["attn(F)" + chunk][k].end);
            CHECK(compute[rank]["mlp(F)" + chunk][k].start >= spans[k].end);
            CHECK(comm[rank]["combine(F)" + chunk][k].start >=
                  compute[rank]["mlp(F)" + chunk][k].end);
          }
        if (stage == 2 && name.rfind("dispatch(B)", 0) == 0)
          for (std::size_t k = 0; k < spans.size(); ++k) {
            CHECK(spans[k].start >= compute[rank]["mlp(B)" + chunk][k].end);
            CHECK(compute[rank]["attn(B)" + chunk][k].start >= spans[k].end);
            CHECK(compute[rank]["mlp(B)" + chunk][k].start >=
                  comm[rank]["combine(B)" + chunk][k].end);
          }
        // A message leaves after the chunk's last kernel and comes before the neighbour's first.
        const bool forward = name.rfind("PP(F)", 0) == 0;
        if (!forward && name.rfind("PP(B)", 0) != 0) continue;
        ++messages;
        const std::size_t to = forward != reverse ? rank + 16 : rank - 16;
        const char* last = forward ? "mlp(F)" : "attn(B)";
        const char* first = forward ? "attn(F)" : "mlp(B)";
        REQUIRE(spans.size() == 1);
        CHECK(spans[0].start >= compute[rank][last + chunk].back().end);
        CHECK(compute[to][first + chunk].front().start >= spans[0].end);
      }
    CHECK(dispatches == 16 * 8 * 2);
    CHECK(messages == 16 * 8 * 3 * 2);  // eight microbatches cross three borders, both ways
  }
}

TEST_CASE("simulator: between the longest rank and everything in turn", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario s = sampled_small_v3(with_schedule(schedule));
    const StepResult result = simulate_first_phase(s, traced(64));
    Tick serial = 0;
    for (const RankTimes& rank : result.timeline.ranks) {
      const Tick optimizer = rank.by_category[at(Category::optimizer)];
      CHECK(computed(rank) + optimizer <= result.timeline.step);
      serial += computed(rank) + optimizer;
    }
    for (const Span& span : result.timeline.spans)
      if (span.stream == StreamKind::communication && span.name != "wait for peers")
        serial += span.end - span.start;
    CHECK(result.timeline.step <= serial);
  }
}

TEST_CASE("simulator: a faster NIC never slows the pair of chunks", "[simulator]") {
  double last = 1e300;
  for (const char* nic : {"\"12.5 GB/s\"", "\"25 GB/s\"", "\"50 GB/s\"", "\"100 GB/s\""}) {
    INFO(nic);
    const double t =
        step_ms(shipped_scenario("deepseek-v3-chunk", {{"/cluster/nic_bandwidth", nic}}));
    CHECK(t <= last);
    last = t;
  }
  const double quarter =
      step_ms(shipped_scenario("deepseek-v3-chunk", {{"/cluster/nic_bandwidth", "\"12.5 GB/s\""}}));
  CHECK(quarter > 1.2 * last);  // and a slow one is felt
}

TEST_CASE("simulator: an overlapped layer runs in the trace's order", "[simulator]") {
  // Trace README, section 1: both streams, once a layer, four layers.
  const std::vector<std::string> compute = {
      "attn(F)", "mlp(B)", "mlp(W)", "mlp(F)", "attn(B)", "attn(W)"};
  const std::vector<std::string> comm = {"combine(B)", "dispatch(F)", "dispatch(B)", "combine(F)"};
  const StepResult result = simulate_first_phase(shipped_scenario("deepseek-v3-chunk"), traced(64));
  auto order = [&](StreamKind stream) {
    std::vector<std::string> names;
    for (const Span& span : spans_of(result, 7, stream))
      if (span.name != "chunk start" && span.name != "wait for peers")
        names.push_back(span.name.substr(0, span.name.find(' ')));
    return names;
  };
  std::vector<std::string> all_compute, all_comm;
  for (int layer = 0; layer < 4; ++layer) {
    all_compute.insert(all_compute.end(), compute.begin(), compute.end());
    all_comm.insert(all_comm.end(), comm.begin(), comm.end());
  }
  CHECK(order(StreamKind::compute) == all_compute);
  CHECK(order(StreamKind::communication) == all_comm);
}

TEST_CASE("simulator: the pair of chunks of the public trace", "[simulator]") {
  // deepseek-ai/profile-data: 129.012 ms; us a layer as its README sums them (section 4).
  const Scenario s = shipped_scenario("deepseek-v3-chunk");
  const StepResult result = simulate_first_phase(s);
  const double predicted = to_seconds(result.timeline.step).in(ms);
  CHECK(predicted == Approx(129.012).epsilon(0.05));
  const std::pair<Category, double> published[] = {{Category::moe_gemm, 9665},
                                                   {Category::ffn_gemm, 1315},
                                                   {Category::attention_gemm, 6334},
                                                   {Category::attention, 5491},
                                                   {Category::quantise, 3953},
                                                   {Category::elementwise, 2564},
                                                   {Category::permute, 1276},
                                                   {Category::gate, 473},
                                                   {Category::launch_gap, 673}};
  std::ostringstream table;
  table << std::fixed << std::setprecision(1) << "pair of chunks: " << predicted
        << " ms, trace 129.0; us a layer:";
  for (const auto& [category, known] : published) {
    double mean = 0;
    for (const RankTimes& rank : result.timeline.ranks)
      mean += to_seconds(rank.by_category[at(category)]).in(us) / 4 / 64;
    INFO(kCategoryNames[at(category)].key);
    CHECK(mean == Approx(known).epsilon(0.06));
    table << " " << kCategoryNames[at(category)].key << " " << 100 * (mean / known - 1) << " %";
  }
  std::cout << table.str() << "\n";
}
