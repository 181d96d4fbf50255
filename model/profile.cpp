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

// "an array" does not say what is wrong with its length.
std::string described(const JsonNode& node) {
  if (node.kind != JsonNode::Kind::array) return node.describe();
  return node.items.empty() ? "an empty array" : "an array of " + std::to_string(node.items.size());
}

bool is_gemm(Kernel k) {
  return k == Kernel::gemm_fp8 || k == Kernel::gemm_fp8_wgrad || k == Kernel::gemm_bf16 ||
         k == Kernel::grouped_gemm_fp8;
}
bool is_attention(Kernel k) {
  return k == Kernel::attention_forward || k == Kernel::attention_backward;
}

// "error": {"inside_pct": 6, "outside_pct": 12, "basis": "held_out"}; what else it holds is for the
// reader of the file.
ModelError read_error(ObjectReader& parent, const std::string& key) {
  ObjectReader reader = parent.object(key);
  ModelError error;
  const double inside_pct = reader.number("inside_pct", 0, 1000),
               outside_pct = reader.number("outside_pct", 0, 1000);
  if (outside_pct < inside_pct)
    reader.fail("outside_pct",
                "is " + number_text(outside_pct) + ", below the inside_pct of " +
                    number_text(inside_pct) + ": a model is no better where nothing was measured");
  error.inside = inside_pct / 100;
  error.outside = outside_pct / 100;
  error.basis = reader.choice("basis", {"held_out", "in_sample", "stated"});
  error.num_points = reader.integer_or("num_points", 0, std::int64_t{1} << 40, 0);
  if (const JsonNode* tests = reader.optional("tests")) {
    if (tests->kind != JsonNode::Kind::array)
      reader.fail("tests", "expected an array, found " + tests->describe());
    for (const JsonNode& item : tests->items) {
      ObjectReader test(item);
      constexpr double kMost = 1e6;
      error.tests.push_back({test.text("what"),
                             test.number("median_pct", 0, kMost) / 100,
                             test.number("p95_pct", 0, kMost) / 100,
                             test.number("max_pct", 0, kMost) / 100});
      test.finish();
    }
  }
  reader.finish();
  return error;
}

