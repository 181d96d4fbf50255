#include "calibrate/case.hpp"

#include <algorithm>
#include <array>

#include "calibrate/cases/cases.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr std::array kCases = {&kGemmFp8Case,
                               &kGroupedGemmFp8Case,
                               &kGemmFp8WgradCase,
                               &kGemmBf16Case,
                               &kAttentionForwardCase,
                               &kAttentionBackwardCase,
                               &kAttentionDecodeCase,
                               &kCastCase,
                               &kCastBackCase,
                               &kCastTransposeCase,
                               &kRecastTransposeCase,
                               &kWeightTransposeCase,
                               &kCastE5m6Case,
                               &kCastBackE5m6Case,
                               &kScaleTransposeCase,
                               &kScaleCopyCase,
                               &kRmsnormCase,
                               &kRmsnormBackwardCase,
                               &kElementwiseCase,
                               &kRopeCase,
                               &kCopyCase,
                               &kBroadcastCopyCase,
                               &kSwigluCase,
                               &kSwigluBackwardCase,
                               &kAdamCase,
                               &kAttentionBackwardEdgesCase,
                               &kPermuteCase,
                               &kUnpermuteCase,
                               &kExpertCountCase,
                               &kExpertMapCase,
                               &kGateGatherCase,
                               &kSmallCase,
                               &kAllReduceCase,
                               &kAllGatherCase,
                               &kReduceScatterCase,
                               &kAllToAllCase,
                               &kBroadcastCase,
                               &kDispatchCase,
                               &kCombineCase,
                               &kLowLatencyDispatchCase,
                               &kLowLatencyCombineCase,
                               &kFlatDispatchCase,
                               &kFlatCombineCase,
                               &kSendNodeCase,
                               &kSendRailCase,
                               &kSendCrossRailCase,
                               &kSwapNodeCase,
                               &kSwapRailCase,
                               &kSwapCrossRailCase,
                               &kIncastNodeCase,
                               &kIncastNetworkCase,
                               &kPipelineSendCase};

}  // namespace

std::span<const Case* const> cases() { return kCases; }

const Case* find_case(std::string_view op) {
  const auto* const it =
      std::find_if(kCases.begin(), kCases.end(), [&](const Case* c) { return c->op == op; });
  return it == kCases.end() ? nullptr : *it;
}

std::string shape_text(const Case& c, const Shape& shape) {
  ENSURE(shape.size() == c.axes.size());
  std::string text;
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i > 0 ? " " : "") + std::string(c.axes[i]) + "=" + std::to_string(shape[i]);
  return text;
}

Seconds floor_time(const Case& c,
                   const Shape& shape,
                   std::span<const std::int64_t> counts,
                   const GpuSpec& gpu,
                   bool from_cache) {
  const Work work = c.work(shape, counts);
  if (c.between_gpus) {
    const bool one_node = shape[0] <= shape[1];
    return one_node ? work.bytes / gpu.nvlink_bandwidth : Seconds();
  }
  const Seconds memory = from_cache ? Seconds() : work.bytes / gpu.hbm_bandwidth;
  if (c.peak == Peak::none) return memory;
  const FlopRate peak = c.peak == Peak::fp8 && gpu.peak_fp8 ? *gpu.peak_fp8 : gpu.peak_bf16;
  return std::max(work.flops / peak, memory);
}

}  // namespace moesim
