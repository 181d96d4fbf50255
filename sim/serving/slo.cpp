#include "sim/serving/slo.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"

namespace moesim {
namespace {

struct Named {
  const char* name;
  SloMetric metric;
  bool is_latency;
};
constexpr std::array<Named, 12> kMetrics = {{
    {"ttft", SloMetric::ttft, true},
    {"tpot", SloMetric::tpot, true},
    {"itl", SloMetric::itl, true},
    {"e2e", SloMetric::e2e, true},
    {"e2el", SloMetric::e2e, true},
    {"queue", SloMetric::queue, true},
    {"goodput", SloMetric::goodput, false},
    {"refused", SloMetric::refused, false},
    {"request_throughput", SloMetric::request_throughput, false},
    {"output_throughput", SloMetric::output_throughput, false},
    {"total_throughput", SloMetric::total_throughput, false},
    {"request_goodput", SloMetric::request_goodput, false},
}};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

class Parser {
 public:
  Parser(const std::string& text, const std::string& place) : text_(text), place_(place) {}

  std::vector<SloBound> parse() {
    std::vector<SloBound> bounds;
    std::string_view left = text_;
    if (trimmed(left).empty()) fail(left, "expected bounds like p99_ttft<2s");
    for (;;) {
      const std::size_t comma = left.find(',');
      bounds.push_back(bound(trimmed(left.substr(0, comma))));
      if (comma == std::string_view::npos) return bounds;
      left.remove_prefix(comma + 1);
    }
  }

 private:
  // `at` lies in text_.
  [[noreturn]] void fail(std::string_view at, const std::string& problem) const {
    const auto column = static_cast<std::size_t>(at.data() - text_.data()) + 1;
    throw InputError(place_, (at.empty() ? "" : "at " + in_quotes(std::string(at)) + ", ") +
                                 "column " + std::to_string(column) + ": " + problem);
  }

  SloBound bound(std::string_view text) const {
    if (text.empty()) fail(text, "expected a bound like p99_ttft<2s, found none");
    const std::size_t at = text.find_first_of("<>=");
    if (at == std::string_view::npos) fail(text, "expected <, <=, > or >=");
    SloBound result;
    result.text = text;
    result.is_upper = text[at] == '<';
    if (text[at] == '=') fail(text.substr(at), "expected <, <=, > or >=");
    std::size_t value_at = at + 1;
    if (value_at < text.size() && text[value_at] == '=') {
      result.is_strict = false;
      ++value_at;
    }
    const std::string_view name = trimmed(text.substr(0, at));
    if (name.empty()) fail(text, "expected a metric before " + in_quotes(std::string(1, text[at])));
    const bool is_ms = read_metric(name, result);
    read_value(trimmed(text.substr(value_at)), is_ms, result);
    return result;
  }

  // True when the name says that values are milliseconds.
  bool read_metric(std::string_view name, SloBound& result) const {
    std::string_view rest = name;
    const auto take = [&](std::string_view word) {
      if (rest.substr(0, word.size()) != word) return false;
      rest.remove_prefix(word.size());
      return true;
    };
    const std::size_t line = rest.find('_');
    if (take("mean_") || take("avg_")) {
      result.statistic = SloStatistic::mean;
    } else if (take("median_")) {
      result.statistic = SloStatistic::median;
    } else if (take("min_")) {
      result.statistic = SloStatistic::min;
    } else if (take("max_")) {
      result.statistic = SloStatistic::max;
    } else if (line != std::string_view::npos && line > 1 && rest[0] == 'p' &&
               (std::isdigit(static_cast<unsigned char>(rest[1])) != 0 || rest[1] == '.')) {
      result.statistic = SloStatistic::percentile;
      const char* const end = rest.data() + line;
      const auto [stop, error] = std::from_chars(rest.data() + 1, end, result.percentile);
      if (error != std::errc() || stop != end || !(result.percentile >= 0) ||
          result.percentile > 100) {
        fail(name, "expected a percentile of 0 to 100, like p99 or p99.9");
      }
      rest.remove_prefix(line + 1);
    }
    const bool has_ms = rest.size() > 3 && rest.substr(rest.size() - 3) == "_ms";
    if (has_ms) rest.remove_suffix(3);
    const auto* const found = std::find_if(kMetrics.begin(), kMetrics.end(),
                                           [&](const Named& one) { return one.name == rest; });
    if (found == kMetrics.end()) {
      std::vector<std::string> known;
      for (const Named& one : kMetrics) known.emplace_back(one.name);
      fail(name, "unknown metric " + in_quotes(std::string(rest)) + "; known: " + joined(known));
    }
    result.metric = found->metric;
    if (found->is_latency == (result.statistic == SloStatistic::none)) {
      fail(name, found->is_latency ? "expected a statistic before it: mean_, median_, min_, max_ "
                                     "or a percentile like p99_"
                                   : std::string("has no statistics"));
    }
    if (has_ms && !found->is_latency) fail(name, "is not a time");
    return has_ms;
  }

