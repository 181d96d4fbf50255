// Numbers with a unit or a letter, behind ObjectReader. Private to the reader's own files; the
// parsers of quantities are declared in model/json_reader.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace moesim {

// What a message shows where a quantity was expected.
inline constexpr const char* kTimeExample = "2.8 us";
inline constexpr const char* kByteExample = "80 GiB";
inline constexpr const char* kBandwidthExample = "50 GB/s";
inline constexpr const char* kFlopRateExample = "989 TFLOP/s";
inline constexpr const char* kPowerExample = "700 W";
inline constexpr const char* kDollarExample = "45000 USD";
inline constexpr const char* kDollarRateExample = "2 USD/h";

// "14.8T" as 14800000000000; absent unless it comes out whole and positive.
std::optional<std::int64_t> parse_count(const std::string& text);

}  // namespace moesim
