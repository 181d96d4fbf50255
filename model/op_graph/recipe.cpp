#include "model/op_graph/recipe.hpp"

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr double kBlockScale = 4. / 128, kMxScale = 1. / 32;  // bytes of scales an element

std::array<RecipeCasts, 4> make_table() {
  RecipeCasts bf16{Recipe::bf16};

  RecipeCasts block{Recipe::fp8_block};
  block.row = block.gradient_row = 1 + kBlockScale;
  block.operand = block.kept = 2 + 1;  // the trace's bytes leave out scales
  block.transpose = block.cast_again = 2 + 1;
  block.transpose_fp8 = 1 + 1;
  block.weight_transpose = 1 + 1;
  block.attention_kept = 2 + 1.5;
  block.scale_copy = 8. / 128;
  block.swiglu = 4 + 1;
  block.attention_output = 1.5;
  block.transposes_requantise = true;
  block.quantises_before_dispatch = true;

  RecipeCasts tensor{Recipe::fp8_tensor};
  tensor.row = tensor.gradient_row = 1;
  tensor.operand = tensor.kept = 2 + 1;
  tensor.transpose = tensor.transpose_fp8 = 1 + 1;
  tensor.cast_again = 2 + 1;
  tensor.swiglu = 4 + 1;
  tensor.attention_output = 2 + 1;  // BF16 for attention's backward pass, FP8 for the projection's

  RecipeCasts mx{Recipe::mxfp8};
  mx.row = 1 + kMxScale;
  mx.gradient_row = 2 * mx.row;
  mx.operand = 2 + 2 * mx.row;
  mx.kept = mx.cast_again = 2 + mx.row;
  mx.swiglu = 4 + 2 * mx.row;
  mx.attention_output = 2 + mx.row;
  return {block, bf16, tensor, mx};
}

}  // namespace

const RecipeCasts& casts_of(Recipe recipe) {
  static const std::array<RecipeCasts, 4> table = make_table();  // in the order of Recipe
  const RecipeCasts& row = table[static_cast<std::size_t>(recipe)];
  ENSURE(row.recipe == recipe);
  return row;
}

}  // namespace moesim
