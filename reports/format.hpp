// Numbers as a report prints them: four significant digits, units chosen for reading. Borders only:
// values come in as plain SI numbers.
#pragma once

#include <string>

#include "model/units.hpp"

namespace moesim {

std::string digits4(double value);  // 17.92, 2.664e+06 -> "2664000"; thousands are not separated
std::string format_seconds(double seconds);         // "17.92 s", "128.8 ms", "45.1 us"
std::string format_bytes(Bytes bytes);              // "64.1 GB"
std::string format_percent(double fraction);        // "38.94 %"
std::string format_signed_percent(double percent);  // "+1.2 %"
std::string format_count(double value);             // "671.0 B", "37.55 B", "4096"
std::string format_usd(double dollars);             // "$5.576 M"
std::string format_rate(double flops_per_s);        // "385.0 TFLOP/s"

}  // namespace moesim
