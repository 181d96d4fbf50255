#include "model/quantity_parse.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <vector>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"
#include "model/units.hpp"

namespace moesim {
namespace {

struct NumberAndUnit {
  double number = 0;
  std::string unit;
};

// Decimal digits, optional point and exponent, at most one space, then the unit; nothing else.
std::optional<NumberAndUnit> split_quantity(const std::string& text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  NumberAndUnit result;
  // from_chars would also take "inf", "nan" and ".5"; a quantity starts with a digit.
  const char* digits = begin;
  if (digits != end && *digits == '-') ++digits;
  if (digits == end || *digits < '0' || *digits > '9') return std::nullopt;
  const auto [rest, error] = std::from_chars(begin, end, result.number);
  if (error == std::errc::result_out_of_range) {
    result.number = std::numeric_limits<double>::infinity();
  } else if (error != std::errc{}) {
    return std::nullopt;
  }
  const char* unit = rest;
  if (unit != end && *unit == ' ') ++unit;
  result.unit.assign(unit, end);
  if (result.unit.empty() || result.unit.front() == ' ') return std::nullopt;
  return result;
}

template <class Quantity>
struct NamedUnit {
  const char* name;
  Quantity unit;
};

enum class Zero { refused, allowed };

template <class Quantity, std::size_t num_units>
Quantity parse_quantity(const std::string& text,
                        const std::array<NamedUnit<Quantity>, num_units>& units,
                        Zero zero,
                        const char* example) {
  const std::optional<NumberAndUnit> parts = split_quantity(text);
  if (!parts) {
    throw InputError("",
                     std::string("expected a quantity with a unit such as \"") + example +
                         "\", found the string " + in_quotes(text));
  }
  const auto named = std::find_if(
      units.begin(), units.end(), [&](const auto& u) { return parts->unit == u.name; });
  if (named == units.end()) {
    std::vector<std::string> known;
    for (const auto& u : units) known.emplace_back(u.name);
    throw InputError("", "unknown unit " + in_quotes(parts->unit) + "; known: " + joined(known));
  }
  const Quantity quantity = parts->number * named->unit;
  const double base_value = quantity / (1.0 * units.front().unit);
  if (!std::isfinite(parts->number) || !std::isfinite(base_value)) {
    throw InputError("", "expected a quantity that a double can hold, found " + in_quotes(text));
  }
  if (zero == Zero::refused && !(base_value > 0)) {
    throw InputError("", "expected a quantity above zero, found " + in_quotes(text));
  }
  if (zero == Zero::allowed && !(base_value >= 0)) {
    throw InputError("", "expected a quantity of zero or more, found " + in_quotes(text));
  }
  return quantity;
}

constexpr std::array kTimeUnits{NamedUnit<Seconds>{"ps", ps},
                                NamedUnit<Seconds>{"ns", ns},
                                NamedUnit<Seconds>{"us", us},
                                NamedUnit<Seconds>{"ms", ms},
                                NamedUnit<Seconds>{"s", s},
                                NamedUnit<Seconds>{"min", minute},
                                NamedUnit<Seconds>{"h", hour},
                                NamedUnit<Seconds>{"d", day}};
constexpr std::array kByteUnits{NamedUnit<Bytes>{"B", B},
                                NamedUnit<Bytes>{"KB", KB},
                                NamedUnit<Bytes>{"MB", MB},
                                NamedUnit<Bytes>{"GB", GB},
                                NamedUnit<Bytes>{"TB", TB},
                                NamedUnit<Bytes>{"KiB", KiB},
                                NamedUnit<Bytes>{"MiB", MiB},
                                NamedUnit<Bytes>{"GiB", GiB},
                                NamedUnit<Bytes>{"TiB", 1024 * GiB}};
constexpr std::array kBandwidthUnits{NamedUnit<Bandwidth>{"B/s", B_per_s},
                                     NamedUnit<Bandwidth>{"KB/s", 1e3 * B_per_s},
                                     NamedUnit<Bandwidth>{"MB/s", 1e6 * B_per_s},
                                     NamedUnit<Bandwidth>{"GB/s", GB_per_s},
                                     NamedUnit<Bandwidth>{"TB/s", TB_per_s},
                                     NamedUnit<Bandwidth>{"Kb/s", 1e-6 * Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Mb/s", 1e-3 * Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Gb/s", Gbit_per_s},
                                     NamedUnit<Bandwidth>{"Tb/s", 1e3 * Gbit_per_s}};
constexpr std::array kFlopRateUnits{NamedUnit<FlopRate>{"FLOP/s", FLOP_per_s},
                                    NamedUnit<FlopRate>{"GFLOP/s", GFLOP_per_s},
                                    NamedUnit<FlopRate>{"TFLOP/s", TFLOP_per_s},
                                    NamedUnit<FlopRate>{"PFLOP/s", PFLOP_per_s}};
constexpr std::array kPowerUnits{NamedUnit<Power>{"W", W}, NamedUnit<Power>{"kW", kW}};
constexpr std::array kDollarUnits{NamedUnit<Dollars>{"USD", USD}};
constexpr std::array kDollarRateUnits{NamedUnit<DollarRate>{"USD/h", USD_per_hour}};

}  // namespace

Seconds parse_seconds(const std::string& text) {
  return parse_quantity(text, kTimeUnits, Zero::allowed, kTimeExample);
}
Bytes parse_bytes(const std::string& text) {
  return parse_quantity(text, kByteUnits, Zero::refused, kByteExample);
}
Bandwidth parse_bandwidth(const std::string& text) {
  return parse_quantity(text, kBandwidthUnits, Zero::refused, kBandwidthExample);
}
FlopRate parse_flop_rate(const std::string& text) {
  return parse_quantity(text, kFlopRateUnits, Zero::refused, kFlopRateExample);
}
Power parse_power(const std::string& text) {
  return parse_quantity(text, kPowerUnits, Zero::refused, kPowerExample);
}
Dollars parse_dollars(const std::string& text) {
  return parse_quantity(text, kDollarUnits, Zero::allowed, kDollarExample);
}
DollarRate parse_dollar_rate(const std::string& text) {
  return parse_quantity(text, kDollarRateUnits, Zero::allowed, kDollarRateExample);
}

// In decimal: 14.8 * 1e12 in binary need not come out whole.
std::optional<std::int64_t> parse_count(const std::string& text) {
  if (text.size() < 2) return std::nullopt;
  int power = 0;
  switch (text.back()) {
    case 'K': power = 3; break;
    case 'M': power = 6; break;
    case 'B': power = 9; break;
    case 'T': power = 12; break;
    default: return std::nullopt;
  }
  std::string digits = text.substr(0, text.size() - 1);
  if (digits.back() == ' ') digits.pop_back();
  const std::size_t point = digits.find('.');
  if (point == 0) return std::nullopt;
  if (point != std::string::npos) {
    if (point + 1 == digits.size()) return std::nullopt;
    while (digits.back() == '0') digits.pop_back();
    power -= static_cast<int>(std::min<std::size_t>(digits.size() - point - 1, 100));
    digits.erase(point, 1);
  }
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos || power < 0) {
    return std::nullopt;
  }
  digits.append(static_cast<std::size_t>(power), '0');
  std::int64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc{} || rest != end || value <= 0) return std::nullopt;
  return value;
}

}  // namespace moesim
