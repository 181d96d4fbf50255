// A sweep of a small scenario: which points there are, that they are what a run would say, and that
// neither threads nor interruptions nor shards can be seen in the result file.
#include <random>

#include "model/json_writer.hpp"
#include "reports/result.hpp"
#include "reports/sweep/merge_sweep.hpp"
#include "reports/sweep/run_sweep.hpp"
#include "reports/sweep/slurm_job.hpp"
#include "reports/sweep/sweep_report.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/small_scenario.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

// The small scenario in a folder of its own.
class SweptFolder {
 public:
  explicit SweptFolder(const std::string& nic_bandwidth = "50 GB/s") {
    Texts texts = small_scenario();
    replace_once(texts.at("cluster.json"), "50 GB/s", nic_bandwidth);
    for (const auto& [name, text] : texts) folder_.add_file(name, text);
  }
  fs::path path() const { return folder_.path(); }
  fs::path scenario() const { return path() / "scenario.json"; }

  SweepRequest request(const std::vector<std::string>& axes,
                       const std::vector<std::string>& conditions = {}) const {
    SweepRequest request;
    request.scenario = scenario();
    for (const std::string& axis : axes) request.axes.push_back(parse_axis(axis));
    for (const std::string& condition : conditions) request.conditions.emplace_back(condition);
    request.main_phase_only = true;
    return request;
  }

 private:
  TemporaryFolder folder_;
};

// 4 x 3 points. Of ep 3, which does not divide the ranks of a stage, and of 0 SMs for communication
// none can be run.
const std::vector<std::string> kAxes = {"/plan/ep=2,4,8,3", "/plan/comm_sms=0..20:10"};

std::string run_to(SweepPoints& points, const fs::path& path, int threads, SweepShard shard = {}) {
  SweepFile file(path, points.header(shard));
  SweepOptions options;
  options.num_threads = threads;
  options.shard = shard;
  run_sweep(points, &file, options);
  return file_text(path);
}

std::string told(const std::function<void()>& action, const fs::path& folder) {
  return without(refusal(action), folder.string() + "/");
}

}  // namespace

TEST_CASE("sweep: points are the combinations for which the conditions hold", "[sweep]") {
  const SweptFolder folder;
  SweepPoints all(folder.request({"/plan/pp=1,2", "/plan/dp=16,8,4; /plan/ep=16,8,4"}));
  CHECK(all.size() == 6);
  CHECK(all.fields() == std::vector<std::string>{"/plan/pp", "/plan/dp", "/plan/ep"});
  std::string order;
  for (std::size_t i = 0; i < all.size(); ++i)
    for (const auto& [pointer, value] : all.varied(i)) order += canonical_text(value) + " ";
  CHECK(order == "1 16 16 1 8 8 1 4 4 2 16 16 2 8 8 2 4 4 ");

  // Of varied fields, of those of the scenario, of what stands below a field that varies.
  SweepPoints some(
      folder.request({"/plan/pp=1,2", "/plan/dp=16,8,4"},
                     {"/plan/pp * /plan/dp == /cluster/num_nodes * /cluster/gpus_per_node"}));
  REQUIRE(some.size() == 2);
  CHECK(some.num_combinations() == 6);
  CHECK(some.varied(1)[0].second.integer == 2);
  CHECK(some.varied(1)[1].second.integer == 8);
  SweepPoints below(folder.request({R"(/routing/popularity={"kind":"uniform"},)"
                                    R"({"kind":"dirichlet","cv":0.5},{"kind":"dirichlet","cv":2})"},
                                   {"/routing/popularity/kind == \"dirichlet\""}));
  CHECK(below.size() == 2);
}

TEST_CASE("sweep: an id is the point's content", "[sweep]") {
  const SweptFolder folder, same, other("51 GB/s");
  SweepPoints a(folder.request({"/plan/ep=4,8", "/plan/comm_sms=8,20"}));
  SweepPoints b(same.request({"/plan/comm_sms=20,8", "/plan/ep=8,4"}));
  SweepPoints c(other.request({"/plan/ep=4,8", "/plan/comm_sms=8,20"}));
  SweepPoints run(folder.request({"/plan/ep=4,8", "/plan/comm_sms=8,20"}));
  const std::size_t of_b[] = {3, 1, 2, 0};  // the same settings
  std::set<std::string> ids;
  for (std::size_t i = 0; i < 4; ++i) {
    ids.insert(a.id(i));
    CHECK(a.id(i) == b.id(of_b[i]));
    CHECK(a.id(i) != c.id(i));
  }
  CHECK(ids.size() == 4);
  SweepRequest whole = folder.request({"/plan/ep=4,8", "/plan/comm_sms=8,20"});
  whole.main_phase_only = false;
  CHECK(SweepPoints(whole).id(0) != a.id(0));
}

