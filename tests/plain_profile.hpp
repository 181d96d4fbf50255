// A profile made up for tests of what is computed from one, and operations to ask it about.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/op.hpp"
#include "model/profile.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {

inline std::size_t at(Kernel kernel) { return static_cast<std::size_t>(kernel); }

inline Op gemm_op(
    Kernel kernel, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t groups = 1) {
  Op op;
  op.kernel = kernel;
  op.gemm = {m, n, k, groups};
  op.flops = 2.0 * static_cast<double>(m) * static_cast<double>(n * k) * FLOP;
  op.bytes = 1 * MB;
  return op;
}
inline Op memory_op(Kernel kernel, Bytes bytes, double launches = 1) {
  Op op;
  op.kernel = kernel;
  op.launches = launches;
  op.bytes = bytes;
  return op;
}
inline Op attention_op(AttentionShape x, Kernel kernel = Kernel::attention_forward) {
  Op op;
  op.kernel = kernel;
  op.attention = x;
  op.flops = 2.0 * static_cast<double>(x.batch * x.heads * x.seq) *
             (static_cast<double>(x.prefix) + static_cast<double>(x.seq) / 2) *
             static_cast<double>(x.qk_head_dim + x.v_head_dim) * FLOP;
  op.bytes = 1 * MB;
  return op;
}
inline Op decode_op(std::int64_t batch,
                    std::int64_t cached,
                    std::int64_t qk = 576,
                    std::int64_t v = 512) {
  Op op;
  op.kernel = Kernel::attention_decode;
  op.attention = {batch, 1, cached, 128, qk, v};
  const auto tokens = static_cast<double>(batch * cached);
  op.flops = 2 * tokens * 128 * static_cast<double>(qk + v) * FLOP;
  op.bytes = 2 * tokens * static_cast<double>(qk) * B;
  return op;
}

// Kernels of an H800 by their forms alone, without residuals: about what is published of them, with
// two points, and figures that no other kernel has.
inline Profile plain_profile() {
  Profile p;
  p.id = "plain";
  p.gpu = shipped_scenario("deepseek-v3-chunk").cluster.gpu;
  const auto gemm = [&](Kernel kernel, double mma, double load, double store, double overhead) {
    GemmModel g;
    g.mma_efficiency = mma;
    g.load = load * GB_per_s;
    g.store = store * GB_per_s;
    g.overhead = overhead * us;
    g.hbm_efficiency = 0.83;
    g.m = {64, 32768};
    g.n = {2112, 32768};
    g.k = {512, 16384};
    g.sms = {132, 132};
    p.gemm[at(kernel)] = g;
    p.error[at(kernel)] = {0.06, 0.15, "held_out", 0, {}};
  };
  gemm(Kernel::gemm_fp8, 0.72, 115, 16, 1.5);
  gemm(Kernel::gemm_fp8_wgrad, 0.85, 56, 41, 6);
  p.gemm[at(Kernel::gemm_fp8_wgrad)]->out_bytes = 8;
  gemm(Kernel::gemm_bf16, 0.84, 220, 49, 3);
  p.points = {{Kernel::gemm_fp8, {4096, 4096, 7168, 1}, 132, 1304 * TFLOP_per_s},
              {Kernel::gemm_fp8, {32768, 4096, 7168, 4}, 132, 1297 * TFLOP_per_s}};
  p.attention[at(Kernel::attention_forward)] =
      AttentionModel{627 * TFLOP_per_s, 45 * us, 132, 192, 128, {}, {}};
  p.error[at(Kernel::attention_forward)] = {0.07, 0.16, "held_out", 0, {}};
  p.decode = DecodeModel{1.6 * us, 2 * us, 3 * TB_per_s, 4, 132, {}};
  p.error[at(Kernel::attention_decode)] = {0.11, 0.31, "held_out", 0, {}};
  const auto memory = [&](Kernel kernel, double tb_per_s, double overhead) {
    p.memory[at(kernel)] = MemoryModel{tb_per_s * TB_per_s, {}, overhead * us, 112};
    p.error[at(kernel)] = {0.2, 0.3, "stated", 0, {}};
  };
  memory(Kernel::cast, 2.017, 4.17);
  memory(Kernel::rmsnorm, 1.787, 3.03);
  memory(Kernel::elementwise, 3.35, 5.4);
  memory(Kernel::rope, 1.138, 3.88);
  memory(Kernel::small, 1, 3.3);
  p.memory[at(Kernel::small)]->bandwidth.reset();
  p.launch_gap = 2.03 * us;
  p.gemm_slowdown = {{20}, {1.055}, "x"};
  return p;
}

}  // namespace moesim
