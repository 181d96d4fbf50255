// The fake: its clock by hand, its strictness, its faults, and that a whole run gives the numbers
// of the formula, the same ones every time, as points that can be read.
#include "calibrate/comm/expert_routing.hpp"
#include "calibrate/comm/payload.hpp"
#include "calibrate/comm/run_comm.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;
using namespace moesim::comm;

namespace {

constexpr Timeout kLong = Timeout(20000);

FakeRates quiet() {
  FakeRates rates;
  rates.noise = 0;
  return rates;
}

double exchange_us(const FakeClock& clock,
                   const std::vector<int>& places,
                   int rank,
                   std::vector<Message> sends,
                   std::vector<Message> receives,
                   int max_ctas = 0) {
  return clock.exchange(places, rank, {sends, receives}, max_ctas).in(us);
}

GpuSpec h800() { return read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h800.json")); }

PointRun run_line_of_test(const Transport& /*transport*/, const RankMap& /*map*/) {
  PointRun run;
  run.kind = ProfileKind::synthetic;
  run.gpu = "h800";
  run.source = "test";
  return run;
}

std::string fault_of(FakeFault fault, const std::string& only) {
  CommOptions options = small_options();
  options.only = {only};
  PointResults results(std::nullopt, {});
  try {
    run_on_fake({4, 2, quiet(), fault}, options, kLong, results, run_line_of_test);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was noticed";
}

const Point& point_at(const PointFile& file, const std::string& op, const Shape& shape) {
  for (const Point& p : file.points)
    if (p.of->op == op && p.shape == shape) return p;
  FAIL("no point of " << op);
  throw std::logic_error("unreachable");
}

}  // namespace

TEST_CASE("comm fake clock: latency of the slowest class and the busiest port", "[comm]") {
  const RankMap map(8, 4);
  const FakeClock clock(quiet(), map);
  const std::vector<int> world = map.all();
  // 1.6 MB over 160 GB/s: 10 us. 450 kB over 45 GB/s: 10 us.
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}}, {}) == Approx(4 + 10));
  CHECK(exchange_us(clock, world, 0, {{4, 0, 56250}}, {}) == Approx(9 + 10));
  CHECK(exchange_us(clock, world, 0, {{5, 0, 56250}}, {}) == Approx(12 + 450.0 / 38));
  CHECK(exchange_us(clock, world, 0, {{0, 0, 125000}}, {{0, 0, 125000}}) == Approx(1 + 1));
  // Both at once take no longer than the longer; two of a kind share the port.
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}, {4, 0, 56250}}, {}) == Approx(9.1 + 10));
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}, {2, 0, 200000}}, {}) == Approx(4.1 + 20));
  CHECK(exchange_us(clock, world, 0, {{4, 0, 56250}, {5, 0, 56250}}, {}) ==
        Approx(12.1 + 10 + 450.0 / 38));
  // Receiving as much is free; receiving more is not.
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}}, {{1, 0, 200000}}) == Approx(14));
  CHECK(exchange_us(clock, world, 0, {{1, 0, 1}}, {{1, 0, 200000}, {2, 0, 200000}}) ==
        Approx(4.1 + 20));
  CHECK(exchange_us(clock, world, 0, {}, {}) == 0);
  // A quarter of the blocks, a quarter of the bandwidth; more than enough is no more.
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}}, {}, 4) == Approx(4 + 40));
  CHECK(exchange_us(clock, world, 0, {{1, 0, 200000}}, {}, 24) == Approx(4 + 10));
}

TEST_CASE("comm fake clock: collectives by group geometry", "[comm]") {
  const RankMap map(8, 4);
  const FakeClock clock(quiet(), map);
  const auto t = [&](Collective what, const std::vector<int>& places, double mb) {
    return clock.collective(what, places, mb * MB, 0).in(us);
  };
  CHECK(t(Collective::all_reduce, map.same_node(0), 16) == Approx(2 * 2 * 4 + 1.5 * 100));
  CHECK(t(Collective::all_gather, map.same_node(0), 16) == Approx(2 * 4 + 0.75 * 100));
  CHECK(t(Collective::broadcast, map.same_rail(0), 45) == Approx(9 + 1000));
  // Four NICs a node are more than its NVLink.
  CHECK(t(Collective::reduce_scatter, map.all(), 16) == Approx(3 * 9 + 0.875 * 100));
  CHECK(t(Collective::all_reduce, {3}, 1) == Approx(1 + 1));
}

