// moesim routing SCENARIO: how unequal routing makes experts, GPUs and nodes, what dispatch and
// combine send, and what balances it.
#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <sstream>

#include "reports/commands/deliver.hpp"
#include "reports/routing_report.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string scenario, replay, output_folder;
  std::vector<std::string> settings;
  std::int64_t layer = 0, tokens = 1024, phase = 0;

  std::string balance;
  std::int64_t batches = 200, batch_tokens = 8192, sequences = 1;
  std::optional<double> gamma, coefficient, learning_rate;
  double device_coefficient = 0, communication_coefficient = 0, entropy_coefficient = 0;
  double capacity_factor = 0, expert_dropout = 0;

  std::optional<std::int64_t> rebalance_every, steps;
};

const TrainingPhase& chosen_phase(const Scenario& scenario, std::int64_t index) {
  const std::int64_t num_phases = std::ssize(scenario.phases);
  if (index >= num_phases)
    throw InputError(
        "--phase " + std::to_string(index),
        "expected at most " + std::to_string(num_phases - 1) + ", the last phase of the scenario");
  const TrainingPhase& phase = scenario.phases[static_cast<std::size_t>(index)];
  if (phase.stated_gpu_hours)
    throw InputError("--phase " + std::to_string(index),
                     "\"" + phase.name + "\" is stated, not simulated: it has no routing");
  return phase;
}

// Refuses what would take more memory than anyone means to spend on one layer.
void check_tokens(const Options& options, const TrainingPhase& phase) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 23;
  if (options.tokens > kMostTokens / phase.plan.ep)
    throw InputError("--tokens " + std::to_string(options.tokens),
                     "on " + std::to_string(phase.plan.ep) + " ranks; expected at most " +
                         std::to_string(kMostTokens / phase.plan.ep));
}

// Recorded tokens and recorded counts may both be .csv files; their headers differ.
bool holds_tokens(const fs::path& path) {
  if (path.extension() == ".jsonl") return true;
  std::string header;
  std::getline(std::ifstream(path), header);
  return path.extension() == ".csv" && header.rfind("layer_id", 0) != 0;
}

std::vector<ReplayedLayer> replayed(const fs::path& path, const RoutingProblem& problem) {
  const MoeSpec& moe = problem.moe;
  return holds_tokens(path) ? replay(read_token_records(path, moe.num_experts, moe.top_k), problem)
                            : replay(read_load_table(path, "", "", moe.num_experts), problem);
}

BalanceWeights loss_weights(const Options& options) {
  constexpr double kCoefficient = 0.003;  // V2, arXiv 2405.04434, section 3.1.2
  return {options.coefficient.value_or(options.balance == "aux_loss" ? kCoefficient : 0),
          options.device_coefficient,
          options.communication_coefficient,
          options.entropy_coefficient};
}

// Options that the chosen mechanism would pass over.
void check_balancing(const Options& options) {
  const bool learns = loss_weights(options).any();
  if (options.balance != "bias" && options.gamma)
    throw InputError("--gamma", "is the speed of the bias; expected --balance bias");
  if (options.balance == "none" && learns)
    throw InputError("--balance none", "has no loss; expected --balance aux_loss or bias");
  if (!learns && options.learning_rate)
    throw InputError("--learning-rate", "no loss is learnt from; expected a coefficient");
  if (options.batch_tokens % options.sequences != 0)
    throw InputError(
        "--sequences " + std::to_string(options.sequences),
        "expected a divisor of the " + std::to_string(options.batch_tokens) + " tokens of a batch");
}

