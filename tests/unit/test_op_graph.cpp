// The kernels of a layer: FLOPs and bytes against hand formulas, against the closed form of
// model_counts for every model, and against the public DeepSeek-V3 training trace.
#include <cmath>
#include <iostream>
#include <set>
#include <string>

#include "model/model_counts.hpp"
#include "model/op_graph.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/shipped_data.hpp"
#include "tests/train_trace.hpp"

using namespace moesim;

namespace {

const std::size_t kLayerBlocks[] = {0, 1, 2, 3, 4, 5};

template <class Wanted>
double flops(const LayerOps& layer, Wanted wanted) {
  double sum = 0;
  for (const OpList& ops : layer.blocks)
    for (const Op& op : ops)
      if (wanted(op)) sum += op.flops.in(FLOP);
  return sum;
}
double flops(const LayerOps& layer, Pass pass) {
  return flops(layer, [&](const Op& op) { return op.pass == pass; });
}
double flops(const LayerOps& layer, Category category) {
  return flops(layer, [&](const Op& op) { return op.category == category; });
}

const Op& op_named(const LayerOps& layer, Block block, const std::string& name) {
  const Op* found = nullptr;
  for (const Op& op : layer.blocks[static_cast<std::size_t>(block)]) {
    if (op.name != name) continue;
    REQUIRE(found == nullptr);
    found = &op;
  }
  INFO(name);
  REQUIRE(found != nullptr);
  return *found;
}
double bytes(const LayerOps& layer, Block block, const std::string& name) {
  return op_named(layer, block, name).bytes.in(B);
}

// A layer of any model with every expert on one rank: each token's top_k rows, none padded.
LayerOps whole_layer(const ModelSpec& m, LayerKind kind, std::int64_t tokens) {
  const std::int64_t rows = m.moe ? tokens * m.moe->top_k : 0;
  const std::int64_t experts = m.moe ? m.moe->num_experts : 0;
  return build_layer_ops(
      m, kind, {tokens, tokens, 1, experts, Recipe::fp8_block}, {rows, rows, tokens});
}

constexpr double kT = 4096;
// V3's latent attention: q_a, q_b, kv_a, kv_b, o.
constexpr double kProjections =
    7168.0 * 1536 + 1536.0 * 24576 + 7168.0 * 576 + 512.0 * 32768 + 16384.0 * 7168;
constexpr double kUpProjections = 1536.0 * 24576 + 512.0 * 32768;
constexpr double kExpert = 3.0 * 7168 * 2048;

}  // namespace

TEST_CASE("op graph: FLOPs of a V3 layer by pass, by hand", "[op_graph]") {
  const LayerOps layer = trace_layer(shipped_model("deepseek-v3"));
  const double gate = 2 * kT * 256 * 7168, shared = 2 * kT * kExpert;
  const double attention = 2 * kT * (kT / 2) * 128 * (192 + 128);  // causal half
  CHECK(flops(layer, Pass::forward) ==
        Approx(2 * kT * kProjections + attention + gate + shared + 2 * 32512 * kExpert));
  // S again, dV, dP, dQ, dK: three products 192 wide and two 128 wide.
  const double attention_backward = 2 * kT * (kT / 2) * 128 * (3 * 192 + 2 * 128);
  CHECK(flops(layer, Pass::input_grad) ==
        Approx(2 * kT * kProjections + attention_backward + gate + shared + 2 * 32128 * kExpert));
  CHECK(flops(layer, Pass::weight_grad) ==
        Approx(2 * kT * kProjections + gate + shared + 2 * 32128 * kExpert));
  CHECK(flops(layer, Pass::recompute) == Approx(2 * kT * kUpProjections));
}

