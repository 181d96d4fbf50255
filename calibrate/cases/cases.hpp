// The cases of this folder, and what several of them count.
#pragma once

#include "calibrate/case.hpp"
#include "calibrate/reference.hpp"

namespace moesim {

extern const Case kGemmFp8Case, kGemmFp8WgradCase, kGemmBf16Case, kGroupedGemmFp8Case,
    kAttentionForwardCase, kAttentionBackwardCase, kAttentionDecodeCase;
extern const Case kCastCase, kCastBackCase, kCastTransposeCase, kRecastTransposeCase,
    kWeightTransposeCase, kCastE5m6Case, kCastBackE5m6Case, kScaleTransposeCase, kScaleCopyCase,
    kRmsnormCase, kRmsnormBackwardCase, kElementwiseCase, kRopeCase, kCopyCase, kBroadcastCopyCase,
    kSwigluCase, kSwigluBackwardCase, kAdamCase, kAttentionBackwardEdgesCase, kPermuteCase,
    kUnpermuteCase, kExpertCountCase, kExpertMapCase, kGateGatherCase, kSmallCase;
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
Call bytes_call(std::int64_t bytes);
// Of a call of a whole number of rows.
std::size_t rows_of(const Call& call, std::int64_t row_bytes);

// Samples of large calls (Experiment::samples). The first, the last, and two between; of few rows
// all.
std::vector<std::int64_t> sampled_rows(std::int64_t rows);
// References of cases whose rows (of this many bytes) depend on nothing but themselves, wherever
// they are in a call: Call::first_row.
struct RowReference {
  Arrays (*inputs)(const Call& call, std::uint64_t seed);
  Arrays (*outputs)(const Call& call, const Arrays& inputs);
  std::int64_t row_bytes;
};
// Of the first `num_outputs` outputs, each of whole rows.
Pieces row_samples(const RowReference& of,
                   const Call& call,
                   std::uint64_t seed,
                   std::size_t num_outputs = 100);
// Of outputs in which a row has become a column, or the same number of columns.
Pieces column_samples(const RowReference& of, const Call& call, std::uint64_t seed);
// All of every output, for cases whose reference is fast at any size.
Pieces whole_samples(const Experiment& of, const Call& call, std::uint64_t seed);

// [rows, columns] to [columns, rows]
std::vector<float> transposed(const std::vector<float>& values,
                              std::int64_t rows,
                              std::int64_t columns);

}  // namespace moesim