BalancingRun balanced(const Options& options, const RoutingRun& run) {
  constexpr double kGamma = 0.001;       // V3, arXiv 2412.19437, section 4.2
  constexpr double kLearningRate = 100;  // ours: the loss then acts within some hundred batches
  BalancingRun balancing{options.balance, {}, {}};
  BalancingOptions& to = balancing.options;
  to.gate = run.study->gate;
  to.offsets = run.study->offsets;
  to.correlation = run.phase.routing.correlation;
  to.num_batches = options.batches;
  to.tokens_per_batch = options.batch_tokens;
  to.num_sequences = options.sequences;
  to.loss = loss_weights(options);
  to.devices = {to.gate.num_groups, to.gate.max_groups};
  to.learning_rate = to.loss.any() ? options.learning_rate.value_or(kLearningRate) : 0;
  to.bias_speed = options.balance == "bias" ? options.gamma.value_or(kGamma) : 0;
  to.capacity.factor = options.capacity_factor;
  to.expert_dropout = options.expert_dropout;
  to.seed = run.scenario.seed;
  balancing.result = simulate_balancing(to);
  return balancing;
}

RebalancingOptions rebalancing_options(const Options& options, const TrainingPhase& phase) {
  constexpr std::int64_t kPeriods = 10;
  const PlacementPolicy policy = phase.plan.placement.policy;
  const std::int64_t every = *options.rebalance_every;
  const std::string option = "--rebalance-every " + std::to_string(every);
  if (phase.routing.popularity.drift_time == 0)
    throw InputError(option,
                     "the popularity does not drift; expected a /routing/popularity with a "
                     "\"drift_time\"");
  if (policy != PlacementPolicy::eplb_global && policy != PlacementPolicy::eplb_hierarchical)
    throw InputError(option,
                     "the placement does not depend on loads; expected a /plan/placement with "
                     "the policy \"eplb_global\" or \"eplb_hierarchical\"");
  const std::int64_t steps = options.steps.value_or(kPeriods * every);
  if (every >= steps)
    throw InputError(option,
                     "no rebalance in " + std::to_string(steps) + " steps; expected more --steps");
  return {every, steps, options.layer};
}

int run_routing(const Options& options, const CommandContext& context) {
  auto settings = parse_settings(options.settings);
  if (context.common.seed)
    settings.emplace_back("/seed", parse_json(std::to_string(*context.common.seed), "--seed"));
  const Scenario scenario = read_scenario(options.scenario, settings);
  if (!scenario.model.moe)
    throw InputError(options.scenario, "the model has no experts, so nothing is routed");
  const TrainingPhase& phase = chosen_phase(scenario, options.phase);
  check_tokens(options, phase);
  const RoutingProblem problem = routing_problem(scenario, phase);
  if (options.layer >= problem.num_layers)
    throw InputError("--layer " + std::to_string(options.layer),
                     "expected at most " + std::to_string(problem.num_layers - 1) +
                         ", the last layer with experts");

  if (!options.balance.empty()) check_balancing(options);
  std::optional<RebalancingOptions> rebalancing;
  if (options.rebalance_every) rebalancing = rebalancing_options(options, phase);

  RoutingRun run{scenario, phase, {options.layer, options.tokens, context.common.num_threads()}};
  if (options.replay.empty()) {
    run.study = study_routing(scenario, phase, run.options);
    if (!options.balance.empty()) run.balancing = balanced(options, run);
    if (rebalancing) {
      RebalancingResult result = simulate_rebalancing(scenario, phase, *rebalancing);
      const RebalanceCost cost = rebalance_cost(result.changes, scenario, phase);
      run.rebalancing = RebalancingRun{*rebalancing, std::move(result), cost};
    }
  } else {
    run.replayed_file = options.replay;
    run.replayed = replayed(options.replay, problem);
  }
  deliver(routing_report(run), routing_json(run), options.output_folder, context);
  return kDone;
}

// CLI::Range takes NaN for any number.
CLI::Validator number_within(double lowest, double highest) {
  std::ostringstream range;
  range << "in [" << lowest << " - " << highest << "]";
  const std::string expected = range.str();
  return {[=](std::string& text) {
            double value = 0;
            const bool inside =
                CLI::detail::lexical_cast(text, value) && value >= lowest && value <= highest;
            return inside ? std::string() : "expected a number " + expected + ", found " + text;
          },
          expected};
}

