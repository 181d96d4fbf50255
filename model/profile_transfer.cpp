#include "model/profile_transfer.hpp"

#include <algorithm>

namespace moesim {

bool same_compute(const GpuSpec& a, const GpuSpec& b) {
  return a.num_sms == b.num_sms && a.peak_bf16 == b.peak_bf16 && a.peak_fp8 == b.peak_fp8 &&
         a.hbm_bandwidth == b.hbm_bandwidth;
}

Profile transferred(const Profile& from, const GpuSpec& gpu) {
  Profile to = from;
  to.gpu = gpu;
  if (from.gpu.nvlink_bandwidth != gpu.nvlink_bandwidth) to.groups.clear();
  const bool same_name = from.gpu.name == gpu.name;
  if (same_name && same_compute(from.gpu, gpu)) return to;

  to.kind = ProfileKind::derived;
  to.derived_from = from.kind == ProfileKind::derived ? from.derived_from : from.id;
  to.id = from.id + (same_name ? "-on-altered-" : "-on-") + gpu.name;
  for (ModelError* e :
       {&to.comm.links, &to.comm.overlap, &to.comm.copies, &to.comm.overheads, &to.launch_error})
    e->inside = e->outside;
  if (same_compute(from.gpu, gpu)) return to;

  const double sms = static_cast<double>(gpu.num_sms) / static_cast<double>(from.gpu.num_sms);
  const double peak = gpu.peak_bf16 / from.gpu.peak_bf16;
  const double hbm = gpu.hbm_bandwidth / from.gpu.hbm_bandwidth;
  // What a kernel did on `used` SMs, on all of the new GPU.
  const auto on_all = [&](std::int64_t& used) {
    const double share = static_cast<double>(from.gpu.num_sms) / static_cast<double>(used);
    used = gpu.num_sms;
    return share;
  };
  for (auto& g : to.gemm)
    if (g) g->sms = {gpu.num_sms, gpu.num_sms};
  for (auto& a : to.attention) {
    if (!a) continue;
    a->rate = peak * on_all(a->sms) * a->rate;
    if (a->bandwidth) a->bandwidth = hbm * *a->bandwidth;
  }
  if (to.decode) {
    to.decode->block = (sms / peak) * to.decode->block;
    to.decode->bandwidth = hbm * to.decode->bandwidth;
    to.decode->sms = gpu.num_sms;
  }
  for (auto& m : to.memory) {
    if (!m) continue;
    const double share = on_all(m->sms);
    if (m->bandwidth) m->bandwidth = hbm * (m->per_sm ? 1 : share) * *m->bandwidth;
  }
  to.points.clear();
  to.groups.clear();
  for (ModelError& e : to.error) e.inside = e.outside;
  return to;
}

}  // namespace moesim
