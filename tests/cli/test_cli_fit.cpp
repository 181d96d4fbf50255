// `moesim-calibrate fit`, `transfer` and `accuracy` as their user meets them, up to a run with the
// profile that came out.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kCalibrate = "build/moesim-calibrate ";
const std::string kOnto = " --onto scenarios/profiles/h800-published.json ";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// One line that begins with the program's name.
bool is_one_line(const std::string& text) {
  return text.starts_with("moesim-calibrate: ") &&
         std::count(text.begin(), text.end(), '\n') == 1 && text.back() == '\n';
}

constexpr const char* kRun =
    R"({"schema":"moesim-points/1","kind":"synthetic","gpu":"h100","source":"A test.",)"
    R"("plan":"fewest_waves","plan_version":1})"
    "\n";

std::string cast(const std::string& bytes, const std::string& time_us) {
  return R"({"op":"cast","bytes":)" + bytes + R"(,"cold":{"median_us":)" + time_us + "}}\n";
}

std::string casts() {
  return cast("1048576", "2.7") + cast("16777216", "8.4") + cast("67108864", "26.5") +
         cast("268435456", "99");
}

}  // namespace

TEST_CASE("fit: the chain from a fake device to a simulated step") {
  const Shell shell;
  REQUIRE(
      shell(kCalibrate + "measure --device=fake --gpu h800 --suite small -o points.jsonl").code ==
      0);
  const Result fit = shell(kCalibrate + "fit points.jsonl" + kOnto + "-o mine.json");
  INFO(fit.err);
  REQUIRE(fit.code == 0);
  CHECK(fit.err.empty());
  CHECK(has(fit.out, "\n| gemm_fp8 | "));
  CHECK(has(fit.out, "\n| attention_decode | "));
  CHECK(has(fit.out, "\nNote: "));
  CHECK(has(fit.out, "are carried over from h800-published"));
  const std::string profile = read(shell.folder() / "mine.json");
  CHECK(has(profile, R"("id": "mine")"));
  CHECK(has(profile, R"("kind": "synthetic")"));
  CHECK(has(profile, R"("basis": "held_out")"));

  // The scenario beside the profile, so that the profile is found from there.
  const std::string absolute = (shell.folder() / "mine.json").string();
  const Result published = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc");
  const Result run = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc --set '/profile=\"" +
                           absolute + "\"'");
  INFO(run.err);
  REQUIRE(published.code == 0);
  REQUIRE(run.code == 0);
  CHECK(has(run.out, "mine"));
  CHECK(run.out != published.out);
}

TEST_CASE("fit: the same bytes with any number of threads, and without -o only the report") {
  const Shell shell;
  REQUIRE(shell(kCalibrate + "measure --device=fake --suite small -o p.jsonl").code == 0);
  const Result one = shell(kCalibrate + "fit p.jsonl" + kOnto + "--id x --threads 1 -o one.json");
  const Result two = shell(kCalibrate + "fit p.jsonl" + kOnto + "--id x --threads 2 -o two.json");
  REQUIRE(one.code == 0);
  REQUIRE(two.code == 0);
  CHECK(one.out == two.out);
  CHECK(read(shell.folder() / "one.json") == read(shell.folder() / "two.json"));
  const Result none = shell("mkdir empty; cd empty; ../" + kCalibrate +
                            "fit ../p.jsonl --onto "
                            "../scenarios/profiles/h800-published.json --threads 1");
  CHECK(none.code == 0);
  CHECK(none.out == one.out);
  CHECK(fs::is_empty(shell.folder() / "empty"));
}

