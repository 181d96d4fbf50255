#include "model/profile.hpp"

#include <algorithm>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

// Below or above these a prefix of the unit is wrong: no kernel of interest takes a second to
// start.
constexpr const char* kSlowestTraffic = "100 MB/s";
constexpr const char* kSlowestWork = "100 GFLOP/s";
constexpr const char* kLongestOverhead = "1 s";

std::string source_of(ObjectReader& reader) {
  std::string source = reader.text("source");
  if (source.empty()) reader.fail("source", "is empty; expected where the figures are from");
  return source;
}

Kernel kernel_named(ObjectReader& reader, const std::string& key) {
  for (std::size_t i = 0; i < kNumKernels; ++i)
    if (kKernelNames[i] == key) return static_cast<Kernel>(i);
  reader.fail(unknown_key(key, {kKernelNames.begin(), kKernelNames.end()}));
}

bool is_gemm(Kernel k) {
  return k == Kernel::gemm_fp8 || k == Kernel::gemm_fp8_wgrad || k == Kernel::gemm_bf16;
}
bool is_attention(Kernel k) {
  return k == Kernel::attention_forward || k == Kernel::attention_backward ||
         k == Kernel::attention_decode;
}

std::array<std::int64_t, 2> read_range(ObjectReader& reader,
                                       const std::string& key,
                                       std::int64_t highest) {
  const auto pair = reader.integer_list(key, 1, highest);
  if (pair.size() != 2)
    reader.fail(key,
                "expected [lowest, highest], found an array of " + std::to_string(pair.size()));
  if (pair[0] > pair[1])
    reader.fail(key,
                "expected [lowest, highest], found [" + std::to_string(pair[0]) + ", " +
                    std::to_string(pair[1]) + "]");
  return {pair[0], pair[1]};
}

void read_points(ObjectReader& reader, Kernel kernel, Profile& profile) {
  const JsonNode* points = reader.optional("points");
  if (points == nullptr) return;
  if (points->kind != JsonNode::Kind::array)
    reader.fail("points", "expected an array, found " + points->describe());
  for (const JsonNode& item : points->items) {
    ObjectReader point(item);
    GemmPoint p;
    p.kernel = kernel;
    p.shape = {point.integer("m", 1, 1 << 30),
               point.integer("n", 1, 1 << 30),
               point.integer("k", 1, 1 << 30),
               point.integer_or("groups", 1, 4096, 1)};
    p.sms = point.integer("sms", 1, profile.gpu.num_sms);
    p.rate = point.flop_rate_at_least("rate", kSlowestWork);
    point.finish();
    profile.points.push_back(p);
  }
}

GemmModel read_gemm(ObjectReader& reader, Kernel kernel, Profile& profile) {
  GemmModel g;
  g.mma_efficiency = reader.number("mma_efficiency", 0.01, 1);
  g.load = reader.bandwidth_at_least("load_per_sm", kSlowestTraffic);
  g.store = reader.bandwidth_at_least("store_per_sm", kSlowestTraffic);
  g.overhead = reader.seconds_at_most("overhead", kLongestOverhead);
  g.hbm_efficiency = reader.number("hbm_efficiency", 0.01, 1);
  g.out_bytes = reader.number("out_bytes", 1, 16);
  ObjectReader range = reader.object("range");
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  g.m = read_range(range, "m", kMost);
  g.n = read_range(range, "n", kMost);
  g.k = read_range(range, "k", kMost);
  g.sms = read_range(range, "sms", profile.gpu.num_sms);
  range.finish();
  read_points(reader, kernel, profile);
  return g;
}

std::vector<SizeRegime> read_regimes(ObjectReader& reader, const std::string& key) {
  const JsonNode& list = reader.required(key);
  if (list.kind != JsonNode::Kind::array)
    reader.fail(key, "expected an array, found " + list.describe());
  if (list.items.empty()) reader.fail(key, "is empty; expected at least one regime");
  std::vector<SizeRegime> regimes;
  for (const JsonNode& item : list.items) {
    ObjectReader entry(item);
    SizeRegime regime;
    regime.up_to = entry.bytes("up_to");
    regime.overhead = entry.seconds_at_most("overhead", kLongestOverhead);
    regime.efficiency = entry.number("efficiency", 0.01, 1);
    if (!regimes.empty() && regime.up_to <= regimes.back().up_to)
      entry.fail("up_to",
                 "expected more than the " + number_text(regimes.back().up_to.in(B)) +
                     " bytes of the regime before, found " + number_text(regime.up_to.in(B)));
    entry.finish();
    regimes.push_back(regime);
  }
  return regimes;
}

}  // namespace

