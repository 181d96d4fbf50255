// The clock of the fake: how long things take, as a formula that a fit can be asked to find again.
//
//   exchange, for each rank
//     t = max a(class), over the classes of its messages
//       + message x (messages sent or received, whichever is more, - 1)
//       + max over its ports of the time the port is busy
//     ports: copies within the GPU  self bytes / b(self)
//            NVLink out, NVLink in  nvlink bytes / b(nvlink)
//            NIC out, NIC in        rail bytes / b(rail) + cross-rail bytes / b(cross_rail)
//     A rank without messages takes no time.
//   collective of n ranks, p on each node, S bytes as nccl-tests counts them
//     t = r x a(class) x ceil(log2 n) + f x S / w
//     class nvlink and w = b(nvlink) within a node; else class rail and w = min(b(nvlink),
//     p x b(rail)); f the bus factor of nccl-tests; r = 2 for all-reduce, else 1
//     n = 1: t = a(self) + S / b(self)
//   align: a collective of 4 bytes, all-reduce
//   compute: bytes / copy_rate
//
// With at most c blocks, b of nvlink, rail and cross_rail are b x min(1, c / full_blocks). While
// c blocks communicate (full_blocks, without a limit), compute that is under way runs at
// 1 - c / num_sms of its rate.
//
// a, b: Rates below, where b(nvlink) is 0.8 of the GPU's datasheet: without noise nothing is
// faster than the floor a point is checked against (calibrate/case.hpp). Every duration of
// communication is multiplied by 1 + noise x z, z normal, cut at 3, from the seed, the group, the
// number of the call in it and the rank.
//
// Left out: groups at work at the same time do not slow each other down, and no switch is ever
// full.
#pragma once

#include <cstdint>
#include <span>

#include "calibrate/comm/rank_map.hpp"
#include "calibrate/comm/transport.hpp"
#include "model/cluster_spec.hpp"

namespace moesim::comm {

struct FakeRates {
  Seconds latency[kNumLinkClasses] = {1 * us, 4 * us, 9 * us, 12 * us};
  Bandwidth bandwidth[kNumLinkClasses] = {
      1000 * GB_per_s, 160 * GB_per_s, 45 * GB_per_s, 38 * GB_per_s};
  Seconds message = 0.1 * us;
  Bandwidth copy_rate = 1200 * GB_per_s;
  int full_blocks = 16;
  std::int64_t num_sms = 132;
  double noise = 0.01;
  std::uint64_t seed = 1;
};
FakeRates fake_rates(const GpuSpec& gpu);

class FakeClock {
 public:
  FakeClock(const FakeRates& rates, const RankMap& map) : rates_(rates), map_(map) {}

  // Of one rank of a group of `places`; `max_ctas` as in Transport::open. Bytes by peer.
  struct Traffic {
    std::span<const Message> sends, receives;
  };
  Seconds exchange(std::span<const int> places, int rank, const Traffic& own, int max_ctas) const;
  // size: nccl-tests' "size".
  Seconds collective(Collective what, std::span<const int> places, Bytes size, int max_ctas) const;
  Seconds compute(Bytes moved) const { return moved / rates_.copy_rate; }
  // Share of the SMs that communication takes from compute.
  double taken(int max_ctas) const;

  double noisy(std::uint64_t group, std::uint64_t call, int rank) const;

 private:
  Bandwidth bandwidth(LinkClass link, int max_ctas) const;

  FakeRates rates_;
  RankMap map_;
};

}  // namespace moesim::comm