// "residual": {"constant": 0.01, "nodes": [[log2 of each axis..., weight], ...]}
Residual read_residual(ObjectReader& parent, std::size_t num_axes) {
  Residual residual;
  const JsonNode* value = parent.optional("residual");
  if (value == nullptr) return residual;
  ObjectReader reader(*value);
  residual.num_axes = num_axes;
  residual.constant = reader.number("constant", -10, 10);
  const JsonNode& nodes = reader.required("nodes");
  if (nodes.kind != JsonNode::Kind::array || nodes.items.empty())
    reader.fail("nodes", "expected an array of at least one node, found " + described(nodes));
  for (const JsonNode& node : nodes.items) {
    if (node.kind != JsonNode::Kind::array || node.items.size() != num_axes + 1)
      throw InputError(node.place(),
                       "expected " + std::to_string(num_axes) +
                           " base-2 logarithms and a weight, found " + described(node));
    constexpr double kMostOctaves = 64, kMostWeight = 1000;
    for (std::size_t a = 0; a < num_axes; ++a)
      residual.centres.push_back(as_number(node.items[a], -kMostOctaves, kMostOctaves));
    residual.weights.push_back(as_number(node.items[num_axes], -kMostWeight, kMostWeight));
  }
  reader.finish();
  return residual;
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
  g.rule = reader.choice("plan", {"fastest", "fewest_waves"}) == "fastest" ? TileRule::fastest
                                                                           : TileRule::fewest_waves;
  g.mma_efficiency = reader.number("mma_efficiency", 0.01, 1);
  g.load = reader.bandwidth_at_least("load_per_sm", kSlowestTraffic);
  g.store = reader.bandwidth_at_least("store_per_sm", kSlowestTraffic);
  g.fill = reader.seconds_at_most("fill", kLongestOverhead);
  g.overhead = reader.seconds_at_most("overhead", kLongestOverhead);
  g.hbm_efficiency = reader.number("hbm_efficiency", 0.01, 1);
  g.norm = reader.number("norm", 1, 100);
  g.out_bytes = reader.number("out_bytes", 1, 16);
  ObjectReader range = reader.object("range");
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  g.m = read_range(range, "m", kMost);
  g.n = read_range(range, "n", kMost);
  g.k = read_range(range, "k", kMost);
  g.sms = read_range(range, "sms", profile.gpu.num_sms);
  range.finish();
  g.residual = read_residual(reader, std::tuple_size_v<GemmAxes>);
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

CommSlowdown read_slowdown(ObjectReader& reader, std::int64_t num_sms) {
  CommSlowdown slowdown;
  slowdown.comm_sms = reader.integer_list("comm_sms", 1, num_sms);
  const JsonNode& factors = reader.required("factor");
  if (factors.kind != JsonNode::Kind::array || factors.items.size() != slowdown.comm_sms.size())
    reader.fail("factor",
                "expected one number for each of the " + std::to_string(slowdown.comm_sms.size()) +
                    " of comm_sms, found " + described(factors));
  for (const JsonNode& item : factors.items) slowdown.factor.push_back(as_number(item, 1, 10));
  for (std::size_t i = 1; i < slowdown.comm_sms.size(); ++i)
    if (slowdown.comm_sms[i] <= slowdown.comm_sms[i - 1])
      reader.fail("comm_sms",
                  "expected each above the one before, found " +
                      std::to_string(slowdown.comm_sms[i]) + " after " +
                      std::to_string(slowdown.comm_sms[i - 1]));
  slowdown.source = source_of(reader);
  return slowdown;
}

GroupFit read_group(const JsonNode& node) {
  ObjectReader reader(node);
  GroupFit fit;
  fit.op = reader.text("op");
  fit.ranks = reader.integer("ranks", 2, 1 << 20);
  fit.ranks_per_node = reader.integer("ranks_per_node", 1, fit.ranks);
  fit.hidden = reader.integer_or("hidden", 1, 1 << 20, 0);
  fit.topk = reader.integer_or("topk", 1, 1 << 20, 0);
  fit.sms = reader.integer_or("sms", 1, 4096, 0);
  const JsonNode& sizes = reader.required("sizes");
  if (sizes.kind != JsonNode::Kind::array || sizes.items.size() != 2)
    reader.fail("sizes", "expected [lowest, highest], found " + described(sizes));
  constexpr double kLargest = 1e15;
  fit.sizes = {as_number(sizes.items[0], 0, kLargest), as_number(sizes.items[1], 0, kLargest)};
  if (fit.sizes[0] > fit.sizes[1])
    reader.fail("sizes",
                "expected [lowest, highest], found [" + number_text(fit.sizes[0]) + ", " +
                    number_text(fit.sizes[1]) + "]");
  const JsonNode& segments = reader.required("segments");
  if (segments.kind != JsonNode::Kind::array || segments.items.empty())
    reader.fail("segments",
                "expected an array of at least one segment, found " + described(segments));
  for (const JsonNode& item : segments.items) {
    ObjectReader segment(item);
    constexpr double kLongestLatency_us = 1e6;
    fit.segments.push_back({segment.number("latency_us", 0, kLongestLatency_us) * us,
                            segment.number("size_per_s", 1, kLargest)});
    segment.finish();
  }
  fit.error = read_error(reader, "error");
  fit.source = source_of(reader);
  reader.finish();
  return fit;
}

}  // namespace

Seconds group_time(const GroupFit& fit, double size) {
  Seconds best;
  for (const Segment& segment : fit.segments) {
    const Seconds t = segment.latency + (size / segment.size_per_s) * s;
    if (&segment == &fit.segments.front() || t < best) best = t;
  }
  return best;
}

const GroupFit* find_group(const std::vector<GroupFit>& groups,
                           std::string_view op,
                           std::int64_t ranks,
                           std::int64_t ranks_per_node,
                           double size) {
  const auto it = std::find_if(groups.begin(), groups.end(), [&](const GroupFit& g) {
    return g.op == op && g.ranks == ranks && g.ranks_per_node == ranks_per_node && g.hidden == 0 &&
           size >= g.sizes[0] && size <= g.sizes[1];
  });
  return it == groups.end() ? nullptr : &*it;
}

