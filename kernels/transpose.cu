// The kernels of kernels/cast.hpp that transpose.
//
// A block of 8 warps takes 128 tokens. A warp loads 16 of them, a lane 2 or 4 neighbouring channels
// of each, so that loads are whole lines; each lane then holds 16 consecutive bytes of every row of
// the result that it has a channel of. Those 16 bytes meet the other warps' in shared memory, and
// rows of 128 bytes are written. Pieces of a row are placed by exclusive or with the lane that
// wrote them: neither writing columns nor reading rows then meets a bank twice.
#include "kernels/cast.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kLaneTokens = 16, kPieces = 8;
static_assert(kWarps * kLaneTokens == kQuantBlock, "a block's tokens share a scale");

__device__ int tile_place(int channel, int piece, int lane_channels) {
  return channel * kPieces + (piece ^ (channel / lane_channels % kPieces));
}

// to[channels, stride]
struct TransposedOut {
  E4m3* to;
  std::int64_t tokens, channels, stride;
};

template <int kLaneChannels>
__device__ void write_tile(const uint4* tile,
                           const TransposedOut& out,
                           std::int64_t first_token,
                           std::int64_t first_channel) {
  constexpr int kChannels = 32 * kLaneChannels;
  for (int i = static_cast<int>(threadIdx.x); i < kChannels * kPieces; i += kThreads) {
    const int c = i / kPieces, piece = i % kPieces;
    const std::int64_t channel = first_channel + c, token = first_token + piece * kLaneTokens;
    if (channel >= out.channels || token >= out.tokens) continue;
    const uint4 codes = tile[tile_place(c, piece, kLaneChannels)];
    E4m3* const at = out.to + channel * out.stride + token;
    if (out.stride % kLaneTokens == 0) {
      store_words(at, codes);
      continue;
    }
    const std::uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
    for (int b = 0; b < kLaneTokens; ++b)
      if (token + b < out.tokens)
        at[b].bits = static_cast<std::uint8_t>(words[b / 4] >> (b % 4 * 8));
  }
}

// What is transposed and cast: `kPairs` pairs of channels of a token in one word, and the scale of
// the token's values.
struct Bf16Source {
  static constexpr int kPairs = 1;
  const Bf16* x;
  std::int64_t channels;
  __device__ std::uint32_t load(std::int64_t token, std::int64_t channel) const {
    return load_words<std::uint32_t>(x + token * channels + channel);
  }
  __device__ float scale(std::int64_t /*token*/, std::int64_t /*block*/) const { return 1; }
  __device__ static Floats2 pair(std::uint32_t word, int /*pair*/) { return unpack_bf16x2(word); }
};
struct E4m3Source {
  static constexpr int kPairs = 2;
  const E4m3* x;
  const float* scales;
  std::int64_t channels, scales_stride;
  __device__ std::uint32_t load(std::int64_t token, std::int64_t channel) const {
    return load_words<std::uint32_t>(x + token * channels + channel);
  }
  __device__ float scale(std::int64_t token, std::int64_t block) const {
    return scales[block * scales_stride + token];
  }
  __device__ static Floats2 pair(std::uint32_t word, int pair) {
    return unpack_e4m3x2(static_cast<std::uint16_t>(word >> (16 * pair)));
  }
};

// Largest magnitudes of a lane's channels over its warp's tokens, and then over the block's.
template <int kLaneChannels>
__device__ void share_amax(float (&amax)[kLaneChannels]) {
  __shared__ float parts[kWarps][32 * kLaneChannels];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int c = 0; c < kLaneChannels; ++c) parts[warp][c * 32 + lane] = amax[c];
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kWarps; ++w)
#pragma unroll
    for (int c = 0; c < kLaneChannels; ++c) amax[c] = fmaxf(amax[c], parts[w][c * 32 + lane]);
}