TEST_CASE("sweep: a point is what a run of its settings says", "[sweep]") {
  const SweptFolder folder;
  SweepRequest request = folder.request(kAxes);
  request.main_phase_only = false;
  SweepPoints points(request);
  const SweepRun run = run_sweep(points, nullptr, {});
  REQUIRE(run.rows.size() == 12);
  int refused = 0;
  for (std::size_t i = 0; i < run.rows.size(); ++i) {
    const SweepRow& row = run.rows[i];
    CHECK(row.point == i);
    JsonValue document;
    std::string message;
    try {
      document = result_document(folder.scenario(), points.varied(i), {});
    } catch (const InputError& error) {
      message = error.what();
    }
    if (!message.empty()) {
      ++refused;
      CHECK_FALSE(row.feasible);
      CHECK(row.reason == message);
      CHECK(row.values.empty());
      continue;
    }
    const std::vector<NamedNumber> metrics = metrics_of(document);
    REQUIRE(metrics.size() == row.values.size());
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      CHECK(metrics[m].name == (*row.names)[m]);
      CHECK(metrics[m].value == row.values[m]);
    }
  }
  CHECK(refused == 6);  // ep 3, and no SMs for communication
}

TEST_CASE("sweep: threads, cuts and shards leave no trace", "[sweep]") {
  const SweptFolder folder;
  SweepPoints points(folder.request(kAxes));
  const std::string whole = run_to(points, folder.path() / "1.jsonl", 1);
  CHECK(std::count(whole.begin(), whole.end(), '\n') == 13);
  for (const int threads : {2, 5})
    CHECK(run_to(points, folder.path() / (std::to_string(threads) + ".jsonl"), threads) == whole);
  // Again: nothing to do, nothing changed.
  CHECK(run_to(points, folder.path() / "1.jsonl", 2) == whole);

  // Killed at any byte: what was whole stays, and is not run again.
  std::mt19937_64 random(3);
  for (int i = 0; i < 25; ++i) {
    const std::size_t cut = i == 0 ? 0 : i == 1 ? 10 : random() % whole.size();
    CAPTURE(cut);
    const fs::path path = folder.path() / "cut.jsonl";
    std::ofstream(path, std::ios::binary) << whole.substr(0, cut);
    const auto lines = static_cast<std::size_t>(
        std::count(whole.begin(), whole.begin() + static_cast<int>(cut), '\n'));
    {
      SweepFile file(path, points.header({}));
      SweepOptions options;
      options.num_threads = 2;
      std::size_t run_now = 0;
      options.finished = [&](const SweepRow&) { ++run_now; };
      const SweepRun run = run_sweep(points, &file, options);
      CHECK(run.num_before == (lines == 0 ? 0 : lines - 1));
      CHECK(run_now == 12 - run.num_before);
      CHECK(run.rows.size() == 12);
    }
    CHECK(file_text(path) == whole);
  }

  std::vector<fs::path> shards;
  for (std::int64_t i = 1; i <= 5; ++i) {
    shards.push_back(folder.path() / ("shard" + std::to_string(i)));
    run_to(points, shards.back(), 2, {i, 5});
  }
  std::shuffle(shards.begin(), shards.end(), random);
  CHECK(merge_sweep(shards).text == whole);
  CHECK(merge_sweep({folder.path() / "1.jsonl"}).text == whole);
}

// Points finish in any order; the file that is worked on keeps each as soon as it is there.
TEST_CASE("sweep: lines out of order are kept, and put in order at the end", "[sweep]") {
  const SweptFolder folder;
  SweepPoints points(folder.request(kAxes));
  const std::string whole = run_to(points, folder.path() / "whole", 1);
  SweepLines lines = split_sweep_lines(whole);
  std::string mixed = lines.lines[0] + "\n";
  for (const std::size_t i : {9, 2, 12, 5}) mixed += lines.lines[i] + "\n";
  std::ofstream(folder.path() / "mixed", std::ios::binary) << mixed;
  CHECK(run_to(points, folder.path() / "mixed", 2) == whole);
}

TEST_CASE("sweep: it stops when it is asked to, and goes on", "[sweep]") {
  const SweptFolder folder;
  SweepPoints points(folder.request(kAxes));
  const std::string whole = run_to(points, folder.path() / "whole", 1);
  {
    SweepFile file(folder.path() / "stopped", points.header({}));
    std::atomic<bool> stop{false};
    SweepOptions options;
    options.stop = &stop;
    options.finished = [&](const SweepRow& row) { stop = row.point == 4; };
    const SweepRun run = run_sweep(points, &file, options);
    CHECK(run.stopped);
    CHECK(run.rows.size() == 5);
  }
  CHECK(run_to(points, folder.path() / "stopped", 2) == whole);
}

