// Precision recipes: which kernels each has, their bytes by hand, and on which GPUs they run.
#include <string>

#include "model/errors.hpp"
#include "model/op_graph/recipe.hpp"
#include "tests/catch.hpp"
#include "tests/op_sums.hpp"
#include "tests/refusal.hpp"
#include "tests/small_v3.hpp"
#include "tests/train_trace.hpp"

using namespace moesim;

namespace {

constexpr double kT = 4096, kRows = 32128;

LayerOps layer_of(Recipe recipe) {
  ChunkShape s = kTraceShape;
  s.recipe = recipe;
  return build_layer_ops(shipped_model("deepseek-v3"), LayerKind::moe, s, kTraceBackwardLoad);
}
double bytes_of(const LayerOps& layer, const char* name) {
  const Op* op = find_op(layer, name);
  return op == nullptr ? 0 : op->bytes.in(B);
}
double quantise_bytes(Recipe recipe) {
  double bytes = 0;
  for (const OpList& ops : layer_of(recipe).blocks)
    for (const Op& op : ops)
      if (op.category == Category::quantise) bytes += op.launches * op.bytes.in(B);
  return bytes;
}

}  // namespace

TEST_CASE("recipes: the table is in the order of the enumeration", "[recipes]") {
  for (const Recipe recipe : {Recipe::fp8_block, Recipe::bf16, Recipe::fp8_tensor, Recipe::mxfp8})
    CHECK(casts_of(recipe).recipe == recipe);
}

TEST_CASE("recipes: all multiply the same", "[recipes]") {
  const double flops = all_flops(layer_of(Recipe::bf16));
  for (const Recipe recipe : {Recipe::fp8_block, Recipe::fp8_tensor, Recipe::mxfp8})
    CHECK(all_flops(layer_of(recipe)) == flops);
}

TEST_CASE("recipes: a scale a tensor moves bytes where block scales cast again", "[recipes]") {
  const LayerOps layer = layer_of(Recipe::fp8_tensor);
  // BF16 in, FP8 out; then transposed as it is: a byte in, a byte out.
  CHECK(bytes_of(layer, "cast_x_1x128_fp8") == 3 * kT * 7168);
  CHECK(bytes_of(layer, "cast_transpose_dY") == 2 * kT * 7168);
  CHECK(find_op(layer, "cast_transpose_dY")->kernel == Kernel::weight_transpose);
  CHECK(bytes_of(layer, "recast_transpose_X_expert(fp8->fp8)") == 2 * kRows * 7168);
  // Weights are transposed once a step; no scales to move; no format of its own to keep.
  for (const char* name : {"transpose_w_o_proj",
                           "scale_transpose",
                           "scale_copy_contig",
                           "cast_attn_out_E5M6(special fmt,save)"})
    CHECK(find_op(layer, name) == nullptr);
  // Rows are dispatched in BF16 and cast when they have come.
  CHECK(bytes_of(layer, "cast_expert_rows") == 3 * kRows * 7168);
  CHECK(bytes_of(layer, "expand_to_expert_order(permute,fp8)") == (29836 + kRows) * 2 * 7168);
  const Op wgrad = *find_op(layer, "o_proj_wgrad");
  CHECK(wgrad.kernel == Kernel::gemm_fp8);
  CHECK(wgrad.out_bytes == 8);  // FP32 read and written
}

TEST_CASE("recipes: MXFP8 writes both copies at once", "[recipes]") {
  const LayerOps layer = layer_of(Recipe::mxfp8);
  // BF16 in; twice a byte and a scale byte per 32 out.
  CHECK(bytes_of(layer, "cast_x_1x128_fp8") == (2 + 2 * (1 + 1. / 32)) * kT * 7168);
  CHECK(bytes_of(layer, "shared_swiglu+cast_fp8") == (4 + 2 * (1 + 1. / 32)) * kT * 2048);
  for (const OpList& ops : layer.blocks)
    for (const Op& op : ops) {
      INFO(op.name);
      // What was normalised again is needed only in the other direction.
      if (op.name == "cast_transpose_x(attn in)")
        CHECK(op.bytes.in(B) == (2 + 1 + 1. / 32) * kT * 7168);
      else
        CHECK(op.kernel != Kernel::cast_transpose);
      CHECK(op.kernel != Kernel::recast_transpose);
      CHECK(op.kernel != Kernel::weight_transpose);
      CHECK(op.kernel != Kernel::scale_transpose);
    }
}

TEST_CASE("recipes: block scales of 128 move most bytes to quantise", "[recipes]") {
  CHECK(quantise_bytes(Recipe::bf16) == 0);
  CHECK(quantise_bytes(Recipe::mxfp8) < quantise_bytes(Recipe::fp8_block));
  CHECK(quantise_bytes(Recipe::fp8_tensor) < quantise_bytes(Recipe::fp8_block));
}

TEST_CASE("recipes: only block scales travel with dispatched rows", "[recipes]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const Bytes bf16 = expert_message(v3, Recipe::bf16).dispatch;
  CHECK(expert_message(v3, Recipe::fp8_tensor).dispatch == bf16);
  CHECK(expert_message(v3, Recipe::mxfp8).dispatch == bf16);
  CHECK(expert_message(v3, Recipe::fp8_block).dispatch < bf16);
}

TEST_CASE("recipes: MXFP8 needs tensor cores that apply its scales", "[recipes]") {
  const std::string message = refusal([] { small_v3({{"/plan/recipe", "\"mxfp8\""}}); });
  CHECK(message.find("/plan/recipe: \"mxfp8\", but the tensor cores of the H800 (hopper) do not "
                     "apply its scales; expected \"fp8_block\", \"fp8_tensor\" or \"bf16\"") !=
        std::string::npos);
  CHECK(refusal([] {
          small_v3({{"/plan/recipe", "\"mxfp8\""}, {"/cluster/gpu/architecture", "\"blackwell\""}});
        }) == "nothing was refused");
}
