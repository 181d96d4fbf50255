// moesim sweep SCENARIO: many points of a scenario at once.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "model/json_message.hpp"
#include "model/json_writer.hpp"
#include "reports/commands/run_options.hpp"
#include "reports/commands/sweep_options.hpp"
#include "reports/format.hpp"
#include "reports/sweep/run_sweep.hpp"
#include "reports/sweep/slurm_job.hpp"
#include "reports/tables.hpp"

namespace moesim {
namespace {

struct Options {
  std::string scenario, output, shard, emit;
  std::vector<std::string> settings, vary, where;
  SweepShown shown;
  std::int64_t num_shards = 0;
  bool main_phase_only = false, list = false;
};

std::atomic<bool> interrupted{false};

// Once: begin no more points, keep those that are finished. Twice: as ever.
class StopOnSignal {
 public:
  StopOnSignal() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : {SIGINT, SIGTERM}) ::sigaction(number, &action, nullptr);
  }
};

// "1200 of 10000 points, 512 a second, 17 s left".
class SweepProgress {
 public:
  explicit SweepProgress(bool quiet) : progress_(quiet) {}
  void operator()(std::size_t done, std::size_t of) {
    const Clock::time_point now = Clock::now();
    constexpr std::chrono::milliseconds kBetween{200};
    if (now - last_ < kBetween) return;
    last_ = now;
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(done) / elapsed;
    progress_(std::to_string(done) + " of " + std::to_string(of) + " points, " + digits4(rate) +
              " a second, " + format_seconds(static_cast<double>(of - done) / rate) + " left");
  }

 private:
  using Clock = std::chrono::steady_clock;
  Progress progress_;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

SweepRequest request_of(const Options& options, const CommandContext& context) {
  SweepRequest request;
  request.scenario = options.scenario;
  request.settings = settings_of(options.settings, context);
  for (const std::string& text : options.vary) request.axes.push_back(parse_axis(text));
  for (const std::string& text : options.where) request.conditions.emplace_back(text);
  request.main_phase_only = options.main_phase_only;
  return request;
}

int list_points(SweepPoints& points, const SweepShard& shard) {
  Table table{"", {"point", "id"}, {}};
  table.columns.insert(table.columns.end(), points.fields().begin(), points.fields().end());
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!shard.has(i)) continue;
    std::vector<std::string> cells = {std::to_string(i), points.id(i)};
    for (const auto& [pointer, value] : points.varied(i))
      cells.push_back(value.kind == JsonNode::Kind::string ? value.text : canonical_text(value));
    table.rows.push_back(std::move(cells));
  }
  print(csv_text(table));
  return kDone;
}

int emit_slurm(const Options& options, const CommandContext& context, const SweepPoints& points) {
  if (options.output.empty())
    throw InputError("--emit slurm", "needs -o: the file that the merged results go to");
  if (options.num_shards < 1) throw InputError("--emit slurm", "needs --shards: how many tasks");
  if (options.num_shards > static_cast<std::int64_t>(points.size()))
    throw InputError("--shards",
                     std::to_string(options.num_shards) + " are more than the sweep's " +
                         std::to_string(points.size()) + " points");
  SlurmSweep sweep;
  std::error_code error;
  sweep.program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error) sweep.program = "moesim";
  sweep.words = {"sweep", options.scenario};
  const auto add = [&](const char* option, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      sweep.words.emplace_back(option);
      sweep.words.push_back(value);
    }
  };
  add("--set", options.settings);
  add("--vary", options.vary);
  add("--where", options.where);
  if (context.common.seed) add("--seed", {std::to_string(*context.common.seed)});
  if (options.main_phase_only) sweep.words.emplace_back("--main-phase-only");
  sweep.output = options.output;
  sweep.num_shards = options.num_shards;
  print(slurm_script(sweep));
  return kDone;
}

void check_options(const Options& options) {
  if (!options.emit.empty() && !options.shard.empty())
    throw InputError("--emit slurm", "--shard is what its tasks get; give --shards, their number");
  if (options.emit.empty() && options.num_shards != 0)
    throw InputError("--shards", "is for --emit slurm; one shard of a sweep is --shard 3/7");
  if (!options.shard.empty() && options.output.empty() && !options.list)
    throw InputError("--shard", "needs -o: the file that is merged with those of the others");
}

