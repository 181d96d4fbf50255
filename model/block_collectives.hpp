// What the ranks that share a layer exchange inside its blocks, in closed form: volumes and what
// they may run beside. Dispatch, combine and pipeline messages are not here: they run on the
// communication stream (sim/step_program).
//
// T tokens of the group, H hidden, n ranks of the group; e bytes of an operand's element under the
// recipe (op_graph/recipe.hpp; Transformer Engine gathers what is already quantised), 2 for results
// and their sums. W is what the products of the block
// read of a token: H; for latent attention the latents and the rotary key.
//
//   tensor parallelism (Shoeybi et al. 2019, arXiv 1909.08053, section 3): forward an all-reduce of
//     2TH after each of attention and feed-forward; backward one of their input's gradient, 2TW.
//   with sequence parallelism (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.2): forward
//     all-gather eTW and reduce-scatter 2TH instead; backward all-gather eTH of the output's
//     gradient (twice e where a recipe scales its two copies apart) and reduce-scatter 2TW of the
//     input's; and the products' input, of which 1/n was kept, is gathered again for the weight
//     gradient (eTW) beside the input gradient's product. In BF16 forward moves
//     2 x 2(n-1)/n x 2TH bytes a layer a rank, either way.
//   either way the input's gradient is summed beside the weight gradient's product (Megatron-Core,
//     tensor_parallel/layers.py).
//   vocabulary: the embedding's result is summed up, the head's input is gathered; the loss takes
//     three all-reduces of 4T (maximum, sum, the label's logit).
//   routed experts over m = expert_tp neighbours: received rows are gathered before them, results
//     reduce-scattered after them; backward the same of the gradients.
//   context parallelism over n ranks; K, V of this rank's heads (latent attention: all_gather moves
//     the latents instead):
//     all_gather  forward K and V of the sequence, backward the same again and their gradient
//                 reduce-scattered.
//     ring        (Liu et al. 2023, arXiv 2310.01889) n - 1 hops of a piece of K and V, backward of
//                 K, V, dK and dV, each beside attention with the piece before.
//     ulysses     (Jacobs et al. 2023, arXiv 2309.14509) all-to-all of Q, K, V and of the output;
//                 backward of the output's gradient and of dQ, dK, dV, and of Q, K, V again when
//                 they are rebuilt from latents. Each key-value head goes to all ranks that use it.
//
// Left out: bias and norm gradients summed over tp (a few KB), products cut up to run beside their
// own collectives (Transformer Engine's userbuffers), ulysses' second layout of the output.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/collective/rounds.hpp"
#include "model/op_graph.hpp"

namespace moesim {

enum class SharingGroup : std::uint8_t { tp, cp, expert_tp };

struct BlockCollective {
  std::string_view name;
  CollectiveKind kind = CollectiveKind::all_gather;
  SharingGroup group = SharingGroup::tp;
  Bytes bytes;                   // a rank's whole buffer, as in CollectiveSpec; of one message
  std::int64_t count = 1;        // one after the other
  std::string_view beside = {};  // operation of the layer that each of them hides behind ...
  std::int64_t parts = 1;        // ... a part of it
};

// In launch order. `load` matters to MoE layers only.
std::vector<BlockCollective> block_collectives(const ModelSpec& model,
                                               LayerKind kind,
                                               Block block,
                                               const ChunkShape& shape,
                                               const RankLoad& load);

// The operation of this name, the first in the order of the blocks; nullptr: none.
const Op* find_op(const LayerOps& layer, std::string_view name);

// What a rank of a group sends, all `count` of them.
Bytes sent_bytes(const BlockCollective& collective, std::int64_t ranks);

}  // namespace moesim
