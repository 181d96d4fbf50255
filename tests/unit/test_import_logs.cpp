// Output of nccl-tests and of DeepEP's tests, in lines made up here.
#include <cstdio>

#include "calibrate/import/deepep_bytes.hpp"
#include "tests/catch.hpp"
#include "tests/import_request.hpp"

using namespace moesim;

namespace {

std::string printed(const char* format, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

std::string rank_lines(int ranks, int per_host, const std::string& gpu = "NVIDIA H100 80GB HBM3") {
  std::string text = "# Using devices\n";
  for (int r = 0; r < ranks; ++r)
    text += printed("#  Rank %2d Group  0 Pid %6d on node-%d device %2d [0x%02x] ",
                    r,
                    100 + r,
                    r / per_host,
                    r % per_host,
                    16 + r) +
            gpu + "\n";
  return text;
}

const std::string kOpening =
    "# nThread 1 nGpus 1 minBytes 1048576 maxBytes 2097152 step: 2(factor) warmup iters: 5 iters: "
    "20 "
    "agg iters: 1 validation: 1 graph: 0\n#\n";
const std::string kHeader =
    "#\n#                                        out-of-place            in-place\n"
    "#       size         count      type   redop    root     time   algbw   busbw #wrong     time "
    "  "
    "algbw   busbw #wrong\n"
    "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us) "
    " "
    "(GB/s)  (GB/s)\n";

// As the program prints it, with the in-place half twice as slow.
std::string row(double bytes, double time_us, double factor, const char* wrong = "0") {
  const double algbw = bytes / time_us / 1e3;
  return printed(
      "%12.0f  %12.0f  %8s  %6s  %6s  %7.2f  %6.2f  %6.2f  %6s  %7.2f  %6.2f  %6.2f  %6s\n",
      bytes,
      bytes / 4,
      "float",
      "sum",
      "-1",
      time_us,
      algbw,
      factor * algbw,
      wrong,
      2 * time_us,
      algbw / 2,
      factor * algbw / 2,
      wrong);
}

constexpr double kAllReduce8 = 1.75;  // 2 (n - 1) / n
const std::string kAllReduce = "# Collective test starting: all_reduce_perf\n" + kOpening +
                               rank_lines(8, 8) + kHeader + row(1048576, 32.5, kAllReduce8) +
                               row(2097152, 40, kAllReduce8) +
                               "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 50.1\n#\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string nccl_refusal(const std::string& text) {
  return TestImport("nccl-tests").file(text).refusal();
}

}  // namespace

TEST_CASE("import: nccl-tests rows out of place", "[import]") {
  const PointFile file = TestImport("nccl-tests").file(kAllReduce).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "all_reduce");
  CHECK(file.points[0].shape == Shape{8, 8, 1048576});
  CHECK(file.points[0].warm->median.in(us) == Approx(32.5));
  CHECK(file.points[1].warm->median.in(us) == Approx(40));
  CHECK(contains(run_line(file.runs[0]), "all_reduce_perf: nThread 1 nGpus 1 minBytes 1048576"));
  CHECK(contains(run_line(file.runs[0]), "mean over the program's iterations"));
}

TEST_CASE("import: nccl-tests counts ranks per host", "[import]") {
  const std::string two_nodes = replaced(kAllReduce, rank_lines(8, 8), rank_lines(8, 4));
  CHECK(TestImport("nccl-tests").file(two_nodes).points().points[0].shape == Shape{8, 4, 1048576});
  CHECK(contains(nccl_refusal(replaced(kAllReduce, rank_lines(8, 8), rank_lines(8, 5))),
                 "hosts have different numbers of ranks: 5 on node-0 and 3 on node-1"));
  CHECK(contains(nccl_refusal(replaced(kAllReduce, "Rank  7 Group", "Rank  9 Group")),
                 "lines of some ranks are missing: 8 lines, the last of rank 9"));
  CHECK(nccl_refusal(replaced(kAllReduce, "Rank  3 Group", "Rank  0 Group")) ==
        "file: line 8: rank 0 appears twice: the program ran without MPI, as several jobs of their "
        "own");
  CHECK(contains(nccl_refusal(replaced(kAllReduce, "Rank  7 Group  0", "Rank  7 Group  1")),
                 "several groups communicate at once (group 1)"));
  CHECK(contains(nccl_refusal(replaced(kAllReduce, "H100 80GB", "A100 80GB")),
                 "was measured on \" NVIDIA A100 80GB HBM3\", and --gpu names a H100"));
  CHECK(contains(TestImport("nccl-tests").set("ranks", 4).file(kAllReduce).refusal(),
                 "the file lists 8 ranks, 8 a host; --set says otherwise"));
}

