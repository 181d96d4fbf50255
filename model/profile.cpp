#include "model/profile.hpp"

namespace moesim {
namespace {

Kernel kernel_named(ObjectReader& reader, const std::string& key) {
  for (std::size_t i = 0; i < kNumKernels; ++i)
    if (kKernelNames[i] == key) return static_cast<Kernel>(i);
  std::string known;
  for (const auto name : kKernelNames) known += (known.empty() ? "" : ", ") + std::string(name);
  reader.fail(key, "unknown kernel; known: " + known);
}

bool is_gemm(Kernel k) { return k == Kernel::gemm_fp8 || k == Kernel::gemm_fp8_wgrad || k == Kernel::gemm_bf16; }
bool is_attention(Kernel k) { return k == Kernel::attention_forward || k == Kernel::attention_backward || k == Kernel::attention_decode; }

std::array<std::int64_t, 2> read_range(ObjectReader& reader, const std::string& key) {
  const auto pair = reader.integer_list(key, 1, std::int64_t{1} << 40);
  if (pair.size() != 2 || pair[0] > pair[1]) reader.fail(key, "expected [lowest, highest]");
  return {pair[0], pair[1]};
}

void read_points(ObjectReader& reader, Kernel kernel, Profile& profile) {
  const JsonNode* points = reader.optional("points");
  if (points == nullptr) return;
  if (points->kind != JsonNode::Kind::array) reader.fail("points", "expected an array");
  for (const JsonNode& item : points->items) {
    ObjectReader point(item);
    GemmPoint p;
    p.kernel = kernel;
    p.shape = {point.integer("m", 1, 1 << 30), point.integer("n", 1, 1 << 30), point.integer("k", 1, 1 << 30), point.integer_or("groups", 1, 4096, 1)};
    p.sms = point.integer("sms", 1, profile.gpu.num_sms);
    p.rate = point.flop_rate("rate");
    point.finish();
    profile.points.push_back(p);
  }
}

GemmModel read_gemm(ObjectReader& reader, Kernel kernel, Profile& profile) {
  GemmModel g;
  g.mma_efficiency = reader.number("mma_efficiency", 0.01, 1);
  g.load = reader.bandwidth("load_per_sm");
  g.store = reader.bandwidth("store_per_sm");
  g.overhead = reader.seconds("overhead");
  g.hbm_efficiency = reader.number("hbm_efficiency", 0.01, 1);
  g.out_bytes = reader.number("out_bytes", 1, 16);
  ObjectReader range = reader.object("range");
  g.m = read_range(range, "m");
  g.n = read_range(range, "n");
  g.k = read_range(range, "k");
  g.sms = read_range(range, "sms");
  range.finish();
  read_points(reader, kernel, profile);
  return g;
}

}  // namespace

Profile read_profile(const JsonNode& node) {
  ObjectReader reader(node);
  Profile profile;
  const std::string schema = reader.text("schema");
  if (schema != "moesim-profile/1") reader.fail("schema", "is \"" + schema + "\"; this program reads \"moesim-profile/1\"");
  profile.id = reader.text("id");
  const std::string kind = reader.choice("kind", {"measured", "published", "synthetic"});
  profile.kind = kind == "measured" ? ProfileKind::measured : kind == "published" ? ProfileKind::published : ProfileKind::synthetic;
  profile.gpu = read_gpu_spec(reader.required("gpu"));
  reader.text("about");

  ObjectReader kernels = reader.object("kernels");
  for (const auto& [key, value] : kernels.node().members) {
    const Kernel kernel = kernel_named(kernels, key);
    const auto index = static_cast<std::size_t>(kernel);
    ObjectReader entry = kernels.object(key);
    profile.source[index] = entry.text("source");
    if (entry.has("error")) {  // kept for the reader of the file; tests recompute it from the points
      ObjectReader error = entry.object("error");
      error.number("median_pct", 0, 100);
      error.number("max_pct", 0, 1000);
      error.finish();
    }
    if (is_gemm(kernel)) {
      profile.gemm[index] = read_gemm(entry, kernel, profile);
    } else if (is_attention(kernel)) {
      profile.attention[index] = AttentionModel{entry.flop_rate("rate"), entry.seconds("overhead"), entry.integer("sms", 1, profile.gpu.num_sms),
                                                entry.integer("qk_head_dim", 1, 65536), entry.integer("v_head_dim", 1, 65536)};
    } else {
      MemoryModel m;
      if (entry.has("bandwidth")) m.bandwidth = entry.bandwidth("bandwidth");
      m.overhead = entry.seconds("overhead");
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
  profile.comm.layout = comm.seconds("layout");
  profile.comm.cast_per_sm = comm.bandwidth("cast_per_sm");
  profile.comm.low_latency_overhead = comm.seconds("low_latency_overhead");
  comm.text("source");
  comm.finish();

  ObjectReader launch = reader.object("launch");
  profile.launch_gap = launch.seconds("gap");
  profile.chunk_startup = launch.seconds("chunk_startup");
  profile.gemm_slowdown_under_comm = launch.number("gemm_slowdown_under_comm", 1, 10);
  launch.text("source");
  launch.finish();
  reader.finish();
  return profile;
}

}  // namespace moesim
