#include "tests/simgrid/traffic_pattern.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "model/errors.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

constexpr int kGpusPerNode = 8, kGpusPerLeaf = 2 * kGpusPerNode;
constexpr int kMaxGpus = 1024;  // an all-to-all of a million messages: SimGrid's memory
constexpr Bandwidth kNvlinkRate = 153 * GB_per_s, kNicRate = 44.6 * GB_per_s;
constexpr Seconds kNvlinkLatency = 3.33 * us, kNicLatency = 3.7 * us;
constexpr double kOversubscription = 4;  // of the leaf's uplinks
constexpr std::uint64_t kSeed = 20250101;

enum class Spine { non_blocking, oversubscribed };

// Links of GPU g: 4g NIC out, 4g + 1 NIC in, 4g + 2 NVLink out, 4g + 3 NVLink in; then two a leaf.
class PatternBuilder {
 public:
  PatternBuilder(int num_gpus, Spine spine) : spine_(spine) {
    pattern_.num_gpus = num_gpus;
    for (int gpu = 0; gpu < num_gpus; ++gpu) {
      pattern_.links.push_back({kNicRate, kNicLatency});
      pattern_.links.push_back({kNicRate, 0 * us});
      pattern_.links.push_back({kNvlinkRate, kNvlinkLatency});
      pattern_.links.push_back({kNvlinkRate, 0 * us});
    }
    if (spine == Spine::non_blocking) return;
    for (int gpu = 0; gpu < num_gpus; gpu += kGpusPerLeaf) {
      const Bandwidth uplinks = kGpusPerLeaf / kOversubscription * kNicRate;
      pattern_.links.push_back({uplinks, 0 * us});
      pattern_.links.push_back({uplinks, 0 * us});
    }
  }

  void send(int source, int destination, Bytes size, Seconds start = 0 * s) {
    const bool same_node = source / kGpusPerNode == destination / kGpusPerNode;
    const int port = same_node ? 2 : 0;
    std::vector<std::uint32_t> path = {index(4 * source + port)};
    const int leaf = source / kGpusPerLeaf, to_leaf = destination / kGpusPerLeaf;
    if (spine_ == Spine::oversubscribed && leaf != to_leaf) {
      path.push_back(index(4 * pattern_.num_gpus + 2 * leaf));
      path.push_back(index(4 * pattern_.num_gpus + 2 * to_leaf + 1));
    }
    path.push_back(index(4 * destination + port + 1));
    const Bytes whole = std::round(size.in(B)) * B;
    pattern_.messages.push_back({source, destination, std::move(path), whole, to_tick(start)});
  }

  TrafficPattern take() { return std::move(pattern_); }

 private:
  static std::uint32_t index(int link) { return static_cast<std::uint32_t>(link); }
  Spine spine_;
  TrafficPattern pattern_;
};

int random_gpu(Random& random, int num_gpus) {
  return static_cast<int>(random.uniform() * num_gpus);
}

// Between half and one and a half of the mean.
Bytes around(Bytes mean, Random& random) { return (0.5 + random.uniform()) * mean; }

// Three messages that leave by one NIC and a fourth that comes in late, solved by hand: with sizes
// of 1, 2 and 3 units of c bytes, c the NIC's rate times 1 ms, three share the NIC until the first
// ends after 3 ms, two until the second ends after 5, and the third ends after 6. The fourth, 1
// unit long and handed over after 6 ms to another receiver, has the NIC for itself.
TrafficPattern hand_solved(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::non_blocking);
  const Bytes unit = kNicRate * (1 * ms);
  for (int i = 1; i <= 3; ++i) builder.send(0, 8 + i, i * unit);
  builder.send(0, 8, unit, 6 * ms);
  TrafficPattern pattern = builder.take();
  for (const double sending_ms : {3.0, 5.0, 6.0, 7.0}) {
    pattern.known_ends.push_back(kNicLatency + sending_ms * ms);
  }
  return pattern;
}

// Eight messages a GPU between random pairs, handed over at random times.
TrafficPattern random_pairs(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::non_blocking);
  Random random(kSeed, num_gpus);
  for (int i = 0; i < 8 * num_gpus; ++i) {
    const int source = random_gpu(random, num_gpus);
    int destination = random_gpu(random, num_gpus - 1);
    if (destination >= source) ++destination;
    const Bytes size = around(4 * MB, random);
    builder.send(source, destination, size, random.uniform() * (1 * ms));
  }
  return builder.take();
}

// Everyone to GPU 0, and every GPU to the next node at the same time, so that senders are busy too.
TrafficPattern incast(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::non_blocking);
  Random random(kSeed, num_gpus);
  for (int gpu = 1; gpu < num_gpus; ++gpu) {
    builder.send(gpu, 0, around(1 * MB, random));
    builder.send(gpu, (gpu + kGpusPerNode) % num_gpus, around(16 * MB, random));
  }
  return builder.take();
}

// GPUs first to last - 1, each to each other; `spread`: sizes random around the mean, or all equal.
void add_all_to_all(
    PatternBuilder& builder, int first, int last, Random* spread, Seconds start = 0 * s) {
  constexpr Bytes kMean = 1 * MB;
  for (int source = first; source < last; ++source) {
    for (int destination = first; destination < last; ++destination) {
      if (source == destination) continue;
      builder.send(source, destination, spread ? around(kMean, *spread) : kMean, start);
    }
  }
}

