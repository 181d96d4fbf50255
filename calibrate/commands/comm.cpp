// moesim-calibrate comm: how fast are the links between GPUs? NCCL on as many ranks as were
// launched, or a fake with a clock of its own.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <memory>
#include <sstream>

#include "calibrate/comm/run_comm.hpp"
#include "calibrate/commands/commands.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;
using comm::CommOptions;

struct Options {
  std::string device = "nccl", gpu, output, rendezvous, max_bytes, fake_fault = "none";
  std::string nccl_library, cuda_library;
  double timeout_s = 120;
  std::optional<double> budget_s;
  bool list = false, selftest = false, selftest_bootstrap = false;
  std::optional<std::int64_t> max_tokens;
  int fake_ranks = 16, fake_nodes = 2;
  double fake_noise = 0.01;
  CommOptions comm;
};

std::string list() {
  std::string text = "| benchmark | what is measured |\n|---|---|\n";
  for (const comm::Benchmark& b : comm::benchmarks())
    text += "| " + std::string(b.name) + " | " + b.what + " |\n";
  return text;
}

GpuSpec read_gpu(const std::string& name) {
  std::vector<std::string> known;
  for (const fs::directory_entry& entry : fs::directory_iterator(gpu_folder()))
    if (entry.path().extension() == ".json") known.push_back(entry.path().stem().string());
  std::sort(known.begin(), known.end());
  if (name.empty())
    throw InputError("--gpu", "is needed: the floor of what is measured; known: " + joined(known));
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw InputError("--gpu", "is " + in_quotes(name) + "; known: " + joined(known));
  return read_gpu_spec(read_json_file(gpu_folder() / (name + ".json")));
}

std::int64_t whole_bytes(const std::string& text) {
  try {
    const double bytes = parse_bytes(text).in(B);
    if (bytes >= 8 && bytes == std::floor(bytes) && bytes < 0x1p50)
      return static_cast<std::int64_t>(bytes);
  } catch (const InputError& error) {
    throw InputError("--max-bytes", error.what());
  }
  throw InputError("--max-bytes", "is " + in_quotes(text) + "; expected 8 B to 1 PiB, whole bytes");
}

// Small enough for two cores to play 16 ranks.
constexpr std::int64_t kFakeBytes = 1 << 21, kFakeTokens = 8;

CommOptions comm_options(const Options& options) {
  CommOptions chosen = options.comm;
  const bool is_fake = options.device == "fake";
  if (is_fake) chosen.max_bytes = kFakeBytes;
  if (is_fake) chosen.max_tokens = kFakeTokens;
  if (!options.max_bytes.empty()) chosen.max_bytes = whole_bytes(options.max_bytes);
  if (options.max_tokens) chosen.max_tokens = *options.max_tokens;
  if (chosen.hidden % 128 != 0)
    throw InputError("--hidden",
                     "is " + std::to_string(chosen.hidden) +
                         "; expected a multiple of 128, the elements that share a scale");
  if (chosen.top_k > chosen.num_experts)
    throw InputError("--topk",
                     "is " + std::to_string(chosen.top_k) + "; expected at most the " +
                         std::to_string(chosen.num_experts) + " experts");
  if (options.budget_s)
    chosen.budget = std::chrono::seconds(static_cast<std::int64_t>(std::ceil(*options.budget_s)));
  for (const std::string& name : chosen.only) comm::find_benchmark(name);
  return chosen;
}

// Its ranks hold what they send and what they receive in this process.
void refuse_too_much_memory(const Options& options, const CommOptions& chosen) {
  constexpr std::int64_t kMostBytes = std::int64_t{4} << 30;
  const std::int64_t most = kMostBytes / 2 / options.fake_ranks;
  if (chosen.max_bytes > most)
    throw InputError("--max-bytes",
                     "is " + std::to_string(chosen.max_bytes) + " B; expected at most " +
                         std::to_string(most) + " B for " + std::to_string(options.fake_ranks) +
                         " fake ranks, which share this process's memory");
}

// Whether a word of CUDA's name for the GPU ("NVIDIA A100-SXM4-80GB") is the GPU's.
bool is_named(const std::string& cuda_name, const GpuSpec& gpu) {
  const auto words = [](std::string text) {
    std::replace(text.begin(), text.end(), '-', ' ');
    std::istringstream stream(text);
    return std::vector<std::string>{std::istream_iterator<std::string>(stream), {}};
  };
  const std::vector<std::string> of_cuda = words(cuda_name), of_gpu = words(gpu.name);
  return !of_gpu.empty() &&
         std::find(of_cuda.begin(), of_cuda.end(), of_gpu.front()) != of_cuda.end();
}

