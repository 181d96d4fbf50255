// `moesim-calibrate measure` as its user meets it, on the fake device.
#include <algorithm>

#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kMeasure = "build/moesim-calibrate measure --device=fake ";
const std::string kSmall = kMeasure + "--suite small -o p.jsonl ";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Lines of points, sentinels left out, sorted.
std::vector<std::string> points(const fs::path& path) {
  std::vector<std::string> lines;
  std::istringstream text(read(path));
  for (std::string line; std::getline(text, line);)
    if (!has(line, "\"schema\"") && !has(line, "\"sentinel\"")) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

TEST_CASE("measure: the list says how much there is to do") {
  const Shell shell;
  const Result all = shell(kMeasure + "--list");
  REQUIRE(all.code == 0);
  CHECK(all.err.empty());
  CHECK(has(all.out, "| operation | core calls | all calls | estimated s |\n"));
  CHECK(has(all.out, "| gemm_fp8 | 84 | 1124 |"));
  const Result some = shell(kMeasure + "--list --only cast,rope --suite small");
  CHECK(has(some.out, "| cast | 7 | 7 |"));
  CHECK(has(some.out, "| all | 14 | 14 |"));
  CHECK_FALSE(has(some.out, "gemm"));
}

TEST_CASE("measure: two runs write the same bytes and name no day and no place") {
  const Shell shell;
  const Result first = shell(kSmall);
  REQUIRE(first.code == 0);
  CHECK(first.err.empty());
  CHECK(has(first.out, "measured 480 points in "));
  CHECK(has(first.out, "; 0 of them flagged\n"));
  const std::string text = read(shell.folder() / "p.jsonl");
  REQUIRE(shell("mv p.jsonl q.jsonl; " + kSmall).code == 0);
  CHECK(read(shell.folder() / "p.jsonl") == text);
  const std::string run = text.substr(0, text.find('\n'));
  CHECK(has(run, R"("kind":"synthetic","gpu":"h100")"));
  CHECK(has(run, R"("plan":"fewest_waves","plan_version":)"));
  CHECK(has(run, R"("stat":"median")"));
  CHECK_FALSE(has(run, "date"));
  CHECK_FALSE(has(run, "host"));
  REQUIRE(shell("rm p.jsonl; " + kSmall + "--seed 2").code == 0);
  CHECK(read(shell.folder() / "p.jsonl") != text);
}

TEST_CASE("measure: a file that exists is carried on with, when asked to") {
  const Shell shell;
  REQUIRE(shell(kSmall + "--budget-s 2").code == 0);
  const std::string before = read(shell.folder() / "p.jsonl");
  const Result refused = shell(kSmall);
  CHECK(refused.code == 2);
  CHECK(refused.err == "moesim-calibrate: p.jsonl: exists; --resume carries on with it\n");
  CHECK(read(shell.folder() / "p.jsonl") == before);

  const Result rest = shell(kSmall + "--resume");
  CHECK(rest.code == 0);
  CHECK(has(rest.out, " points were there already\n"));
  CHECK(read(shell.folder() / "p.jsonl").starts_with(before));
  REQUIRE(shell(kMeasure + "--suite small -o whole.jsonl").code == 0);
  CHECK(points(shell.folder() / "p.jsonl") == points(shell.folder() / "whole.jsonl"));
}

TEST_CASE("measure: killed at any moment it leaves what can be carried on with") {
  const Shell shell;
  REQUIRE(shell(kMeasure + "-o whole.jsonl").code == 0);
  const std::vector<std::string> whole = points(shell.folder() / "whole.jsonl");
  for (const char* seconds : {"0.01", "0.03", "0.1", "0.2", "0.3"}) {
    shell("timeout -s KILL " + std::string(seconds) + " " + kMeasure + "--resume -o p.jsonl; true");
    INFO("killed after " << seconds << " s");
    const fs::path file = shell.folder() / "p.jsonl";
    if (fs::exists(file) && fs::file_size(file) > 0) {
      CHECK(read(file).back() == '\n');
    }
  }
  const Result rest = shell(kMeasure + "--resume -o p.jsonl");
  CHECK(rest.code == 0);
  CHECK(rest.err.empty());
  CHECK(points(shell.folder() / "p.jsonl") == whole);

  // In the middle of a line, by a limit on the size of files.
  for (const char* blocks : {"40", "300", "600"}) {
    shell("(ulimit -c 0; ulimit -f " + std::string(blocks) + "; " + kMeasure +
          "--resume -o torn.jsonl); true");
    INFO("killed after " << blocks << " blocks");
    CHECK(read(shell.folder() / "torn.jsonl").back() != '\n');
  }
  const Result mended = shell(kMeasure + "--resume -o torn.jsonl");
  CHECK(mended.code == 0);
  CHECK(has(mended.err, "torn.jsonl: its last line ended in the middle and was dropped"));
  CHECK(points(shell.folder() / "torn.jsonl") == whole);
}

TEST_CASE("measure: a torn last line is dropped and said") {
  const Shell shell;
  REQUIRE(shell(kSmall + "--only rope").code == 0);
  const std::string text = read(shell.folder() / "p.jsonl");
  write(shell.folder() / "p.jsonl", text.substr(0, text.size() - 20));
  const Result rest = shell(kSmall + "--only rope --resume");
  CHECK(rest.code == 0);
  CHECK(rest.err ==
        "moesim-calibrate: p.jsonl: its last line ended in the middle and was dropped\n");
}

TEST_CASE("measure: faults of the device have names and exit codes") {
  const Shell shell;
  const Result wrong = shell(kSmall + "--fake-fault wrong=cast");
  CHECK(wrong.code == 1);
  CHECK(wrong.err.starts_with("moesim-calibrate: cast is wrong and was not timed: codes of cast "));
  CHECK_FALSE(has(read(shell.folder() / "p.jsonl"), "\"op\":\"cast\""));
  CHECK(has(read(shell.folder() / "p.jsonl"), "\"op\":\"cast_transpose\""));

  const Result nothing = shell(kMeasure + "--only cast --fake-fault wrong=cast -o n.jsonl");
  CHECK(nothing.code == 1);
  CHECK_FALSE(fs::exists(shell.folder() / "n.jsonl"));

  const Result noisy = shell(kMeasure + "--suite small -o y.jsonl --fake-fault noisy");
  CHECK(noisy.code == 3);
  CHECK(has(noisy.err, "moesim-calibrate: too noisy to fit: "));

  const Result lost = shell(kMeasure + "--suite small -o l.jsonl --fake-fault dies=20");
  CHECK(lost.code == 1);
  CHECK(lost.err ==
        "moesim-calibrate: the fake device was lost, as --fake-fault dies asked; what was measured "
        "before is in l.jsonl, and --resume carries on\n");
  CHECK(points(shell.folder() / "l.jsonl").size() == 15);  // and five sentinels

  const Result throttled = shell(kMeasure + "--only rope -o t.jsonl --fake-fault throttled");
  CHECK(throttled.code == 0);
  CHECK(has(throttled.out, "; 21 of them flagged\n"));
}

TEST_CASE("measure: what the user or the system gets wrong") {
  const Shell shell;
  const Result cuda =
      shell("build/moesim-calibrate measure --device=cuda --only cast --budget-s 1 -o c.jsonl");
  // Where there is a GPU, the command is right and measures: that is not for this test to wait for.
  if (!fs::exists("/dev/nvidiactl")) {
    CHECK(cuda.code == 1);
    const bool built_with_cuda = has(cuda.err, "moesim-calibrate: this machine has no GPU that");
    CHECK((built_with_cuda || has(cuda.err, "moesim-calibrate: this build has no CUDA device")));
    CHECK(has(cuda.err, "; --device=fake needs none\n"));
    CHECK(std::count(cuda.err.begin(), cuda.err.end(), '\n') == 1);
  }
  CHECK(shell("build/moesim-calibrate measure -o p.jsonl").code == 2);
  const Result library = shell(kMeasure + "--routes library -o p.jsonl");
  CHECK(library.code == 2);
  CHECK(library.err ==
        "moesim-calibrate: --routes: is \"library\", which the fake device has none of; expected "
        "own\n");
  for (const auto& [options, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "-o: is missing; expected the file that points are written to"},
           {"--only cats -o p.jsonl", "--only: \"cats\" is no operation; expected some of"},
           {"--gpu h88 -o p.jsonl", "--gpu: \"h88\" is no GPU; expected one of a100-80, b200"},
           {"--fake-fault x -o p.jsonl", "--fake-fault x: expected wrong=OP"},
           {"--suite tiny -o p.jsonl", "--suite: tiny not in {"},
           {"--budget-s 0 -o p.jsonl", "--budget-s: "},
           {"--fake-noise 2 -o p.jsonl", "--fake-noise: "},
           {"-o scenarios", "scenarios: is a folder; expected a file"}}) {
    const Result refused = shell(kMeasure + options);
    INFO(options << ": " << refused.err);
    CHECK(refused.code == 2);
    CHECK(has(refused.err, message));
  }
  CHECK_FALSE(fs::exists(shell.folder() / "p.jsonl"));
  write(shell.folder() / "other.txt", "mine\n");
  const Result foreign = shell(kMeasure + "--resume -o other.txt");
  CHECK(foreign.code == 2);
  CHECK(has(foreign.err, "other.txt: is not a file of points"));
  CHECK(read(shell.folder() / "other.txt") == "mine\n");
  const Result full = shell(kMeasure + "-o /dev/full");
  CHECK(full.code == 1);
  CHECK(has(full.err, "/dev/full: No space left on device"));
  CHECK(shell(kMeasure + "-o no/p.jsonl").code == 1);
}

