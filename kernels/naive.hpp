// The naive twins of the memory-bound kernels: the same arguments and results, computed as plainly
// as it can be written down, a thread a value, a row or a scale. They share no loads, no layouts of
// threads and no shared memory with the fast kernels, take sizes that those refuse (columns that
// are no multiple of a vector), and are what a fast kernel is compared with where a CPU would take
// too long. Those of the matrix kernels are beside them: gemm_fp8_naive, mla_decode_naive, ...
//
// Left out: speed, and twins of what is one plain kernel already (rope_table, transpose_scales).
#pragma once

#include "kernels/adam.hpp"
#include "kernels/cast.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/gate.hpp"
#include "kernels/permute.hpp"
#include "kernels/rmsnorm.hpp"
#include "kernels/rope.hpp"
#include "kernels/swiglu.hpp"

namespace moesim {

// naive_casts.cu
void cast_back_naive(const CastBack& p, Stream stream);                // a thread a value
void cast_transpose_naive(const CastTranspose& p, Stream stream);      // a scale
void recast_transpose_naive(const RecastTranspose& p, Stream stream);  // a scale
void cast_weight_naive(const CastWeight& p, Stream stream);            // a scale
void weight_transpose_naive(const WeightTranspose& p, Stream stream);  // a code
void swiglu_naive(const Swiglu& p, Stream stream);                     // a value
void swiglu_cast_naive(const SwigluCast& p, Stream stream);            // a scale
void swiglu_backward_naive(const SwigluBackward& p, Stream stream);    // a product

// naive_rows.cu
void rmsnorm_naive(const Rmsnorm& p, Stream stream);           // a row
void rmsnorm_cast_naive(const RmsnormCast& p, Stream stream);  // a row
// A row, then a column. Keeps a float a row in `scratch`, and refuses more rows than it holds.
void rmsnorm_backward_naive(const RmsnormBackward& p, Stream stream);
void rope_naive(const Rope& p, Stream stream);                  // a pair
void add_tensors_naive(const AddTensors& p, Stream stream);     // a value
void copy_pieces_naive(const CopyPieces& p, Stream stream);     // a byte
void adam_step_naive(const AdamStep<float>& p, Stream stream);  // a weight
void adam_step_naive(const AdamStep<Bf16>& p, Stream stream);

// naive_experts.cu
void permute_naive(const Permute& p, Stream stream);            // a row
void unpermute_naive(const Unpermute& p, Stream stream);        // a value
void gate_top_k_naive(const GateTopK& p, Stream stream);        // a token; any number of experts
void expert_count_naive(const ExpertPlaces& p, Stream stream);  // an expert
// An expert. Reads the offsets that were counted, not what the fast kernel left in `scratch`.
void expert_place_naive(const ExpertPlaces& p, Stream stream);

}  // namespace moesim