comm::FakeMachine fake_machine(const Options& options, const GpuSpec& gpu) {
  if (options.fake_ranks % options.fake_nodes != 0)
    throw InputError("--fake-ranks",
                     "is " + std::to_string(options.fake_ranks) + "; expected a multiple of the " +
                         std::to_string(options.fake_nodes) + " nodes");
  comm::FakeMachine machine;
  machine.ranks = options.fake_ranks;
  machine.nodes = options.fake_nodes;
  machine.rates = comm::fake_rates(gpu);
  machine.rates.noise = options.fake_noise;
  machine.rates.seed = options.comm.seed;
  machine.fault = options.fake_fault == "flip"   ? comm::FakeFault::flip
                  : options.fake_fault == "drop" ? comm::FakeFault::drop
                  : options.fake_fault == "late" ? comm::FakeFault::late
                                                 : comm::FakeFault::none;
  return machine;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

PointRun describe(const Options& options,
                  const CommOptions& chosen,
                  const comm::Transport& transport,
                  const comm::RankMap& map) {
  const bool is_fake = options.device == "fake";
  PointRun run;
  run.kind = is_fake ? ProfileKind::synthetic : ProfileKind::measured;
  run.gpu = options.gpu;
  const std::string where = std::to_string(map.world()) + " ranks on " +
                            std::to_string(map.num_nodes()) +
                            (map.num_nodes() == 1 ? " node" : " nodes");
  run.source = "moesim-calibrate comm, " + where + (is_fake ? ", fake" : ", NCCL");
  for (const auto& [key, value] : transport.facts()) run.details.emplace_back(key, value);
  run.details.emplace_back("ranks", std::int64_t{map.world()});
  run.details.emplace_back("ranks_per_node", std::int64_t{map.ranks_per_node()});
  run.details.emplace_back("hosts", std::int64_t{map.num_nodes()});
  if (is_fake) run.details.emplace_back("noise", options.fake_noise);
  if (!is_fake) run.details.emplace_back("date_utc", utc_now());
  if (!is_fake) run.details.emplace_back("environment", comm::nccl_variables());
  JsonValue method = JsonValue::object();
  method.set("timer", is_fake ? "formula" : "events on the stream, the longest of all ranks")
      .set("barrier", "all-reduce of 4 bytes on the stream before every repeat")
      .set("warm_ups", chosen.warm_ups)
      .set("repeats", chosen.repeats)
      .set("stat", "median")
      .set("data", "64-bit hashes, every word verified before and after")
      .set("seed", chosen.seed);
  run.details.emplace_back("method", std::move(method));
  return run;
}

comm::Timeout timeout_of(const Options& options) {
  return comm::Timeout(static_cast<std::int64_t>(std::ceil(options.timeout_s * 1000)));
}

std::string closing(const comm::PointResults& results, const Options& options) {
  std::string text = "\n" + std::to_string(results.num_points()) + " points";
  if (!options.output.empty()) text += " into " + options.output;
  if (results.num_left_out() > 0)
    text += "; " + std::to_string(results.num_left_out()) + " left out, larger than --max-bytes";
  if (results.stopped()) text += "; the budget is spent, and the rest was not begun";
  return text + "\n";
}

int measure(const Options& options, const comm::Launch& launch) {
  const CommOptions chosen = options.selftest ? comm::small_options() : comm_options(options);
  std::optional<GpuSpec> gpu;
  if (!options.selftest) gpu = read_gpu(options.gpu);
  const bool writes = launch.rank == 0;
  comm::PointResults results(gpu, writes ? fs::path(options.output) : fs::path());
  if (options.device == "fake") refuse_too_much_memory(options, chosen);
  const auto describe_run = [&](const comm::Transport& transport, const comm::RankMap& map) {
    if (map.world() == 1 && !options.selftest)
      throw InputError("--device", "has one rank; expected two or more: one has no links");
    for (const auto& [key, value] : transport.facts())
      if (gpu && key == "gpu_name" && !is_named(value, *gpu))
        throw InputError("--gpu",
                         "is " + in_quotes(options.gpu) + "; this is a " + one_line(value));
    return describe(options, chosen, transport, map);
  };
  bool has_results = true;
  if (options.device == "fake")
    comm::run_on_fake(
        fake_machine(options, *gpu), chosen, timeout_of(options), results, describe_run);
  else
    has_results = comm::run_on_nccl({options.cuda_library, options.nccl_library, launch},
                                    chosen,
                                    timeout_of(options),
                                    results,
                                    describe_run);
  if (!has_results) return kDone;
  if (results.num_points() == 0 && !results.stopped())
    throw InputError("--max-bytes", "and --max-tokens leave nothing to measure; expected more");
  results.finish();
  print(results.markdown() + closing(results, options));
  if (options.selftest) print("selftest passed\n");
  return kDone;
}

// Which ranges let through.
void refuse_nan(const Options& options) {
  const std::pair<const char*, double> numbers[] = {{"--timeout", options.timeout_s},
                                                    {"--budget-s", options.budget_s.value_or(0)},
                                                    {"--zipf", options.comm.zipf},
                                                    {"--fake-noise", options.fake_noise}};
  for (const auto& [name, value] : numbers)
    if (std::isnan(value)) throw InputError(name, "is nan; expected a number");
}

int run(const Options& options) {
  refuse_nan(options);
  if (options.list) {
    print(list());
    return kDone;
  }
  const comm::Launch launch =
      comm::detect_launch([](const char* name) { return std::getenv(name); }, options.rendezvous);
  if (options.selftest_bootstrap) {
    if (launch.world == 1)
      throw InputError("--selftest-bootstrap",
                       "needs two ranks or more; expected RANK, WORLD_SIZE and --rendezvous, or a "
                       "launcher");
    print(comm::selftest_bootstrap(launch, timeout_of(options)));
    return kDone;
  }
  if (options.device == "fake" && launch.world > 1)
    throw InputError("--device",
                     "is \"fake\", whose ranks are threads of one process, and " + launch.launcher +
                         " started " + std::to_string(launch.world) +
                         "; expected one process, or --selftest-bootstrap");
  if (options.selftest && !options.output.empty())
    throw InputError("-o", "is given with --selftest, which measures nothing worth keeping");
  if (options.selftest && options.device == "fake") {
    comm::FakeRates rates;
    rates.seed = options.comm.seed;
    print(comm::selftest_on_fake(rates, timeout_of(options)));
    return kDone;
  }
  return measure(options, launch);
}

void add_work_options(CLI::App& command, Options& options) {
  CommOptions& work = options.comm;
  command.add_option("--only", work.only, "Benchmarks to run, of --list")->delimiter(',');
  command.add_option("--max-bytes",
                     options.max_bytes,
                     "Largest message, and buffer of a rank (1 GiB; 2 MiB on the fake)");
  command
      .add_option("--max-tokens",
                  options.max_tokens,
                  "Most tokens of a rank, from 1 by powers of 2 (8192; 8 on the fake)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20));
  command.add_option("--repeats", work.repeats, "Timed runs of a point")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_option("--experts", work.num_experts, "Experts of the model")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command.add_option("--topk", work.top_k, "Experts a token chooses")
      ->check(CLI::Range(1, 1 << 10))
      ->capture_default_str();
  command.add_option("--hidden", work.hidden, "Elements of a token's row")
      ->check(CLI::Range(128, 1 << 20))
      ->capture_default_str();
  command.add_option("--zipf", work.zipf, "Exponent of the skewed routing; 0: none")
      ->check(CLI::Range(0.0, 4.0))
      ->capture_default_str();
  command.add_option("--seed", work.seed, "Of routings and of the fake's noise")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53))
      ->capture_default_str();
  command.add_option("--budget-s", options.budget_s, "Begin no trial later than this many seconds")
      ->check(CLI::Range(0.0, 1e6));
}