TEST_CASE("sweep: what cannot be right is refused before anything runs", "[sweep]") {
  const SweptFolder folder;
  const auto refused = [&](const std::vector<std::string>& axes,
                           const std::vector<std::string>& conditions = {}) {
    return told([&] { SweepPoints points(folder.request(axes, conditions)); }, folder.path());
  };
  CHECK(refused({}) == "--vary: a sweep needs at least one, such as --vary /plan/tp=1,2,4");
  CHECK(refused({"/plan/pq=1,2"}) == "--vary /plan/pq: unknown key \"pq\"; did you mean \"pp\"?");
  CHECK(refused({"/plam/pp=1,2"}).rfind("--vary /plam/pp: unknown key \"plam\"", 0) == 0);
  CHECK(refused({"/phases/7/batch=1,2"}) ==
        "--vary /phases/7/batch: no item \"7\" in /phases, an array of 3");
  CHECK(refused({"/plan/pp=1,2", "/plan/pp=2,4"}) == "--vary /plan/pp: the field is varied twice");
  CHECK(refused({"/plan/pp=1,2"}, {"/plan/pp > 4"}) ==
        "--where: none of 2 combinations meets the condition");
  CHECK(refused({"/plan/pp=1,2"}, {"/plan/microbatch > 4"}) ==
        "--where \"/plan/microbatch > 4\": column 1: the scenario has no /plan/microbatch; "
        "conditions see what files and settings give, not defaults");
  CHECK(refused({"/cluster=cluster.json,missing.json"})
            .find("missing.json: cannot be read: no such file") != std::string::npos);
  CHECK(refused({"/plan/ep=1..100000:1", "/seed=1..1000:1"})
            .rfind("--vary: there are more than 1000000 points", 0) == 0);
  SweepRequest both = folder.request({"/plan/pp=1,2"});
  both.settings = {parse_setting("/plan/pp=2", "--set")};
  CHECK(refusal([&] { SweepPoints points(both); }) == "--vary /plan/pp: the field is set as well");
  CHECK(refusal([] { parse_sweep_shard("8/7", "--shard"); }) ==
        "--shard: there is no shard \"8/7\"; of n shards they are 1/n to n/n");
  CHECK(refusal([] { parse_sweep_shard("0/7", "--shard"); }) ==
        "--shard: there is no shard \"0/7\"; of n shards they are 1/n to n/n");
  CHECK(refusal([] { parse_sweep_shard("3", "--shard"); }) ==
        "--shard: expected a shard such as 3/7, found \"3\"");
}

TEST_CASE("sweep: result files of something else", "[sweep]") {
  const SweptFolder folder, other("51 GB/s");
  SweepPoints points(folder.request(kAxes));
  const fs::path path = folder.path() / "r.jsonl";
  const std::string whole = run_to(points, path, 2);
  const auto refused = [&](const std::string& text, SweepPoints& now, SweepShard shard = {}) {
    std::ofstream(path, std::ios::binary) << text;
    const std::string message = told([&] { run_to(now, path, 1, shard); }, folder.path());
    CHECK(file_text(path) == text);  // nothing is lost
    CHECK(is_one_line(message));
    return message;
  };
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  SweepPoints elsewhere(other.request(kAxes)), fewer(folder.request({"/plan/ep=2,4"}));
  const std::string differs = "r.jsonl: holds the results of another sweep: it differs in ",
                    remedy = "; choose another file, or delete this one";
  CHECK(refused(whole, elsewhere) ==
        differs + "the scenario, or one of the files it names" + remedy);
  CHECK(refused(whole, fewer) == differs + "what varies" + remedy);
  SweepPoints some(folder.request(kAxes, {"/plan/ep > 2"}));
  CHECK(refused(whole, some) == differs + "the conditions" + remedy);
  CHECK(refused(whole, points, {1, 2}) == "r.jsonl: holds shard 1/1, and this is 1/2");
  CHECK(refused(edited("moesim-sweep/1", "moesim-sweep/0"), points) ==
        "r.jsonl: was written by another version: \"moesim-sweep/0\", and this one writes "
        "\"moesim-sweep/1\"");
  CHECK(refused("hello\n", points) == "r.jsonl: is no result file of a sweep");
  CHECK(refused("hello", points) == "r.jsonl: is no result file of a sweep");
  CHECK(refused(edited("\"point\":3", "\"point\":2"), points) ==
        "r.jsonl: line 5: point 2 is on line 4 already");
  CHECK(refused(edited("\"point\":3", "\"point\":99"), points) ==
        "r.jsonl: line 5: point 99 is none of shard 1/1 of 12 points");
  CHECK(refused(edited("\"point\":3", "\"piont\":3"), points).rfind("r.jsonl: line 5", 0) == 0);
  const std::string id = points.id(3);
  CHECK(refused(edited(id, "0123456789abcdef"), points)
            .rfind("point 3: has the id 0123456789abcdef in the file, and " + id + " now", 0) == 0);
}

