// Serving metrics under the names that measuring tools give them, so that a simulated file can be
// compared with a measured one line by line. Quantities that only a live server has (texts, errors)
// are left out.
//
// vLLM: the keys of `vllm bench serve --save-result` (vllm/benchmarks/serve.py, 2026): tpot leaves
// the first token out; percentiles are those of --metric-percentiles; e2el is end to end.
//
// AIPerf: profile_export_aiperf.json, schema 1.1 and later (docs/reference/json-export-schema.md):
// its inter_token_latency is (latency - TTFT) / (tokens - 1) of each request, vLLM's TPOT; the gaps
// that a client sees are its inter_chunk_latency, left out here when speculation lets tokens arrive
// together. Its standard deviations are of the sample (divided by count - 1).
#pragma once

#include "model/json_writer.hpp"
#include "sim/serving/serving_metrics.hpp"

namespace moesim {

JsonValue vllm_bench_json(const ServingMetrics& metrics);
JsonValue aiperf_json(const ServingMetrics& metrics);

}  // namespace moesim
