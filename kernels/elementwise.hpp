// Tensors added and copied, 16 bytes at a time. Pointers are aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct AddTensors {
  const Bf16 *a, *b;
  Bf16* out;          // a + b in FP32, rounded; may be a or b
  std::int64_t size;  // a multiple of 8
};
void add_tensors(const AddTensors& p, Stream stream);

// Pieces of rows from one layout to another, each to `copies` places: keys made of latent vectors,
// one rotary key for all heads. Piece c of row r goes from
// from + r * from_row_stride + c * from_copy_stride to to + r * to_row_stride + c * to_copy_stride;
// a broadcast has from_copy_stride 0. A plain copy is one row. All in bytes, multiples of 16.
struct CopyPieces {
  const void* from;
  void* to;
  std::int64_t rows, copies, piece_bytes;
  std::int64_t from_row_stride, from_copy_stride, to_row_stride, to_copy_stride;
};
void copy_pieces(const CopyPieces& p, Stream stream);

}  // namespace moesim
