// Transfers in closed form: hand-solved cases for each file of model/collective, and the DeepEP
// rows that no coefficient was fitted to.
#include <cmath>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "model/collective/collective.hpp"
#include "model/routing.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

// Round numbers: NVLink 100 GB/s, NIC 10 GB/s, latencies 1 and 10 us, all efficiencies 1.
ClusterSpec simple_cluster() {
  ClusterSpec c;
  c.gpu.nvlink_bandwidth = 100 * GB_per_s;
  c.num_nodes = 4;
  c.gpus_per_node = 8;
  c.nic_bandwidth = 10 * GB_per_s;
  c.nvlink_latency = 1 * us;
  c.nic_latency = 10 * us;
  return c;
}
CommModel ideal_comm() {
  CommModel comm;
  comm.nvlink_efficiency = comm.nic_efficiency = 1;
  return comm;
}
const LinkRates kLinks = {100 * GB_per_s, 10 * GB_per_s};

const Scenario& h800() {
  static const Scenario scenario = shipped_scenario("deepseek-v3-chunk");
  return scenario;
}

}  // namespace

TEST_CASE("collectives: sustained rates are datasheet times efficiency", "[collectives]") {
  ClusterSpec cluster = simple_cluster();
  CommModel comm = ideal_comm();
  comm.nvlink_efficiency = 0.8;
  comm.nic_efficiency = 0.9;
  CHECK(link_rates(cluster, comm).nvlink.in(GB_per_s) == Approx(80));
  CHECK(link_rates(cluster, comm).nic.in(GB_per_s) == Approx(9));
  cluster.fabric.oversubscription = 3;  // narrows the uplinks of the network, not the ports
  CHECK(link_rates(cluster, comm).nic.in(GB_per_s) == Approx(9));
  // H800: 133.9 of 200 and 44.6 of 50 GB/s.
  const LinkRates real = link_rates(h800().cluster, h800().profile.comm);
  CHECK(real.nvlink.in(GB_per_s) == Approx(133.88));
  CHECK(real.nic.in(GB_per_s) == Approx(44.6).epsilon(0.001));
}

TEST_CASE("collectives: a send is latency and bytes over its link", "[collectives]") {
  const ClusterSpec cluster = simple_cluster();
  CHECK(send_time(cluster, kLinks, 10 * MB, true).in(us) == Approx(1 + 100));
  CHECK(send_time(cluster, kLinks, 10 * MB, false).in(us) == Approx(10 + 1000));
  CHECK(send_time(cluster, kLinks, 0 * B, false).in(us) == Approx(10));
  // A chunk's activations between V3 stages: 58.7 MB, about 1.3 ms (trace README, section 5).
  const LinkRates real = link_rates(h800().cluster, h800().profile.comm);
  CHECK(send_time(h800().cluster, real, 4096. * 7168 * 2 * B, false).in(ms) ==
        Approx(58.72 / 44.6 + 0.0037).epsilon(0.001));
}

TEST_CASE("collectives: rings by hand", "[collectives]") {
  const ClusterSpec cluster = simple_cluster();
  auto ring = [&](Bytes bytes, std::int64_t ranks, std::int64_t per_node) {
    return ring_time(cluster, kLinks, bytes, ranks, per_node).in(us);
  };
  CHECK(ring(80 * MB, 1, 1) == 0);
  CHECK(ring(80 * MB, 8, 8) == Approx(700 + 7));  // 7/8 of 80 MB at 100 GB/s, seven hops
  CHECK(ring(80 * MB, 2, 8) == Approx(400 + 1));
  // One rank a node: 3/4 of 80 MB through one NIC at 10 GB/s, three hops of 10 us.
  CHECK(ring(80 * MB, 4, 1) == Approx(6000 + 30));
  // Eight rings through eight NICs: 80 GB/s, less than NVLink's 100.
  CHECK(ring(80 * MB, 32, 8) == Approx(31.0 / 32 * 1000 + 3 * 10 + 7));
  // Four a node with NICs of 50 GB/s would be 200: NVLink binds.
  const LinkRates wide = {100 * GB_per_s, 50 * GB_per_s};
  CHECK(ring_time(cluster, wide, 80 * MB, 8, 4).in(us) == Approx(700 + 10 + 3));
  // All of a buffer arrives however it is cut: bytes are linear, latency is not.
  CHECK(ring(160 * MB, 8, 8) - ring(80 * MB, 8, 8) == Approx(700));
}