TrafficPattern all_to_all_equal(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::non_blocking);
  add_all_to_all(builder, 0, num_gpus, nullptr);
  return builder.take();
}

TrafficPattern all_to_all_unequal(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::non_blocking);
  Random random(kSeed, num_gpus);
  add_all_to_all(builder, 0, num_gpus, &random);
  return builder.take();
}

TrafficPattern all_to_all_oversubscribed(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::oversubscribed);
  Random random(kSeed, num_gpus);
  add_all_to_all(builder, 0, num_gpus, &random);
  return builder.take();
}

// Two all-to-alls; half the GPUs take part in both. The second starts while the first is under way.
TrafficPattern two_collectives(int num_gpus) {
  PatternBuilder builder(num_gpus, Spine::oversubscribed);
  Random random(kSeed, num_gpus);
  const int quarter = num_gpus / 4;
  add_all_to_all(builder, 0, 3 * quarter, &random);
  add_all_to_all(builder, quarter, num_gpus, &random, 300 * us);
  return builder.take();
}

// DeepSeek-V3's dispatch: a token is sent once to each of at most 4 nodes, to the GPU with the
// sender's index in its node, and forwarded there over NVLink to the GPUs of its experts
// (DeepSeek-V3 report, section 3.2.2). 4,096 tokens a GPU, 7,168 bytes FP8 and a 4-byte scale per
// 128 of them; a token copy goes to 2 of a node's 8 GPUs (top 8 over 4 nodes). Forwarding overlaps
// with sending.
TrafficPattern moe_dispatch(int num_gpus, Spine spine) {
  constexpr double kTokensPerGpu = 4096, kMaxNodes = 4, kGpusPerCopy = 2;
  constexpr Bytes kTokenSize = (7168 + 56 * 4) * B;
  PatternBuilder builder(num_gpus, spine);
  Random random(kSeed, num_gpus);
  const int num_nodes = num_gpus / kGpusPerNode;
  const double copies_per_node = kTokensPerGpu * std::min(1.0, kMaxNodes / num_nodes);
  const double forwards_per_peer = copies_per_node * num_nodes * kGpusPerCopy / kGpusPerNode;
  for (int source = 0; source < num_gpus; ++source) {
    for (int node = 0; node < num_nodes; ++node) {
      const int rail_peer = node * kGpusPerNode + source % kGpusPerNode;
      if (rail_peer == source) continue;
      builder.send(source, rail_peer, around(copies_per_node * kTokenSize, random));
    }
    const int first_of_node = source - source % kGpusPerNode;
    for (int peer = first_of_node; peer < first_of_node + kGpusPerNode; ++peer) {
      if (peer == source) continue;
      builder.send(source, peer, around(forwards_per_peer * kTokenSize, random));
    }
  }
  return builder.take();
}

TrafficPattern moe_dispatch_rails(int num_gpus) {
  return moe_dispatch(num_gpus, Spine::non_blocking);
}
TrafficPattern moe_dispatch_oversubscribed(int num_gpus) {
  return moe_dispatch(num_gpus, Spine::oversubscribed);
}

struct NamedPattern {
  const char* name;
  int min_gpus;  // two nodes where the pattern needs a neighbour
  TrafficPattern (*make)(int num_gpus);
};

constexpr std::array kPatterns = {
    NamedPattern{"hand_solved", 16, hand_solved},
    NamedPattern{"random_pairs", 8, random_pairs},
    NamedPattern{"incast", 16, incast},
    NamedPattern{"all_to_all_equal", 8, all_to_all_equal},
    NamedPattern{"all_to_all_unequal", 8, all_to_all_unequal},
    NamedPattern{"all_to_all_oversubscribed", 8, all_to_all_oversubscribed},
    NamedPattern{"two_collectives", 8, two_collectives},
    NamedPattern{"moe_dispatch", 8, moe_dispatch_rails},
    NamedPattern{"moe_dispatch_oversubscribed", 8, moe_dispatch_oversubscribed},
};

}  // namespace

Seconds path_latency(const TrafficPattern& pattern, const Message& message) {
  Seconds latency = 0 * s;
  for (const std::uint32_t link : message.path) latency += pattern.links[link].latency;
  return latency;
}

TrafficPattern make_traffic_pattern(const std::string& name, int num_gpus) {
  std::string known;
  for (const NamedPattern& pattern : kPatterns) {
    if (name != pattern.name) {
      known += (known.empty() ? "" : ", ") + std::string(pattern.name);
      continue;
    }
    if (num_gpus < pattern.min_gpus || num_gpus > kMaxGpus || num_gpus % kGpusPerNode != 0) {
      throw InputError("number of GPUs",
                       std::to_string(num_gpus) + " is not a multiple of 8 from " +
                           std::to_string(pattern.min_gpus) + " to " + std::to_string(kMaxGpus));
    }
    return pattern.make(num_gpus);
  }
  throw InputError("pattern", "unknown \"" + name + "\"; known: " + known);
}

}  // namespace moesim