TEST_CASE("fit: what is refused is one line, exit 2, and nothing is written") {
  const Shell shell;
  write(shell.folder() / "good.jsonl", kRun + casts());
  write(shell.folder() / "empty.jsonl", "");
  write(shell.folder() / "run.jsonl", kRun);
  write(shell.folder() / "few.jsonl", kRun + cast("1048576", "2.7"));
  write(shell.folder() / "torn.jsonl", kRun + casts() + R"({"op":"cast","by)");
  write(shell.folder() / "twice.jsonl", kRun + casts() + cast("1048576", "9"));
  std::string other = kRun;
  other.replace(other.find("h100"), 4, "h200");
  write(shell.folder() / "h200.jsonl", other + casts());
  std::string version = kRun;
  version.replace(version.find("version\":1"), 10, "version\":7");
  write(shell.folder() / "version.jsonl", version + casts());
  for (const auto& [arguments, message] : std::vector<std::pair<std::string, std::string>>{
           {"none.jsonl", "none.jsonl: "},
           {"empty.jsonl", "empty.jsonl: is empty; expected a line with \"schema\""},
           {"run.jsonl", "no point can be fitted"},
           {"few.jsonl", "few.jsonl: line 2: cast has 1 shapes; its form has 2 coefficients"},
           {"twice.jsonl",
            "twice.jsonl: line 6: cast bytes=1048576 took 2.7 us at twice.jsonl: "
            "line 2 and 9 us at twice.jsonl: line 6 (1 such shapes): measure"},
           {"good.jsonl h200.jsonl", "h200.jsonl: line 2: is of the GPU \"h200\"; the first run"},
           {"version.jsonl",
            "version.jsonl: line 2: the run was measured with kernel plans of "
            "version 7; this program's are version 1"}}) {
    const Result refused = shell(kCalibrate + "fit " + arguments + kOnto + "-o mine.json");
    INFO(arguments << ": " << refused.err);
    CHECK(refused.code == (arguments == "none.jsonl" ? refused.code : 2));
    CHECK(refused.code != 0);
    CHECK(is_one_line(refused.err));
    CHECK(has(refused.err, message));
    CHECK(refused.out.empty());
    CHECK_FALSE(fs::exists(shell.folder() / "mine.json"));
  }
  const std::string good = "fit good.jsonl -o mine.json ";
  CHECK(shell(kCalibrate + good).code == 2);  // --onto is missing
  CHECK(shell(kCalibrate + good + "--onto none.json").code != 0);
  CHECK(shell(kCalibrate + good + kOnto + "--plan widest").code == 2);
  CHECK(shell(kCalibrate + good + kOnto + "--smoothing 0").code == 2);
  CHECK(shell(kCalibrate + good + kOnto + "--threads 0").code == 2);
  CHECK_FALSE(fs::exists(shell.folder() / "mine.json"));

  const Result twice =
      shell(kCalibrate + "fit twice.jsonl" + kOnto + "--leave-out-disagreeing -o mine.json");
  CHECK(twice.code == 0);
  CHECK(has(twice.out, "2 points of cast disagree"));
  const Result torn = shell(kCalibrate + "fit torn.jsonl" + kOnto + "-o mine.json");
  CHECK(torn.code == 0);
  CHECK(has(torn.out, "Note: the last line of torn.jsonl is cut off; it is left out.\n"));
  const Result folder = shell(kCalibrate + "fit good.jsonl" + kOnto + "-o scenarios");
  CHECK(folder.code == 1);
  CHECK(is_one_line(folder.err));
  CHECK(shell(kCalibrate + "fit good.jsonl" + kOnto + "-o no/mine.json").code == 1);
}

TEST_CASE("fit: a noisy run needs its flag") {
  const Shell shell;
  // Every shape a second time, 8 % longer.
  const std::string lines = casts() + cast("1048576", "2.916") + cast("16777216", "9.072") +
                            cast("67108864", "28.62") + cast("268435456", "106.92");
  write(shell.folder() / "p.jsonl", kRun + lines);
  const Result refused = shell(kCalibrate + "fit p.jsonl" + kOnto + "-o mine.json");
  CHECK(refused.code == 2);
  CHECK(has(refused.err, "p.jsonl: line 2: cast: repeats of a shape differ by 8.0 %"));
  CHECK(has(refused.err, "too noisy to fit"));
  CHECK(is_one_line(refused.err));
  CHECK_FALSE(fs::exists(shell.folder() / "mine.json"));
  const Result fitted = shell(kCalibrate + "fit p.jsonl" + kOnto + "--allow-noisy -o mine.json");
  CHECK(fitted.code == 0);
  CHECK(has(fitted.out, "a noisy run, fitted all the same"));

  // A device that noisy moves its sentinels: none of its points is fitted, with the flag or
  // without.
  REQUIRE(shell(kCalibrate + "measure --device=fake --suite small --only cast --fake-fault noisy " +
                "-o q.jsonl")
              .code == 3);
  const Result drifted = shell(kCalibrate + "fit q.jsonl" + kOnto + "--allow-noisy -o q.json");
  CHECK(drifted.code == 2);
  CHECK(has(drifted.err, "no point can be fitted; 7 points are flagged \"drift\""));
}

