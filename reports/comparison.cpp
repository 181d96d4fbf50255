#include "reports/comparison.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "model/parallel_for.hpp"
#include "model/scenario_document.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

// Differences that are looked at one by one without being asked to.
constexpr std::size_t kFewInputs = 8;

struct Side {
  ComparisonSide about;
  JsonNode result;
  ResultWithEnds ends;               // of a scenario
  std::optional<JsonNode> document;  // composed; of a scenario
};

std::string text_at(const JsonNode& root, const std::string& pointer) {
  const JsonNode* node = node_at(root, pointer);
  return node != nullptr && node->kind == JsonNode::Kind::string ? one_line(node->text) : "";
}

void check_result(const JsonNode& result, const std::string& file) {
  if (number_at(result, "/schema_version") != 1.0)
    throw InputError(file + ": /schema_version",
                     "expected 1, found " + result.find("schema_version")->describe() +
                         "; results of another version cannot be compared");
  const JsonNode* metrics = result.find("metrics");
  const bool is_training = result.find("run") != nullptr,
             is_serving = result.find("pools") != nullptr;
  if (metrics == nullptr || is_training == is_serving || text_at(result, "/scenario/name").empty())
    throw InputError(file, "is not a result that `moesim run --json` or `-o` wrote");
}

Side read_side(const fs::path& path, const Settings& settings, int num_threads) {
  const std::string file = one_line(path.string());
  Side side;
  JsonNode root = read_json_file(path);
  if (root.find("schema_version") != nullptr) {
    check_result(root, file);
    if (!settings.empty())
      throw InputError(file, "is a result; only a scenario can be changed with --set");
    side.result = std::move(root);
  } else {
    side.about.is_scenario = true;
    side.document = compose_document(path, settings);
    side.ends = result_with_ends(path, settings, num_threads);
    side.result = side.ends.result;
  }
  side.about.name = text_at(side.result, "/scenario/name");
  side.about.hash = text_at(side.result, "/scenario/hash");
  side.about.profile = text_at(side.result, "/profile");
  side.about.is_training = side.result.find("run") != nullptr;
  side.about.is_feasible = is_feasible(side.result);
  return side;
}

// Each source of error in both at once.
EndValues paired_ends(const Side& a, const Side& b, const ResultMetric& metric, double ratio) {
  const auto of = [&](const Side& side, const std::string& source, std::size_t end) {
    for (const ResultEnd& one : side.ends.ends)
      if (one.source == source) return metric.of(one.results[end]);
    return metric.of(side.result);  // a source that a side does not have leaves it alone
  };
  std::vector<std::string> sources;
  for (const Side* side : {&a, &b})
    for (const ResultEnd& end : side->ends.ends)
      if (std::find(sources.begin(), sources.end(), end.source) == sources.end())
        sources.push_back(end.source);
  EndValues ends;
  for (const std::string& source : sources) {
    std::array<double, 2> ratios{ratio, ratio};
    for (std::size_t end = 0; end < 2; ++end) {
      const std::optional<double> of_a = of(a, source, end), of_b = of(b, source, end);
      if (of_a && of_b && *of_a != 0) ratios[end] = *of_b / *of_a;
    }
    ends.push_back(ratios);
  }
  return ends;
}

std::optional<Interval> own_interval(const Side& side, const ResultMetric& metric) {
  const JsonNode* intervals = side.result.find("intervals");
  const JsonNode* interval = intervals != nullptr ? intervals->find(metric.name) : nullptr;
  if (interval != nullptr && interval->items.size() == 2)
    return Interval{interval->items[0].real, interval->items[1].real};
  return side.about.is_scenario ? interval_of(side.ends, metric) : std::nullopt;
}

std::optional<Interval> ratio_interval(const Side& a,
                                       const Side& b,
                                       const ResultMetric& metric,
                                       const MetricDifference& d,
                                       bool paired) {
  if (!d.ratio) return std::nullopt;
  if (paired) return combined(*d.ratio, paired_ends(a, b, metric, *d.ratio));
  const std::optional<Interval> of_a = own_interval(a, metric), of_b = own_interval(b, metric);
  if (!of_a || !of_b || of_a->low <= 0) return std::nullopt;
  return combined(*d.ratio,
                  {{of_b->low / d.a, of_b->high / d.a}, {d.b / of_a->high, d.b / of_a->low}});
}

void compare_numbers(const Side& a, const Side& b, ResultComparison& comparison) {
  for (const ResultMetric& metric : result_metrics(a.result)) {
    const bool is_part = metric.name.rfind("breakdown/", 0) == 0 ||
                         metric.name.rfind("phases/", 0) == 0 ||
                         metric.name.find("/breakdown/") != std::string::npos ||
                         metric.name.find("/memory/") != std::string::npos ||
                         metric.name.find("/origins/") != std::string::npos ||
                         metric.pointer.rfind("/vllm/p", 0) == 0;  // percentiles beside /metrics
    const std::optional<double> of_a = metric.of(a.result), of_b = metric.of(b.result);
    if (is_part || !of_a || !of_b) continue;
    if (*of_a == *of_b) {
      comparison.same.push_back(metric.name);
      continue;
    }
    MetricDifference d{metric.name, *of_a, *of_b, {}, {}};
    if (*of_a != 0) d.ratio = *of_b / *of_a;
    d.ratio_interval = ratio_interval(a, b, metric, d, comparison.paired);
    comparison.differences.push_back(std::move(d));
  }
}

