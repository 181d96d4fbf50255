// ZB-H1 (Qi et al., ICLR 2024, arXiv 2401.10241, section 2.1): zero bubble within the memory of
// 1F1B. A rank puts off as many W as its warm-up is shorter than the first rank's. Bubble
// (pp - 1)(F + B - W), B the input gradient alone, exact where W is no longer than B; pp chunks
// alive on every rank, counted until their W (the paper frees part of a chunk at B).
#include "sim/schedule/zero_bubble.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  return zero_bubble_list(run, rank, 1);
}

std::string refusal(const PipelineRun&) { return ""; }

}  // namespace

extern const Schedule kZbH1;
const Schedule kZbH1 = {ScheduleKind::zb_h1, steps, refusal};

}  // namespace moesim
