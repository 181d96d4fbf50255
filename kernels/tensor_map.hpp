// What a tensor copy (TMA) needs to know of a matrix in global memory, made on the host and handed
// to a kernel as `const __grid_constant__ TensorMap`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

#if defined(MOE_EMULATION)
#include "kernels/emulation/async_copy.hpp"
#else
#include <cuda.h>

#include <string>
#endif

namespace moesim {

// Innermost dimension first. A box is `box` elements of the tensor, of which those outside of it
// read as zeros. Swizzled: the box's rows are 128 bytes, whose 16-byte pieces are permuted by the
// row's number modulo 8, which keeps wgmma free of bank conflicts.
template <int kRank>
struct TensorShape {
  std::array<std::uint64_t, kRank> sizes;             // elements
  std::array<std::uint64_t, kRank - 1> stride_bytes;  // of dimensions 1 and up; multiples of 16
  std::array<std::uint32_t, kRank> box;               // elements, at most 256 each
  bool swizzled = false;
};

#if defined(MOE_EMULATION)

using TensorMap = emulation::TensorBox;

template <class T, int kRank>
TensorMap make_tensor_map(const T* base, const TensorShape<kRank>& shape) {
  TensorMap map;
  map.base = reinterpret_cast<const std::byte*>(base);
  map.rank = kRank;
  map.element_bytes = sizeof(T);
  map.strides[0] = sizeof(T);
  for (std::size_t d = 0; d < kRank; ++d) {
    map.sizes[d] = shape.sizes[d];
    map.box[d] = shape.box[d];
    if (d > 0) map.strides[d] = shape.stride_bytes[d - 1];
  }
  map.swizzled = shape.swizzled;
  emulation::check_tensor_box(map);
  return map;
}

#else

using TensorMap = CUtensorMap;

inline CUtensorMapDataType tensor_map_type(E4m3) { return CU_TENSOR_MAP_DATA_TYPE_UINT8; }
inline CUtensorMapDataType tensor_map_type(Bf16) { return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16; }
inline CUtensorMapDataType tensor_map_type(float) { return CU_TENSOR_MAP_DATA_TYPE_FLOAT32; }

// The driver's encoder, asked for at run time: a program that linked the driver would not start
// where there is none.
inline auto* tensor_map_encoder() {
  using Encoder = CUresult(CUtensorMap*,
                           CUtensorMapDataType,
                           cuuint32_t,
                           void*,
                           const cuuint64_t*,
                           const cuuint64_t*,
                           const cuuint32_t*,
                           const cuuint32_t*,
                           CUtensorMapInterleave,
                           CUtensorMapSwizzle,
                           CUtensorMapL2promotion,
                           CUtensorMapFloatOOBfill);
  constexpr unsigned kVersion = 12000;
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  check_cuda(cudaGetDriverEntryPointByVersion(
                 "cuTensorMapEncodeTiled", &found, kVersion, cudaEnableDefault, &result),
             "cuTensorMapEncodeTiled");
  if (result != cudaDriverEntryPointSuccess || found == nullptr)
    throw std::runtime_error("the driver has no cuTensorMapEncodeTiled; CUDA 12.0 has");
  return reinterpret_cast<Encoder*>(found);
}

template <class T, int kRank>
TensorMap make_tensor_map(const T* base, const TensorShape<kRank>& shape) {
  static auto* const encode = tensor_map_encoder();
  std::array<cuuint64_t, kRank> sizes;
  std::array<cuuint64_t, kRank> strides;
  std::array<cuuint32_t, kRank> box, steps;
  for (std::size_t d = 0; d < kRank; ++d) {
    sizes[d] = shape.sizes[d];
    box[d] = shape.box[d];
    steps[d] = 1;
    if (d > 0) strides[d - 1] = shape.stride_bytes[d - 1];
  }
  TensorMap map;
  const CUresult result =
      encode(&map,
             tensor_map_type(T{}),
             kRank,
             const_cast<T*>(base),
             sizes.data(),
             strides.data(),
             box.data(),
             steps.data(),
             CU_TENSOR_MAP_INTERLEAVE_NONE,
             shape.swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw std::runtime_error("cuTensorMapEncodeTiled refused a tensor map: error " +
                             std::to_string(static_cast<int>(result)));
  return map;
}

#endif

// Row-major [rows, columns], rows `stride_bytes` apart.
template <class T>
TensorMap make_matrix_map(const T* base,
                          std::int64_t rows,
                          std::int64_t columns,
                          std::int64_t stride_bytes,
                          int box_rows,
                          int box_columns,
                          bool swizzled) {
  return make_tensor_map<T, 2>(
      base,
      {{static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows)},
       {static_cast<std::uint64_t>(stride_bytes)},
       {static_cast<std::uint32_t>(box_columns), static_cast<std::uint32_t>(box_rows)},
       swizzled});
}

}  // namespace moesim