double CommSlowdown::at(std::int64_t sms) const {
  std::int64_t below = 0;
  double before = 1;
  for (std::size_t i = 0; i < comm_sms.size(); ++i) {
    if (sms <= comm_sms[i])
      return before + (factor[i] - before) * static_cast<double>(sms - below) /
                          static_cast<double>(comm_sms[i] - below);
    below = comm_sms[i];
    before = factor[i];
  }
  return before;
}

Profile read_profile(const JsonNode& node) {
  ObjectReader reader(node);
  Profile profile;
  const std::string schema = reader.text("schema");
  if (schema != kProfileSchema)
    reader.fail("schema",
                "is " + in_quotes(schema) + "; this program reads " + in_quotes(kProfileSchema));
  profile.id = reader.text("id");
  const std::int64_t plan_version = reader.integer("plan_version", 1, 1 << 20);
  if (plan_version != kPlanVersion)
    reader.fail("plan_version",
                "is " + std::to_string(plan_version) + "; the kernel plans of this program are " +
                    "version " + std::to_string(kPlanVersion) +
                    ", so the fit would be evaluated on other tiles than it was made on; fit its "
                    "points again");
  profile.kind = static_cast<ProfileKind>(
      std::find(kProfileKinds.begin(),
                kProfileKinds.end(),
                reader.choice("kind", {kProfileKinds.begin(), kProfileKinds.end()})) -
      kProfileKinds.begin());
  if (profile.kind == ProfileKind::derived) profile.derived_from = reader.text("derived_from");
  profile.gpu = read_gpu_spec(reader.required("gpu"));
  profile.about = reader.text("about");

  ObjectReader kernels = reader.object("kernels");
  for (const auto& [key, value] : kernels.node().members) {
    const Kernel kernel = kernel_named(kernels, key);
    const auto index = static_cast<std::size_t>(kernel);
    ObjectReader entry = kernels.object(key);
    profile.source[index] = source_of(entry);
    profile.error[index] = read_error(entry, "error");
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
      a.residual = read_residual(entry, 3);
      profile.attention[index] = a;
    } else if (kernel == Kernel::attention_decode) {
      DecodeModel d;
      d.block = entry.seconds_at_most("block", kLongestOverhead);
      d.overhead = entry.seconds_at_most("overhead", kLongestOverhead);
      d.bandwidth = entry.bandwidth_at_least("bandwidth", kSlowestTraffic);
      d.norm = entry.number("norm", 1, 100);
      d.sms = entry.integer("sms", 1, profile.gpu.num_sms);
      d.residual = read_residual(entry, 3);
      profile.decode = d;
    } else {
      MemoryModel m;
      if (entry.has("bandwidth"))
        m.bandwidth = entry.bandwidth_at_least("bandwidth", kSlowestTraffic);
      if (m.bandwidth && entry.has("per_sm"))
        m.per_sm = entry.bandwidth_at_least("per_sm", kSlowestTraffic);
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
  ObjectReader errors = comm.object("error");
  profile.comm.links = read_error(errors, "links");
  profile.comm.overlap = read_error(errors, "overlap");
  profile.comm.copies = read_error(errors, "copies");
  profile.comm.overheads = read_error(errors, "overheads");
  errors.finish();
  profile.comm_source = source_of(comm);
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
  profile.launch_error = read_error(launch, "error");
  profile.launch_source = source_of(launch);
  launch.finish();

  ObjectReader slowdown = reader.object("gemm_slowdown_under_comm");
  profile.gemm_slowdown = read_slowdown(slowdown, profile.gpu.num_sms);
  slowdown.finish();

  if (const JsonNode* groups = reader.optional("groups")) {
    if (groups->kind != JsonNode::Kind::array)
      reader.fail("groups", "expected an array, found " + groups->describe());
    for (const JsonNode& item : groups->items) profile.groups.push_back(read_group(item));
  }
  reader.finish();
  return profile;
}

Profile read_profile_file(const std::filesystem::path& path) {
  JsonNode node = read_json_file(path);
  for (auto& [key, value] : node.members) {
    if (key != "gpu" || value.kind != JsonNode::Kind::string) continue;
    try {
      value = read_json_file((path.parent_path() / value.text).lexically_normal());
    } catch (const InputError& error) {
      throw InputError(value.place(), error.what());
    }
  }
  return read_profile(node);
}

}  // namespace moesim
