// What a scenario's "requests" say: when requests arrive, how long they are, or the trace that says
// both. `make_source` turns it into requests; the same spec and seed give the same requests.
//
//   "requests": {
//     "arrivals": {"process": "poisson", "rate_per_s": 12},
//     "input_tokens": {"distribution": "lognormal", "mean": 1155, "p50": 1020, "max": 16384},
//     "output_tokens": {"distribution": "exponential", "mean": 211, "max": 4096},
//     "correlation": 0.2,          // of input and output
//     "cached_share": 0.563,       // of input tokens, stated instead of simulated
//     "num_requests": 10000,       // whichever is first
//     "duration": "1 h"
//   }
//   "requests": {
//     "trace": {"file": "conversation.csv.gz", "format": "azure",   // or recognised
//               "window": {"start": "600 s", "duration": "1800 s"},
//               "rate_scale": 2, "time_scale": 1, "repeat": 1},
//     "max_context_tokens": 131072, "too_long": "truncate",
//     "classes": [{"name": "chat", "share": 0.8, "slo": {"ttft": "2 s", "tpot": "50 ms"}},
//                 {"name": "batch", "share": 0.2, "priority": 1, "slo": {"e2e": "10 min"}}]
//   }
//
// Arrivals, "process":
//   poisson      rate_per_s.
//   constant     rate_per_s: request i arrives at i / rate.
//   gamma        rate_per_s and cv of the gaps, or burstiness = 1 / cv^2 as vLLM's benchmark has it.
//   mmpp         states [{rate_per_s, mean_stay}]: Poisson at the rate of the state it is in; stays
//                are exponential, the next state is any other one with equal chances, the first is
//                drawn from the stationary law.
//   diurnal      a Poisson process whose rate repeats every 24 h: hourly_rates_per_s, 24 of them
//                ("between": "steps", or "linear": a rate holds at the start of its hour), or
//                rate_per_s (the mean) x (1 + swing x cos(2 pi (hour - peak_hour) / 24)).
//                start_hour: the hour of the day at time zero.
//   closed_loop  concurrency users; each asks again think_time (exponential, with that mean; none)
//                after the last answer. All ask first at time zero.
//   sessions     sessions_per_s Poisson; `turns` of a session; think_time between an answer and the
//                next turn. A turn's input is the context so far (last input and output) and
//                input_tokens new ones; it carries the identities of its blocks of block_tokens, so
//                that a prefix cache finds the context. system_tokens lead every session.
// Lengths, "distribution":
//   constant {tokens}; uniform {min, max}, whole numbers; exponential, geometric {mean};
//   lognormal {mean, p50 or cv}; gamma {mean, cv}; empirical {values, weights}, or {edges, weights}
//   for a histogram, uniform inside a bin. min and max clamp the others: what lies beyond counts as
//   the bound, so that a clamped mean is not quite the one stated.
//
// Traces are in trace_file.hpp. An "arrivals" beside a trace takes lengths and blocks from the
// trace in its order and their times from the process.
//
// Left out: retries of refused requests, users who give up, output lengths that depend on the
// load. A session goes on after a refused turn.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "model/serving/request.hpp"
#include "model/units.hpp"

namespace moesim {

struct RequestTrace;  // trace_file.hpp

enum class LengthKind : std::uint8_t {
  constant,
  uniform,
  exponential,
  geometric,
  lognormal,
  gamma,
  empirical
};
inline constexpr std::array<const char*, 7> kLengthKindNames = {
    "constant", "uniform", "exponential", "geometric", "lognormal", "gamma", "empirical"};

struct LengthSpec {
  LengthKind kind = LengthKind::constant;
  double mean = 1;              // constant: the value
  double cv = 0;                // lognormal, gamma
  std::int64_t lowest = 1, highest = 1'000'000'000;
  // Empirical: values with their weights; a histogram has one more edge than weights.
  bool is_histogram = false;
  std::vector<double> points, weights;
};

enum class ArrivalKind : std::uint8_t {
  poisson,
  constant,
  gamma,
  mmpp,
  diurnal,
  closed_loop,
  sessions
};
inline constexpr std::array<const char*, 7> kArrivalKindNames = {
    "poisson", "constant", "gamma", "mmpp", "diurnal", "closed_loop", "sessions"};

struct ArrivalSpec {
  ArrivalKind kind = ArrivalKind::poisson;
  double rate_per_s = 0;  // of requests; diurnal: the mean; sessions: of sessions
  double cv = 1;          // gamma
  struct State {
    double rate_per_s = 0;
    Seconds mean_stay;
  };
  std::vector<State> states;  // mmpp
  // Diurnal: 24 rates, or none and the cosine.
  std::vector<double> hourly_rates_per_s;
  bool is_linear = false;
  double swing = 0, peak_hour = 0, start_hour = 0;
  double compression = 1;  // hours of the day pass so many times as fast
  std::int64_t concurrency = 0;  // closed loop
  Seconds think_time;            // closed loop, sessions
  LengthSpec turns;              // sessions, from here on
  std::int64_t block_tokens = 0, system_tokens = 0;
};

// What one request is held to; a request is good when it keeps every bound that is there.
struct RequestSlo {
  std::optional<Seconds> ttft, tpot, e2e;
};

struct RequestClass {
  std::string name;
  double share = 1;
  std::int32_t priority = 0;
  RequestSlo slo;
};

enum class TooLong : std::uint8_t { reject, truncate };
inline constexpr std::array<const char*, 2> kTooLongNames = {"reject", "truncate"};

// How a trace is played.
struct TraceUse {
  std::shared_ptr<const RequestTrace> trace;
  std::optional<Seconds> window_start, window_duration;  // on the trace's clock
  // 2 plays it at half the speed.
  double time_scale = 1;
  // Requests per time, the clock as it is: every row comes rate_scale times on average, copies at
  // random between their row and the next one, with other blocks than their row (other users).
  double rate_scale = 1;
  std::int64_t repeat = 1;  // one after the other, with other blocks each time
  // Spreads each arrival over so much after its time stamp (for clocks that are quantised).
  Seconds jitter;
};

struct RequestSpec {
  std::optional<ArrivalSpec> arrivals;
  LengthSpec input, output;  // without a trace
  double correlation = 0;    // of the normal quantiles of input and output (Gaussian copula)
  std::optional<TraceUse> trace;
  // Share of input tokens that are cached; they are the leading part of `cached_requests` of all
  // requests. Sums are exact to a token.
  double cached_share = 0, cached_requests = 1;
  std::optional<std::int64_t> num_requests;
  std::optional<Seconds> duration;  // arrivals before it
  std::optional<std::int64_t> max_context_tokens;
  TooLong too_long = TooLong::reject;
  std::vector<RequestClass> classes;  // at least one
};

// `folder` is where relative file names start. Reads the trace too.
RequestSpec read_requests(const JsonNode& node, const std::filesystem::path& folder);

// Whether some requests come only when others are answered.
bool waits_for_answers(const RequestSpec& spec);

std::unique_ptr<RequestSource> make_source(const RequestSpec& spec, std::uint64_t seed);

}  // namespace moesim
