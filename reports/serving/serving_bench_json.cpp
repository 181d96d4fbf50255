#include "reports/serving/serving_bench_json.hpp"

#include <cmath>
#include <string>

#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr double kMsPerSecond = 1000;

void set_vllm(JsonValue& json, const std::string& name, const Distribution& values) {
  json.set("mean_" + name + "_ms", values.mean * kMsPerSecond);
  json.set("median_" + name + "_ms", values.median * kMsPerSecond);
  json.set("std_" + name + "_ms", values.deviation * kMsPerSecond);
  for (const auto& [p, value] : values.percentiles) {
    json.set("p" + number_text(p) + "_" + name + "_ms", value * kMsPerSecond);
  }
}

JsonValue scalar(const std::string& unit, double value) {
  return JsonValue::object().set("unit", unit).set("avg", value);
}

// Nothing where nothing was recorded: AIPerf leaves such metrics out.
void set_record(JsonValue& json,
                const std::string& name,
                const std::string& unit,
                const Distribution& values,
                double scale) {
  if (values.count == 0) return;
  JsonValue block = JsonValue::object();
  block.set("unit", unit).set("avg", values.mean * scale);
  for (const auto& [p, value] : values.percentiles) {
    block.set("p" + number_text(p), value * scale);
  }
  block.set("min", values.min * scale).set("max", values.max * scale);
  const auto count = static_cast<double>(values.count);
  const double of_sample = values.count > 1 ? std::sqrt(count / (count - 1)) : 0;
  block.set("std", values.deviation * of_sample * scale);
  block.set("count", values.count).set("sum", values.sum * scale);
  json.set(name, block);
}

}  // namespace

JsonValue vllm_bench_json(const ServingMetrics& metrics) {
  JsonValue json = JsonValue::object();
  json.set("duration", metrics.duration_s())
      .set("completed", metrics.served())
      .set("failed", metrics.requests - metrics.served())
      .set("total_input_tokens", metrics.input_tokens)
      .set("total_output_tokens", metrics.output_tokens)
      .set("request_throughput", metrics.request_throughput())
      .set("request_goodput", metrics.has_slo ? JsonValue(metrics.request_goodput()) : JsonValue())
      .set("output_throughput", metrics.output_throughput())
      .set("total_token_throughput", metrics.total_throughput())
      .set("max_output_tokens_per_s", static_cast<double>(metrics.max_output_tokens_per_s))
      .set("max_concurrent_requests", metrics.max_concurrent_requests);
  set_vllm(json, "ttft", metrics.ttft_s);
  set_vllm(json, "tpot", metrics.tpot_s);
  set_vllm(json, "itl", metrics.itl_s);
  set_vllm(json, "e2el", metrics.e2e_s);
  return json;
}

JsonValue aiperf_json(const ServingMetrics& metrics) {
  JsonValue json = JsonValue::object();
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  json.set("schema_version", "1.1");
  json.set("request_throughput", scalar("requests/sec", metrics.request_throughput()));
  set_record(json, "request_latency", "ms", metrics.e2e_s, kMsPerSecond);
  json.set("request_count", scalar("requests", number(metrics.served())));
  set_record(json, "time_to_first_token", "ms", metrics.ttft_s, kMsPerSecond);
  set_record(json, "inter_token_latency", "ms", metrics.tpot_s, kMsPerSecond);
  // Tokens that arrive together are one chunk to AIPerf, and gaps of 0 to vLLM and to us.
  if (metrics.itl_s.min > 0) {
    set_record(json, "inter_chunk_latency", "ms", metrics.itl_s, kMsPerSecond);
  }
  json.set("output_token_throughput", scalar("tokens/sec", metrics.output_throughput()));
  json.set("total_token_throughput", scalar("tokens/sec", metrics.total_throughput()));
  set_record(json,
             "output_token_throughput_per_user",
             "tokens/sec/user",
             metrics.tokens_per_s_per_user,
             1);
  set_record(json, "output_sequence_length", "tokens", metrics.output_lengths, 1);
  set_record(json, "input_sequence_length", "tokens", metrics.input_lengths, 1);
  if (metrics.has_slo) {
    json.set("goodput", scalar("requests/sec", metrics.request_goodput()));
    json.set("good_request_count", scalar("requests", number(metrics.good_requests)));
  }
  json.set("benchmark_duration", scalar("sec", metrics.duration_s()));
  json.set("total_isl", scalar("tokens", number(metrics.input_tokens)));
  json.set("total_osl", scalar("tokens", number(metrics.output_tokens)));
  json.set("error_request_count", scalar("requests", number(metrics.requests - metrics.served())));
  return json;
}

}  // namespace moesim
