// moesim-calibrate import as its user meets it: what is printed, what is in the file, and one line
// with nothing written for all that is wrong.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kHead = "build/moesim-calibrate import ";
const std::string kTail = " --gpu h100 --source 'a test' -o points.jsonl";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void write_table(const Shell& shell, const std::string& rows) {
  write(shell.folder() / "gemm.csv", "m,n,k,latency_us\n" + rows);
}

}  // namespace

TEST_CASE("import appends points and says so") {
  const Shell shell;
  write_table(shell, "64,512,512,9\n128,512,512,10\n");
  const Result first = shell(kHead + "infersim gemm.csv" + kTail);
  CHECK(first.code == 0);
  CHECK(first.err.empty());
  CHECK(
      first.out ==
      "imported 2 points of gemm_fp8 (m 64..128, n 512, k 512) from gemm.csv into points.jsonl\n");
  const std::string points = read(shell.folder() / "points.jsonl");
  CHECK(contains(points, R"({"schema":"moesim-points/1","kind":"published","gpu":"h100",)"));
  CHECK(contains(points, R"("file":"gemm.csv")"));
  CHECK(contains(points, R"({"op":"gemm_fp8","m":64,"n":512,"k":512,"cold":{"median_us":9)"));

  const Result again = shell(kHead + "infersim gemm.csv" + kTail);
  CHECK(again.code == 2);
  CHECK(again.err ==
        "moesim-calibrate: gemm.csv: was imported before, with the same options: its points would "
        "count twice\n");
  CHECK(read(shell.folder() / "points.jsonl") == points);
  CHECK(shell(kHead + "infersim gemm.csv --kind measured --note 'second day'" + kTail).code == 0);
  const std::string both = read(shell.folder() / "points.jsonl");
  CHECK(both.substr(0, points.size()) == points);  // appended, nothing touched
  CHECK(contains(both.substr(points.size()), R"("kind":"measured")"));
  CHECK(contains(both.substr(points.size()), R"("note":"second day")"));
}

TEST_CASE("import writes nothing when one file of several is refused") {
  const Shell shell;
  write_table(shell, "64,512,512,9\n");
  write(shell.folder() / "bad.csv", "m,n,k,latency_us\n64,512,512,9\n64,512,512,x\n");
  const Result result = shell(kHead + "infersim gemm.csv bad.csv" + kTail);
  CHECK(result.code == 2);
  CHECK(result.out.empty());
  CHECK(result.err ==
        "moesim-calibrate: bad.csv: line 3: column \"latency_us\": expected a number, found "
        "\"x\"\n");
  CHECK_FALSE(fs::exists(shell.folder() / "points.jsonl"));
}

TEST_CASE("import names each impossible point that it leaves out") {
  const Shell shell;
  write_table(shell, "64,512,512,9\n8192,8192,8192,100\n");
  const Result refused = shell(kHead + "infersim gemm.csv" + kTail);
  CHECK(refused.code == 2);
  CHECK(contains(refused.err, "gemm.csv: line 3: gemm_fp8 m=8192 n=8192 k=8192 took 100 us"));
  CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
  CHECK_FALSE(fs::exists(shell.folder() / "points.jsonl"));
  const Result dropped = shell(kHead + "infersim gemm.csv --drop-impossible" + kTail);
  CHECK(dropped.code == 0);
  CHECK(contains(dropped.err, "moesim-calibrate: left out: gemm.csv: line 3: gemm_fp8"));
  CHECK(contains(dropped.out, "imported 1 point of gemm_fp8"));
  CHECK(contains(dropped.out, "gemm.csv: 1 impossible point left out\n"));
}

TEST_CASE("import refuses options and files with one line") {
  const Shell shell;
  write_table(shell, "64,512,512,9\n");
  write(shell.folder() / "other.jsonl", "{\"a\":1}\n");
  const auto refused = [&](const std::string& command) {
    const Result result = shell(command);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    return result.err;
  };
  CHECK(refused(kHead + "infrasim gemm.csv" + kTail) ==
        "moesim-calibrate: FORMAT: unknown key \"infrasim\"; did you mean \"infersim\"?\n");
  CHECK(contains(refused(kHead + "infersim none.csv" + kTail),
                 "none.csv: cannot be read: no such file"));
  CHECK(contains(refused(kHead + "infersim gemm.csv --set heads" + kTail), "expected NAME=VALUE"));
  CHECK(contains(refused(kHead + "infersim gemm.csv --set heads=0" + kTail), "expected a count"));
  CHECK(contains(refused(kHead + "infersim gemm.csv --heads 8 --set heads=16" + kTail),
                 "--set heads=8: was 16 before"));
  CHECK(contains(refused(kHead + "infersim gemm.csv --only x=1" + kTail), "has no such column"));
  CHECK(contains(refused(kHead + "infersim gemm.csv --gpu h100 --source a -o other.jsonl"),
                 "other.jsonl: is not a file of points"));
  CHECK(read(shell.folder() / "other.jsonl") == "{\"a\":1}\n");
  CHECK(contains(refused(kHead + "infersim gemm.csv --gpu h100 --source a -o ."),
                 "cannot be read: it is a directory"));
  const Result world =
      shell(kHead + "infersim gemm.csv --gpu h100 --source a -o missing/points.jsonl");
  CHECK(world.code == 1);
  CHECK(contains(world.err, "missing/points.jsonl: No such file or directory"));
  CHECK(shell(kHead + "infersim gemm.csv --gpu h100 -o points.jsonl").code == 2);  // no source
  CHECK(shell(kHead + "--help").code == 0);
  for (const char* format : {"infersim", "aiconfigurator", "nccl-tests", "deepep", "trace"})
    CHECK(contains(shell(kHead + "--help").out, format));
}

TEST_CASE("import reads a trace by its mapping") {
  const Shell shell;
  write(shell.folder() / "trace.json",
        R"json({"traceEvents": [
  {"cat": "kernel", "name": "void cast(float*)", "ts": 1, "dur": 4, "args": {"grid": [8, 1, 1]}},
  {"cat": "kernel", "name": "void cast(float*)", "ts": 9, "dur": 6, "args": {"grid": [8, 1, 1]}},
  {"cat": "kernel", "name": "void other()", "ts": 20, "dur": 30}]})json");
  write(shell.folder() / "mapping.json",
        R"json([ // one line an operation
  {"kernel": "cast", "grid": [8, 1, 1], "op": "cast", "shape": {"bytes": 3100000}}])json");
  const Result result = shell(kHead + "trace trace.json --map mapping.json" + kTail);
  CHECK(result.code == 0);
  CHECK(contains(result.out, "imported 1 point of cast (bytes 3100000) from trace.json"));
  CHECK(contains(result.out, "1 of 3 kernels are not mapped, 30 of 40 us; the largest:\n"));
  CHECK(contains(result.out, "30 us in 1 calls: void other()\n"));
  CHECK(contains(read(shell.folder() / "points.jsonl"),
                 R"("warm":{"median_us":5.0,"p10_us":4.0,"p90_us":6.0,"repeats":2})"));
}

}  // namespace moesim::cli