TEST_CASE("import: nccl-tests without rank lines needs to be told", "[import]") {
  const std::string bare = kHeader + row(1048576, 32.5, kAllReduce8);
  CHECK(contains(nccl_refusal(bare), "expected --set ranks=N"));
  TestImport import("nccl-tests");
  import.set("ranks", 8).set("ranks_per_node", 8).file(bare);
  CHECK(contains(import.refusal(),
                 "does not name its program; expected --op with one of all_reduce"));
  import.request.options.op = "all_gather";
  CHECK(contains(import.refusal(),
                 "as for all_gather of 8 ranks: the operation, the ranks or a column is wrong"));
  import.request.options.op = "all_reduce";
  CHECK(import.points().points.size() == 1);
  import.request.options.op = "gemm_fp8";
  CHECK(contains(import.refusal(), "--op gemm_fp8: is no collective"));
}

TEST_CASE("import: nccl-tests of older versions and with debug lines between", "[import]") {
  // No "root", the largest error instead of a count, and no word for the missing reduction.
  const std::string old =
      "$ ./build/all_gather_perf -b 1M -e 1M -g 4\n# nThread 1 nGpus 4 minBytes 1048576\n" +
      rank_lines(4, 4) +
      "host:12:34 [0] NCCL INFO NET/IB : 1 2 3\n"
      "#       size    count  type  redop   time  algbw  busbw  error   time  algbw  busbw  error\n"
      "#        (B) (elements)              (us) (GB/s) (GB/s)          (us) (GB/s) (GB/s)\n"
      "host:12:34 [1] NCCL INFO Channel 00 : 0 -> 1\n"
      "     1048576   65536 float          20.0  52.43  39.32  0e+00   21.0  49.93  37.45  0e+00\n"
      "host:12:34 [1] NCCL INFO comm 0x55 rank 0 nranks 4\n"
      "     2097152  131072 float    sum   30.0  69.91  52.43  2e-07   31.0  67.65  50.74  2e-07\n";
  const PointFile file = TestImport("nccl-tests").file(old).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "all_gather");
  CHECK(file.points[0].shape == Shape{4, 4, 1048576});
  CHECK(file.points[1].timing().median.in(us) == Approx(30));
  const std::string tagged = [&] {
    std::string text = "[1,0]<stdout>:";
    for (const char c : kAllReduce)
      text += c == '\n' ? std::string("\n[1,0]<stdout>:") : std::string(1, c);
    return text;
  }();
  CHECK(TestImport("nccl-tests").file(tagged).points().points.size() == 2);
}

TEST_CASE("import: several nccl-tests in one file keep their own collective", "[import]") {
  const std::string scatter =
      replaced(replaced(replaced(kAllReduce, "all_reduce_perf", "reduce_scatter_perf"),
                        row(1048576, 32.5, kAllReduce8),
                        row(1048576, 30, 0.875)),
               row(2097152, 40, kAllReduce8),
               row(2097152, 45, 0.875));
  const PointFile file = TestImport("nccl-tests").file(kAllReduce + scatter).points();
  REQUIRE(file.points.size() == 4);
  CHECK(file.points[1].of->op == "all_reduce");
  CHECK(file.points[2].of->op == "reduce_scatter");
  // A test that is not named does not inherit the name of the one before.
  const std::string unnamed =
      replaced(scatter, "# Collective test starting: reduce_scatter_perf\n", "");
  CHECK(contains(nccl_refusal(kAllReduce + unnamed), "does not name its program"));
  CHECK(contains(nccl_refusal(replaced(kAllReduce, "all_reduce_perf", "sendrecv_perf")),
                 "there is no operation for \"sendrecv_perf\"; known: all_reduce"));
}

