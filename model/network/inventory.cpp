#include "model/network/inventory.hpp"

namespace moesim {
namespace {

std::int64_t slim_fly_delta(std::int64_t q) { return q % 4 == 3 ? -1 : q % 4 == 1 ? 1 : 0; }

}  // namespace

NetworkInventory two_level_fat_tree(std::int64_t ports) {
  // Every leaf has ports/2 endpoints and ports/2 uplinks, one to each spine; a spine reaches
  // `ports` leaves.
  return {ports * ports / 2, ports + ports / 2, ports * ports / 2};
}

NetworkInventory multi_plane_fat_tree(std::int64_t ports, std::int64_t planes) {
  const NetworkInventory plane = two_level_fat_tree(ports);
  return {planes * plane.endpoints, planes * plane.switches, planes * plane.links};
}

NetworkInventory three_level_fat_tree(std::int64_t ports) {
  // Al-Fares et al., SIGCOMM'08: k pods of k/2 edge and k/2 aggregation switches, (k/2)^2 core
  // switches.
  const std::int64_t endpoints = ports * ports * ports / 4;
  return {endpoints, ports * ports + ports * ports / 4, 2 * endpoints};
}

std::int64_t slim_fly_radix(std::int64_t q) { return (3 * q - slim_fly_delta(q)) / 2; }

NetworkInventory slim_fly(std::int64_t q, std::int64_t endpoints_per_switch) {
  const std::int64_t switches = 2 * q * q;
  return {switches * endpoints_per_switch, switches, switches * slim_fly_radix(q) / 2};
}

NetworkInventory dragonfly(std::int64_t p, std::int64_t a, std::int64_t h, std::int64_t groups) {
  const std::int64_t switches = groups * a;
  return {switches * p, switches, groups * (a * (a - 1) / 2) + groups * a * h / 2};
}

SlimFlyShape largest_slim_fly(std::int64_t ports) {
  SlimFlyShape shape;
  for (std::int64_t q = 1; slim_fly_radix(q) <= ports; ++q) {
    const std::int64_t radix = slim_fly_radix(q), endpoints = (radix + 1) / 2;
    // There is no graph for q = 4w + 2: its radix would not come out whole.
    if (q % 4 != 2 && radix + endpoints <= ports) shape = {q, endpoints};
  }
  return shape;
}

DragonflyShape largest_dragonfly(std::int64_t ports) {
  // p + (a - 1) + h ports with a = 2p = 2h.
  const std::int64_t h = (ports + 1) / 4;
  return {h, 2 * h, h, 2 * h * h - 1};
}

Dollars inventory_cost(const NetworkInventory& inventory, const NetworkPrices& prices) {
  return static_cast<double>(inventory.switches) * prices.per_switch +
         static_cast<double>(inventory.links) * prices.per_link;
}

}  // namespace moesim
