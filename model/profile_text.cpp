// Writing a profile: the mirror of profile.cpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "model/json_message.hpp"
#include "model/json_writer.hpp"
#include "model/profile.hpp"

namespace moesim {
namespace {

// What a fit knows, and short enough to read.
double four_digits(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return std::strtod(text.data(), nullptr);
}
std::string with_unit(double value, const char* unit) {
  return number_text(four_digits(value)) + " " + unit;
}
std::string text_of(Seconds t) { return with_unit(t.in(us), "us"); }
std::string text_of(Bandwidth b) { return with_unit(b.in(GB_per_s), "GB/s"); }
std::string text_of(FlopRate r) { return with_unit(r.in(TFLOP_per_s), "TFLOP/s"); }
std::string text_of(Bytes b) { return number_text(b.in(B)) + " B"; }
double percent(double fraction) { return four_digits(100 * fraction); }

template <class T>
JsonValue list_of(const std::vector<T>& values) {
  JsonValue list = JsonValue::array();
  for (const T& v : values) list.push(v);
  return list;
}

JsonValue range_json(const std::array<std::int64_t, 2>& range) {
  return JsonValue::array().push(range[0]).push(range[1]);
}

JsonValue error_json(const ModelError& e) {
  JsonValue value = JsonValue::object();
  value.set("inside_pct", percent(e.inside)).set("outside_pct", percent(e.outside));
  value.set("basis", e.basis);
  if (e.num_points > 0) value.set("num_points", e.num_points);
  if (e.tests.empty()) return value;
  JsonValue tests = JsonValue::array();
  for (const ErrorQuantiles& q : e.tests)
    tests.push(JsonValue::object()
                   .set("what", q.what)
                   .set("median_pct", percent(q.median))
                   .set("p95_pct", percent(q.p95))
                   .set("max_pct", percent(q.max)));
  return value.set("tests", std::move(tests));
}

void add_residual(JsonValue& entry, const Residual& r) {
  if (r.empty()) return;
  JsonValue nodes = JsonValue::array();
  for (std::size_t i = 0; i < r.num_centres(); ++i) {
    JsonValue node = JsonValue::array();
    for (std::size_t a = 0; a < r.num_axes; ++a) node.push(r.centres[i * r.num_axes + a]);
    node.push(r.weights[i]);
    nodes.push(std::move(node));
  }
  entry.set("residual",
            JsonValue::object().set("constant", r.constant).set("nodes", std::move(nodes)));
}

JsonValue gemm_json(const GemmModel& g) {
  JsonValue value = JsonValue::object();
  value.set("plan", tile_rule_name(g.rule))
      .set("mma_efficiency", four_digits(g.mma_efficiency))
      .set("load_per_sm", text_of(g.load))
      .set("store_per_sm", text_of(g.store))
      .set("fill", text_of(g.fill))
      .set("overhead", text_of(g.overhead))
      .set("hbm_efficiency", four_digits(g.hbm_efficiency))
      .set("norm", four_digits(g.norm))
      .set("out_bytes", g.out_bytes)
      .set("range",
           JsonValue::object()
               .set("m", range_json(g.m))
               .set("n", range_json(g.n))
               .set("k", range_json(g.k))
               .set("sms", range_json(g.sms)));
  add_residual(value, g.residual);
  return value;
}

JsonValue attention_json(const AttentionModel& a) {
  JsonValue value = JsonValue::object();
  value.set("rate", text_of(a.rate));
  if (a.bandwidth) value.set("bandwidth", text_of(*a.bandwidth));
  value.set("overhead", text_of(a.overhead))
      .set("sms", a.sms)
      .set("qk_head_dim", a.qk_head_dim)
      .set("v_head_dim", a.v_head_dim);
  add_residual(value, a.residual);
  return value;
}

JsonValue decode_json(const DecodeModel& d) {
  JsonValue value = JsonValue::object();
  value.set("block", text_of(d.block))
      .set("overhead", text_of(d.overhead))
      .set("bandwidth", text_of(d.bandwidth))
      .set("norm", four_digits(d.norm))
      .set("sms", d.sms);
  add_residual(value, d.residual);
  return value;
}

JsonValue memory_json(const MemoryModel& m) {
  JsonValue value = JsonValue::object();
  if (m.bandwidth) value.set("bandwidth", text_of(*m.bandwidth));
  if (m.per_sm) value.set("per_sm", text_of(*m.per_sm));
  return value.set("overhead", text_of(m.overhead)).set("sms", m.sms);
}

JsonValue points_json(const Profile& profile, Kernel kernel) {
  JsonValue list = JsonValue::array();
  for (const GemmPoint& p : profile.points) {
    if (p.kernel != kernel) continue;
    JsonValue point = JsonValue::object();
    point.set("m", p.shape.m).set("n", p.shape.n).set("k", p.shape.k);
    if (p.shape.groups > 1) point.set("groups", p.shape.groups);
    list.push(point.set("sms", p.sms).set("rate", text_of(p.rate)));
  }
  return list;
}

JsonValue kernels_json(const Profile& profile) {
  JsonValue kernels = JsonValue::object();
  for (std::size_t i = 0; i < kNumKernels; ++i) {
    const auto kernel = static_cast<Kernel>(i);
    JsonValue entry;
    if (profile.gemm[i])
      entry = gemm_json(*profile.gemm[i]);
    else if (profile.attention[i])
      entry = attention_json(*profile.attention[i]);
    else if (kernel == Kernel::attention_decode && profile.decode)
      entry = decode_json(*profile.decode);
    else if (profile.memory[i])
      entry = memory_json(*profile.memory[i]);
    else
      continue;
    entry.set("error", error_json(profile.error[i]));
    const bool has_points = std::any_of(profile.points.begin(),
                                        profile.points.end(),
                                        [&](const GemmPoint& p) { return p.kernel == kernel; });
    if (has_points) entry.set("points", points_json(profile, kernel));
    entry.set("source", profile.source[i]);
    kernels.set(std::string(kKernelNames[i]), std::move(entry));
  }
  return kernels;
}

JsonValue comm_json(const Profile& profile) {
  const CommModel& c = profile.comm;
  return JsonValue::object()
      .set("nvlink_efficiency", four_digits(c.nvlink_efficiency))
      .set("nic_efficiency", four_digits(c.nic_efficiency))
      .set("dispatch_overlap", four_digits(c.dispatch_overlap))
      .set("cached_dispatch_overlap", four_digits(c.cached_dispatch_overlap))
      .set("combine_overlap", four_digits(c.combine_overlap))
      .set("dispatch_per_sm", text_of(c.dispatch_per_sm))
      .set("combine_per_sm", text_of(c.combine_per_sm))
      .set("layout", text_of(c.layout))
      .set("cast_per_sm", text_of(c.cast_per_sm))
      .set("low_latency_overhead", text_of(c.low_latency_overhead))
      .set("error",
           JsonValue::object()
               .set("links", error_json(c.links))
               .set("overlap", error_json(c.overlap))
               .set("copies", error_json(c.copies))
               .set("overheads", error_json(c.overheads)))
      .set("source", profile.comm_source);
}

JsonValue regimes_json(const std::vector<SizeRegime>& regimes) {
  JsonValue list = JsonValue::array();
  for (const SizeRegime& r : regimes)
    list.push(JsonValue::object()
                  .set("up_to", text_of(r.up_to))
                  .set("overhead", text_of(r.overhead))
                  .set("efficiency", four_digits(r.efficiency)));
  return list;
}

JsonValue group_json(const GroupFit& g) {
  JsonValue value = JsonValue::object();
  value.set("op", g.op).set("ranks", g.ranks).set("ranks_per_node", g.ranks_per_node);
  if (g.hidden > 0) value.set("hidden", g.hidden);
  if (g.topk > 0) value.set("topk", g.topk);
  if (g.sms > 0) value.set("sms", g.sms);
  JsonValue segments = JsonValue::array();
  for (const Segment& segment : g.segments)
    segments.push(JsonValue::object()
                      .set("latency_us", four_digits(segment.latency.in(us)))
                      .set("size_per_s", four_digits(segment.size_per_s)));
  return value.set("sizes", JsonValue::array().push(g.sizes[0]).push(g.sizes[1]))
      .set("segments", std::move(segments))
      .set("error", error_json(g.error))
      .set("source", g.source);
}

}  // namespace

std::string profile_text(const Profile& profile, const std::string& gpu_file) {
  JsonValue doc = JsonValue::object();
  doc.set("schema", kProfileSchema).set("plan_version", kPlanVersion).set("id", profile.id);
  doc.set("kind", kProfileKinds[static_cast<std::size_t>(profile.kind)]);
  if (profile.kind == ProfileKind::derived) doc.set("derived_from", profile.derived_from);
  doc.set("gpu", gpu_file).set("about", profile.about);
  doc.set("kernels", kernels_json(profile)).set("comm", comm_json(profile));
  if (profile.collectives)
    doc.set("collectives",
            JsonValue::object()
                .set("nvlink", regimes_json(profile.collectives->nvlink))
                .set("nic", regimes_json(profile.collectives->nic))
                .set("source", profile.collectives->source));
  doc.set("launch",
          JsonValue::object()
              .set("gap", text_of(profile.launch_gap))
              .set("chunk_startup", text_of(profile.chunk_startup))
              .set("error", error_json(profile.launch_error))
              .set("source", profile.launch_source));
  JsonValue factors = JsonValue::array();
  for (const double f : profile.gemm_slowdown.factor) factors.push(four_digits(f));
  doc.set("gemm_slowdown_under_comm",
          JsonValue::object()
              .set("comm_sms", list_of(profile.gemm_slowdown.comm_sms))
              .set("factor", std::move(factors))
              .set("source", profile.gemm_slowdown.source));
  if (!profile.groups.empty()) {
    JsonValue groups = JsonValue::array();
    for (const GroupFit& g : profile.groups) groups.push(group_json(g));
    doc.set("groups", std::move(groups));
  }
  constexpr std::size_t kColumns = 140;
  return doc.dump_wrapped(kColumns);
}

}  // namespace moesim