TEST_CASE("op graph: FLOPs of a V3 layer as the trace's README sums them", "[op_graph]") {
  const LayerOps layer = trace_layer(shipped_model("deepseek-v3"));
  CHECK(std::abs(flops(layer, Category::attention_gemm) / 1e9 - 5045) <= 0.5);
  CHECK(std::abs(flops(layer, Category::attention) / 1e9 - 2474) <= 0.5);
  CHECK(std::abs(flops(layer, Category::ffn_gemm) / 1e9 - 1082) <= 0.5);
  CHECK(std::abs(flops(layer, Category::moe_gemm) / 1e9 - 8523) <= 0.5);
  CHECK(std::abs(flops(layer, Category::gate) / 1e9 - 45) <= 0.5);
  CHECK(flops(layer, [](const Op&) { return true; }) / 1e12 == Approx(17.17).epsilon(0.0003));
}

TEST_CASE("op graph: bytes of chosen kernels by hand", "[op_graph]") {
  const LayerOps layer = trace_layer(shipped_model("deepseek-v3"));
  // FP8 operands once, BF16 result once.
  CHECK(bytes(layer, Block::attention_f, "q_a_proj") == kT * 7168 + 1536. * 7168 + 2 * kT * 1536);
  CHECK(bytes(layer, Block::ffn_f, "grouped_down") ==
        32512. * 2048 + 4 * 7168. * 2048 + 2 * 32512. * 7168);
  // Weight gradients: an FP32 accumulator read and written, for one of the four experts.
  CHECK(bytes(layer, Block::attention_w, "o_proj_wgrad") ==
        kT * (7168 + 16384) + 8 * 7168. * 16384);
  CHECK(bytes(layer, Block::ffn_w, "expert_down_wgrad(x4,2 streams)") ==
        8032. * (7168 + 2048) + 8 * 7168. * 2048);
  CHECK(op_named(layer, Block::ffn_w, "expert_down_wgrad(x4,2 streams)").launches == 4);
  // The gate's scores are FP32.
  CHECK(bytes(layer, Block::attention_f, "gate_gemm(bf16->fp32)") ==
        2 * kT * 7168 + 2 * 256. * 7168 + 4 * kT * 256);
  // Q, K, V in and O out, BF16.
  CHECK(bytes(layer, Block::attention_f, "flash_attn_fwd(causal)") ==
        2 * kT * 128 * (192 + 192 + 128 + 128));
  // A cast reads BF16 and writes FP8; E5M6 takes 12 bits.
  CHECK(bytes(layer, Block::attention_f, "cast_x_1x128_fp8") == 3 * kT * 7168);
  CHECK(bytes(layer, Block::attention_f, "cast_attn_out_E5M6(special fmt,save)") ==
        3.5 * kT * 16384);
  // Received rows in, expert rows out, each with a float scale per 128.
  CHECK(bytes(layer, Block::ffn_f, "expand_to_expert_order(permute,fp8)") ==
        (30278. + 32512) * (7168 + 224));
  CHECK(bytes(layer, Block::ffn_b, "reduce_fused(unpermute dX)") == (32128. + 29836) * 7168 * 2);
}

TEST_CASE("op graph: a block holds the passes its name says", "[op_graph]") {
  const LayerOps layer = trace_layer(shipped_model("deepseek-v3"));
  for (const std::size_t b : kLayerBlocks) {
    const char kind = kBlockNames[b][kBlockNames[b].size() - 2];
    for (const Op& op : layer.blocks[b]) {
      INFO(kBlockNames[b] << " " << op.name);
      CHECK(op.launches > 0);
      CHECK(op.bytes >= 0 * B);
      if (kind == 'F') CHECK(op.pass == Pass::forward);
      if (kind == 'W') CHECK(op.pass == Pass::weight_grad);
      if (kind == 'B') CHECK(op.pass != Pass::forward);
    }
  }
}

