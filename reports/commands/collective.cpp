// moesim collective SCENARIO: what a collective costs on the scenario's cluster, by every known
// algorithm, in closed form and simulated; alone, and when several groups have one at a time.
//
// Bandwidths are those of nccl-tests (doc/PERFORMANCE.md): algorithm bandwidth = buffer / time, and
// bus bandwidth = that times a factor of the kind, which makes it comparable with a link.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "reports/collective_report.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

struct Options {
  std::string scenario, kind = "all_reduce", bytes, output_folder;
  std::vector<std::string> settings;
  std::optional<std::int64_t> gpus, stride;
  std::int64_t first_gpu = 0, groups = 1;
  bool sizes = false;
};

constexpr const char* kEveryKind = "all";

CollectiveGroups make_groups(const Options& options, const ClusterSpec& cluster) {
  const std::int64_t all = cluster.num_gpus(), first = options.first_gpu, k = options.groups;
  const std::int64_t stride = options.stride.value_or(1);
  const std::string numbers = "the cluster's GPUs are 0 to " + std::to_string(all - 1);
  if (first >= all) throw InputError("--first-gpu " + std::to_string(first), numbers);
  if (options.stride && k > stride)
    throw InputError(
        "--stride " + std::to_string(stride),
        std::to_string(k) + " groups would share GPUs; expected at least " + std::to_string(k));
  const std::int64_t n = options.gpus.value_or(
      options.stride ? std::max<std::int64_t>(0, all - first - k) / stride + 1 : (all - first) / k);
  const std::string option = options.gpus ? "--gpus " + std::to_string(n)
                             : k > 1      ? "--groups " + std::to_string(k)
                                          : "--first-gpu " + std::to_string(first);
  if (n < 2)
    throw InputError(option, "expected at least 2 GPUs in a group, found " + std::to_string(n));
  const std::int64_t next_group = options.stride ? 1 : n;
  const std::int64_t last = first + (k - 1) * next_group + (n - 1) * stride;
  if (last >= all)
    throw InputError(option, "needs GPU " + std::to_string(last) + ", but " + numbers);
  CollectiveGroups groups;
  for (std::int64_t i = 0; i < k; ++i) {
    std::vector<std::int64_t>& gpus = groups.gpus.emplace_back();
    for (std::int64_t rank = 0; rank < n; ++rank)
      gpus.push_back(first + i * next_group + rank * stride);
    const std::optional<RankGroup> shape = shape_on_nodes(gpus, cluster.gpus_per_node);
    if (!shape || (i > 0 && shape->ranks_per_node != groups.shape.ranks_per_node))
      throw InputError(option,
                       "group " + std::to_string(i) +
                           " lies unevenly on the nodes; expected the same number of GPUs on "
                           "every node of every group");
    groups.shape = *shape;
  }
  return groups;
}

CollectiveBench make_bench(const Options& options) {
  Scenario scenario = read_scenario(options.scenario, parse_settings(options.settings));
  const ClusterSpec& cluster = scenario.cluster;
  CollectiveGroups groups = make_groups(options, cluster);
  const LinkRates rates = link_rates(cluster, scenario.profile.comm);
  CollectiveLinks links = collective_links(cluster, rates);
  if (const auto& regimes = scenario.profile.collectives) {
    links.nvlink.regimes = regimes->nvlink;
    links.nic.regimes = regimes->nic;
  }
  Network network(cluster, rates);
  std::string blocks = groups.shape.num_nodes() == 1 ? "" : fabric_blocking(cluster);
  return {std::move(scenario),
          std::move(groups),
          std::move(links),
          std::move(network),
          std::move(blocks)};
}

// Simulated time is in picoseconds, of which 106 days can be counted, and contention comes on top.
void check_duration(Seconds closed_form, Bytes bytes, const std::string& algorithm) {
  if (closed_form < 1 * ns || closed_form > 1 * hour)
    throw InputError("collective",
                     format_bytes(bytes) + " by " + algorithm + " takes " +
                         format_seconds(closed_form.in(s)) + "; expected 1 ns to 1 h");
}

