// What a search may not go past, as people write it: "days<60, usd<=6e6, memory<70 GB, gpus<=1024".
// A quantity, < or <=, and a value; the unit is in the quantity's name, or behind the value where
// files write one.
//   gpus           of the cluster (training), of the deployment (serving)
//   usd_per_hour   what these cost
//   memory         of the fullest GPU; what the GPU has is a limit anyway      "70 GB"
//   step           a training step                                            "20 s"
//   days, gpu_hours, usd   of the main phase of a training run
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moesim {

enum class LimitedQuantity : std::uint8_t {
  gpus,
  usd_per_hour,
  memory,
  step,
  days,
  gpu_hours,
  usd
};

struct SearchLimit {
  std::string text;  // as written
  LimitedQuantity quantity = LimitedQuantity::gpus;
  bool is_strict = true;  // < or <=
  double limit = 0;       // seconds and bytes where the value has a unit

  bool is_kept_by(double value) const { return is_strict ? value < limit : value <= limit; }
};

// Of quantities in `known`. An InputError names `place` and what was found.
std::vector<SearchLimit> parse_limits(const std::string& text,
                                      const std::vector<LimitedQuantity>& known,
                                      const std::string& place = "--limit");

const char* limited_quantity_name(LimitedQuantity quantity);

}  // namespace moesim