TEST_CASE("op graph: BF16 needs no quantising and twice the operand bytes", "[op_graph]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const LayerOps fp8 = trace_layer(v3), bf16 = trace_layer(v3, Recipe::bf16);
  for (const OpList& ops : bf16.blocks)
    for (const Op& op : ops) {
      INFO(op.name);
      CHECK(op.category != Category::quantise);
      CHECK(op.kernel != Kernel::gemm_fp8);
      CHECK(op.kernel != Kernel::gemm_fp8_wgrad);
    }
  for (const Pass pass : {Pass::forward, Pass::input_grad, Pass::weight_grad, Pass::recompute}) {
    CHECK(flops(bf16, pass) == Approx(flops(fp8, pass)).epsilon(1e-12));
  }
  CHECK(bytes(bf16, Block::attention_f, "q_a_proj") == 2 * (kT * 7168 + 1536. * 7168 + kT * 1536));
  // SwiGLU: gate and up in, BF16 result out (FP8 result: one byte less).
  for (const char* name : {"shared_swiglu+cast_fp8", "swiglu*w+cast_fp8(fused)"}) {
    CHECK(bytes(bf16, Block::ffn_f, name) == Approx(bytes(fp8, Block::ffn_f, name) * 6 / 5));
  }
  CHECK(bytes(bf16, Block::ffn_f, "expand_to_expert_order(permute,fp8)") ==
        (30278. + 32512) * 7168 * 2);
}

TEST_CASE("op graph: every model's layers sum to the closed form", "[op_graph]") {
  const std::int64_t tokens = 1920;  // top_k times as many divide evenly over all experts
  for (const auto& file : std::filesystem::directory_iterator(scenario_folder() / "models")) {
    ModelSpec m = read_model_spec(file.path());
    INFO(m.name);
    for (auto& window : m.attention_window) window = 0;  // training shapes have no windows
    const auto n = static_cast<double>(tokens);
    double forward = flops(whole_layer(m, LayerKind::head, tokens), Pass::forward);
    double gradients = forward * 2, recomputed = 0;
    double attention = 0, attention_backward = 0;
    for (const bool is_moe : m.layer_is_moe) {
      const auto layer = whole_layer(m, is_moe ? LayerKind::moe : LayerKind::dense, tokens);
      forward += flops(layer, Pass::forward);
      gradients += flops(layer, Pass::input_grad) + flops(layer, Pass::weight_grad);
      recomputed += flops(layer, Pass::recompute);
      attention += op_named(layer, Block::attention_f, "flash_attn_fwd(causal)").flops.in(FLOP);
      attention_backward +=
          op_named(layer, Block::attention_b, "flash_attn_bwd(causal)").flops.in(FLOP);
    }
    const auto closed = flops_per_token(m, tokens, AttentionConvention::causal);
    CHECK(forward == Approx(n * closed.forward.in(FLOP)).epsilon(1e-9));
    // Twice the forward pass, but for attention's fifth product (the scores again).
    CHECK(gradients - attention_backward ==
          Approx(n * closed.backward.in(FLOP)-2 * attention).epsilon(1e-9));
    const auto qk = static_cast<double>(m.head_dim), v = static_cast<double>(m.value_head_dim());
    CHECK(attention_backward == Approx(attention * (3 * qk + 2 * v) / (qk + v)).epsilon(1e-9));
    CHECK(recomputed == Approx(n * recompute_flops_per_token(m).in(FLOP)).margin(1).epsilon(1e-9));
  }
}

TEST_CASE("op graph: dense layers, head, embedding, MTP projection", "[op_graph]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  auto build = [&](LayerKind kind, const RankLoad& load = {}) {
    return build_layer_ops(v3, kind, kTraceShape, load);
  };
  // A dense layer of V3 computes as much as nine experts, whatever the routing.
  const LayerOps dense = build(LayerKind::dense);
  CHECK(flops(dense, Category::ffn_gemm) == Approx(3 * 2 * kT * 9 * kExpert));
  CHECK(flops(dense, Category::moe_gemm) == 0);
  CHECK(flops(dense, Category::gate) == 0);
  const LayerOps loaded = build(LayerKind::dense, kTraceForwardLoad);
  for (const std::size_t b : kLayerBlocks) CHECK(dense.blocks[b].size() == loaded.blocks[b].size());
  CHECK(flops(build(LayerKind::head), Category::head) == Approx(3 * 2 * kT * 7168 * 129280));
  CHECK(flops(build(LayerKind::embedding), [](const Op&) { return true; }) == 0);
  CHECK(flops(build(LayerKind::mtp_projection), [](const Op&) { return true; }) ==
        Approx(3 * 2 * kT * 2 * 7168 * 7168));
}

