// Host only: which blocks of which requests each partition of MLA decode takes.
#include "kernels/mla_decode.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {

// Every partition is filled up to the same cost; what a request has left goes to the next one.
MlaDecodeSchedule mla_decode_schedule(std::span<const std::int32_t> lengths,
                                      std::int64_t query_heads,
                                      std::int64_t sms) {
  const auto overhead = static_cast<std::int32_t>(kDecodeRequestBlocks);
  const auto blocks_of = [](std::int32_t length) { return (length + kMlaPage - 1) / kMlaPage; };
  const std::int64_t partitions =
      decode_plan(static_cast<std::int64_t>(lengths.size()), 0, query_heads, sms).partitions;
  std::int64_t total = 0;
  for (const std::int32_t length : lengths) total += blocks_of(length) + overhead;
  const std::int64_t payload = ceil_div(total, partitions) + overhead;

  MlaDecodeSchedule s;
  std::size_t request = 0;
  std::int32_t block = 0;  // of the request: those before it are dealt out
  for (std::int64_t partition = 0; partition < partitions; ++partition) {
    s.first_part.push_back(static_cast<std::int32_t>(s.parts.size()));
    std::int64_t left = payload;
    while (request < lengths.size() && left > 0) {
      const auto index = static_cast<std::int32_t>(request);
      const std::int32_t end = blocks_of(lengths[request]);
      const bool fits = left >= end - block + overhead;
      if (!fits && left <= overhead) break;
      const std::int32_t stop = fits ? end : block + static_cast<std::int32_t>(left) - overhead;
      std::int32_t slot = -1;
      if (block > 0 || !fits) {
        slot = s.num_slots++;
        if (block == 0) s.splits.push_back({index, slot, 0});
        ++s.splits.back().num_slots;
      }
      s.parts.push_back({index, block, stop, slot});
      left -= stop - block + overhead;
      block = fits ? 0 : stop;
      if (fits) ++request;
    }
  }
  s.first_part.push_back(static_cast<std::int32_t>(s.parts.size()));
  return s;
}

}  // namespace moesim