template <class Source>
__global__ void __launch_bounds__(kThreads)
    transpose_cast_kernel(const Source source, const TransposedOut out, float* scales) {
  constexpr int kLaneChannels = 2 * Source::kPairs;
  __shared__ uint4 tile[32 * kLaneChannels * kPieces];
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kQuantBlock,
                     first_channel = std::int64_t{blockIdx.x} * 32 * kLaneChannels,
                     channel = first_channel + lane * kLaneChannels,
                     token = first_token + warp * kLaneTokens;
  std::uint32_t raw[kLaneTokens];
  float token_scale[kLaneTokens];
#pragma unroll
  for (int i = 0; i < kLaneTokens; ++i) {
    const bool there = token + i < out.tokens && channel < out.channels;
    raw[i] = there ? source.load(token + i, channel) : 0;
    token_scale[i] = there ? source.scale(token + i, first_channel / kQuantBlock) : 0;
  }
  float amax[kLaneChannels] = {};
#pragma unroll
  for (int i = 0; i < kLaneTokens; ++i)
#pragma unroll
    for (int pair = 0; pair < Source::kPairs; ++pair) {
      const Floats2 v = Source::pair(raw[i], pair);
      amax[2 * pair] = fmaxf(amax[2 * pair], fabsf(__fmul_rn(v.lo, token_scale[i])));
      amax[2 * pair + 1] = fmaxf(amax[2 * pair + 1], fabsf(__fmul_rn(v.hi, token_scale[i])));
    }
  share_amax(amax);
#pragma unroll
  for (int pair = 0; pair < Source::kPairs; ++pair) {
    const QuantScale lo = quant_scale(amax[2 * pair]), hi = quant_scale(amax[2 * pair + 1]);
    if (warp == 0 && channel < out.channels) {
      float* const at = scales + blockIdx.y * scale_stride(out.channels) + channel + 2 * pair;
      at[0] = lo.scale;
      at[1] = hi.scale;
    }
    std::uint32_t lo_codes[4], hi_codes[4];
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      float a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Floats2 v = Source::pair(raw[4 * word + i], pair);
        const float scale = token_scale[4 * word + i];
        a[i] = __fmul_rn(__fmul_rn(v.lo, scale), lo.to_code);
        b[i] = __fmul_rn(__fmul_rn(v.hi, scale), hi.to_code);
      }
      lo_codes[word] = pack_e4m3x4(a[0], a[1], a[2], a[3]);
      hi_codes[word] = pack_e4m3x4(b[0], b[1], b[2], b[3]);
    }
    const int c = lane * kLaneChannels + 2 * pair;
    tile[tile_place(c, warp, kLaneChannels)] =
        make_uint4(lo_codes[0], lo_codes[1], lo_codes[2], lo_codes[3]);
    tile[tile_place(c + 1, warp, kLaneChannels)] =
        make_uint4(hi_codes[0], hi_codes[1], hi_codes[2], hi_codes[3]);
  }
  __syncthreads();
  write_tile<kLaneChannels>(tile, out, first_token, first_channel);
}

// 4 rows of 4 bytes to 4 columns of 4 bytes.
__device__ void transpose_bytes(const std::uint32_t (&rows)[4], std::uint32_t (&columns)[4]) {
  const std::uint32_t a = __byte_perm(rows[0], rows[1], 0x5140),
                      b = __byte_perm(rows[2], rows[3], 0x5140),
                      c = __byte_perm(rows[0], rows[1], 0x7362),
                      d = __byte_perm(rows[2], rows[3], 0x7362);
  columns[0] = __byte_perm(a, b, 0x5410);
  columns[1] = __byte_perm(a, b, 0x7632);
  columns[2] = __byte_perm(c, d, 0x5410);
  columns[3] = __byte_perm(c, d, 0x7632);
}