// Those of the fake, which would be passed over elsewhere.
std::vector<CLI::Option*> add_fake_options(CLI::App& command, Options& options) {
  return {command.add_option("--fake-ranks", options.fake_ranks, "Ranks of the fake")
              ->check(CLI::Range(1, 256))
              ->capture_default_str(),
          command.add_option("--fake-nodes", options.fake_nodes, "Nodes of the fake")
              ->check(CLI::Range(1, 256))
              ->capture_default_str(),
          command.add_option("--fake-noise", options.fake_noise, "Relative noise of its times")
              ->check(CLI::Range(0.0, 0.3))
              ->capture_default_str(),
          command.add_option("--fake-fault", options.fake_fault, "Damage data, to see it noticed")
              ->check(CLI::IsMember({"none", "flip", "drop", "late"}))
              ->capture_default_str()};
}

void add_machine_options(CLI::App& command, Options& options) {
  command.add_option("--device", options.device, "nccl or fake")
      ->check(CLI::IsMember({"nccl", "fake"}))
      ->capture_default_str();
  command.add_option("--gpu", options.gpu, "The GPU, a file of scenarios/gpus without .json");
  command.add_option("-o,--output", options.output, "File of points to append to");
  command.add_option(
      "--rendezvous", options.rendezvous, "HOST:PORT at which rank 0 waits for the others");
  command
      .add_option("--timeout", options.timeout_s, "Seconds after which a missing rank is given up")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  command.add_option("--nccl-library", options.nccl_library, "Path of libnccl.so.2");
  command.add_option("--cuda-library", options.cuda_library, "Path of libcudart.so");
  command.add_flag("--list", options.list, "List the benchmarks");
  command.add_flag(
      "--selftest", options.selftest, "Run everything small, and show that it verifies");
  command.add_flag("--selftest-bootstrap",
                   options.selftest_bootstrap,
                   "Let launched processes find each other, and nothing else");
}

}  // namespace

void add_comm_command(CLI::App& app, CalibrateContext& context) {
  CLI::App* command = app.add_subcommand("comm", "Measure the links between GPUs");
  command->footer(
      "Examples:\n"
      "  moesim-calibrate comm --device=fake --gpu h800 -o points.jsonl\n"
      "  srun -N2 --ntasks-per-node=8 moesim-calibrate comm --gpu h800 --rendezvous node1:29511 "
      "-o points.jsonl");
  const auto options = std::make_shared<Options>();
  add_machine_options(*command, *options);
  add_work_options(*command, *options);
  const auto of_fake = add_fake_options(*command, *options);
  command->callback([options, of_fake, &context] {
    context.chosen = [options, of_fake] {
      for (const CLI::Option* option : of_fake)
        if (option->count() > 0 && options->device != "fake")
          throw InputError(option->get_name(), "is for --device=fake alone");
      return run(*options);
    };
  });
}

}  // namespace moesim