  void read_value(std::string_view text, bool is_ms, SloBound& result) const {
    const bool is_latency = result.statistic != SloStatistic::none;
    if (text.empty()) {
      const std::string_view end = std::string_view(text_).substr(text_.size());
      fail(end, "expected a value after " + in_quotes(result.text));
    }
    if (is_latency && !is_ms) {
      try {
        result.limit = parse_seconds(spaced(text)).in(s);
      } catch (const InputError& error) {
        fail(text, std::string("expected a time with its unit, like 2s or 50ms: ") + error.what());
      }
    } else {
      const char* const end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, result.limit);
      if (error != std::errc() || stop != end || !std::isfinite(result.limit) || result.limit < 0) {
        fail(text, "expected a number of at least 0");
      }
      if (is_ms) result.limit /= 1000;
    }
    const bool is_share =
        result.metric == SloMetric::goodput || result.metric == SloMetric::refused;
    if (is_share && result.limit > 1) fail(text, "expected a share of 0 to 1");
  }

  // "50ms" as the parser of quantities wants it.
  static std::string spaced(std::string_view text) {
    const std::size_t unit = text.find_first_not_of("0123456789.+-eE");
    if (unit == std::string_view::npos || unit == 0) return std::string(text);
    return std::string(trimmed(text.substr(0, unit))) + " " +
           std::string(trimmed(text.substr(unit)));
  }

  const std::string& text_;
  std::string place_;
};

double of_statistic(const SloBound& bound, const Distribution& values) {
  switch (bound.statistic) {
    case SloStatistic::mean: return values.mean;
    case SloStatistic::median: return values.median;
    case SloStatistic::min: return values.min;
    case SloStatistic::max: return values.max;
    case SloStatistic::percentile: return values.percentile(bound.percentile);
    case SloStatistic::none: break;
  }
  ENSURE(false);
  return 0;
}

double value_of(const SloBound& bound, const ServingMetrics& metrics) {
  switch (bound.metric) {
    case SloMetric::ttft: return of_statistic(bound, metrics.ttft_s);
    case SloMetric::tpot: return of_statistic(bound, metrics.tpot_s);
    case SloMetric::itl: return of_statistic(bound, metrics.itl_s);
    case SloMetric::e2e: return of_statistic(bound, metrics.e2e_s);
    case SloMetric::queue: return of_statistic(bound, metrics.queue_s);
    case SloMetric::goodput: return metrics.goodput_share();
    case SloMetric::refused: return metrics.refused_share();
    case SloMetric::request_throughput: return metrics.request_throughput();
    case SloMetric::output_throughput: return metrics.output_throughput();
    case SloMetric::total_throughput: return metrics.total_throughput();
    case SloMetric::request_goodput: return metrics.request_goodput();
  }
  ENSURE(false);
  return 0;
}

bool is_refused(const SloBound& bound, const ServingMetrics& metrics) {
  if (metrics.served() == 0) return true;
  return bound.statistic == SloStatistic::percentile && bound.is_upper &&
         metrics.refused_share() > 1 - bound.percentile / 100;
}

}  // namespace

std::vector<SloBound> parse_slo(const std::string& text, const std::string& place) {
  return Parser(text, place).parse();
}

void add_percentiles(MetricsSettings& settings, const std::vector<SloBound>& bounds) {
  for (const SloBound& bound : bounds) {
    const auto& have = settings.percentiles;
    if (bound.statistic == SloStatistic::percentile &&
        std::find(have.begin(), have.end(), bound.percentile) == have.end()) {
      settings.percentiles.push_back(bound.percentile);
    }
  }
  std::sort(settings.percentiles.begin(), settings.percentiles.end());
}

SloResult check(const std::vector<SloBound>& bounds, const ServingMetrics& metrics) {
  ENSURE(!bounds.empty());
  SloResult result;
  for (const SloBound& bound : bounds) {
    SloCheck one;
    one.bound = bound;
    one.value = value_of(bound, metrics);
    const double room = bound.is_upper ? bound.limit - one.value : one.value - bound.limit;
    one.margin = bound.limit > 0 ? room / bound.limit : room;
    one.holds = bound.is_strict ? room > 0 : room >= 0;
    if (is_refused(bound, metrics)) {
      one.by_refusal = true;
      one.holds = false;
      one.margin = std::min(one.margin, -1.0);
    }
    result.holds = result.holds && one.holds;
    result.checks.push_back(one);
  }
  // One that does not hold binds before all that do.
  const auto least = std::min_element(
      result.checks.begin(), result.checks.end(), [](const SloCheck& a, const SloCheck& b) {
        return std::pair(a.holds, a.margin) < std::pair(b.holds, b.margin);
      });
  result.binding = static_cast<std::size_t>(least - result.checks.begin());
  return result;
}

}  // namespace moesim
