// From token order to expert order and back, around a grouped GEMM.
//
//   expert_layout   how many rows each expert gets, where they begin, and which goes where
//   permute         rows (and their scales) copied into expert order
//   unpermute       expert rows summed back into token rows, weighted, in FP32
//
// Rows of an expert are in the order of their tokens (the layout is stable), so results are the
// same in every run. Pointers to rows are aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct ExpertPlaces {
  const std::int32_t* experts;  // [tokens, top_k]; those outside of first_expert ...
                                // first_expert + num_experts - 1 are other ranks' and get no row
  std::int32_t* counts;         // [num_experts]
  std::int32_t* offsets;        // [num_experts + 1], first row; multiples of `alignment`
  std::int32_t* position;       // [tokens, top_k]: row, or -1
  std::int32_t* source;         // [max_rows]: token, or -1 for rows that pad an expert
  std::int32_t* scratch;        // [expert_layout_scratch(p)]
  std::int64_t tokens;
  std::int32_t top_k, first_expert, num_experts;  // num_experts: at most 1024
  std::int32_t alignment;                         // rows an expert's share is padded to; 1: none
  std::int64_t max_rows;  // rows of `source`; those from offsets[num_experts] on are set to -1
};
// The most rows that a layout can have.
std::int64_t expert_layout_rows(const ExpertPlaces& p);
std::int64_t expert_layout_scratch(const ExpertPlaces& p);  // in elements; pointers are not read
void expert_layout(const ExpertPlaces& p, Stream stream);   // the following two
// Writes counts and offsets, and sets all of `source` to -1.
void expert_count(const ExpertPlaces& p, Stream stream);
// Writes the rows' sources and the choices' positions; reads what expert_count left in `scratch`.
void expert_place(const ExpertPlaces& p, Stream stream);

struct Permute {
  const void* from;            // [tokens, row_bytes]
  const std::int32_t* source;  // [rows]: the token that a row is a copy of; -1: zeros
  void* to;                    // [rows, row_bytes]
  std::int64_t rows;
  std::int64_t row_bytes;  // a multiple of 16

  // Scales that go with the rows; nullptr: none. Scale b of token t is
  // from_scales[t * from_token_stride + b * from_block_stride]: rows as they are sent, or
  // scale-major. Written scale-major, as the GEMM reads them.
  const float* from_scales;
  float* to_scales;  // [num_blocks][scale_stride(rows)]
  std::int64_t num_blocks, from_token_stride, from_block_stride;
};
void permute(const Permute& p, Stream stream);

struct Unpermute {
  const Bf16* rows;              // [.., width]
  const std::int32_t* position;  // [tokens, top_k]: row, or -1: nothing to add
  const float* weight;           // [tokens, top_k]; nullptr: ones
  Bf16* out;                     // [tokens, width]
  std::int64_t tokens, width;    // width: a multiple of 8
  std::int32_t top_k;
};
void unpermute(const Unpermute& p, Stream stream);

}  // namespace moesim