__global__ void __launch_bounds__(kThreads)
    weight_transpose_kernel(const E4m3* from, const TransposedOut out) {
  constexpr int kLaneChannels = 4;
  __shared__ uint4 tile[32 * kLaneChannels * kPieces];
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t first_row = std::int64_t{blockIdx.y} * kQuantBlock,
                     first_column = std::int64_t{blockIdx.x} * 32 * kLaneChannels,
                     column = first_column + lane * kLaneChannels,
                     row = first_row + warp * kLaneTokens;
  std::uint32_t raw[4][4], turned[4][4];
#pragma unroll
  for (int i = 0; i < kLaneTokens; ++i)
    raw[i / 4][i % 4] = row + i < out.tokens && column < out.channels
                            ? load_words<std::uint32_t>(from + (row + i) * out.channels + column)
                            : 0;
#pragma unroll
  for (int word = 0; word < 4; ++word) transpose_bytes(raw[word], turned[word]);
#pragma unroll
  for (int c = 0; c < kLaneChannels; ++c)
    tile[tile_place(lane * kLaneChannels + c, warp, kLaneChannels)] =
        make_uint4(turned[0][c], turned[1][c], turned[2][c], turned[3][c]);
  __syncthreads();
  write_tile<kLaneChannels>(tile, out, first_row, first_column);
}

// A tile of 32 x 32 a block of 32 x 8 threads; one column more keeps columns apart in the banks.
__global__ void transpose_scales_kernel(const TransposeScales p) {
  __shared__ float tile[32][33];
  const std::int64_t row = std::int64_t{blockIdx.y} * 32, column = std::int64_t{blockIdx.x} * 32;
  for (unsigned i = threadIdx.y; i < 32; i += 8)
    if (row + i < p.rows && column + threadIdx.x < p.columns)
      tile[i][threadIdx.x] = p.from[(row + i) * p.columns + column + threadIdx.x];
  __syncthreads();
  for (unsigned i = threadIdx.y; i < 32; i += 8)
    if (column + i < p.columns && row + threadIdx.x < p.rows)
      p.to[(column + i) * p.rows + row + threadIdx.x] = tile[threadIdx.x][i];
}

dim3 transpose_grid(std::int64_t tokens, std::int64_t channels, std::int64_t tile_channels) {
  return dim3(static_cast<unsigned>((channels + tile_channels - 1) / tile_channels),
              static_cast<unsigned>((tokens + kQuantBlock - 1) / kQuantBlock));
}

}  // namespace

void cast_transpose(const CastTranspose& p, Stream stream) {
  refuse_unless(p.channels % 2 == 0, "cast_transpose: channels are no multiple of 2");
  refuse_unless(p.stride >= p.tokens, "cast_transpose: rows overlap");
  if (p.tokens == 0) return;
  launch("cast_transpose",
         stream,
         transpose_cast_kernel<Bf16Source>,
         transpose_grid(p.tokens, p.channels, 64),
         dim3(kThreads),
         0,
         Bf16Source{p.x, p.channels},
         TransposedOut{p.codes, p.tokens, p.channels, p.stride},
         p.scales);
}

void recast_transpose(const RecastTranspose& p, Stream stream) {
  refuse_unless(p.channels % 4 == 0, "recast_transpose: channels are no multiple of 4");
  refuse_unless(p.stride >= p.tokens, "recast_transpose: rows overlap");
  if (p.tokens == 0) return;
  launch("recast_transpose",
         stream,
         transpose_cast_kernel<E4m3Source>,
         transpose_grid(p.tokens, p.channels, 128),
         dim3(kThreads),
         0,
         E4m3Source{p.from, p.from_scales, p.channels, scale_stride(p.tokens)},
         TransposedOut{p.codes, p.tokens, p.channels, p.stride},
         p.scales);
}

void weight_transpose(const WeightTranspose& p, Stream stream) {
  refuse_unless(p.columns % 4 == 0, "weight_transpose: columns are no multiple of 4");
  refuse_unless(p.stride >= p.rows, "weight_transpose: rows overlap");
  if (p.rows == 0) return;
  launch("weight_transpose",
         stream,
         weight_transpose_kernel,
         transpose_grid(p.rows, p.columns, 128),
         dim3(kThreads),
         0,
         p.from,
         TransposedOut{p.to, p.rows, p.columns, p.stride});
}

void transpose_scales(const TransposeScales& p, Stream stream) {
  if (p.rows == 0) return;
  const dim3 grid(static_cast<unsigned>((p.columns + 31) / 32),
                  static_cast<unsigned>((p.rows + 31) / 32));
  launch("transpose_scales", stream, transpose_scales_kernel, grid, dim3(32, 8), 0, p);
}

}  // namespace moesim
