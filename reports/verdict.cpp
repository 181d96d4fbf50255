#include "reports/verdict.hpp"

#include <cmath>

#include "reports/format.hpp"

namespace moesim {
namespace {

// Whole numbers of GPUs are printed in full.
std::string number_of_gpus(double gpus) {
  return gpus == std::round(gpus) ? std::to_string(std::llround(gpus)) : digits4(gpus);
}

std::string price_text(const std::vector<GpuGroup>& groups) {
  std::string text;
  for (const GpuGroup& group : groups) {
    const std::string price = digits4(group.cluster->price.in(USD_per_hour));
    if (text.find(price) == std::string::npos) text += (text.empty() ? "" : " and ") + price;
  }
  return text;
}

std::string tdp_text(const std::vector<GpuGroup>& groups) {
  std::string text;
  for (const GpuGroup& group : groups) {
    const std::string watts = digits4(group.cluster->gpu.max_power->in(W)) + " W";
    if (text.find(watts) == std::string::npos) text += (text.empty() ? "" : " and ") + watts;
  }
  return text;
}

}  // namespace

std::string gpus_text(const std::vector<GpuGroup>& groups) {
  std::vector<std::pair<std::string, GpuGroup>> by_name;
  for (const GpuGroup& group : groups) {
    bool is_known = false;
    for (auto& [name, sum] : by_name)
      if (name == group.cluster->gpu.name) {
        sum.gpus += group.gpus;
        sum.most += group.most;
        is_known = true;
      }
    if (!is_known) by_name.emplace_back(group.cluster->gpu.name, group);
  }
  std::string text;
  for (const auto& [name, sum] : by_name) {
    text += (text.empty() ? "" : " and ") + number_of_gpus(sum.gpus) + " " + name;
    if (std::abs(sum.most - sum.gpus) > 1e-6 * sum.most)
      text += " on average, " + number_of_gpus(sum.most) + " at most";
  }
  return text;
}

Dollars month_of(const std::vector<GpuGroup>& groups) {
  Dollars sum;
  for (const GpuGroup& group : groups)
    sum += group.gpus * (group.cluster->price * (kHoursPerMonth * hour));
  return sum;
}

std::optional<Power> most_power(const std::vector<GpuGroup>& groups) {
  Power sum;
  for (const GpuGroup& group : groups) {
    if (!group.cluster->gpu.max_power) return std::nullopt;
    sum += group.most * *group.cluster->gpu.max_power;
  }
  return sum;
}

void add_machine_rows(const std::vector<GpuGroup>& groups, Table& table) {
  table.rows.push_back({"GPUs", gpus_text(groups)});
  table.rows.push_back(
      {"cost of a month (730 h)",
       format_usd(month_of(groups).in(USD)) + " at " + price_text(groups) + " USD per GPU hour"});
  const std::optional<Power> power = most_power(groups);
  table.rows.push_back(
      {"power, at most",
       power ? digits4(power->in(kW)) + " kW: the thermal design power of the GPUs (" +
                   tdp_text(groups) + " each); hosts, network and cooling are not in it"
             : std::string("not known: the GPU's file gives no \"max_power\"")});
}

}  // namespace moesim