Profile read_profile(const JsonNode& node) {
  ObjectReader reader(node);
  Profile profile;
  const std::string schema = reader.text("schema");
  if (schema != "moesim-profile/1")
    reader.fail("schema", "is " + in_quotes(schema) + "; this program reads \"moesim-profile/1\"");
  profile.id = reader.text("id");
  const std::string kind = reader.choice("kind", {"measured", "published", "synthetic"});
  profile.kind = kind == "measured"    ? ProfileKind::measured
                 : kind == "published" ? ProfileKind::published
                                       : ProfileKind::synthetic;
  profile.gpu = read_gpu_spec(reader.required("gpu"));
  reader.text("about");

  ObjectReader kernels = reader.object("kernels");
  for (const auto& [key, value] : kernels.node().members) {
    const Kernel kernel = kernel_named(kernels, key);
    const auto index = static_cast<std::size_t>(kernel);
    ObjectReader entry = kernels.object(key);
    profile.source[index] = source_of(entry);
    if (entry.has(
            "error")) {  // kept for the reader of the file; tests recompute it from the points
      ObjectReader error = entry.object("error");
      error.number("median_pct", 0, 100);
      error.number("max_pct", 0, 1000);
      error.finish();
    }
    if (is_gemm(kernel)) {
      profile.gemm[index] = read_gemm(entry, kernel, profile);
    } else if (is_attention(kernel)) {
      AttentionModel a;
      a.rate = entry.flop_rate_at_least("rate", kSlowestWork);
      if (entry.has("bandwidth")) a.bandwidth = entry.bandwidth("bandwidth");
      a.overhead = entry.seconds_at_most("overhead", kLongestOverhead);
      a.sms = entry.integer("sms", 1, profile.gpu.num_sms);
      a.qk_head_dim = entry.integer("qk_head_dim", 1, 65536);
      a.v_head_dim = entry.integer("v_head_dim", 1, 65536);
      profile.attention[index] = a;
    } else {
      MemoryModel m;
      if (entry.has("bandwidth"))
        m.bandwidth = entry.bandwidth_at_least("bandwidth", kSlowestTraffic);
      m.overhead = entry.seconds_at_most("overhead", kLongestOverhead);
      m.sms = entry.integer("sms", 1, profile.gpu.num_sms);
      profile.memory[index] = m;
    }
    entry.finish();
  }
  kernels.finish();

  ObjectReader comm = reader.object("comm");
  profile.comm.nvlink_efficiency = comm.number("nvlink_efficiency", 0.01, 1);
  profile.comm.nic_efficiency = comm.number("nic_efficiency", 0.01, 1);
  profile.comm.dispatch_overlap = comm.number("dispatch_overlap", 0.01, 1);
  profile.comm.cached_dispatch_overlap = comm.number("cached_dispatch_overlap", 0.01, 1);
  profile.comm.combine_overlap = comm.number("combine_overlap", 0.01, 1);
  profile.comm.dispatch_per_sm = comm.bandwidth_at_least("dispatch_per_sm", kSlowestTraffic);
  profile.comm.combine_per_sm = comm.bandwidth_at_least("combine_per_sm", kSlowestTraffic);
  profile.comm.layout = comm.seconds_at_most("layout", kLongestOverhead);
  profile.comm.cast_per_sm = comm.bandwidth_at_least("cast_per_sm", kSlowestTraffic);
  profile.comm.low_latency_overhead =
      comm.seconds_at_most("low_latency_overhead", kLongestOverhead);
  source_of(comm);
  comm.finish();

  if (const JsonNode* value = reader.optional("collectives")) {
    ObjectReader collectives(*value);
    profile.collectives = {read_regimes(collectives, "nvlink"),
                           read_regimes(collectives, "nic"),
                           source_of(collectives)};
    collectives.finish();
  }

  ObjectReader launch = reader.object("launch");
  profile.launch_gap = launch.seconds_at_most("gap", kLongestOverhead);
  profile.chunk_startup = launch.seconds_at_most("chunk_startup", kLongestOverhead);
  profile.gemm_slowdown_under_comm = launch.number("gemm_slowdown_under_comm", 1, 10);
  source_of(launch);
  launch.finish();
  reader.finish();
  return profile;
}

}  // namespace moesim
