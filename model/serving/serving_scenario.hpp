// A serving scenario: a model, a cluster, a profile, pools of units that serve, and what they are
// asked: requests, or single steps of a stated batch, or both.
//
//   "serving":  {...}           pools, router (model/serving/serving_spec)
//   "routing":  {...}           of tokens to experts (model/routing_spec)
//   "requests": {...}           arrivals and lengths, or a trace (model/serving/request_spec)
//   "steps":    [{"name": "decode, 256 a GPU", "pool": "decode", "requests": 256,
//                 "context": 2000}, {"name": "prefill", "pool": "prefill", "prompts": 4,
//                 "prompt_tokens": 4096, "cached_tokens": 0}]
//   "measure":  {"warm_up": "60 s", "stop_after": "1 d", "seeds": 1, "compress_time": 8,
//                "slo": "p99_ttft<2s,p99_tpot<50ms"}
//   "prices":   {"input": "0.55 USD", "cached_input": "0.14 USD", "output": "2.19 USD"}
//                               what a customer pays for a million tokens
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/routing_spec.hpp"
#include "model/scenario_document.hpp"
#include "model/serving/request_spec.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

// One step whose batch is stated: every attention rank of a unit of the pool has the same. Prompts,
// or decoding requests, or both in one step.
struct StepPoint {
  std::string name, pool;
  std::int64_t requests = 0, context = 0;  // decoding; cached tokens of each
  std::int64_t prompts = 0, prompt_tokens = 0, prefix = 0;  // tokens of each in this step, before it
};

struct MeasureSpec {
  Seconds warm_up;                    // requests that arrive before it are not measured
  std::optional<Seconds> stop_after;  // those inside then are counted and left; else all are served
  std::int64_t seeds = 1;             // runs, the seeds one after the other
  std::int64_t compress_time = 1;     // a day of load in 24 hours over this (sim/serving/time_compression)
  std::string slo, slo_place;         // sim/serving/slo reads it; where it stands, for messages
};

// Of a million tokens, to the customer.
struct TokenPrices {
  Dollars input, cached_input, output;
};

struct ServingScenario : ScenarioBase {
  ServingSpec serving;
  RoutingSpec routing;
  std::optional<RequestSpec> requests;
  std::vector<StepPoint> steps;
  MeasureSpec measure;
  std::optional<TokenPrices> prices;
};

ServingScenario read_serving_scenario(const std::filesystem::path& path,
                                      const Settings& settings = {});

}  // namespace moesim