int sweep(const Options& options, const CommandContext& context) {
  check_options(options);
  SweepFindings findings = findings_of(options.shown);
  const SweepShard shard =
      options.shard.empty() ? SweepShard{} : parse_sweep_shard(options.shard, "--shard");
  SweepPoints points(request_of(options, context));
  if (shard.of > static_cast<std::int64_t>(points.size()))
    throw InputError("--shard",
                     std::to_string(shard.of) + " shards are more than the sweep's " +
                         std::to_string(points.size()) + " points");
  if (options.list) return list_points(points, shard);
  if (!options.emit.empty()) return emit_slurm(options, context, points);

  std::optional<SweepFile> file;
  if (!options.output.empty()) file.emplace(options.output, points.header(shard));
  SweepProgress progress(context.common.quiet);
  SweepOptions run_options;
  run_options.shard = shard;
  run_options.num_threads = context.common.num_threads();
  run_options.progress = [&](std::size_t done, std::size_t of) { progress(done, of); };
  bool checked = false;
  run_options.finished = [&](const SweepRow& row) {
    if (checked || !row.feasible) return;
    check_metrics(findings, row);
    checked = true;
  };
  const StopOnSignal stop_on_signal;
  run_options.stop = &interrupted;
  SweepRun run = run_sweep(points, file ? &*file : nullptr, run_options);
  if (run.stopped)
    throw std::runtime_error(
        "stopped after " + std::to_string(run.rows.size()) + " points" +
        (file ? ", which are in " + options.output + "; the same command goes on from there"
              : "; with -o they would have been kept"));
  findings.name = points.name();
  findings.fields = points.fields();
  findings.num_points = points.size();
  findings.rows = std::move(run.rows);
  const int code = deliver_sweep(findings, options.shown, context);
  return shard.of == 1 ? code : kDone;  // whether any point can be run, the merge says
}

}  // namespace

SweepFindings findings_of(const SweepShown& shown) {
  SweepFindings findings;
  findings.metrics = shown.metrics;
  findings.goals = parse_sweep_goals(shown.pareto);
  return findings;
}

int deliver_sweep(SweepFindings& findings, const SweepShown& shown, const CommandContext& context) {
  check_metrics(findings);
  if (!shown.csv.empty()) write_file(shown.csv, sweep_csv(findings));
  deliver(make_sweep_report(findings, shown.num_best),
          sweep_json(findings, shown.num_best),
          shown.report_folder,
          context);
  const bool any = std::any_of(
      findings.rows.begin(), findings.rows.end(), [](const SweepRow& row) { return row.feasible; });
  return any ? kDone : kInfeasible;
}

void add_sweep_shown_options(CLI::App& command, SweepShown& shown) {
  command
      .add_option("--metric",
                  shown.metrics,
                  "Metrics to show, by their names below /metrics of run --json: a,b")
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option(
      "--pareto", shown.pareto, "Goals, such as min:cost_usd,max:mfu_causal; the first one ranks");
  command.add_option("--best", shown.num_best, "How many points to show")
      ->check(CLI::Range(1, 100000));
  command.add_option("--report",
                     shown.report_folder,
                     "Folder for the report as HTML, Markdown and JSON, and its tables");
  command.add_option("--csv", shown.csv, "Write all points with all metrics to a CSV file");
}

void add_sweep_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("sweep", "Run many points of a scenario");
  command->footer(
      "Values: lists (1,2,4), steps (8..64:8), factors (1..1024:x2), spaced (1..1000:7 log, "
      "0.0..1.0:5 lin), units (25 GB/s..100 GB/s:25 GB/s).\n"
      "The result file has a line of JSON a point; a sweep that was interrupted goes on when the "
      "same command is run again.\n"
      "Examples:\n"
      "  moesim sweep scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced "
      "--main-phase-only --vary /plan/ep=16,32,64 --vary \"/cluster/nic_bandwidth=25 GB/s..100 "
      "GB/s:25 GB/s\" -o ep.jsonl\n"
      "  moesim sweep scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced "
      "--main-phase-only --vary \"/plan/layers_per_stage=null;/plan/pp=8,16;/plan/dp=256,128\" "
      "--where \"/plan/pp * /plan/dp == 2048\"");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  const auto repeated = [&](const char* name, std::vector<std::string>& values, const char* what) {
    command->add_option(name, values, what)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  repeated("--vary",
           options->vary,
           "Values of a field, /json/pointer=values; fields that change together: /a=1,2;/b=3,4");
  repeated("--where", options->where, "Points to run: a condition such as \"/plan/pp > 2\"");
  add_set_option(*command, options->settings);
  command->add_option("-o,--output", options->output, "Result file, made or gone on with");
  command->add_flag(
      "--main-phase-only", options->main_phase_only, "Simulate the first phase of training only");
  command->add_option("--shard", options->shard, "Run one part of several, such as 3/7");
  command->add_flag("--list", options->list, "Print the points instead of running them");
  command->add_option("--emit", options->emit, "Print a job script instead of running: slurm")
      ->check(CLI::IsMember({"slurm"}));
  command->add_option("--shards", options->num_shards, "Tasks of the job script")
      ->check(CLI::Range(1, 100000));
  add_sweep_shown_options(*command, options->shown);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return sweep(*options, context); };
  });
}

}  // namespace moesim
