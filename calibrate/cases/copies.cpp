// Keys of 192 channels for each of 128 heads, put together from their parts. `copy`: the 128
// channels that the up-projection gives, read from rows of keys and values (256 a head).
// `broadcast_copy`: the 64 rotary channels, one for all heads. The rest of a key is left as it was,
// here zero. All BF16.
#include <algorithm>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kHeads = 128, kKey = 192, kNope = 128, kRope = 64, kKeyValue = 256;

// Where a part of a key comes from and goes to, in values.
struct Part {
  std::int64_t token_values, head_stride, width, at;
  std::int64_t row_bytes;  // of a token: read once, written for every head
};
constexpr Part kNopePart = {kHeads * kKeyValue, kKeyValue, kNope, 0, kHeads* kNope * 2 * 2};
constexpr Part kRopePart = {kRope, 0, kRope, kNope, (1 + kHeads) * kRope * 2};

template <const Part& part>
std::vector<GridCall> grid(std::int64_t num_sms) {
  return bytes_grid(part.row_bytes, num_sms);
}

template <const Part& part>
std::vector<Call> checks() {
  return {bytes_call(part.row_bytes), bytes_call(5 * part.row_bytes)};
}

// from[tokens, 128 heads, 256] or from[tokens, 64]
template <const Part& part>
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size =
      rows_of(call, part.row_bytes) * static_cast<std::size_t>(part.token_values);
  return {{"from", Element::bf16, bf16_values(size, seed, 0, call.first_row * part.token_values)}};
}

// key[tokens, 128 heads, 192]
template <const Part& part>
Arrays outputs(const Call& call, const Arrays& in) {
  const auto tokens = static_cast<std::int64_t>(rows_of(call, part.row_bytes));
  std::vector<float> key(static_cast<std::size_t>(tokens * kHeads * kKey));
  for (std::int64_t token = 0; token < tokens; ++token)
    for (std::int64_t head = 0; head < kHeads; ++head)
      std::copy_n(in[0].values.begin() + token * part.token_values + head * part.head_stride,
                  part.width,
                  key.begin() + (token * kHeads + head) * kKey + part.at);
  return {{"key", Element::bf16, std::move(key)}};
}

template <const Part& part>
Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs<part>, outputs<part>, part.row_bytes}, call, seed);
}

template <const Part& part>
constexpr Experiment kExperiment = {
    grid<part>, checks<part>, inputs<part>, outputs<part>, 0, samples<part>};

}  // namespace

const Case kCopyCase = moving_case("copy", &kExperiment<kNopePart>);
const Case kBroadcastCopyCase = moving_case("broadcast_copy", &kExperiment<kRopePart>);

}  // namespace moesim