TEST_CASE("comm fake: messages nobody receives or of another length are an error", "[comm]") {
  const RankMap map(2, 2);
  const auto error_of = [&](std::vector<Message> sends, std::vector<Message> receives) {
    ThreadTable table(2, kLong);
    FakeFabric fabric(map, quiet(), FakeFault::none, table.alarm(), kLong);
    try {
      run_ranks(2, kLong, [&](ThreadTable& /*own*/, Bootstrap& bootstrap) {
        const auto transport = fabric.transport(bootstrap.rank());
        const auto world = transport->open(map.all());
        const auto from = transport->allocate(8), to = transport->allocate(8);
        const bool first = bootstrap.rank() == 0;
        transport->exchange(*world,
                            *from,
                            first ? sends : std::vector<Message>(),
                            *to,
                            first ? std::vector<Message>() : receives);
      });
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  CHECK(error_of({{1, 0, 4}}, {{0, 2, 4}}) == "nothing");
  CHECK(error_of({{1, 0, 4}}, {}) == "fake exchange: place 0 to 1: a message that nobody receives");
  CHECK(error_of({}, {{0, 0, 4}}) == "fake exchange: place 0 to 1: a message that nobody sends");
  CHECK(error_of({{1, 0, 4}}, {{0, 0, 5}}) ==
        "fake exchange: place 0 to 1: 4 words for a receiver of 5");
}

TEST_CASE("comm fake: every fault is noticed in every benchmark and named", "[comm]") {
  for (const char* only : {"p2p", "collectives", "alltoallv", "overlap", "pipeline"}) {
    CAPTURE(only);
    for (const FakeFault fault : {FakeFault::flip, FakeFault::drop, FakeFault::late}) {
      const std::string text = fault_of(fault, only);
      INFO(text);
      CHECK(text.find("rank 3: from ") != std::string::npos);
      CHECK((text.find("nothing had arrived there") != std::string::npos) ==
            (fault != FakeFault::flip));
    }
    CHECK(fault_of(FakeFault::none, only) == "nothing was noticed");
  }
  CHECK(fault_of(FakeFault::flip, "collectives").find("all_reduce ranks=4 ranks_per_node=2") == 0);
}

TEST_CASE("comm fake: a run writes points of the formula that can be read back", "[comm]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "points.jsonl";
  CommOptions options = small_options();
  options.max_bytes = 1 << 18;
  options.repeats = 5;
  {
    PointResults results(h800(), path);
    run_on_fake({8, 2, quiet(), FakeFault::none}, options, kLong, results, run_line_of_test);
    results.finish();
    CHECK(results.num_points() > 200);
    const std::string tables = results.markdown();
    for (const Benchmark& b : benchmarks())
      CHECK(tables.find("## " + std::string(b.name) + "\n") != std::string::npos);
  }
  const PointFile file = read_points(path, scenario_folder() / "gpus");
  const auto time_us = [&](const std::string& op, const Shape& shape) {
    return point_at(file, op, shape).timing().median.in(us);
  };
  CHECK(time_us("send_node", {2, 2, 65536}) == Approx(4 + 65.536 / 160));
  CHECK(time_us("swap_rail", {2, 1, 65536}) == Approx(9 + 65.536 / 45));
  CHECK(time_us("send_cross_rail", {2, 1, 8}) == Approx(12 + 0.008 / 38));
  CHECK(time_us("incast_node", {4, 4, 65536}) == Approx(4 + 0.2 + 3 * 65.536 / 160));
  CHECK(time_us("all_reduce", {8, 4, 65536}) == Approx(2 * 3 * 9 + 1.75 * 65.536 / 160));
  CHECK(time_us("all_gather", {4, 4, 65536}) == Approx(2 * 4 + 0.75 * 65.536 / 160));
  CHECK(time_us("broadcast", {2, 1, 65536}) == Approx(9 + 65.536 / 45));
  // All-to-all: 7 of 8 parts leave, 4 of them over the NIC, and 8 messages.
  CHECK(time_us("all_to_all", {8, 4, 65536}) ==
        Approx(12 + 0.7 + 65.536 / 8 * (1 / 45.0 + 3 / 38.0)));
  CHECK(time_us("pipeline_send", {2, 1, 512}) == Approx((8 * 9 + 8 * 0.512 / 45) / 8));
}

TEST_CASE("comm fake: routings other than the usual are flagged and say so", "[comm]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "points.jsonl";
  CommOptions options = small_options();
  options.only = {"alltoallv", "overlap"};
  PointResults results(h800(), path);
  run_on_fake({8, 2, quiet(), FakeFault::none}, options, kLong, results, run_line_of_test);
  results.finish();
  const PointFile file = read_points(path, scenario_folder() / "gpus");
  std::size_t plain = 0, limited = 0, skewed = 0, blocks = 0, beside = 0;
  for (const Point& p : file.points) {
    plain += p.flags.empty();
    limited += p.flags == std::vector<std::string>{"node_limit_1"};
    skewed += p.flags == std::vector<std::string>{"zipf_0.5"};
    blocks += p.flags == std::vector<std::string>{"limited_blocks"};
    beside += p.flags == std::vector<std::string>{"beside_compute"};
  }
  // Three algorithms, two directions, 1 2 4 tokens; five numbers of blocks alone and beside.
  CHECK(plain == 18);
  CHECK(blocks == 5);
  CHECK(limited == 18);
  CHECK(skewed == 18);
  CHECK(beside == 5);
  const std::string text = file_text(path);
  for (const char* key :
       {"\"rail_per_rank_bytes\":", "\"max_over_mean_rows_received\":", "\"sms\":24"})
    CHECK(text.find(key) != std::string::npos);
}

TEST_CASE("comm fake: the same seed gives the same bytes and another gives others", "[comm]") {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& name, std::uint64_t seed) {
    FakeRates rates;
    rates.seed = seed;
    CommOptions options = small_options();
    options.only = {"collectives", "overlap"};
    PointResults results(std::nullopt, folder.path() / name);
    run_on_fake({8, 2, rates, FakeFault::none}, options, kLong, results, run_line_of_test);
    results.finish();
    return file_text(folder.path() / name);
  };
  const std::string first = run("a", 1);
  CHECK(run("b", 1) == first);
  CHECK(run("c", 2) != first);
}

TEST_CASE("comm fake: compute is slowed by the blocks that communicate", "[comm]") {
  const RankMap map(2, 2);
  FakeRates rates = quiet();
  ThreadTable table(2, kLong);
  FakeFabric fabric(map, rates, FakeFault::none, table.alarm(), kLong);
  run_ranks(2, kLong, [&](ThreadTable& /*own*/, Bootstrap& bootstrap) {
    const auto transport = fabric.transport(bootstrap.rank());
    const auto world = transport->open(map.all(), 8);
    const auto from = transport->allocate(200000), to = transport->allocate(200000);
    const int other = 1 - bootstrap.rank();
    const std::vector<Message> all = {{other, 0, 200000}};
    transport->mark(Stream::compute, 0);
    transport->compute(120 * MB);                       // 100 us
    transport->exchange(*world, *from, all, *to, all);  // 4 + 20 us with 8 of 16 blocks
    transport->mark(Stream::compute, 1);
    transport->wait();
    if (bootstrap.rank() == 0)
      CHECK(transport->between(0, 1).in(us) == Approx(100 + 24 * 8.0 / 132));
  });
}

TEST_CASE("comm session: results are verified before the timing and after it", "[comm]") {
  const RankMap map(1, 1);
  CommOptions options = small_options();
  const auto run = [&](std::int64_t wrong_iteration) {
    int runs = 0;
    PointResults results(std::nullopt, {});
    results.begin_benchmark(benchmarks().front());
    ThreadTable table(1, kLong);
    FakeFabric fabric(map, quiet(), FakeFault::none, table.alarm(), kLong);
    const auto bootstrap = table.bootstrap(0);
    const auto transport = fabric.transport(0);
    RoutingCache routings;
    Session session(*bootstrap, *transport, map, options, routings, &results);
    Trial trial;
    trial.op = "send_node";
    trial.shape = {1, 1, 8};
    trial.prepare = [](std::int64_t) {};
    trial.run = [&] { ++runs; };
    trial.check = [&](std::int64_t iteration) -> std::optional<std::string> {
      if (iteration == wrong_iteration) return "wrong";
      return std::nullopt;
    };
    std::string said;
    try {
      session.run(trial);
    } catch (const std::runtime_error& error) {
      said = error.what();
    }
    return std::tuple(runs, said, results.num_points());
  };
  const std::string wrong = "send_node ranks=1 ranks_per_node=1 bytes=8: wrong";
  // Once to verify, 1 to warm up, 3 to time, once to verify.
  CHECK(run(-1) == std::tuple(6, std::string(), std::int64_t{1}));
  CHECK(run(0) == std::tuple(1, wrong, std::int64_t{0}));
  CHECK(run(1) == std::tuple(6, wrong, std::int64_t{0}));
}

TEST_CASE("comm session: quantiles are samples", "[comm]") {
  std::vector<Seconds> samples;
  for (const int value : {7, 1, 9, 3, 5, 10, 2, 8, 4, 6, 11}) samples.push_back(value * us);
  const Timing t = timing_of(samples);
  CHECK(t.median.in(us) == Approx(6));
  CHECK(t.p10->in(us) == Approx(2));
  CHECK(t.p90->in(us) == Approx(10));
  CHECK(t.repeats == 11);
}

TEST_CASE("comm payload: every word depends on who, to whom, when and where", "[comm]") {
  const PayloadKey key{1, 2, 3};
  std::vector<Word> words(64);
  fill_payload(words, key, 10);
  CHECK(words[5] == payload_word(key, 15));
  CHECK(std::set<Word>(words.begin(), words.end()).size() == words.size());
  for (const PayloadKey& other : {PayloadKey{2, 1, 3}, PayloadKey{1, 3, 3}, PayloadKey{1, 2, 4}})
    CHECK(payload_word(other, 15) != words[5]);
  CHECK_FALSE(find_mismatch(words, key, 0, "rank 1", 10));
  words[7] ^= 1;
  const std::string text = *find_mismatch(words, key, 4, "rank 1", 10);
  CHECK(text.find("rank 4: from rank 1 at byte 136: found 0x") == 0);
  // A sum that lacks one summand, or has one twice, is another.
  const std::vector<int> places = {0, 2, 5};
  Word sum = 0;
  for (const int p : places) sum += payload_word(summand(p, 1), 9);
  CHECK(sum == payload_word(sum_of(places, 1), 9));
  CHECK(sum - payload_word(summand(2, 1), 9) != payload_word(sum_of(places, 1), 9));
}
