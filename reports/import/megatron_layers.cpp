#include "reports/import/megatron_layers.hpp"

#include <cctype>
#include <numeric>

#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr const char* kLayout = "--pipeline-model-parallel-layout";
constexpr const char* kFirst = "--decoder-first-pipeline-num-layers";
constexpr const char* kLast = "--decoder-last-pipeline-num-layers";
constexpr const char* kPerVirtualStage = "--num-layers-per-virtual-pipeline-stage";
constexpr const char* kVirtualStages = "--num-virtual-stages-per-pipeline-rank";
constexpr std::int64_t kMostVirtualStages = 1024;  // as many as a plan may have
constexpr std::size_t kMostPieces = 1 << 16;       // of a layout, repetitions written out

// "E", "t", "m", "L" and "|", with x*N and (x)*N written out.
std::string written_out(const LaunchArguments& arguments, const std::string& text) {
  std::vector<std::string> open = {""};  // one a parenthesis, the innermost last
  std::string last;                      // what a * repeats
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ',' || std::isspace(static_cast<unsigned char>(c)) != 0) continue;
    if (c == '(') {
      open.emplace_back();
      continue;
    }
    if (c == ')' && open.size() > 1) {
      last = open.back();
      open.pop_back();
      open.back() += last;
    } else if (c == '*') {
      std::size_t end = i + 1, times = 0;
      while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0 &&
             times < kMostPieces)
        times = 10 * times + static_cast<std::size_t>(text[end++] - '0');
      if (times == 0 || last.empty() || last.size() * times + open.back().size() > kMostPieces)
        arguments.fail(kLayout,
                       "expected a layer or a group and a number around \"*\", found " +
                           in_quotes(text.substr(0, end)));
      for (std::size_t n = 1; n < times; ++n) open.back() += last;
      last.clear();
      i = end - 1;
    } else if (c == 'E' || c == 't' || c == 'm' || c == 'L' || c == '|') {
      last = c;
      open.back() += c;
    } else {
      arguments.fail(kLayout,
                     "expected E, t, m, L, |, *, parentheses and commas, found " +
                         in_quotes(text.substr(i, 1)));
    }
  }
  if (open.size() > 1) arguments.fail(kLayout, "a parenthesis is never closed");
  return open.front();
}

MegatronLayers from_layout(const LaunchArguments& arguments,
                           const std::string& text,
                           std::int64_t pp,
                           LaunchPlan& plan) {
  const std::string layout = written_out(arguments, text);
  MegatronLayers layers;
  layers.per_stage.push_back(0);
  bool ends_moved = false;
  const std::size_t first_bar = layout.find('|'), last_bar = layout.rfind('|');
  for (std::size_t i = 0; i < layout.size(); ++i) {
    if (layout[i] == '|') layers.per_stage.push_back(0);
    if (layout[i] == 't') ++layers.per_stage.back();
    ends_moved =
        ends_moved || (layout[i] == 'E' && i > first_bar) ||
        ((layout[i] == 'm' || layout[i] == 'L') && last_bar != std::string::npos && i < last_bar);
  }
  const auto stages = static_cast<std::int64_t>(layers.per_stage.size());
  if (stages % pp != 0)
    arguments.fail(kLayout,
                   "has " + std::to_string(stages) + " stages, which pp " + std::to_string(pp) +
                       " does not divide");
  layers.virtual_stages = stages / pp;
  if (ends_moved)
    plan.warnings.push_back(
        "The layout puts the embedding, the MTP layers or the loss elsewhere than a plan can: here "
        "the first stage has the embedding, the last the head and the MTP modules.");
  return layers;
}

std::int64_t virtual_stages(LaunchArguments& arguments,
                            std::int64_t pp,
                            std::optional<std::int64_t> num_layers) {
  const auto stages = arguments.integer(kVirtualStages, 1, kMostVirtualStages);
  const auto layers = arguments.integer(kPerVirtualStage, 1, kMostLayers);
  if (stages && layers)
    arguments.fail(
        kPerVirtualStage,
        std::string("is given beside ") + kVirtualStages + "; Megatron takes one of them");
  if (stages) return *stages;
  if (!layers) {
    arguments.not_given(kVirtualStages, "1: no virtual stages");
    return 1;
  }
  if (!num_layers)
    arguments.fail(kPerVirtualStage,
                   "says a number of stages only beside the number of layers: expected "
                   "--num-layers among the arguments, or --model");
  if (*num_layers % (pp * *layers) != 0)
    arguments.fail(kPerVirtualStage,
                   "pp " + std::to_string(pp) + " x " + std::to_string(*layers) +
                       " layers does not divide the " + std::to_string(*num_layers) + " layers");
  return *num_layers / (pp * *layers);
}