TEST_CASE("import: nccl-tests rows that contradict themselves are refused by line", "[import]") {
  const auto with = [&](const std::string& from, const std::string& to) {
    return nccl_refusal(replaced(kAllReduce, from, to));
  };
  const std::string second = "file: line 18: ";
  CHECK(with("40.00   52.43", "80.00   52.43") ==
        second + "algbw 52.43 GB/s is not 2097152 bytes in 80 us: a column or its unit is wrong");
  CHECK(with("52.43   91.75", "52.43   71.75") ==
        second +
            "busbw 71.75 GB/s is not 1.75 x algbw 52.43, as for all_reduce of 8 ranks: the "
            "operation, the ranks or a column is wrong");
  CHECK(with(row(2097152, 40, kAllReduce8), row(2097152, 40, kAllReduce8, "3")) ==
        second + "3 results are wrong (#wrong); the time means nothing");
  CHECK(contains(with("values : 0 OK", "values : 8 FAILED"), "line 19: the program found wrong"));
  CHECK(contains(with("(us)  (GB/s)", "(ms)  (GB/s)"), "line 16: expected times in (us)"));
  CHECK(contains(with("root     time", "root  cputime"), "line 15: the column is cputime"));
  const std::string cut = kAllReduce.substr(0, kAllReduce.find("2097152        524288") + 40);
  CHECK(contains(nccl_refusal(cut), second + "has 4 fields; expected 13 as in the header"));
  CHECK(contains(with("40.00   52.43", "4h:1:2  52.43"), second + "expected a number, found \"4h"));
  CHECK(nccl_refusal("nothing here\n") == "file: holds no measurement that can be imported");
  CHECK(contains(nccl_refusal(replaced(kAllReduce, rank_lines(8, 8), rank_lines(1, 1))),
                 "one rank alone communicates with nobody"));
  const ImportResult unchecked =
      TestImport("nccl-tests")
          .file(replaced(kAllReduce,
                         row(2097152, 40, kAllReduce8),
                         row(2097152, 40, kAllReduce8, "N/A") + row(0, 0.2, 0)))
          .run();
  REQUIRE(unchecked.remarks.size() == 2);
  CHECK(contains(unchecked.remarks[0], "1 rows of 0 bytes passed over"));
  CHECK(contains(unchecked.remarks[1], "1 rows whose results the program did not check"));
}

namespace {

TestImport deepep(std::int64_t ranks) {
  TestImport import("deepep", "h800");
  import.set("ranks", ranks).set("ranks_per_node", 8);
  return import;
}

// 128 x 8 rows of 7168 + 56 x 4 + 16 bytes at the rate of the time.
std::string low_latency_line(int rank, double dispatch_us, double combine_us) {
  const double rows = 128 * 8;
  return printed(
      "[rank %d] Dispatch bandwidth: %.2f GB/s, avg_t=%.2f us | Combine bandwidth: %.2f "
      "GB/s, avg_t=%.2f us\n",
      rank,
      rows * 7408 / dispatch_us / 1e3,
      dispatch_us,
      rows * 14336 / combine_us / 1e3,
      combine_us);
}

}  // namespace

TEST_CASE("import: DeepEP low-latency takes the slowest rank", "[import]") {
  std::string text = "[rank 0] Dispatch + combine bandwidth: 40.00 GB/s, avg_t=500.00 us\n";
  for (int r = 0; r < 16; ++r) text += low_latency_line(r, 118 + r % 5, 195 + r % 3);
  TestImport import = deepep(16);
  import.set("tokens", 128).set("hidden", 7168).set("topk", 8).file(text);
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "combine_low_latency");
  CHECK(file.points[0].timing().median.in(us) == Approx(197));
  CHECK(file.points[1].of->op == "dispatch_low_latency");
  CHECK(file.points[1].shape == Shape{16, 8, 128, 7168, 8});
  CHECK(file.points[1].timing().median.in(us) == Approx(122));
  CHECK(contains(
      deepep(32).set("tokens", 128).set("hidden", 7168).set("topk", 8).file(text).refusal(),
      "has results of 16 of 32 ranks; the slowest may be missing"));
  CHECK(contains(import.set("topk", 6).refusal(),
                 "file: line 2: dispatch_low_latency moved 7586220 bytes by its rate and time; 768 "
                 "rows (tokens x topk) are 5689344"));
  CHECK(contains(deepep(16).file(text).refusal(),
                 "does not say its hidden; expected --set hidden=N"));
  // The test leaves out up to ten of the 1024 choices, no more.
  const auto with_rows = [&](double rows) {
    return printed(
        "[rank 0] Dispatch bandwidth: %.2f GB/s, avg_t=118.00 us | Combine bandwidth: "
        "%.2f GB/s, avg_t=195.00 us\n",
        rows * 7408 / 118e3,
        rows * 14336 / 195e3);
  };
  const auto one_rank = [&](double rows) {
    TestImport alone("deepep", "h800");
    alone.set("ranks", 1).set("ranks_per_node", 8).set("tokens", 128).set("hidden", 7168);
    return alone.set("topk", 8).file(with_rows(rows)).refusal();
  };
  CHECK(one_rank(1014) == "nothing was refused");
  CHECK(contains(one_rank(950), "one of tokens, topk, hidden or a unit is wrong"));
  std::string mixed = text;
  mixed.replace(mixed.find("\n[rank 2]"), 1, "");
  CHECK(contains(
      deepep(16).set("tokens", 128).set("hidden", 7168).set("topk", 8).file(mixed).refusal(),
      "line 3: two ranks wrote into this line"));
}

