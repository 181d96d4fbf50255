// Kernels that only move data. Their shape is the least traffic of a call (each operand read once,
// each result written once): one kernel serves many layouts, and its time follows the bytes.
#include "calibrate/cases/cases.hpp"

namespace moesim {

Work bytes_work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return {Flop(), static_cast<double>(shape[0]) * B};
}

namespace {

Work no_work(const Shape& /*shape*/, std::span<const std::int64_t> /*counts*/) { return {}; }

Case moving(std::string_view op) {
  return {op, {"bytes"}, Form::memory, Peak::none, false, bytes_work};
}
Case fixed(std::string_view op) { return {op, {}, Form::fixed, Peak::none, false, no_work}; }

}  // namespace

const Case kCastCase = moving("cast"), kCastBackCase = moving("cast_back"),
           kCastTransposeCase = moving("cast_transpose"),
           kRecastTransposeCase = moving("recast_transpose"),
           kWeightTransposeCase = moving("weight_transpose"), kCastE5m6Case = moving("cast_e5m6"),
           kCastBackE5m6Case = moving("cast_back_e5m6"),
           kScaleTransposeCase = fixed("scale_transpose"), kScaleCopyCase = moving("scale_copy"),
           kRmsnormCase = moving("rmsnorm"), kRmsnormBackwardCase = moving("rmsnorm_backward"),
           kElementwiseCase = moving("elementwise"), kRopeCase = moving("rope"),
           kCopyCase = moving("copy"), kBroadcastCopyCase = moving("broadcast_copy"),
           kSwigluCase = moving("swiglu"),
           kAttentionBackwardEdgesCase = moving("attention_backward_edges"),
           kPermuteCase = moving("permute"), kUnpermuteCase = moving("unpermute"),
           kExpertCountCase = moving("expert_count"), kExpertMapCase = moving("expert_map"),
           kGateGatherCase = moving("gate_gather"), kSmallCase = fixed("small");

}  // namespace moesim
