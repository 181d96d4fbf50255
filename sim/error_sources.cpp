#include "sim/error_sources.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

bool has_model(const Profile& p, std::size_t kernel) {
  return p.gemm[kernel] || p.attention[kernel] || p.memory[kernel] ||
         (static_cast<Kernel>(kernel) == Kernel::attention_decode && p.decode);
}

const char* source_of(const Profile& profile, Kernel kernel) {
  if (!has_model(profile, static_cast<std::size_t>(judged_as(profile, kernel))))
    return "kernels nobody measured";
  switch (kernel) {
    case Kernel::gemm_fp8:
    case Kernel::grouped_gemm_fp8: return "FP8 GEMM";
    case Kernel::gemm_fp8_wgrad: return "weight-gradient GEMM";
    case Kernel::gemm_bf16: return "BF16 GEMM";
    case Kernel::attention_forward:
    case Kernel::attention_backward:
    case Kernel::attention_decode: return "attention";
    default: return "memory-bound kernels";
  }
}

bool is_of_kernels(SourceKind kind) {
  return kind == SourceKind::kernels || kind == SourceKind::roofline;
}

void slow_down(double& efficiency, double factor) {
  efficiency = std::min(1.0, efficiency / factor);
}

}  // namespace

Kernel judged_as(const Profile& profile, Kernel kernel) {
  const Kernel other = stand_in(kernel);
  const auto has = [&](Kernel k) { return has_model(profile, static_cast<std::size_t>(k)); };
  return !has(kernel) && has(other) ? other : kernel;
}

std::vector<ErrorSource> error_sources(const Profile& profile) {
  std::vector<ErrorSource> sources;
  ErrorSource roofline{source_of({}, Kernel::small), SourceKind::roofline, {}};
  for (std::size_t i = 0; i < kNumKernels; ++i) {
    const auto kernel = static_cast<Kernel>(i);
    if (judged_as(profile, kernel) != kernel) continue;
    const std::string name = source_of(profile, kernel);
    if (name == roofline.name) {
      roofline.kernels.push_back(kernel);
      continue;
    }
    const auto known = std::find_if(
        sources.begin(), sources.end(), [&](const ErrorSource& s) { return s.name == name; });
    if (known != sources.end())
      known->kernels.push_back(kernel);
    else
      sources.push_back({name, SourceKind::kernels, {kernel}});
  }
  if (!roofline.kernels.empty()) sources.push_back(std::move(roofline));
  sources.push_back({"link rates", SourceKind::links, {}});
  sources.push_back({"communication beside compute", SourceKind::overlap, {}});
  sources.push_back({"copy rates of communication kernels", SourceKind::copies, {}});
  sources.push_back({"overheads of communication kernels", SourceKind::overheads, {}});
  sources.push_back({"launch gaps and start-up", SourceKind::launch, {}});
  return sources;
}

const ModelError& error_of(const Profile& profile, const ErrorSource& source) {
  switch (source.kind) {
    case SourceKind::links: return profile.comm.links;
    case SourceKind::overlap: return profile.comm.overlap;
    case SourceKind::copies: return profile.comm.copies;
    case SourceKind::overheads: return profile.comm.overheads;
    case SourceKind::launch: return profile.launch_error;
    case SourceKind::kernels:
    case SourceKind::roofline: break;
  }
  throw std::logic_error("kernels have an error each");
}

Profile perturbed(const Profile& profile, const ErrorSource& source, double sign) {
  Profile moved = profile;
  if (is_of_kernels(source.kind)) {
    if (source.kind == SourceKind::roofline) sign = std::max(0.0, sign);
    for (const Kernel kernel : source.kernels) moved.shift[static_cast<std::size_t>(kernel)] = sign;
    return moved;
  }
  const double factor = std::exp(sign * std::log1p(error_of(profile, source).inside));
  CommModel& comm = moved.comm;
  switch (source.kind) {
    case SourceKind::links:
      slow_down(comm.nvlink_efficiency, factor);
      slow_down(comm.nic_efficiency, factor);
      break;
    case SourceKind::overlap:
      slow_down(comm.dispatch_overlap, factor);
      slow_down(comm.cached_dispatch_overlap, factor);
      slow_down(comm.combine_overlap, factor);
      break;
    case SourceKind::copies:
      for (Bandwidth* rate : {&comm.dispatch_per_sm, &comm.combine_per_sm, &comm.cast_per_sm})
        *rate = *rate / factor;
      break;
    case SourceKind::overheads:
      comm.layout = factor * comm.layout;
      comm.low_latency_overhead = factor * comm.low_latency_overhead;
      break;
    default:
      moved.launch_gap = factor * moved.launch_gap;
      moved.chunk_startup = factor * moved.chunk_startup;
  }
  return moved;
}

}  // namespace moesim
