// A scenario's "requests" into a RequestSpec: strict, every refusal with file and place.

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "model/json_message.hpp"
#include "model/named_file.hpp"
#include "model/serving/arrival_process.hpp"
#include "model/serving/request_spec.hpp"
#include "model/serving/trace_file.hpp"

namespace moesim {
namespace {

constexpr double kMostTokens = 1e9;                   // of one request, and of each of its parts
constexpr double kLeastRate = 1e-6, kMostRate = 1e9;  // per second: beyond, a unit is wrong
constexpr const char* kLongest = "8640000 s";         // 100 days, of the 106 that a Tick holds

template <std::size_t N>
std::size_t choice_of(ObjectReader& reader,
                      const std::string& key,
                      const std::array<const char*, N>& names) {
  const std::string name = reader.choice(key, {names.begin(), names.end()});
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::vector<double> numbers(ObjectReader& reader,
                            const std::string& key,
                            double lowest,
                            double highest) {
  const JsonNode& node = reader.required(key);
  if (node.kind != JsonNode::Kind::array || node.items.empty()) {
    reader.fail(key, "expected a list of numbers, found " + node.describe());
  }
  std::vector<double> values;
  for (const JsonNode& item : node.items) values.push_back(as_number(item, lowest, highest));
  return values;
}

void read_empirical(ObjectReader& reader, LengthSpec& spec) {
  spec.is_histogram = reader.has("edges");
  const std::string key = spec.is_histogram ? "edges" : "values";
  spec.points = numbers(reader, key, spec.is_histogram ? 0 : 1, kMostTokens);
  const std::size_t bins = spec.points.size() - (spec.is_histogram ? 1 : 0);
  if (spec.is_histogram) {
    if (bins == 0) reader.fail(key, "expected at least 2 edges");
    for (std::size_t i = 0; i < bins; ++i) {
      if (spec.points[i] >= spec.points[i + 1]) reader.fail(key, "the edges do not ascend");
    }
  }
  if (spec.is_histogram || reader.has("weights")) {
    spec.weights = numbers(reader, "weights", 0, 1e18);
  } else {
    spec.weights.assign(bins, 1);
  }
  if (spec.weights.size() != bins) {
    reader.fail("weights",
                "expected " + std::to_string(bins) + ", one " +
                    (spec.is_histogram ? "a bin" : "a value") + ", found " +
                    std::to_string(spec.weights.size()));
  }
  if (std::all_of(spec.weights.begin(), spec.weights.end(), [](double w) { return w == 0; })) {
    reader.fail("weights", "all are 0");
  }
}

LengthSpec read_length(const JsonNode& node) {
  ObjectReader reader(node);
  LengthSpec spec;
  spec.kind = static_cast<LengthKind>(choice_of(reader, "distribution", kLengthKindNames));
  const auto most = static_cast<std::int64_t>(kMostTokens);
  if (spec.kind == LengthKind::constant) {
    spec.mean = static_cast<double>(reader.integer("tokens", 1, most));
    reader.finish();
    return spec;
  }
  if (spec.kind == LengthKind::uniform) {
    spec.lowest = reader.integer("min", 1, most);
    spec.highest = reader.integer("max", spec.lowest, most);
    reader.finish();
    return spec;
  }
  spec.lowest = reader.integer_or("min", 1, most, 1);
  spec.highest = reader.integer_or("max", spec.lowest, most, most);
  if (spec.kind == LengthKind::empirical) {
    read_empirical(reader, spec);
  } else {
    spec.mean = reader.number("mean", 1, kMostTokens);
  }
  if (spec.kind == LengthKind::geometric && spec.mean == 1) {
    reader.fail("mean", "expected more than 1; a \"constant\" is always 1");
  }
  if (spec.kind == LengthKind::gamma) spec.cv = reader.number("cv", 0.01, 100);
  if (spec.kind == LengthKind::lognormal) {
    if (reader.has("cv") == reader.has("p50")) {
      reader.fail("expected one of \"cv\" and \"p50\" beside \"mean\"");
    }
    if (reader.has("cv")) {
      spec.cv = reader.number("cv", 0, 100);
    } else {
      const double median = reader.number("p50", 1, spec.mean);
      // mean / p50 = exp(sigma^2 / 2), cv^2 = exp(sigma^2) - 1.
      const double ratio = spec.mean / median;
      spec.cv = std::sqrt(ratio * ratio - 1);
      if (spec.cv > 100) reader.fail("p50", "is too far below the mean");
    }
  }
  reader.finish();
  return spec;
}

double read_rate(ObjectReader& reader, const std::string& key) {
  return reader.number(key, kLeastRate, kMostRate);
}

void read_diurnal(ObjectReader& reader, ArrivalSpec& spec) {
  if (reader.has("hourly_rates_per_s")) {
    spec.hourly_rates_per_s = numbers(reader, "hourly_rates_per_s", 0, kMostRate);
    if (spec.hourly_rates_per_s.size() != 24) {
      reader.fail("hourly_rates_per_s",
                  "expected 24, found " + std::to_string(spec.hourly_rates_per_s.size()));
    }
    for (const double rate : spec.hourly_rates_per_s) spec.rate_per_s += rate / 24;
    if (spec.rate_per_s == 0) reader.fail("hourly_rates_per_s", "all are 0");
    if (reader.has("between")) {
      spec.is_linear = reader.choice("between", {"steps", "linear"}) == "linear";
    }
  } else {
    spec.rate_per_s = read_rate(reader, "rate_per_s");
    spec.swing = reader.number("swing", 0, 1);
    spec.peak_hour = reader.number("peak_hour", 0, 24);
  }
  spec.start_hour = reader.number_or("start_hour", 0, 24, 0);
}

void read_states(ObjectReader& reader, ArrivalSpec& spec) {
  const JsonNode& node = reader.required("states");
  if (node.kind != JsonNode::Kind::array || node.items.size() < 2) {
    reader.fail("states", "expected a list of at least 2 states");
  }
  bool has_rate = false;
  for (const JsonNode& item : node.items) {
    ObjectReader state(item);
    spec.states.push_back(
        {state.number("rate_per_s", 0, kMostRate), state.seconds_at_most("mean_stay", kLongest)});
    if (spec.states.back().mean_stay <= 0 * s) state.fail("mean_stay", "expected more than 0 s");
    has_rate |= spec.states.back().rate_per_s > 0;
    state.finish();
  }
  if (!has_rate) reader.fail("states", "all rates are 0");
}

ArrivalSpec read_arrivals(const JsonNode& node) {
  ObjectReader reader(node);
  ArrivalSpec spec;
  spec.kind = static_cast<ArrivalKind>(choice_of(reader, "process", kArrivalKindNames));
  switch (spec.kind) {
    case ArrivalKind::poisson:
    case ArrivalKind::constant: spec.rate_per_s = read_rate(reader, "rate_per_s"); break;
    case ArrivalKind::gamma:
      spec.rate_per_s = read_rate(reader, "rate_per_s");
      if (reader.has("cv") == reader.has("burstiness")) {
        reader.fail("expected one of \"cv\" and \"burstiness\"");
      }
      spec.cv = reader.has("cv") ? reader.number("cv", 0.01, 100)
                                 : 1 / std::sqrt(reader.number("burstiness", 1e-4, 1e4));
      break;
    case ArrivalKind::mmpp: read_states(reader, spec); break;
    case ArrivalKind::diurnal: read_diurnal(reader, spec); break;
    case ArrivalKind::closed_loop:
      spec.concurrency = reader.integer("concurrency", 1, 100'000'000);
      if (reader.has("think_time"))
        spec.think_time = reader.seconds_at_most("think_time", kLongest);
      break;
    case ArrivalKind::sessions:
      spec.rate_per_s = read_rate(reader, "sessions_per_s");
      spec.think_time = reader.seconds_at_most("think_time", kLongest);
      spec.turns = read_length(reader.required("turns"));
      spec.block_tokens = reader.integer("block_tokens", 1, 1'000'000);
      spec.system_tokens = reader.integer_or("system_tokens", 0, 100'000'000, 0);
      break;
  }
  reader.finish();
  return spec;
}

TraceUse read_trace(const JsonNode& node, const std::filesystem::path& folder) {
  ObjectReader reader(node);
  TraceUse use;
  TraceOptions options;
  if (reader.text("file").empty()) reader.fail("file", "is empty");
  if (reader.has("format")) {
    options.format = static_cast<TraceFormat>(choice_of(reader, "format", kTraceFormatNames));
  }
  if (reader.has("on_zero")) {
    options.on_zero = static_cast<OnZero>(choice_of(reader, "on_zero", kOnZeroNames));
  }
  options.sort = reader.boolean_or("sort", false);
  options.block_tokens = reader.integer_or("block_tokens", 1, 1'000'000, options.block_tokens);
  if (const JsonNode* const window = reader.optional("window")) {
    ObjectReader bounds(*window);
    if (bounds.has("start")) use.window_start = bounds.seconds_at_most("start", kLongest);
    if (bounds.has("duration")) {
      use.window_duration = bounds.seconds_at_most("duration", kLongest);
      if (*use.window_duration <= 0 * s) bounds.fail("duration", "expected more than 0 s");
    }
    bounds.finish();
  }
  use.time_scale = reader.number_or("time_scale", 1e-6, 1e6, 1);
  use.rate_scale = reader.number_or("rate_scale", 1e-6, 1e5, 1);
  use.repeat = reader.integer_or("repeat", 1, 1'000'000, 1);
  if (reader.has("jitter")) use.jitter = reader.seconds_at_most("jitter", kLongest);
  reader.finish();

  auto trace = std::make_shared<RequestTrace>(
      read_request_trace(named_file(*node.find("file"), folder), options));
  const bool is_timed = use.window_start || use.window_duration || use.time_scale != 1 ||
                        use.rate_scale != 1 || use.jitter > 0 * s;
  if (!trace->has_times && is_timed) {
    reader.fail("window, scales and jitter need times, and " + trace->file + " has none");
  }
  if (trace->has_waits && use.rate_scale != 1) {
    reader.fail("rate_scale",
                "cannot copy sessions whose turns wait for answers; time_scale can "
                "stretch them");
  }
  use.trace = std::move(trace);
  return use;
}

std::vector<RequestClass> read_classes(ObjectReader& reader) {
  const JsonNode* const node = reader.optional("classes");
  if (node == nullptr) return {{"all", 1, 0, {}}};
  if (node->kind != JsonNode::Kind::array || node->items.empty()) {
    reader.fail("classes", "expected a list of classes, found " + node->describe());
  }
  std::vector<RequestClass> classes;
  std::set<std::string> names;
  double sum = 0;
  for (const JsonNode& item : node->items) {
    ObjectReader one(item);
    RequestClass c;
    c.name = one.text("name");
    if (c.name.empty() || !names.insert(c.name).second) {
      one.fail("name", "is empty or the name of another class");
    }
    c.share = one.number_or("share", 0, 1, 1);
    sum += c.share;
    c.priority = static_cast<std::int32_t>(one.integer_or("priority", -1000, 1000, 0));
    if (const JsonNode* const slo = one.optional("slo")) {
      ObjectReader bounds(*slo);
      const auto bound = [&](const char* key) -> std::optional<Seconds> {
        if (!bounds.has(key)) return std::nullopt;
        return bounds.seconds_at_most(key, kLongest);
      };
      c.slo = {bound("ttft"), bound("tpot"), bound("e2e")};
      bounds.finish();
    }
    one.finish();
    classes.push_back(std::move(c));
  }
  if (std::abs(sum - 1) > 1e-6) {
    reader.fail("classes", "the shares add up to " + number_text(sum) + ", expected 1");
  }
  return classes;
}

void check_trace_use(const ObjectReader& reader, const RequestSpec& spec) {
  const RequestTrace& trace = *spec.trace->trace;
  if (!spec.arrivals) {
    if (!trace.has_times) {
      reader.fail("trace", trace.file + " has no times; \"arrivals\" has to give them");
    }
  } else if (spec.arrivals->kind == ArrivalKind::sessions) {
    reader.fail("arrivals", "\"sessions\" draw their lengths; they cannot take a trace's");
  } else if (trace.has_waits) {
    reader.fail("arrivals", "the trace has turns that wait for answers; it keeps its own times");
  } else if (spec.trace->jitter > 0 * s || spec.trace->rate_scale != 1 ||
             spec.trace->time_scale != 1) {
    reader.fail("trace", "scales and jitter have no effect beside \"arrivals\"");
  }
  if (spec.cached_share > 0 && trace.block_tokens > 0) {
    reader.fail("cached_share", "the trace has blocks, so the prefix cache decides");
  }
}

void check_drawn(const ObjectReader& reader, const RequestSpec& spec) {
  if (!spec.num_requests && !spec.duration) {
    reader.fail("expected \"num_requests\", \"duration\" or both: drawn requests have no end");
  }
  if (spec.correlation != 0 &&
      (spec.input.kind == LengthKind::gamma || spec.output.kind == LengthKind::gamma)) {
    reader.fail("correlation", "is not offered with gamma lengths");
  }
  if (spec.arrivals->kind == ArrivalKind::sessions) {
    if (spec.cached_share > 0) {
      reader.fail("cached_share", "sessions have blocks, so the prefix cache decides");
    }
    if (spec.correlation != 0) reader.fail("correlation", "is not offered with sessions");
    if (spec.too_long == TooLong::truncate) {
      reader.fail("too_long", "a session that is too long ends; \"truncate\" is not offered");
    }
  }
}

}  // namespace

RequestSpec read_requests(const JsonNode& node, const std::filesystem::path& folder) {
  ObjectReader reader(node);
  RequestSpec spec;
  if (!reader.has("arrivals") && !reader.has("trace")) {
    reader.fail("expected \"arrivals\", \"trace\" or both");
  }
  if (const JsonNode* const arrivals = reader.optional("arrivals")) {
    spec.arrivals = read_arrivals(*arrivals);
  }
  if (const JsonNode* const trace = reader.optional("trace")) {
    spec.trace = read_trace(*trace, folder);
  } else {
    spec.input = read_length(reader.required("input_tokens"));
    spec.output = read_length(reader.required("output_tokens"));
    spec.correlation = reader.number_or("correlation", -1, 1, 0);
  }
  spec.cached_share = reader.number_or("cached_share", 0, 0.999, 0);
  spec.cached_requests = reader.number_or("cached_requests", 1e-6, 1, 1);
  if (spec.cached_share >= spec.cached_requests) {
    reader.fail("cached_requests",
                "expected more than cached_share, " + number_text(spec.cached_share) +
                    ": no request is cached altogether");
  }
  if (reader.has("num_requests")) {
    spec.num_requests = reader.count("num_requests");
  }
  if (reader.has("duration")) {
    spec.duration = reader.seconds_at_most("duration", kLongest);
    if (*spec.duration <= 0 * s) reader.fail("duration", "expected more than 0 s");
  }
  if (reader.has("max_context_tokens")) {
    spec.max_context_tokens =
        reader.integer("max_context_tokens", 2, static_cast<std::int64_t>(kMostTokens));
  }
  if (reader.has("too_long")) {
    spec.too_long = static_cast<TooLong>(choice_of(reader, "too_long", kTooLongNames));
    if (!spec.max_context_tokens) {
      reader.fail("too_long", "has no effect without \"max_context_tokens\"");
    }
  }
  spec.classes = read_classes(reader);
  reader.finish();
  if (spec.trace) {
    check_trace_use(reader, spec);
  } else {
    check_drawn(reader, spec);
  }
  return spec;
}

}  // namespace moesim
