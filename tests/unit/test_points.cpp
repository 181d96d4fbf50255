// Files of points: what is written is read back, what is wrong is refused by line, and a file that
// was cut off anywhere can be carried on with.
#include "calibrate/point.hpp"
#include "model/line_reader.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {
namespace {

const std::string kRun =
    R"({"schema":"moesim-points/1","kind":"measured","gpu":"h100","source":"a test"})"
    "\n";
const std::string kPoint =
    R"({"op":"gemm_fp8","m":128,"n":4096,"k":7168,"cold":{"median_us":20.5,"repeats":10}})"
    "\n";

PointFile read(const std::filesystem::path& path) {
  return read_points(path, scenario_folder() / "gpus");
}

// The message with which a file of this text is refused, less the folder.
std::string refused(const std::string& text) {
  const TemporaryFolder folder;
  const auto path = folder.add_file("p.jsonl", text);
  const std::string message = refusal([&] { read(path); });
  const std::string prefix = folder.path().string() + "/";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

// The same for a point that ends in `rest`.
std::string refused_point(const std::string& rest) {
  return refused(kRun + R"({"op":"gemm_fp8","m":128,"n":4096,"k":7168,)" + rest + "}\n");
}

// The message with which the system refuses `action`.
template <class Action>
std::string system_refusal(Action action) {
  try {
    action();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("points: a point is written as it is read") {
  const TemporaryFolder folder;
  const std::string lines =
      R"({"schema":"moesim-points/1","kind":"synthetic","gpu":"h800","source":"x","plan":"fewest_waves","plan_version":1,"versions":{"driver":"1.2"}})"
      "\n"
      R"({"op":"grouped_gemm_fp8","groups":2,"m":5,"n":128,"k":256,"counts":[5,0],"sms":112,"beside_communication":true,"cold":{"median_us":20.5,"p10_us":20.25,"p90_us":21.0,"repeats":10},"warm":{"median_us":9.5,"repeats":20},"flags":["drift"],"check":{"rel_l2":0.002},"state":{"power_w":600.5,"throttled_by":["sw_power"]},"plan":{"bm":64},"note":"a word"})"
      "\n";
  const PointFile file = read(folder.add_file("p.jsonl", lines));
  REQUIRE(file.points.size() == 1);
  REQUIRE(file.runs.size() == 1);
  CHECK(run_line(file.runs[0]) + point_line(file.points[0]) == lines);
  CHECK(file.points[0].counts == std::vector<std::int64_t>{5, 0});
  CHECK(file.points[0].timing().median.in(us) == Approx(20.5));
}

TEST_CASE("points: evidence is kept in one order") {
  const TemporaryFolder folder;
  const PointFile file = read(folder.add_file(
      "p.jsonl",
      kRun +
          R"({"note":"n","op":"rope","bytes":32768,"plan":{"a":1},"warm":{"median_us":5},"check":{"ok":true}})"
          "\n"));
  CHECK(
      point_line(file.points.at(0)) ==
      R"({"op":"rope","bytes":32768,"warm":{"median_us":5.0,"repeats":1},"check":{"ok":true},"plan":{"a":1},"note":"n"})"
      "\n");
}

TEST_CASE("points: a later line flags the points before it") {
  const TemporaryFolder folder;
  const PointFile file =
      read(folder.add_file("p.jsonl",
                           kRun + kPoint + kPoint + kPoint + flag_line("drift", 2, "why") +
                               flag_line("drift", 1, "why") + kPoint));
  REQUIRE(file.points.size() == 4);
  CHECK(file.points[0].flags.empty());
  CHECK(file.points[1].flags == std::vector<std::string>{"drift"});
  CHECK(file.points[2].flags == std::vector<std::string>{"drift"});
  CHECK(file.points[3].flags.empty());
  CHECK(refused(kRun + kPoint + flag_line("drift", 2, "")) ==
        "p.jsonl: line 3: /window: is 2; only 1 points stand before it");
  CHECK(has(refused(kRun + kPoint + R"({"flag":"drift","window":0})" + "\n"), "/window"));
  CHECK(has(refused(kRun + kPoint + R"({"flag":"","window":1})" + "\n"), "/flag: is empty"));
}

TEST_CASE("points: impossible and missing times are refused by line") {
  for (const char* time : {"0", "-3", "3.7e9", "1e308"}) {
    const std::string message = refused_point(R"("cold":{"median_us":)" + std::string(time) + "}");
    INFO(message);
    CHECK(has(message, "p.jsonl: line 2: /cold/median_us: "));
    CHECK(has(message, "expected a time above 0"));
  }
  CHECK(has(refused_point(R"("cold":{"median_us":NaN})"), "p.jsonl: line 2"));
  CHECK(has(refused_point(R"("cold":{"median_us":"20 us"})"), "/cold/median_us"));
  CHECK(has(refused_point(R"("cold":{"median_ms":0.02})"), "median_us"));
  CHECK(refused_point(R"("sms":112)") ==
        "p.jsonl: line 2: has no time; expected \"cold\" or \"warm\"");
  CHECK(has(refused_point(R"("cold":{"median_us":20,"p10_us":21})"), "is not between"));
  CHECK(has(refused_point(R"("cold":{"median_us":20,"p90_us":19})"), "is not between"));
  // 128 x 4096 x 7168 reads 29 MB of weights: 9.2 us at the datasheet's rate.
  const std::string fast = refused_point(R"("cold":{"median_us":8})");
  CHECK(has(fast, "p.jsonl: line 2: gemm_fp8 m=128 n=4096 k=7168 took 8 us; the H100 datasheet"));
  CHECK(refused(kRun + R"({"op":"rope","bytes":64,"warm":{"median_us":0.01}})" + "\n") ==
        "p.jsonl: line 2: rope bytes=64 took 0.01 us; an empty kernel takes longer than 0.1 us, so "
        "the timer or a unit is wrong");
  // The weights may have been in the L2.
  CHECK(refused_point(R"("warm":{"median_us":8})") == "nothing was refused");
}

TEST_CASE("points: what is no point or no run is refused by line") {
  CHECK(has(refused(""), "is empty"));
  CHECK(has(refused(kPoint), "p.jsonl: line 1: expected a line with \"schema\""));
  CHECK(has(refused(R"({"schema":"moesim-points/9"})"
                    "\n"),
            "this program reads \"moesim-points/1\""));
  CHECK(has(refused(kRun + R"({"op":"gemm_fq8","m":1})"
                           "\n"),
            "did you mean \"gemm_fp8\"?"));
  CHECK(has(refused(kRun + R"({"op":"gemm_fp8","m":1,"n":2,"cold":{"median_us":9}})"
                           "\n"),
            "\"k\""));
  CHECK(has(refused_point(R"("batch":1,"cold":{"median_us":20})"), "batch"));
  CHECK(has(refused_point(R"("counts":[128],"cold":{"median_us":20})"), "only a grouped GEMM"));
  CHECK(has(
      refused(
          kRun +
          R"({"op":"grouped_gemm_fp8","groups":2,"m":5,"n":8,"k":8,"counts":[5,1],"cold":{"median_us":20}})"
          "\n"),
      "are 2 that add up to 6; expected groups=2 that add up to m=5"));
  const std::string elsewhere =
      R"({"schema":"moesim-points/1","kind":"measured","gpu":"h999","source":"a test"})"
      "\n";
  CHECK(has(refused(elsewhere), "describes \"h999\""));
  const std::string unversioned =
      R"({"schema":"moesim-points/1","kind":"measured","gpu":"h100","source":"a test","plan":"fastest"})"
      "\n";
  CHECK(has(refused(unversioned), "p.jsonl: line 1: missing key \"plan_version\""));
}

TEST_CASE("points: a torn last line is told and dropped") {
  const TemporaryFolder folder;
  const std::string whole = kRun + kPoint;
  for (const std::size_t kept : {std::size_t{1}, kPoint.size() / 2, kPoint.size() - 1}) {
    const auto path = folder.add_file("p.jsonl", whole + kPoint.substr(0, kept));
    const PointFile file = read(path);
    CHECK(file.points.size() == 1);
    REQUIRE(file.torn);
    CHECK(*file.torn == kPoint.substr(0, kept));
    PointWriter writer(path);
    CHECK(writer.dropped_torn_line());
    writer.add(kPoint);
    writer.finish();
    CHECK(file_text(path) == whole + kPoint);
  }
  // Cut off inside the very first line.
  const auto first = folder.add_file("q.jsonl", kRun.substr(0, 20));
  append_lines(first, kRun);
  CHECK(file_text(first) == kRun);
}

TEST_CASE("points: lines are in the file at once and nothing else is written over") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "new.jsonl";
  PointWriter writer(path);
  writer.add(kRun);
  CHECK(file_text(path) == kRun);
  writer.add(kPoint);
  CHECK(file_text(path) == kRun + kPoint);
  CHECK_FALSE(writer.dropped_torn_line());
  CHECK(has(system_refusal([&] { PointWriter{path}; }), "another process is writing"));
  writer.finish();
  append_lines(path, kPoint);
  CHECK(file_text(path) == kRun + kPoint + kPoint);

  for (const char* foreign : {"hello\n", "hello", "{\"schema\":\"other\"}\n"}) {
    const auto other = folder.add_file("other.txt", foreign);
    CHECK(has(refusal([&] { PointWriter{other}; }), "is not a file of points"));
    CHECK(file_text(other) == foreign);
  }
  CHECK(has(refusal([&] { PointWriter{folder.path()}; }), "is a folder"));
  CHECK_THROWS_AS(PointWriter(folder.path() / "no" / "x.jsonl"), std::runtime_error);
  PointWriter full("/dev/full");
  CHECK(has(system_refusal([&] { full.add(kRun); }), "No space left"));
}

}  // namespace moesim