TEST_CASE("fit: a profile is extended under its own id") {
  const Shell shell;
  write(shell.folder() / "casts.jsonl", kRun + casts());
  REQUIRE(shell(kCalibrate + "fit casts.jsonl" + kOnto + "-o mine.json").code == 0);
  REQUIRE(shell(kCalibrate + "measure --device=fake --only rope -o rope.jsonl").code == 0);
  REQUIRE(shell(kCalibrate + "fit rope.jsonl --onto mine.json -o mine.json").code == 0);
  const std::string profile = read(shell.folder() / "mine.json");
  CHECK(has(profile, R"("source": "A test.")"));
  CHECK_FALSE(has(profile, "Carried over from mine"));
  CHECK(has(profile, "Carried over from h800-published"));
}

TEST_CASE("transfer: a derived profile, and what is refused") {
  const Shell shell;
  const std::string from = kCalibrate + "transfer scenarios/profiles/h800-published.json ";
  const Result done = shell(from + "--gpu h200 -o h200.json");
  REQUIRE(done.code == 0);
  CHECK(done.out == "wrote h200.json: h800-published-on-H200, derived from h800-published\n");
  const std::string profile = read(shell.folder() / "h200.json");
  CHECK(has(profile, R"("kind": "derived")"));
  CHECK(has(profile, R"("derived_from": "h800-published")"));
  CHECK(has(profile, "nothing was measured on the H200"));
  const Result run = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc --set '/profile=\"" +
                           (shell.folder() / "h200.json").string() + "\"'");
  CHECK(has(run.out,
            "> Warning: profile h800-published-on-H200 was derived from h800-published, not "
            "measured: rates are carried over by datasheet ratios"));
  // It can be carried further, and names where it began.
  const Result further = shell(kCalibrate + "transfer h200.json --gpu h20 -o h20.json");
  CHECK(further.code == 0);
  CHECK(has(read(shell.folder() / "h20.json"), R"("derived_from": "h800-published")"));

  const Result unknown = shell(from + "--gpu h88 -o x.json");
  CHECK(unknown.code == 2);
  CHECK(is_one_line(unknown.err));
  CHECK(has(unknown.err, "--gpu h88: no file "));
  const Result same = shell(from + "--gpu h800 -o x.json");
  CHECK(same.code == 2);
  CHECK(has(same.err, "h800-published.json: is a profile of the H800 already"));
  CHECK(shell(from + "--gpu h200").code == 2);
  CHECK_FALSE(fs::exists(shell.folder() / "x.json"));
}

TEST_CASE("accuracy: without tables all is skipped, and a folder has to be there") {
  const Shell shell;
  const Result skipped = shell("mkdir empty; " + kCalibrate + "accuracy empty");
  CHECK(skipped.code == 0);
  CHECK(has(skipped.out, "skipped: the table is not there"));
  CHECK(has(skipped.out, "\nRows that miss what was asked: 0.\n"));
  const Result none = shell(kCalibrate + "accuracy none");
  CHECK(none.code == 2);
  CHECK(none.err == "moesim-calibrate: none: is not a folder\n");
  // A table of one row: too little to fit, which is said by file and line.
  write(shell.folder() / "empty" / "h100_quant_fp8.csv", "nonsense\n1\n");
  const Result bad = shell(kCalibrate + "accuracy empty");
  CHECK(bad.code == 2);
  CHECK(is_one_line(bad.err));
  CHECK(has(bad.err, "h100_quant_fp8.csv"));
}

TEST_CASE("accuracy: exit code 3 when a row misses its bar") {
  const Shell shell;
  fs::create_directory(shell.folder() / "tables");
  // Made up, in the format of the table: every third time is twice too long.
  std::string rows = "m,k,n,latency_us\n";
  int i = 0;
  for (const int m : {64, 128, 256, 512, 1024, 4096})
    for (const int n : {2112, 4096, 7168, 24576}) {
      const double us = 10 + 2e6 * m * n * 7168.0 / 1.2e15;
      rows += std::to_string(m) + ",7168," + std::to_string(n) + "," +
              std::to_string(++i % 3 == 0 ? 2 * us : us) + "\n";
    }
  write(shell.folder() / "tables" / "h800_gemm_fp8.csv", rows);
  const Result missed = shell(kCalibrate + "accuracy tables --threads 2");
  INFO(missed.out << missed.err);
  CHECK(missed.code == 3);
  CHECK(has(missed.out, "| FP8 GEMM, H800 (InferSim, DeepGEMM) | 24 | m | "));
  CHECK(has(missed.out, "5.0 / 20.0, missed |"));
  CHECK(has(missed.out, "\nRows that miss what was asked: 1.\n"));
  CHECK(missed.out == shell(kCalibrate + "accuracy tables --threads 1").out);
}

}  // namespace moesim::cli
