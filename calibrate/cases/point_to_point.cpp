// Messages between single ranks. `bytes` is one message; ranks_per_node tells where the ranks are:
// all on one node (as many as there are ranks), or each on its own (1).
//
//   send_*         one way, from the call to the arrival: half of a ping-pong
//   swap_*         both ways at the same time
//   incast_*       all other ranks send to one at the same time
//   pipeline_send  every stage of a chain sends to the next at the same time
//
// _node: over NVLink; _rail: between GPUs of the same place in two nodes; _cross_rail: of different
// places; _network: from other nodes, whichever the rail.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work one_message(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return {Flop(), static_cast<double>(shape[2]) * B};
}
Work all_to_one(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return {Flop(), static_cast<double>(shape[0] - 1) * static_cast<double>(shape[2]) * B};
}

Case messages(std::string_view op, Work (*work)(const Shape&, std::span<const std::int64_t>)) {
  return {op, {"ranks", "ranks_per_node", "bytes"}, Form::segments, Peak::none, true, work};
}

}  // namespace

const Case kSendNodeCase = messages("send_node", one_message),
           kSendRailCase = messages("send_rail", one_message),
           kSendCrossRailCase = messages("send_cross_rail", one_message),
           kSwapNodeCase = messages("swap_node", one_message),
           kSwapRailCase = messages("swap_rail", one_message),
           kSwapCrossRailCase = messages("swap_cross_rail", one_message),
           kIncastNodeCase = messages("incast_node", all_to_one),
           kIncastNetworkCase = messages("incast_network", all_to_one),
           kPipelineSendCase = messages("pipeline_send", one_message);

}  // namespace moesim