TEST_CASE("check: the fake device is right, unless it was told not to be") {
  const Shell shell;
  const std::string check = "build/moesim-calibrate check --device=fake --only cast,gemm_fp8 ";
  const Result right = shell(check);
  CHECK(right.code == 0);
  CHECK(right.err.empty());
  CHECK(has(right.out, "\n7 checks, 0 wrong\n"));
  const Result wrong = shell(check + "--fake-fault wrong=cast");
  CHECK(wrong.code == 1);
  CHECK(has(wrong.out, "\n7 checks, 2 wrong\n"));
  CHECK(has(wrong.err, "moesim-calibrate: codes of cast bytes="));
  CHECK(shell("build/moesim-calibrate check --device=fake --only cats").code == 2);
}

TEST_CASE("check-step: a layer on the fake device and as a profile predicts it") {
  const Shell shell;
  const Result step = shell(
      "build/moesim-calibrate check-step --device=fake --profile "
      "scenarios/profiles/synthetic.json");
  CHECK(step.code == 0);
  CHECK(has(step.out, "| o_proj | gemm_fp8 | m=4096 n=7168 k=16384 | "));
  CHECK(has(step.out, "| the same in one stream | "));
  CHECK(shell("build/moesim-calibrate check-step --device=fake").code == 2);
  CHECK(shell("build/moesim-calibrate check-step --device=fake --profile no.json").code == 2);
}

TEST_CASE("measure: moesim calibrate hands every word on") {
  const Shell shell;
  const Result list = shell("build/moesim calibrate measure --device=fake --list --only cast");
  CHECK(list.code == 0);
  CHECK(list.out == shell(kMeasure + "--list --only cast").out);
  const Result help = shell("build/moesim calibrate measure --help");
  CHECK(help.code == 0);
  CHECK(has(help.out, "--fake-fault"));
  CHECK(shell("build/moesim calibrate measure --device=fake --only cast").code == 2);  // no -o
  CHECK(shell("build/moesim calibrate run").code == 2);

  // A copy of moesim with nothing beside it.
  const Result alone =
      shell("mkdir alone; cp build/moesim alone/; PATH=/nowhere alone/moesim calibrate cases");
  CHECK(alone.code == 1);
  CHECK(alone.err == "moesim: moesim-calibrate: found neither beside moesim nor on PATH\n");
  const Result on_path = shell("PATH=$PWD/build alone/moesim calibrate cases");
  CHECK(on_path.code == 0);
}

}  // namespace moesim::cli
