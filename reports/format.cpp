#include "reports/format.hpp"

#include <array>
#include <cmath>
#include <cstdio>

namespace moesim {
namespace {

struct Scale {
  double factor;
  const char* suffix;
};

template <std::size_t N>
std::string scaled(double value, const std::array<Scale, N>& scales) {
  for (const Scale& scale : scales)
    if (std::abs(value) >= scale.factor * 0.99995)
      return digits4(value / scale.factor) + scale.suffix;
  return digits4(value / scales.back().factor) + scales.back().suffix;
}

}  // namespace

std::string digits4(double value) {
  if (value == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-12));
  char buffer[64];
  if (magnitude >= 15 || magnitude < -6) {
    std::snprintf(buffer, sizeof buffer, "%.3e", value);
  } else if (magnitude >= 3) {
    const double unit = std::pow(10.0, magnitude - 3);
    std::snprintf(buffer, sizeof buffer, "%.0f", std::round(value / unit) * unit);
  } else {
    std::snprintf(buffer, sizeof buffer, "%.*f", 3 - magnitude, value);
  }
  return buffer;
}

std::string format_seconds(double seconds) {
  if (seconds == 0) return "0 s";
  return scaled(seconds,
                std::array<Scale, 4>{{{1, " s"}, {1e-3, " ms"}, {1e-6, " us"}, {1e-9, " ns"}}});
}
std::string format_bytes(Bytes bytes) {
  return scaled(
      bytes.in(B),
      std::array<Scale, 5>{{{1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " KB"}, {1, " B"}}});
}
std::string format_percent(double fraction) { return digits4(100 * fraction) + " %"; }
std::string format_signed_percent(double percent) {
  if (std::abs(percent) < 5e-3) return "0.0 %";
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, std::abs(percent) < 1 ? "%+.2f %%" : "%+.1f %%", percent);
  return buffer;
}
std::string format_count(double value) {
  if (std::abs(value) < 1e6) return digits4(value);
  return scaled(value, std::array<Scale, 3>{{{1e12, " T"}, {1e9, " B"}, {1e6, " M"}}});
}
std::string format_usd(double dollars) {
  return "$" + scaled(dollars, std::array<Scale, 3>{{{1e6, " M"}, {1e3, " K"}, {1, ""}}});
}
std::string format_rate(double flops_per_s) { return digits4(flops_per_s / 1e12) + " TFLOP/s"; }

}  // namespace moesim