void add_balancing_options(CLI::App& command, Options& options, CLI::Option* replay) {
  CLI::Option* balance =
      command
          .add_option("--balance",
                      options.balance,
                      "Batch after batch from the scenario's popularity: none, aux_loss or bias")
          ->check(CLI::IsMember({"none", "aux_loss", "bias"}))
          ->excludes(replay);
  auto add = [&](const char* name, auto& value, const char* help, const CLI::Validator& range) {
    command.add_option(name, value, help)->check(range)->needs(balance);
  };
  using Int = std::int64_t;
  const CLI::Validator coefficient = number_within(0, 1000);
  add("--batches", options.batches, "Batches (200)", CLI::Range(Int{1}, Int{100000}));
  add("--batch-tokens",
      options.batch_tokens,
      "Tokens of a batch (8192)",
      CLI::Range(Int{1}, Int{1} << 18));
  add("--sequences",
      options.sequences,
      "Sequences of a batch; a loss is a sequence's own (1)",
      CLI::Range(Int{1}, Int{1} << 18));
  add("--gamma", options.gamma, "Speed of the bias (0.001)", number_within(0, 1));
  add("--coefficient",
      options.coefficient,
      "Of the expert loss (0.003 for aux_loss, 0 for bias)",
      coefficient);
  add("--device-coefficient", options.device_coefficient, "Of the device loss (0)", coefficient);
  add("--communication-coefficient",
      options.communication_coefficient,
      "Of the communication loss (0)",
      coefficient);
  add("--entropy-coefficient",
      options.entropy_coefficient,
      "Of the entropy loss, which DeepSeek does not use (0)",
      coefficient);
  add("--learning-rate",
      options.learning_rate,
      "Of gradient descent on a loss (100)",
      number_within(0, 1e9));
  add("--capacity-factor",
      options.capacity_factor,
      "Room of an expert over the mean load; what is over is dropped (0: no limit)",
      number_within(0, 1e6));
  add("--expert-dropout",
      options.expert_dropout,
      "Chance that an expert is out for a batch, which DeepSeek does not use (0)",
      number_within(0, 0.99));
}

}  // namespace

void add_routing_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "routing", "Loads of experts, GPUs and nodes, and what dispatch and combine send");
  command->footer(
      "Examples:\n  moesim routing scenarios/deepseek-v3-chunk.jsonc\n"
      "  moesim routing scenarios/deepseek-v3-chunk.jsonc "
      "--set '/routing/popularity={\"kind\": \"zipf\", \"exponent\": 0.5}' --balance bias\n"
      "  moesim routing scenarios/deepseek-v3-chunk.jsonc --replay tokens.jsonl");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  command->add_option("--layer", options->layer, "Which of the layers with experts, from 0 (0)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20));
  command->add_option("--tokens", options->tokens, "Tokens routed on each rank (1024)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 23));
  command->add_option("--phase", options->phase, "Which phase of the scenario, from 0 (0)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20));
  CLI::Option* replay = command->add_option(
      "--replay",
      options->replay,
      "Recorded tokens (.jsonl, .csv) or loads (.json, .csv, a folder) instead of synthetic ones");
  add_balancing_options(*command, *options, replay);
  CLI::Option* every =
      command
          ->add_option("--rebalance-every",
                       options->rebalance_every,
                       "Place experts anew every so many steps of a drifting popularity")
          ->check(CLI::Range(std::int64_t{1}, std::int64_t{10000}))
          ->excludes(replay);
  command->add_option("--steps", options->steps, "Steps of the drift (10 rebalances)")
      ->check(CLI::Range(std::int64_t{2}, std::int64_t{100000}))
      ->needs(every);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return run_routing(*options, context); };
  });
}

}  // namespace moesim