std::string default_effect_metric(const JsonNode& result) {
  for (const char* name : {"/metrics/step_time_s", "/metrics/tpot_s/mean", "/steps/0/step_time_s"})
    if (number_at(result, name)) return name;
  return "";
}

FieldEffect effect_of(const ComparisonRequest& request,
                      const std::vector<const InputDifference*>& changes,
                      const ResultMetric& metric) {
  FieldEffect effect;
  Settings settings = request.settings[0];
  for (const InputDifference* change : changes) {
    effect.pointers.push_back(change->pointer);
    settings.emplace_back(change->pointer, change->value);
  }
  try {
    const JsonNode result = result_node(result_document(request.paths[0], settings, {}));
    effect.metric = metric.of(result);
    if (!effect.metric) effect.refusal = "the plan cannot be run";
  } catch (const InputError& error) {
    effect.refusal = error.what();
  }
  return effect;
}

void add_effects(const ComparisonRequest& request,
                 const JsonNode& result_a,
                 const JsonNode& result_b,
                 ResultComparison& comparison) {
  const std::vector<InputDifference>& inputs = comparison.inputs;
  if (inputs.empty()) {
    comparison.no_effects = "no input differs";
    return;
  }
  if (inputs.size() > kFewInputs && !request.one_at_a_time) {
    comparison.no_effects = std::to_string(inputs.size()) +
                            " inputs differ; --one-at-a-time simulates each of them alone";
    return;
  }
  const std::string spelled =
      request.metric.empty() ? default_effect_metric(result_a) : request.metric;
  if (spelled.empty()) {
    comparison.no_effects = "the first has no numbers to start from";
    return;
  }
  ResultMetric metric = find_metric(result_a, spelled, "--metric");
  for (const ResultMetric& named : result_metrics(result_a))
    if (named.pointer == metric.pointer) metric = named;
  const std::optional<double> of_b = metric.of(result_b);
  if (!of_b) {
    comparison.no_effects = "the second has no " + metric.name;
    return;
  }
  comparison.effect_metric = metric.name;
  comparison.effect_a = *metric.of(result_a);
  comparison.effect_b = *of_b;
  comparison.effects.resize(inputs.size());
  parallel_for(inputs.size(), request.num_threads, [&](std::size_t i) {
    comparison.effects[i] = effect_of(request, {&inputs[i]}, metric);
  });
  // What cannot change alone (tp without dp) changes together.
  std::vector<const InputDifference*> together;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!comparison.effects[i].metric) together.push_back(&inputs[i]);
  if (together.size() > 1 && together.size() < inputs.size())
    comparison.effects.push_back(effect_of(request, together, metric));
}

}  // namespace

ResultComparison compare_results(const ComparisonRequest& request) {
  const auto tell = [&](const std::string& what) {
    if (request.progress) request.progress(what);
  };
  tell("the first");
  const Side a = read_side(request.paths[0], request.settings[0], request.num_threads);
  tell("the second");
  const Side b = read_side(request.paths[1], request.settings[1], request.num_threads);
  const auto kind = [](const Side& side) {
    return std::string(side.about.is_training ? "training" : "serving");
  };
  if (a.about.is_training != b.about.is_training)
    throw InputError(one_line(request.paths[1].string()),
                     "is of " + kind(b) + ", and " + one_line(request.paths[0].string()) + " of " +
                         kind(a) + "; expected two of a kind");
  ResultComparison comparison;
  comparison.sides = {a.about, b.about};
  comparison.paired = a.about.is_scenario && b.about.is_scenario &&
                      a.about.profile == b.about.profile && !a.ends.ends.empty() &&
                      !b.ends.ends.empty();
  for (const Side* side : {&a, &b})
    if (comparison.no_intervals.empty()) comparison.no_intervals = side->ends.no_ends;
  compare_numbers(a, b, comparison);
  comparison.parts = difference_parts(a.result, b.result);
  comparison.inputs_known = a.document && b.document;
  if (comparison.inputs_known) {
    comparison.inputs = input_differences(*a.document, *b.document);
    tell("each difference alone");
    add_effects(request, a.result, b.result, comparison);
  } else if (request.one_at_a_time || !request.metric.empty()) {
    throw InputError(request.one_at_a_time ? "--one-at-a-time" : "--metric",
                     "expected two scenarios: a result file does not have its inputs");
  }
  return comparison;
}

}  // namespace moesim