TEST_CASE("collectives: two hops end at the busier one", "[collectives]") {
  const Bytes row = 10 * KB;
  auto time = [&](double sent, double received, double nvlink, double handed_out = 0) {
    return two_hop_time(kLinks, {sent, received, nvlink, handed_out}, row, 200 * GB_per_s).in(us);
  };
  CHECK(time(100, 50, 100) == Approx(100));   // 1 MB leaves at 10 GB/s; NVLink needs 10 us
  CHECK(time(50, 100, 100) == Approx(100));   // the NIC is as busy receiving
  CHECK(time(100, 50, 2000) == Approx(200));  // 20 MB forwarded at 100 GB/s
  CHECK(time(100, 100, 1000) == Approx(100));
  CHECK(time(0, 0, 1000) == Approx(100));  // one node
  CHECK(time(0, 0, 0) == 0);
  CHECK(time(100, 100, 1000, 4000) == Approx(200));  // 40 MB through SMs that move 200 GB/s
  CHECK(copy_rate(10 * GB_per_s, 12).in(GB_per_s) == Approx(120));
  CHECK(copy_rate(10 * GB_per_s, 0).in(GB_per_s) == Approx(240));
  // Of eight ranks that send alike, one is the rank itself or of its local index.
  CHECK(two_hop_traffic(10, 800, 800, 8).nvlink_rows == Approx(700));
  // A hot rank's rows are handed out by all ranks of its node, and handed back by itself; a cold
  // rank hands on what its neighbours receive.
  CHECK(two_hop_traffic(10, 800, 400, 8).handed_out_rows == 400);
  CHECK(handed_back(two_hop_traffic(10, 800, 400, 8), 800).handed_out_rows == 800);
  CHECK(two_hop_traffic(10, 80, 400, 8).nvlink_rows == Approx(350));
}

TEST_CASE("collectives: low-latency puts are not merged", "[collectives]") {
  const ClusterSpec cluster = simple_cluster();
  CommModel comm = ideal_comm();
  auto time = [&](std::int64_t ep) {
    return low_latency_time(cluster, comm, 100, 8, ep, 10 * KB).in(us);
  };
  // 800 copies of 10 KB are 8 MB. On one node 7/8 of them cross NVLink.
  CHECK(time(8) == Approx(70));
  CHECK(time(16) == Approx(400));  // half leave the node: 4 MB at 10 GB/s
  CHECK(time(32) == Approx(600));
  CHECK(time(1) == 0);
  comm.low_latency_overhead = 30 * us;
  CHECK(time(32) == Approx(630));
  CHECK(time(1) == Approx(30));
}

TEST_CASE("collectives: DeepEP's normal dispatch, EP8 to EP64", "[collectives]") {
  // DeepEP README: 4096 tokens, 7168 in FP8 with a float scale per 128, top-8 of 256 in at most 4
  // groups, a group being a node. EP8 and EP64 gave the two link efficiencies.
  const double tokens = 4096;
  const Bytes row = (7168. + 224) * B;
  const LinkRates links = link_rates(h800().cluster, h800().profile.comm);
  const std::pair<std::int64_t, double> published[] = {{8, 153}, {16, 43}, {32, 58}, {64, 51}};
  std::ostringstream table;
  table << std::fixed << std::setprecision(1);
  for (const auto& [ep, known] : published) {
    const std::int64_t nodes = ep / 8;
    MoeSpec moe;
    moe.num_experts = 256;
    moe.top_k = 8;
    moe.num_groups = nodes;
    moe.max_groups = std::min<std::int64_t>(4, nodes);
    moe.score = ScoreFunction::sigmoid;
    RoutingSpec spec;
    spec.kind = RoutingKind::balanced;
    spec.max_groups = moe.max_groups;
    const RoutingSampler s({moe, spec, {}, ep, 8, 1, 1});
    const double remote = s.balanced(4096).nic_rows_received;
    const double received = tokens * s.ranks_per_token();
    const Bandwidth copy = copy_rate(h800().profile.comm.dispatch_per_sm, 24);
    const Seconds t =
        two_hop_time(links, two_hop_traffic(remote, received, received, 8), row, copy);
    // Logical bytes: the copy for the own node counts; on one node, what a rank receives.
    const double rows = nodes > 1 ? tokens * s.nodes_per_token() : received;
    const double predicted = (rows * row / t).in(GB_per_s);
    table << "DeepEP dispatch EP" << ep << ": " << known << " GB/s, predicted " << predicted << " ("
          << 100 * (predicted / known - 1) << " %)\n";
    CHECK(predicted == Approx(known).epsilon(0.15));
    if (ep == 8 || ep == 64) CHECK(predicted == Approx(known).epsilon(0.01));
  }
  std::cout << table.str();
}

TEST_CASE("collectives: DeepEP's low-latency kernels, EP8 to EP64", "[collectives]") {
  // DeepEP README: 128 tokens, 7168, top-8; FP8 rows with scales out, BF16 back. One overhead was
  // taken from the EP64 dispatch; seven figures are predictions.
  struct Row {
    std::int64_t ep;
    double dispatch_us, combine_us;
  };
  const Row published[] = {{8, 77, 114}, {16, 118, 195}, {32, 155, 273}, {64, 173, 314}};
  std::ostringstream table;
  table << std::fixed << std::setprecision(1);
  for (const Row& known : published) {
    auto time = [&](Bytes row) {
      const Scenario& s = h800();
      return low_latency_time(s.cluster, s.profile.comm, 128, 8, known.ep, row).in(us);
    };
    const double dispatch = time((7168. + 224) * B), combine = time(2. * 7168 * B);
    table << "DeepEP low latency EP" << known.ep << ": dispatch " << known.dispatch_us << " us ("
          << 100 * (dispatch / known.dispatch_us - 1) << " %), combine " << known.combine_us
          << " us (" << 100 * (combine / known.combine_us - 1) << " %)\n";
    CHECK(dispatch == Approx(known.dispatch_us).epsilon(0.12));
    CHECK(combine == Approx(known.combine_us).epsilon(0.12));
  }
  std::cout << table.str();
}
