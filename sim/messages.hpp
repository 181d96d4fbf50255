// Messages between GPUs on a cluster's network: how long a dispatch or a combine takes, event by
// event or by its busiest link.
//
// The two are the same number where they can be: a link that carries S bytes
// at C bytes per second is busy for at least S / C, so no set of messages ends before its busiest
// link; and on a fabric that does not block, a lone all-to-all keeps that link busy from its first
// byte to its last, so it ends then, up to one latency. tests/unit/test_messages.cpp checks it on
// both sides.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/network/network.hpp"
#include "model/traffic.hpp"
#include "sim/flow_network.hpp"

namespace moesim {

struct Message {
  std::int64_t source = 0,
               destination = 0;  // GPUs; equal: a copy that stays, which crosses no link
  Bytes bytes;
  bool copied_by_sms = false;  // the source's SMs write it, at no more than `sm_copy_rate` in all
  Tick start = 0;
};

struct MessageOptions {
  std::optional<Bandwidth> sm_copy_rate = {};  // of a GPU; absent: not limited
  FlowOptions flow = {};
};

struct MessageEnds {
  std::vector<Tick> end;  // of each message
  Tick last = 0;
};
MessageEnds simulate_messages(const Network& network,
                              const std::vector<Message>& messages,
                              const MessageOptions& options = {});

// The longest time that a link (or a GPU's SMs) is busy with these messages, all handed over at
// once.
Seconds busiest_link_time(const Network& network,
                          const std::vector<Message>& messages,
                          const std::optional<Bandwidth>& sm_copy_rate = {});

// Dispatch of one expert-parallel group whose rank 0 is on GPU `first_gpu` and whose ranks follow
// it. Both hops of two_hop are in flight at once: rows are handed on while others still arrive, so
// the dispatch ends with its busier hop. Left out: the first rows' way through the first hop.
std::vector<Message> expert_messages(const ExpertTraffic& traffic,
                                     std::int64_t first_gpu,
                                     Bytes row);

}  // namespace moesim
