// What a verdict of any kind of report says about machines: how many, what they cost a month, how
// much power they may draw.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "reports/table.hpp"

namespace moesim {

inline constexpr double kHoursPerMonth = 730;  // 365 x 24 / 12

// GPUs of one kind, on average and at most.
struct GpuGroup {
  const ClusterSpec* cluster = nullptr;
  double gpus = 0, most = 0;
};

// "64 H800", with the most where it is more than the mean.
std::string gpus_text(const std::vector<GpuGroup>& groups);
// Of the mean number of GPUs, at the clusters' prices.
Dollars month_of(const std::vector<GpuGroup>& groups);
// Of the most GPUs at once, each at what its board may draw; nothing where a GPU's file does not
// say.
std::optional<Power> most_power(const std::vector<GpuGroup>& groups);

// The rows "GPUs", "cost of a month" and "power" of a verdict's table.
void add_machine_rows(const std::vector<GpuGroup>& groups, Table& table);

}  // namespace moesim
