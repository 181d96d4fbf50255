#include "sim/balancing_loss.hpp"

#include <cmath>
#include <numeric>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
namespace {

using Size = std::size_t;

// L = sum_i slope_i P_i. A loss of devices has it too: the load of a device is the slope of each of
// its experts, because P' is their sum.
BalanceLoss linear_loss(std::vector<double> slope, std::span<const double> mean_affinity) {
  const double value = std::inner_product(slope.begin(), slope.end(), mean_affinity.begin(), 0.0);
  return {value, std::move(slope)};
}

// f_i, with mean 1.
std::vector<double> relative_loads(const ChosenExperts& chosen, Size num_experts) {
  std::vector<double> load(num_experts, 0);
  const double one = static_cast<double>(num_experts) / static_cast<double>(chosen.experts.size());
  for (const std::int32_t e : chosen.experts) load[static_cast<Size>(e)] += one;
  return load;
}

Size experts_per_device(Size num_experts, std::int64_t num_devices) {
  ENSURE(num_devices >= 1 && num_experts % static_cast<Size>(num_devices) == 0);
  return num_experts / static_cast<Size>(num_devices);
}

// Every expert gets the value of its device.
std::vector<double> by_expert(const std::vector<double>& by_device, Size num_experts) {
  const Size per_device = num_experts / by_device.size();
  std::vector<double> values(num_experts);
  for (Size e = 0; e < num_experts; ++e) values[e] = by_device[e / per_device];
  return values;
}

}  // namespace

std::vector<double> mean_affinity(std::span<const float> affinities, std::int64_t num_experts) {
  const Size n = static_cast<Size>(num_experts), num_tokens = affinities.size() / n;
  std::vector<double> mean(n, 0);
  for (Size t = 0; t < num_tokens; ++t) {
    const auto row = affinities.subspan(t * n, n);
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (Size e = 0; e < n; ++e)
      mean[e] += static_cast<double>(row[e]) / (sum * static_cast<double>(num_tokens));
  }
  return mean;
}

BalanceLoss expert_loss(const ChosenExperts& chosen, std::span<const double> mean_affinity) {
  return linear_loss(relative_loads(chosen, mean_affinity.size()), mean_affinity);
}

BalanceLoss device_loss(const ChosenExperts& chosen,
                        std::span<const double> mean_affinity,
                        std::int64_t num_devices) {
  const std::vector<double> load = relative_loads(chosen, mean_affinity.size());
  const Size per_device = experts_per_device(load.size(), num_devices);
  std::vector<double> device_load(static_cast<Size>(num_devices), 0);
  for (Size e = 0; e < load.size(); ++e)
    device_load[e / per_device] += load[e] / static_cast<double>(per_device);
  return linear_loss(by_expert(device_load, load.size()), mean_affinity);
}

BalanceLoss communication_loss(const ChosenExperts& chosen,
                               std::span<const double> mean_affinity,
                               const DeviceLayout& layout) {
  const Size num_devices = static_cast<Size>(layout.num_devices),
             per_device = experts_per_device(mean_affinity.size(), layout.num_devices),
             top_k = static_cast<Size>(chosen.top_k),
             num_tokens = static_cast<Size>(chosen.num_tokens());
  const double one = static_cast<double>(num_devices) /
                     static_cast<double>(layout.max_devices * chosen.num_tokens());
  std::vector<double> sent(num_devices, 0);
  std::vector<Size> last_token(num_devices, num_tokens);  // a token is sent to a device once
  for (Size i = 0; i < num_tokens * top_k; ++i) {
    const Size device = static_cast<Size>(chosen.experts[i]) / per_device;
    if (last_token[device] == i / top_k) continue;
    last_token[device] = i / top_k;
    sent[device] += one;
  }
  return linear_loss(by_expert(sent, mean_affinity.size()), mean_affinity);
}

BalanceLoss entropy_loss(std::span<const double> mean_affinity) {
  BalanceLoss loss;
  for (const double p : mean_affinity) {
    // p ln p is 0 at 0, where its slope has no end: an expert nobody wants at all is not pulled.
    loss.value += p > 0 ? p * std::log(p) : 0;
    loss.slope.push_back(p > 0 ? std::log(p) + 1 : 0);
  }
  return loss;
}

BalanceLoss balance_loss(const BalanceWeights& weights,
                         const DeviceLayout& layout,
                         const ChosenExperts& chosen,
                         std::span<const double> mean_affinity) {
  BalanceLoss total{0, std::vector<double>(mean_affinity.size(), 0)};
  const auto add = [&](double weight, const BalanceLoss& loss) {
    total.value += weight * loss.value;
    for (Size e = 0; e < total.slope.size(); ++e) total.slope[e] += weight * loss.slope[e];
  };
  if (weights.expert != 0) add(weights.expert, expert_loss(chosen, mean_affinity));
  if (weights.device != 0)
    add(weights.device, device_loss(chosen, mean_affinity, layout.num_devices));
  if (weights.communication != 0)
    add(weights.communication, communication_loss(chosen, mean_affinity, layout));
  if (weights.entropy != 0) add(weights.entropy, entropy_loss(mean_affinity));
  return total;
}

// With p_i = s_i / sum(s), dp_i / do_j = r_j p_j ([i = j] - p_i), where r_j is the relative slope
// of s_j: 1 for a softmax, 1 - s_j for a sigmoid.
std::vector<double> offset_gradient(ScoreFunction score,
                                    std::span<const float> affinities,
                                    std::span<const double> slope) {
  const Size n = slope.size(), num_tokens = affinities.size() / n;
  std::vector<double> gradient(n, 0);
  for (Size t = 0; t < num_tokens; ++t) {
    const auto row = affinities.subspan(t * n, n);
    double sum = 0, mean_slope = 0;
    for (Size e = 0; e < n; ++e) {
      sum += static_cast<double>(row[e]);
      mean_slope += static_cast<double>(row[e]) * slope[e];
    }
    mean_slope /= sum;
    for (Size e = 0; e < n; ++e) {
      const double affinity = row[e];
      const double relative = score == ScoreFunction::sigmoid ? 1 - affinity : 1;
      gradient[e] +=
          relative * affinity * (slope[e] - mean_slope) / (sum * static_cast<double>(num_tokens));
    }
  }
  return gradient;
}

}  // namespace moesim