CollectiveComparison compare(const CollectiveBench& bench,
                             const std::pair<const char*, CollectiveKind>& kind,
                             Bytes bytes,
                             Progress& progress) {
  CollectiveComparison comparison{kind.first, bytes, {}, {}};
  const RankGroup& shape = bench.groups.shape;
  const Profile& profile = bench.scenario.profile;
  if (profile.gpu.nvlink_bandwidth == bench.scenario.cluster.gpu.nvlink_bandwidth)
    comparison.fit =
        find_group(profile.groups, kind.first, shape.ranks, shape.ranks_per_node, bytes.in(B));
  for (const auto& [name, algorithm] : kCollectiveAlgorithms) {
    // Two ranks on two nodes and one byte suit every collective there is.
    if (!collective_refusal({kind.second, algorithm, {2, 1}, 1 * B}).empty()) continue;
    const CollectiveSpec spec{kind.second, algorithm, bench.groups.shape, bytes};
    progress(std::string("simulating ") + kind.first + " by " + name);
    std::string refusal = collective_refusal(spec);
    if (refusal.empty()) refusal = measurement_refusal(bench.scenario.cluster, bench.groups, spec);
    if (!refusal.empty()) {
      comparison.refused.emplace_back(name, refusal);
      continue;
    }
    check_duration(collective_time(spec, bench.links), bytes, name);
    comparison.measured.push_back(
        measure_collective(bench.network, bench.links, bench.groups, spec));
  }
  return comparison;
}

std::vector<Bytes> buffer_sizes(const Options& options, const ClusterSpec& cluster) {
  std::vector<Bytes> sizes;
  if (options.sizes) {
    for (Bytes size = 1 * KB; size <= 1 * GB; size *= 10) sizes.push_back(size);
    return sizes;
  }
  if (options.bytes.empty())
    throw InputError("collective", "expected the buffer's size: --bytes \"1 GB\", or --sizes");
  const std::string option = "--bytes " + options.bytes;
  try {
    sizes.push_back(parse_bytes(options.bytes));
  } catch (const InputError& error) {
    throw InputError(option, error.what());
  }
  if (sizes.front() > cluster.gpu.hbm)
    throw InputError(option, "a GPU of the cluster holds " + format_bytes(cluster.gpu.hbm));
  return sizes;
}

int run_collective(const Options& options, const CommandContext& context) {
  const CollectiveBench bench = make_bench(options);
  Progress progress(context.common.quiet);
  const std::vector<Bytes> sizes = buffer_sizes(options, bench.scenario.cluster);
  CollectiveComparisons kinds;
  bool is_measured = false;
  for (const auto& kind : kCollectiveKinds) {
    if (options.kind != kind.first && options.kind != kEveryKind) continue;
    std::vector<CollectiveComparison>& of_kind = kinds.emplace_back();
    for (const Bytes size : sizes) of_kind.push_back(compare(bench, kind, size, progress));
    is_measured = is_measured || !of_kind.front().measured.empty();
  }
  if (!is_measured)
    throw InputError("--kind " + options.kind, kinds.front().front().refused.front().second);
  deliver(collective_report(bench, kinds, options.sizes),
          collective_json(bench, kinds),
          options.output_folder,
          context);
  return kDone;
}

}  // namespace

void add_collective_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("collective",
                         "All-reduce, all-to-all and others by every algorithm, in closed form and "
                         "simulated");
  command->footer(
      "Examples:\n  moesim collective scenarios/deepseek-v3-chunk.jsonc --bytes \"1 GB\"\n"
      "  moesim collective scenarios/deepseek-v3-chunk.jsonc --kind all --gpus 16 --sizes\n"
      "  moesim collective scenarios/deepseek-v3-chunk.jsonc --kind all_gather --bytes \"100 MB\" "
      "--gpus 8 --groups 8 --stride 8");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  std::vector<std::string> names = {kEveryKind};
  for (const auto& kind : kCollectiveKinds) names.emplace_back(kind.first);
  command->add_option("--kind", options->kind, "Which collective, or all (all_reduce)")
      ->check(CLI::IsMember(names));
  CLI::Option* bytes = command->add_option(
      "--bytes", options->bytes, "A rank's whole buffer, as in nccl-tests: \"1 GB\"");
  command->add_flag("--sizes", options->sizes, "Buffers of 1 KB to 1 GB instead of one")
      ->excludes(bytes);
  const CLI::Range count(std::int64_t{1}, std::int64_t{1} << 22);
  command->add_option("--gpus", options->gpus, "GPUs of a group (as many as there are)")
      ->check(count);
  command->add_option("--first-gpu", options->first_gpu, "First GPU of the first group (0)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 22));
  command
      ->add_option("--groups", options->groups, "Groups at the same time, on GPUs that follow (1)")
      ->check(count);
  command
      ->add_option("--stride",
                   options->stride,
                   "Group i has every stride-th GPU from its i-th on, as data-parallel groups have")
      ->check(count);
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return run_collective(*options, context); };
  });
}

}  // namespace moesim
