// Absorbed latent attention of one or two new tokens a request against its paged cache (DeepSeek-V2
// report, section 2.1.2): every head reads the same 576 values per cached token, and the first 512
// of them are also what it returns a weighted mean of.
//
// Split-KV: the 64-token blocks of all requests are dealt out to partitions of equal cost, as
// decode_plan (model/kernel_plan.hpp) counts it for the cost model; a request that several
// partitions worked on is put together by a second kernel.
//
// Decided: a thread block takes 64 query rows, and each of its two warpgroups owns half of the 512
// output columns, for 64 x 512 is half of the register file. They take turns with the scores: while
// one takes the softmax of a page, the other multiplies the next page's keys, and hands its weights
// over through shared memory. Rejected: both computing all scores, which needs nothing handed over
// but multiplies 1664 times for a row and token where 1088 do, 65 % of the tensor cores' peak.
//
// Left out: an FP8 cache, sparse attention, lengths known only on the device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

inline constexpr int kMlaLatent = 576, kMlaValue = 512;
inline constexpr int kMlaPage = 64;     // tokens of a page, and of a block of work
inline constexpr int kMlaRowTile = 64;  // query rows (query tokens times heads) of a thread block

// Blocks first_block ... end_block - 1 of a request.
struct MlaDecodePart {
  std::int32_t request, first_block, end_block;
  std::int32_t slot;  // of partial_out and partial_lse; -1: the whole request, written to out
};
// A request whose parts are in slots first_slot ... first_slot + num_slots - 1.
struct MlaDecodeSplit {
  std::int32_t request, first_slot, num_slots;
};

struct MlaDecodeSchedule {
  std::vector<MlaDecodePart> parts;      // of partition after partition
  std::vector<std::int32_t> first_part;  // [partitions + 1]
  std::vector<MlaDecodeSplit> splits;
  std::int32_t num_slots = 0;
  std::int32_t partitions() const { return static_cast<std::int32_t>(first_part.size()) - 1; }
};

// lengths[batch]: cached tokens of each request, the new ones included; 0 for one that is not
// there.
MlaDecodeSchedule mla_decode_schedule(std::span<const std::int32_t> lengths,
                                      std::int64_t query_heads,
                                      std::int64_t sms);

struct MlaDecode {
  const Bf16* q;                    // [batch, s_q, heads, 576]
  const Bf16* cache;                // [num_pages, 64, 576]; read in whole pages
  const std::int32_t* block_table;  // [batch, pages_per_request]: pages of a request, in order
  const std::int32_t* lengths;      // [batch], those of the schedule
  Bf16* out;                        // [batch, s_q, heads, 512]; 0 where no key is seen
  float* lse;  // [batch, s_q, heads], natural logarithm; -inf where none is seen
  std::int32_t batch, s_q, heads, num_pages, pages_per_request;
  float scale;  // of the scores; query token i of a request sees length - (s_q - 1) + i keys

  // The schedule, on the device. mla_decode_naive reads none of the following.
  const MlaDecodePart* parts;
  const std::int32_t* first_part;
  const MlaDecodeSplit* splits;
  std::int32_t partitions, num_splits;
  float* partial_out;  // [num_slots, s_q * heads, 512]
  float* partial_lse;  // [num_slots, s_q * heads], base 2
};

void mla_decode(const MlaDecode& d, Stream stream);
void mla_decode_combine(const MlaDecode& d, Stream stream);  // its second kernel: the splits
void mla_decode_naive(const MlaDecode& d, Stream stream);  // the same, as plainly as it can be done

}  // namespace moesim
