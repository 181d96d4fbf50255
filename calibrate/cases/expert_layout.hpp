// The choices that the layout of expert rows is made from, as a rank with 8 of 64 experts receives
// them: every token has 8, one of them here.
#pragma once

#include <cstdint>
#include <vector>

namespace moesim {

inline constexpr std::int64_t kLayoutTopK = 8, kLayoutExperts = 8, kLayoutAlignment = 128,
                              kLayoutTokenBytes = kLayoutTopK * 8;

std::vector<std::int32_t> layout_choices(std::int64_t tokens, std::uint64_t seed);  // [tokens, 8]
// Of the result: every choice might be this rank's, and each expert's share is padded.
constexpr std::int64_t layout_rows(std::int64_t tokens) {
  const std::int64_t rows = tokens * kLayoutTopK;
  return rows + (rows < kLayoutExperts ? rows : kLayoutExperts) * (kLayoutAlignment - 1);
}

}  // namespace moesim
