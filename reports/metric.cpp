#include "reports/metric.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "model/json_message.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

bool begins_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_statistic(std::string_view word) {
  if (word == "mean") return true;
  return word.size() > 1 && word[0] == 'p' &&
         word.find_first_not_of("0123456789.", 1) == std::string_view::npos;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

// The key that ends in the unit: of "ttft_s/p99" its first part.
std::string key_of(const std::string& name) {
  const std::string last = last_part(name);
  if (!is_statistic(last) || last.size() == name.size()) return last;
  return last_part(name.substr(0, name.size() - last.size() - 1));
}

std::string without_unit(const std::string& key) {
  if (ends_with(key, "_per_s")) return key;
  for (const char* unit : {"_s", "_bytes", "_usd", "_j"})
    if (ends_with(key, unit)) return key.substr(0, key.size() - std::string(unit).size());
  return key;
}

// "p99_ttft" and "ttft_p99" as statistic and rest; vLLM's words for them as ours.
struct Spelled {
  std::string statistic, rest;
  bool is_ms = false;
};

Spelled taken_apart(const std::string& text) {
  Spelled result{"", text};
  const std::size_t line = text.find('_');
  const std::string first = text.substr(0, line);
  if (line != std::string::npos) {
    if (first == "mean" || first == "avg")
      result = {"mean", text.substr(line + 1)};
    else if (first == "median")
      result = {"p50", text.substr(line + 1)};
    else if (is_statistic(first))
      result = {first, text.substr(line + 1)};
  }
  if (ends_with(result.rest, "_ms")) {
    result.is_ms = true;
    result.rest.resize(result.rest.size() - 3);
  }
  const std::size_t last_line = result.rest.rfind('_');
  if (result.statistic.empty() && last_line != std::string::npos &&
      is_statistic(result.rest.substr(last_line + 1))) {
    result.statistic = result.rest.substr(last_line + 1);
    result.rest.resize(last_line);
  }
  if (result.rest == "e2el") result.rest = "e2e";
  return result;
}

// Names of --slo that are not the document's.
struct Alias {
  const char *spelled, *name;
};
constexpr std::array<Alias, 5> kAliases = {{{"goodput", "goodput_share"},
                                            {"request_throughput", "requests_per_s"},
                                            {"output_throughput", "output_tokens_per_s"},
                                            {"total_throughput", "total_tokens_per_s"},
                                            {"request_goodput", "goodput_requests_per_s"}}};

void add_metrics(const JsonNode& node,
                 const std::string& name,
                 const std::string& pointer,
                 std::vector<ResultMetric>& found) {
  if (node.kind == JsonNode::Kind::integer || node.kind == JsonNode::Kind::real) {
    ResultMetric metric{name, pointer, 1, {}};
    const std::string last = last_part(name);
    if (is_statistic(last) && last != "mean" && unit_of_metric(name) == MetricUnit::seconds)
      metric.percentile = std::stod(last.substr(1));
    found.push_back(std::move(metric));
  }
  for (const auto& [key, member] : node.members)
    add_metrics(member, name.empty() ? key : name + "/" + key, child_pointer(pointer, key), found);
}

// What is measured in more percentiles than /metrics shows.
void add_benchmark_rows(const JsonNode& vllm, std::vector<ResultMetric>& found) {
  constexpr double kSecondsPerMs = 1e-3;
  for (const auto& [key, value] : vllm.members) {
    if (key == "total_token_throughput" && value.kind == JsonNode::Kind::real)
      found.push_back({"total_tokens_per_s", "/vllm/" + key, 1, {}});
    const Spelled spelled = taken_apart(key);
    if (!spelled.is_ms || spelled.statistic.empty() || spelled.statistic == "mean") continue;
    const std::string name = spelled.rest + "_s/" + spelled.statistic;
    const bool known = std::any_of(
        found.begin(), found.end(), [&](const ResultMetric& m) { return m.name == name; });
    if (!known)
      found.push_back(
          {name, "/vllm/" + key, kSecondsPerMs, std::stod(spelled.statistic.substr(1))});
  }
}

using Candidates = std::vector<const ResultMetric*>;

template <class Fits>
Candidates those(const std::vector<ResultMetric>& metrics, const Fits& fits) {
  Candidates found;
  for (const ResultMetric& metric : metrics)
    if (fits(metric)) found.push_back(&metric);
  return found;
}

// The closest way to read a spelling that fits anything.
Candidates candidates(const std::vector<ResultMetric>& metrics, const std::string& spelled) {
  const Spelled parts = taken_apart(spelled);
  std::string alias = parts.rest;
  for (const Alias& a : kAliases)
    if (parts.statistic.empty() && spelled == a.spelled) alias = a.name;
  const auto exact = [&](const ResultMetric& m) { return m.name == spelled || m.name == alias; };
  // Of a distribution: the statistic asked for, else the mean.
  const std::string statistic = parts.statistic.empty() ? "mean" : parts.statistic;
  const auto of_distribution = [&](const ResultMetric& m) {
    return is_statistic(last_part(m.name)) && last_part(m.name) == statistic &&
           (key_of(m.name) == parts.rest || without_unit(key_of(m.name)) == parts.rest);
  };
  const auto unitless = [&](const ResultMetric& m) {
    const std::string folder = m.name.substr(0, m.name.size() - last_part(m.name).size());
    return folder + without_unit(last_part(m.name)) == parts.rest;
  };
  const auto last = [&](const ResultMetric& m) {
    return last_part(m.name) == parts.rest || without_unit(last_part(m.name)) == parts.rest;
  };
  const auto beginning = [&](const ResultMetric& m) {
    return begins_with(last_part(m.name), parts.rest + "_");
  };
  if (Candidates found = those(metrics, exact); !found.empty()) return found;
  if (Candidates found = those(metrics, of_distribution); !found.empty()) return found;
  if (!parts.statistic.empty()) return {};  // p99 of something must not become its mean
  if (Candidates found = those(metrics, unitless); !found.empty()) return found;
  if (Candidates found = those(metrics, last); !found.empty()) return found;
  return those(metrics, beginning);
}

std::string names_of(const Candidates& found) {
  constexpr std::size_t kShown = 12;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(found.size(), kShown); ++i) names.push_back(found[i]->name);
  if (found.size() > kShown) names.push_back("... (" + std::to_string(found.size()) + " in all)");
  return joined(names);
}

}  // namespace

