// Switches, links and cost of a network built from switches of `ports` ports, counted by each
// topology's own arithmetic: "Insights into DeepSeek-V3", ISCA'25 (arXiv 2505.09343), Table 3. Fat
// trees: Al-Fares et al., SIGCOMM'08; Slim Fly: Besta & Hoefler, SC'14; dragonfly: Kim et al.,
// ISCA'08. What a given cluster needs of a fat tree is in model/network/fabric_layout.
#pragma once

#include <cstdint>

#include "model/units.hpp"

namespace moesim {

struct NetworkInventory {
  std::int64_t endpoints = 0, switches = 0,
               links = 0;  // links between switches; endpoint cables are not counted
};
NetworkInventory two_level_fat_tree(std::int64_t ports);
NetworkInventory multi_plane_fat_tree(std::int64_t ports, std::int64_t planes);
NetworkInventory three_level_fat_tree(std::int64_t ports);
// q: the prime power the Slim Fly is built over; its network radix is (3q - delta) / 2 with q = 4w
// + delta.
NetworkInventory slim_fly(std::int64_t q, std::int64_t endpoints_per_switch);
// p endpoints, a switches a group and h global ports a switch; `groups` groups, all global ports
// cabled.
NetworkInventory dragonfly(std::int64_t p, std::int64_t a, std::int64_t h, std::int64_t groups);

struct SlimFlyShape {
  std::int64_t q = 0, endpoints_per_switch = 0;
};
struct DragonflyShape {
  std::int64_t p = 0, a = 0, h = 0, groups = 0;
};
std::int64_t slim_fly_radix(std::int64_t q);  // ports to other switches
// The shapes Table 3 compares, for switches of any number of ports. Slim Fly: the largest q whose
// radix r and ceil(r / 2) endpoints fit (q = 28 of 64 ports; the table counts it although 28 is no
// prime power, for which alone such a graph is known). Dragonfly: balanced, a = 2p = 2h, and two
// groups fewer than the a h + 1 that could be joined (511 of 64 ports, as the table counts).
SlimFlyShape largest_slim_fly(std::int64_t ports);
DragonflyShape largest_dragonfly(std::int64_t ports);

struct NetworkPrices {
  Dollars per_switch, per_link;  // a link between two switches, with its optics
};
Dollars inventory_cost(const NetworkInventory& inventory, const NetworkPrices& prices);

}  // namespace moesim
