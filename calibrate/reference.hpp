// What goes into one call of an operation and what has to come out: the plain CPU reference that a
// kernel is compared with before it is timed, and the shapes at which it is both checked and timed.
//
// Inputs are near a standard normal, never zeros (a GEMM on zeros runs 13 % faster: it draws less
// power), and exactly representable in the type the kernel reads. They come from a hash of seed,
// operand and index, in integers only, so that a GPU can fill its own buffers with the same ones.
//
// Kernels are checked whole at small shapes that include their tile edges. A shape too large for a
// CPU is checked by samples: pieces of the outputs, whose inputs are made from the hash where they
// are needed.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "calibrate/case.hpp"

namespace moesim {

// How a kernel stores a value. Codes of e4m3 stand here decoded, their scales in an array of their
// own.
enum class Element : std::uint8_t { e4m3, bf16, fp32, index };

struct Array {
  std::string_view name;
  Element element;
  std::vector<float> values;  // row-major, in the shape the case's file gives
};
using Arrays = std::vector<Array>;

struct Call {
  Shape shape;
  std::vector<std::int64_t> counts;   // grouped GEMM: rows per expert; empty: even
  std::int64_t sms = 0;               // SMs the kernel may use; 0: all of the GPU
  bool beside_communication = false;  // the other SMs copy meanwhile
  std::int64_t first_row = 0;  // of references of a piece of a larger call: the rows before it

  bool operator==(const Call&) const = default;
};

// Where a call stands in a run that may be stopped anywhere. The tiers of all operations are
// measured one after the other; `core` alone can be fitted.
enum class Tier : std::uint8_t { core, model, edges };

struct GridCall {
  Tier tier = Tier::core;
  Call call;
};

// Neighbouring values of one output, which lies as the case's file says.
struct Piece {
  std::size_t output = 0;
  std::int64_t first = 0;
  std::vector<float> values;
};
using Pieces = std::vector<Piece>;

struct Experiment {
  std::vector<GridCall> (*grid)(std::int64_t num_sms);  // tier by tier
  std::vector<Call> (*checks)();                        // few and small
  Arrays (*inputs)(const Call& call, std::uint64_t seed);
  Arrays (*outputs)(const Call& call, const Arrays& inputs);  // not rounded to their element
  double tolerance = 0;  // relative L2 error of each output; 0: bit by bit
  // What a few pieces of a call of any size have to be, the first and the last among them.
  Pieces (*samples)(const Call& call, std::uint64_t seed) = nullptr;
};

// [size] values near a standard normal: the sum of the eight bytes of a hash, less its mean, over
// its standard deviation (Irwin-Hall), so none is beyond 4.9.
// From the `first` value on.
std::vector<float> normal_values(std::size_t size,
                                 std::uint64_t seed,
                                 std::uint64_t operand,
                                 std::int64_t first = 0);

float round_bf16(float value);  // to nearest, ties to even
std::vector<float> bf16_values(std::size_t size,
                               std::uint64_t seed,
                               std::uint64_t operand,
                               std::int64_t first = 0);

// 0 ... size - 1 in an order of the seed's.
std::vector<std::int64_t> permutation(std::size_t size, std::uint64_t seed);

// |found - expected| / |expected|; infinite where anything found is not a number, such as poison
// that was left in place. Arrays of no norm agree only when equal.
double relative_l2(const std::vector<float>& found, const std::vector<float>& expected);

}  // namespace moesim