TEST_CASE("op graph: context parallelism divides attention, not the up-projection", "[op_graph]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const LayerOps one = build_layer_ops(v3, LayerKind::dense, kTraceShape, {});
  const LayerOps part = build_layer_ops(
      v3, LayerKind::dense, {kTraceTokens / 4, kTraceTokens, 4, 0, Recipe::fp8_block}, {});
  CHECK(flops(part, Category::attention) == Approx(flops(one, Category::attention) / 4));
  CHECK(flops(part, Category::ffn_gemm) == Approx(flops(one, Category::ffn_gemm) / 4));
  auto up = [](const LayerOps& layer) {
    return op_named(layer, Block::attention_f, "kv_b_proj").flops;
  };
  CHECK(up(part) == up(one));  // every rank rebuilds the keys and values of the whole sequence
}

TEST_CASE("op graph: an expert's message is DeepEP's", "[op_graph]") {
  // Trace README, section 3: 7168 + 56 x 4 + 8 + 8 x 4 + 8 x 4, padded to 16; 14336 + 8 + 32.
  const ModelSpec v3 = shipped_model("deepseek-v3");
  CHECK(expert_message(v3, Recipe::fp8_block).dispatch == 7472 * B);
  CHECK(expert_message(v3, Recipe::fp8_block).combine == 14384 * B);
  CHECK(expert_message(v3, Recipe::bf16).dispatch == 14416 * B);
}

TEST_CASE("op graph: the trace's kernels, one by one", "[op_graph][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const LayerOps layer = trace_layer(shipped_model("deepseek-v3"));
  double worst_flops = 0, worst_bytes = 0;
  std::string worst_flops_op = "none", worst_bytes_op = "none";
  std::set<std::string> in_trace;
  for (const TrainTraceRow& row : read_train_trace(*folder)) {
    if (!row.is_compute()) continue;
    INFO(row.phase << " " << row.op);
    std::size_t b = 0;
    while (b < kNumBlocks && kBlockNames[b] != row.block()) ++b;
    REQUIRE(b < kNumBlocks);
    in_trace.insert(row.block() + " " + row.op);
    const Op& op = op_named(layer, static_cast<Block>(b), row.op);
    CHECK(op.launches == row.calls_per_layer);
    const double per_call = op.flops.in(FLOP) / op.launches;
    CHECK(per_call == Approx(row.flops).epsilon(0.005));
    if (row.flops > 0 && std::abs(per_call / row.flops - 1) > worst_flops) {
      worst_flops = std::abs(per_call / row.flops - 1);
      worst_flops_op = row.op;
    }
    if (row.bytes == 0) continue;
    CHECK(op.bytes.in(B) == Approx(row.bytes).epsilon(0.05));
    if (std::abs(op.bytes.in(B) / row.bytes - 1) > worst_bytes) {
      worst_bytes = std::abs(op.bytes.in(B) / row.bytes - 1);
      worst_bytes_op = row.op;
    }
  }
  for (const std::size_t b : kLayerBlocks)  // and nothing that the trace does not have
    for (const Op& op : layer.blocks[b]) {
      INFO(kBlockNames[b] << " " << op.name);
      CHECK(in_trace.count(std::string(kBlockNames[b]) + " " + std::string(op.name)) == 1);
    }
  CHECK(in_trace.size() == 140);
  std::cout << "trace kernels: " << in_trace.size() << "; worst FLOPs " << 100 * worst_flops
            << " % (" << worst_flops_op << "), worst bytes " << 100 * worst_bytes << " % ("
            << worst_bytes_op << ")\n";
}