JsonNode result_node(const JsonValue& document) {
  return parse_json(document.dump_line(), "result");
}

const JsonNode* node_at(const JsonNode& root, const std::string& pointer) {
  const JsonNode* node = &root;
  for (std::size_t at = 0; at < pointer.size();) {
    if (pointer[at] != '/') return nullptr;
    const std::size_t end = std::min(pointer.find('/', at + 1), pointer.size());
    std::string step = pointer.substr(at + 1, end - at - 1);
    for (const auto& [escape, plain] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}})
      for (std::size_t i = 0; (i = step.find(escape, i)) != std::string::npos; ++i)
        step.replace(i, 2, plain);
    at = end;
    if (node->kind == JsonNode::Kind::array) {
      std::size_t index = 0;
      const auto [rest, error] = std::from_chars(step.data(), step.data() + step.size(), index);
      if (error != std::errc() || rest != step.data() + step.size() || index >= node->items.size())
        return nullptr;
      node = &node->items[index];
    } else if (node = node->find(step); node == nullptr) {
      return nullptr;
    }
  }
  return node;
}

std::optional<double> number_at(const JsonNode& root, const std::string& pointer) {
  const JsonNode* node = node_at(root, pointer);
  if (node == nullptr ||
      (node->kind != JsonNode::Kind::integer && node->kind != JsonNode::Kind::real))
    return std::nullopt;
  return node->real;
}

bool is_feasible(const JsonNode& result) {
  const JsonNode* feasible = result.find("feasible");
  return feasible != nullptr && feasible->boolean;
}

