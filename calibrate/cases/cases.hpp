// The cases of this folder, and what several of them count.
#pragma once

#include "calibrate/case.hpp"

namespace moesim {

extern const Case kGemmFp8Case, kGemmFp8WgradCase, kGemmBf16Case, kGroupedGemmFp8Case,
    kAttentionForwardCase, kAttentionBackwardCase, kAttentionDecodeCase;
extern const Case kCastCase, kCastBackCase, kCastTransposeCase, kRecastTransposeCase,
    kWeightTransposeCase, kCastE5m6Case, kCastBackE5m6Case, kScaleTransposeCase, kScaleCopyCase,
    kRmsnormCase, kRmsnormBackwardCase, kElementwiseCase, kRopeCase, kCopyCase, kBroadcastCopyCase,
    kSwigluCase, kAttentionBackwardEdgesCase, kPermuteCase, kUnpermuteCase, kExpertCountCase,
    kExpertMapCase, kGateGatherCase, kSmallCase;
extern const Case kAllReduceCase, kAllGatherCase, kReduceScatterCase, kAllToAllCase, kBroadcastCase;
extern const Case kDispatchCase, kCombineCase, kLowLatencyDispatchCase, kLowLatencyCombineCase;

// A GEMM m x n x k whose operands have `in_bytes` an element and whose result costs `out_bytes`.
Work gemm_work(double m, double n, double k, double weights, double in_bytes, double out_bytes);

// The work of a case whose shape is {bytes}.
Work bytes_work(const Shape& shape, std::span<const std::int64_t> counts);

}  // namespace moesim