TEST_CASE("merge: holes, repetitions and files of other sweeps", "[sweep]") {
  const SweptFolder folder, other("51 GB/s");
  SweepPoints points(folder.request(kAxes)), elsewhere(other.request(kAxes));
  std::vector<fs::path> shards;
  for (std::int64_t i = 1; i <= 3; ++i) {
    shards.push_back(folder.path() / ("s" + std::to_string(i)));
    run_to(points, shards.back(), 2, {i, 3});
  }
  const auto merged = [&](const std::vector<fs::path>& files) {
    const std::string message = told([&] { merge_sweep(files); }, folder.path());
    CHECK(is_one_line(message));
    return message;
  };
  CHECK(merged({shards[0], shards[2]}) == "point 1 of 12 is missing and 3 more; shard 2/3 has it");
  CHECK(merged({shards[0], shards[1], shards[0]}) ==
        "s1: line 2: point 0 is already in s1: line 2");
  run_to(points, folder.path() / "all", 1);
  CHECK(merged({folder.path() / "all", shards[1]}) ==
        "s2: line 2: point 1 is already in all: line 3");
  run_to(elsewhere, folder.path() / "foreign", 1, {3, 3});
  CHECK(merged({shards[0], shards[1], folder.path() / "foreign"}) ==
        "foreign: is of another sweep than s1: it differs in the scenario, or one of the files it "
        "names");
  std::string text = file_text(shards[2]);
  std::ofstream(shards[2], std::ios::binary) << text.substr(0, text.size() - 5);
  CHECK(merged(shards) ==
        "s3: line 5: is cut off: the sweep was interrupted; run its command again, which goes on "
        "from there");
  std::ofstream(shards[2], std::ios::binary)
      << text.substr(0, text.rfind('\n', text.size() - 2) + 1);
  CHECK(merged(shards) == "point 11 of 12 is missing; shard 3/3 has it");
  CHECK(merged({folder.path() / "none"}) == "none: cannot be read: no such file");
}

TEST_CASE("sweep: the Pareto set against trying every pair", "[sweep]") {
  std::mt19937_64 random(5);
  SweepFindings findings;
  const auto names =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"a", "b", "c"});
  for (std::size_t i = 0; i < 300; ++i) {
    SweepRow row;
    row.point = i;
    row.feasible = i % 7 != 0;
    row.names = names;
    for (int k = 0; k < 3; ++k) row.values.push_back(static_cast<double>(random() % 12));
    findings.rows.push_back(row);
  }
  findings.goals = parse_sweep_goals("min:a,max:b,min:c");
  std::set<std::size_t> expected;
  for (const SweepRow& row : findings.rows) {
    bool beaten = !row.feasible;
    for (const SweepRow& other : findings.rows) {
      const auto &x = other.values, &y = row.values;
      beaten = beaten || (other.feasible && x[0] <= y[0] && x[1] >= y[1] && x[2] <= y[2] && x != y);
    }
    if (!beaten) expected.insert(row.point);
  }
  std::set<std::size_t> found;
  for (const SweepRow* row : pareto_set(findings)) found.insert(row->point);
  CHECK(found == expected);
  CHECK(found.size() > 3);
  CHECK(ranked(findings).size() == 257);
  CHECK(refusal([] { parse_sweep_goals("cost"); }) ==
        "--pareto cost: expected min: or max: before every metric, such as "
        "min:cost_usd,max:mfu_causal");
  findings.metrics = {"d"};
  CHECK(refusal([&] { check_metrics(findings); }) ==
        "--metric: no metric is named \"d\"; known: a, b, c");
}

TEST_CASE("sweep: words of a job script are quoted", "[sweep]") {
  CHECK(shell_quoted("/plan/ep=8") == "'/plan/ep=8'");
  CHECK(shell_quoted("a b") == "'a b'");
  CHECK(shell_quoted("it's") == "'it'\\''s'");
  CHECK(shell_quoted("") == "''");
  CHECK(shell_quoted("--vary") == "--vary");
}

}  // namespace moesim
