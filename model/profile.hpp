// A calibration profile: how fast kernels and links really are on one GPU. It is the file in which
// measuring and simulating meet, so that neither needs the other.
//
// For every kernel it holds the form's coefficients, the points they came from (where points are
// cited one by one), the error on them, and the source in words. Nothing here is a datasheet
// figure: those are in the GPU file the profile names, and efficiencies are fractions of them, so a
// profile can be carried to another GPU (the result is then marked derived).
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/op.hpp"

namespace moesim {

// t = overhead + pnorm4(waves * tile time, bytes / (hbm_efficiency * HBM)), docs/physics.md,
// "GEMM".
//   tile time = max(2 bm bn k / (mma_efficiency * peak per SM), (bm + bn) k in_bytes / load) + bm
//   bn out_bytes / store waves     = ceil(tiles / SMs), bm = 64 when no group has more than 64
//   rows, else 128; bn = the multiple of 16 up to 128
//               that takes least time.
struct GemmModel {
  double mma_efficiency = 0;  // of the datasheet peak
  Bandwidth load, store;      // per SM: operands into, results out of the tensor cores
  Seconds overhead;           // once per launch
  double hbm_efficiency = 0;
  double out_bytes =
      2;  // bytes moved per result element (8: read and write of an FP32 accumulator)
  // What was measured: per axis of the shape, and of the SMs in use, lowest and highest. Inside is
  // interpolated, outside extrapolated.
  std::array<std::int64_t, 2> m{}, n{}, k{}, sms{};
};

struct GemmPoint {
  Kernel kernel;
  GemmShape shape;  // m is the rows of all groups together
  std::int64_t sms = 0;
  FlopRate rate;
};

struct AttentionModel {
  FlopRate rate;  // sustained, with `sms` SMs
  Seconds overhead;
  std::int64_t sms = 0;
  std::int64_t qk_head_dim = 0, v_head_dim = 0;  // measured for; others are extrapolated
  std::optional<Bandwidth> bandwidth = {};       // when memory-bound; absent: the datasheet's
};

struct MemoryModel {
  std::optional<Bandwidth>
      bandwidth;  // sustained with `sms` SMs; absent: a kernel of fixed duration
  Seconds overhead;
  std::int64_t sms = 0;
};

// Expert-parallel and plain transfers. Efficiencies are of the datasheet link rates.
struct CommModel {
  double nvlink_efficiency = 0;  // of the GPU's NVLink rate, one direction
  double nic_efficiency = 0;     // of the NIC's line rate
  // Rates of the two-hop kernels while compute kernels run beside them, as a fraction of their
  // stand-alone rate.
  double dispatch_overlap = 1, cached_dispatch_overlap = 1, combine_overlap = 1;
  // Rows that a two-hop kernel hands out, per SM it runs on.
  Bandwidth dispatch_per_sm, combine_per_sm;
  Seconds layout;         // get_dispatch_layout, before the first dispatch of a layer
  Bandwidth cast_per_sm;  // BF16 to FP8 cast of the gradient on the communication SMs, per SM
  Seconds low_latency_overhead;  // per low-latency dispatch or combine
};

// What a message of a collective costs beside the link's latency and sustained rate depends on how
// large it is: libraries change their protocol with it (NCCL: LL, LL128, Simple). Which regime a
// message has is in model/collective/rounds (regime_of). In a file:
//   "collectives": {"nvlink": [{"up_to": "64 KB", "overhead": "4 us", "efficiency": 0.3}, ...],
//                   "nic": [...], "source": "..."}
struct SizeRegime {
  Bytes up_to;
  Seconds overhead;       // on top of the link's latency, once a message
  double efficiency = 1;  // of the link's sustained rate, in (0, 1]
};
struct CollectiveRegimes {
  std::vector<SizeRegime> nvlink, nic;  // neither empty, up_to ascending
  std::string source;
};

enum class ProfileKind { measured, published, synthetic };

struct Profile {
  std::string id;
  ProfileKind kind = ProfileKind::published;
  GpuSpec gpu;  // measured on
  std::array<std::optional<GemmModel>, kNumKernels> gemm;
  std::array<std::optional<AttentionModel>, kNumKernels> attention;
  std::array<std::optional<MemoryModel>, kNumKernels> memory;
  std::array<std::string, kNumKernels> source;  // in words, per kernel
  std::vector<GemmPoint> points;
  CommModel comm;
  std::optional<CollectiveRegimes> collectives;  // absent: nothing was measured
  Seconds launch_gap;                            // between two kernels of a stream
  Seconds chunk_startup;  // GPU idle at the head of a chunk while the host launches
  double gemm_slowdown_under_comm =
      1;  // of tensor-core kernels when communication kernels run beside them
};

// `node` has its `gpu` reference already replaced by the GPU file's object.
Profile read_profile(const JsonNode& node);

}  // namespace moesim
