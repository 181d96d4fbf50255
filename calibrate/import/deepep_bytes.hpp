// The bytes behind the rates that DeepEP's tests print. They are logical: a token's row counts once
// for every rank (NVLink) or node (RDMA) that it visits, the own one included; in the low-latency
// test once for every expert.
#pragma once

#include <cstdint>
#include <string>

namespace moesim {

double fp8_row_bytes(std::int64_t hidden);          // E4M3 with an FP32 scale per 128
double bf16_row_bytes(std::int64_t hidden);         // combine
double low_latency_row_bytes(std::int64_t hidden);  // the same with a header of 16 bytes

// How its tests choose experts: at random, in test_internode.py within the nodes that hold the
// `groups` best single scores (num_topk_groups).
struct RandomRouting {
  std::int64_t experts, ranks, nodes, topk, groups;
};
struct Visits {
  double ranks, nodes;  // different ones a token visits, on average
};
// By sampling with a fixed seed, to about 0.2 %. Refuses, naming `file`, what cannot be.
Visits expected_visits(const RandomRouting& routing, const std::string& file);

}  // namespace moesim
