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
extern const Case kDispatchCase, kCombineCase, kLowLatencyDispatchCase, kLowLatencyCombineCase,
    kFlatDispatchCase, kFlatCombineCase;
extern const Case kSendNodeCase, kSendRailCase, kSendCrossRailCase, kSwapNodeCase, kSwapRailCase,
    kSwapCrossRailCase, kIncastNodeCase, kIncastNetworkCase, kPipelineSendCase;

// A GEMM m x n x k whose operands have `in_bytes` an element and whose result costs `out_bytes`.
Work gemm_work(double m, double n, double k, double weights, double in_bytes, double out_bytes);

// The work of a case whose shape is {bytes}.
Work bytes_work(const Shape& shape, std::span<const std::int64_t> counts);
// A case whose time follows its bytes; without experiment it is only imported.
Case moving_case(std::string_view op, const Experiment* experiment = nullptr);
struct Call;
Call bytes_call(std::int64_t bytes);
// Of a call of a whole number of rows.
std::size_t rows_of(const Call& call, std::int64_t row_bytes);
// [rows, columns] to [columns, rows]
std::vector<float> transposed(const std::vector<float>& values,
                              std::int64_t rows,
                              std::int64_t columns);

}  // namespace moesim
