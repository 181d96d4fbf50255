#include "sim/serving/serving_cost.hpp"

namespace moesim {
namespace {

std::optional<Dollars> per_million(Dollars cost, double tokens) {
  if (tokens <= 0) return std::nullopt;
  return cost / (tokens / 1e6);
}

}  // namespace

ServingCost serving_cost(const std::vector<PoolUse>& pools,
                         const TokenCounts& tokens,
                         const std::optional<TokenPrices>& prices) {
  ServingCost result;
  Dollars prefill, decode;
  bool are_apart = true, know_power = true;
  Energy energy;
  for (const PoolUse& pool : pools) {
    const Seconds time = pool.gpu_seconds * s;
    const Dollars cost = pool.price * time;
    result.gpu_hours += time.in(hour);
    result.total += cost;
    if (pool.role == PoolRole::prefill) prefill += cost;
    if (pool.role == PoolRole::decode) decode += cost;
    are_apart = are_apart && pool.role != PoolRole::colocated;
    know_power = know_power && pool.max_power.has_value();
    if (pool.max_power) energy += *pool.max_power * time;
  }
  if (are_apart) {
    result.per_million_input = per_million(prefill, tokens.input);
    result.per_million_computed_input = per_million(prefill, tokens.input - tokens.cached_input);
    result.per_million_output = per_million(decode, tokens.output);
  }
  result.all_per_million_output = per_million(result.total, tokens.output);
  result.all_per_million_tokens = per_million(result.total, tokens.input + tokens.output);
  if (prices) {
    result.revenue = ((tokens.input - tokens.cached_input) / 1e6) * prices->input +
                     (tokens.cached_input / 1e6) * prices->cached_input +
                     (tokens.output / 1e6) * prices->output;
    if (result.total > Dollars()) result.margin = *result.revenue / result.total - 1;
  }
  if (know_power && !pools.empty()) {
    result.most_energy = energy;
    if (tokens.output > 0) result.most_joules_per_output_token = energy.in(J) / tokens.output;
  }
  return result;
}

}  // namespace moesim
