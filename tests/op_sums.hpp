// Sums over the operations of a layer, for tests of what is cut, moved or done again.
#pragma once

#include <string_view>
#include <vector>

#include "model/block_collectives.hpp"
#include "model/op_graph.hpp"

namespace moesim {

template <class Wanted>
double flops_where(const LayerOps& layer, Wanted wanted) {
  double sum = 0;
  for (const OpList& ops : layer.blocks)
    for (const Op& op : ops)
      if (wanted(op)) sum += op.flops.in(FLOP);
  return sum;
}
inline double all_flops(const LayerOps& layer) {
  return flops_where(layer, [](const Op&) { return true; });
}

// Sent by a rank in these blocks, over groups of one kind.
inline double sent_in(const ModelSpec& model,
                      LayerKind kind,
                      const std::vector<Block>& blocks,
                      const ChunkShape& shape,
                      SharingGroup group,
                      std::int64_t ranks,
                      const RankLoad& load = {}) {
  double bytes = 0;
  for (const Block block : blocks)
    for (const BlockCollective& c : block_collectives(model, kind, block, shape, load))
      if (c.group == group) bytes += sent_bytes(c, ranks).in(B);
  return bytes;
}

}  // namespace moesim