MetricUnit unit_of_metric(const std::string& name) {
  const std::string key = key_of(name);
  if (key.find("_per_s") != std::string::npos) return MetricUnit::plain;
  if (ends_with(key, "_s")) return MetricUnit::seconds;
  if (ends_with(key, "_bytes")) return MetricUnit::bytes;
  if (ends_with(key, "_usd")) return MetricUnit::dollars;
  if (ends_with(key, "_j")) return MetricUnit::joules;
  if (ends_with(key, "_share") || key.find("_share_of_") != std::string::npos ||
      begins_with(key, "mfu_") || key == "margin")
    return MetricUnit::share;
  return MetricUnit::plain;
}

std::string format_metric(const std::string& name, double value) {
  switch (unit_of_metric(name)) {
    case MetricUnit::seconds:
      return std::abs(value) < 2 * (day).in(s) ? format_seconds(value)
                                               : digits4(value / (day).in(s)) + " d";
    case MetricUnit::bytes: return format_bytes(value * B);
    case MetricUnit::dollars: return format_usd(value);
    case MetricUnit::joules: return digits4(value) + " J";
    case MetricUnit::share: return format_percent(value);
    case MetricUnit::plain: break;
  }
  return format_count(value);
}

std::optional<double> ResultMetric::of(const JsonNode& result) const {
  const std::optional<double> number = number_at(result, pointer);
  return number ? std::optional(*number * scale) : std::nullopt;
}

std::vector<ResultMetric> result_metrics(const JsonNode& result) {
  std::vector<ResultMetric> found;
  if (const JsonNode* metrics = result.find("metrics"))
    add_metrics(*metrics, "", "/metrics", found);
  if (const JsonNode* vllm = result.find("vllm")) add_benchmark_rows(*vllm, found);
  if (const JsonNode* steps = result.find("steps"))
    for (std::size_t i = 0; i < steps->items.size(); ++i) {
      const std::string at = "steps/" + std::to_string(i);
      add_metrics(steps->items[i], at, "/" + at, found);
    }
  for (const char* group : {"cost", "breakdown", "phases"})
    if (const JsonNode* node = result.find(group))
      add_metrics(*node, group, "/" + std::string(group), found);
  return found;
}

ResultMetric find_metric(const JsonNode& result,
                         const std::string& spelled,
                         const std::string& place) {
  if (!spelled.empty() && spelled[0] == '/') {
    if (!number_at(result, spelled))
      throw InputError(place, "the result has no number at " + in_quotes(spelled));
    return {spelled, spelled, 1, {}};
  }
  const std::vector<ResultMetric> metrics = result_metrics(result);
  const Candidates found = candidates(metrics, spelled);
  if (found.size() > 1)
    throw InputError(place, in_quotes(spelled) + " may be any of: " + names_of(found));
  if (found.empty()) {
    std::vector<std::string> names;
    Candidates all;
    for (const ResultMetric& m : metrics) {
      names.push_back(m.name);
      names.push_back(without_unit(m.name));
      all.push_back(&m);
    }
    const std::string* near = nearest_word(spelled, names, 3);
    throw InputError(place,
                     "unknown metric " + in_quotes(spelled) +
                         (near != nullptr ? "; did you mean " + in_quotes(*near) + "?" : "") +
                         "; known: " + names_of(all));
  }
  return *found.front();
}

double MetricBound::margin(double value) const {
  const double room = is_upper ? limit - value : value - limit;
  return limit > 0 ? room / limit : room;
}

bool MetricBound::holds(const JsonNode& result) const {
  const std::optional<double> value = metric.of(result);
  if (!value || !is_feasible(result)) return false;
  if (metric.percentile && is_upper) {
    const double requests = number_at(result, "/metrics/requests").value_or(0),
                 served = number_at(result, "/metrics/served").value_or(0);
    if (served == 0 || (requests - served) / requests > 1 - *metric.percentile / 100) return false;
  }
  const double room = is_upper ? limit - *value : *value - limit;
  return is_strict ? room > 0 : room >= 0;
}

}  // namespace moesim