TEST_CASE("import: DeepEP normal in the layouts of its versions", "[import]") {
  const std::string config =
      "[config] num_tokens=4096, hidden=7168, num_topk_groups=4, num_topk=8\n";
  const auto times = [&](const std::string& line) {
    std::string text;
    for (const Point& p : deepep(32).file(config + line).points().points)
      text += std::string(p.of->op) + " " + std::to_string(p.sms) + " " +
              std::to_string(p.timing().median.in(us)) + " ";
    return text;
  };
  CHECK(
      times(
          "[tuning] Best dispatch (FP8): SMs 24, NVL chunk 20, RDMA chunk 28: 30 + 1200 us, 58.00 "
          "GB/s (RDMA), 130.00 GB/s (NVL)\n") == "dispatch 24 1230.000000 ");
  CHECK(times("[tuning] Best combine: SMs 20, NVL chunk 4, RDMA chunk 16, transmit: 2300.50 us, "
              "notify: "
              "40.25 us, BW: 57.00 GB/s (RDMA), 120.00 GB/s (NVL)\n") == "combine 20 2340.750000 ");
  // Two lines of one configuration: the slower.
  const std::string line =
      "[tuning] Best combine: SMs 20, NVL chunk 4, RDMA chunk 16: 2300 us, 57.00 "
      "GB/s (RDMA), 120.00 GB/s (NVL)\n";
  CHECK(times(line + replaced(line, "2300", "2400")) == "combine 20 2400.000000 ");
  CHECK(contains(deepep(32).file(config + line + line).run().remarks.at(0),
                 "the slowest of 2 lines of combine on 20 SMs"));
  CHECK(contains(deepep(8).file(config + line).refusal(),
                 "line 2: has an RDMA rate, but --set says one node"));
  CHECK(contains(deepep(32).set("topk", 6).file(config + line).refusal(),
                 "line 1: says topk=8; --set says 6"));
  TestImport bf16 = deepep(32);
  bf16.file(config + line +
            "[tuning] Best dispatch (BF16): SMs 20, NVL chunk 4, RDMA chunk 8: 9 us\n");
  CHECK(contains(bf16.run().remarks.at(0), "1 results of BF16 dispatch passed over"));
}

TEST_CASE("import: a DeepEP rate alone becomes a time by its logical bytes", "[import]") {
  // One node of 8: a token's 8 of 256 experts lie on 8 (1 - C(224,8)/C(256,8)) = 5.30 ranks.
  const Visits one_node = expected_visits({256, 8, 1, 8, 1}, "f");
  CHECK(one_node.ranks == Approx(5.3047).epsilon(0.005));
  CHECK(one_node.nodes == 1);
  const Visits limited = expected_visits({256, 64, 8, 8, 4}, "f");
  CHECK(limited.nodes > 3.8);
  CHECK(limited.nodes <= 4);
  CHECK(limited.ranks > limited.nodes);
  const std::string text =
      "[config] num_tokens=4096, hidden=7168, num_topk=8\n"
      "[tuning] Best dispatch (FP8): SMs 24, NVL chunk 8, 153.00 GB/s (NVL)\n";
  CHECK(contains(deepep(8).file(text).refusal(),
                 "does not say its experts; expected --set experts=N"));
  const TestImport import = deepep(8).set("experts", 256).file(text);
  CHECK(import.points().points.at(0).timing().median.in(us) ==
        Approx(4096 * 5.3047 * 7392 / 153e3).epsilon(0.005));
  // With a time as well, the two are compared.
  const std::string both = replaced(text, "(NVL)", "(NVL), t: 1049.00 us");
  CHECK(deepep(8).set("experts", 256).file(both).points().points.at(0).timing().median.in(us) ==
        Approx(1049));
  CHECK(contains(deepep(8).set("experts", 256).file(replaced(both, "1049", "1349")).refusal(),
                 "line 2: took 1349 us; its rate means 10"));
  CHECK(contains(deepep(8).set("experts", 100).file(text).refusal(),
                 "100 experts (--set experts) do not divide among 8 ranks"));
}
