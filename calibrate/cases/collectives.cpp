// Collectives as nccl-tests measures them: `bytes` is its "size", the whole vector for all-reduce
// and broadcast and the sum over ranks for the others; ranks_per_node 8 of 16 ranks is two nodes.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

// Bytes that have to leave a rank: bus factors of nccl-tests (doc/PERFORMANCE.md).
Work moved(const Shape& shape, double factor) {
  return {Flop(), factor * static_cast<double>(shape[2]) * B};
}
double others(const Shape& shape) {
  return static_cast<double>(shape[0] - 1) / static_cast<double>(shape[0]);
}
Work all_reduce(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  // In-switch reduction (NVLink SHARP) halves what leaves a rank, so this is the bound.
  return moved(shape, others(shape));
}
Work all_but_own(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return moved(shape, others(shape));
}
Work one_to_all(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return moved(shape, 1);
}

Case collective(std::string_view op, Work (*work)(const Shape&, std::span<const std::int64_t>)) {
  return {op, {"ranks", "ranks_per_node", "bytes"}, Form::segments, Peak::none, true, work};
}

}  // namespace

const Case kAllReduceCase = collective("all_reduce", all_reduce),
           kAllGatherCase = collective("all_gather", all_but_own),
           kReduceScatterCase = collective("reduce_scatter", all_but_own),
           kAllToAllCase = collective("all_to_all", all_but_own),
           kBroadcastCase = collective("broadcast", one_to_all);

}  // namespace moesim