// `layers` of a rank over its parts.
std::int64_t part_of_rank(const LaunchArguments& arguments,
                          const char* flag,
                          std::int64_t layers,
                          std::int64_t parts) {
  if (layers % parts != 0)
    arguments.fail(flag,
                   std::to_string(layers) + " layers are not a whole number on each of " +
                       std::to_string(parts) + " virtual stages");
  return layers / parts;
}

}  // namespace

MegatronLayers megatron_layers(LaunchArguments& arguments,
                               std::int64_t pp,
                               std::optional<std::int64_t> num_layers,
                               LaunchPlan& plan) {
  MegatronLayers layers;
  if (const auto layout = arguments.word(kLayout)) {
    layers = from_layout(arguments, *layout, pp, plan);
    const std::int64_t sum =
        std::accumulate(layers.per_stage.begin(), layers.per_stage.end(), std::int64_t{0});
    if (num_layers && sum != *num_layers)
      arguments.fail(kLayout,
                     "has " + std::to_string(sum) + " transformer layers, the model has " +
                         std::to_string(*num_layers));
    return layers;
  }
  // Embedding and loss each count as a layer when the layers are shared out.
  const bool embedding = arguments.on("--account-for-embedding-in-pipeline-split");
  const bool loss = arguments.on("--account-for-loss-in-pipeline-split");
  std::optional<std::int64_t> counted;
  if (num_layers) counted = *num_layers + (embedding ? 1 : 0) + (loss ? 1 : 0);
  const auto first = arguments.integer(kFirst, 1, kMostLayers),
             last = arguments.integer(kLast, 1, kMostLayers);
  if (!first && !last) {
    layers.virtual_stages = virtual_stages(arguments, pp, counted);
  } else {
    if (arguments.has(kPerVirtualStage))
      arguments.fail(kPerVirtualStage,
                     std::string("is given beside an uneven split; expected ") + kVirtualStages);
    layers.virtual_stages = virtual_stages(arguments, pp, std::nullopt);
  }
  const std::int64_t parts = layers.virtual_stages;
  if (!num_layers) {
    arguments.not_given("--num-layers",
                        "unknown, so the layers of a stage are left to moesim, which balances "
                        "them by FLOPs; Megatron gives each stage the same number");
    if (first || last)
      arguments.fail(first ? kFirst : kLast,
                     "says the other stages' layers only beside the number of all: expected "
                     "--num-layers among the arguments, or --model");
    return layers;
  }
  if (pp * parts > kMostLayers)
    arguments.fail("--pipeline-model-parallel-size",
                   std::to_string(pp) + " ranks x " + std::to_string(parts) +
                       " virtual stages are more than any model has layers");
  std::vector<std::int64_t> of_part(static_cast<std::size_t>(pp));  // [pp] layers of one part
  const std::int64_t others = pp - (first ? 1 : 0) - (last ? 1 : 0);
  const std::int64_t left = *counted - first.value_or(0) - last.value_or(0);
  if (left < 0 || (others <= 0 ? left != 0 : left % (others * parts) != 0))
    arguments.fail(first  ? kFirst
                   : last ? kLast
                          : "--pipeline-model-parallel-size",
                   std::to_string(left) + " layers do not spread evenly over " +
                       std::to_string(others) + " ranks x " + std::to_string(parts) +
                       " virtual stages; " + kLayout + ", " + kFirst + " or " + kLast +
                       " say an uneven split");
  for (std::int64_t& layers_of_part : of_part)
    layers_of_part = others > 0 ? left / (others * parts) : 0;
  if (first) of_part.front() = part_of_rank(arguments, kFirst, *first, parts);
  if (last) of_part.back() = part_of_rank(arguments, kLast, *last, parts);
  for (std::int64_t part = 0; part < parts; ++part)
    layers.per_stage.insert(layers.per_stage.end(), of_part.begin(), of_part.end());
  if (embedding) --layers.per_stage.front();
  if (loss) --layers.per_stage.back();
  if (layers.per_stage.front() < 0 || layers.per_stage.back() < 0)
    arguments.fail("--account-for-loss-in-pipeline-split", "leaves a stage less than no layer");
  return layers;
}

}  // namespace moesim
