// ZB-H2 (Qi et al., ICLR 2024, arXiv 2401.10241, section 2.2): the first rank fills its wait for
// the first backward with forwards, 2 pp - 1 in all, which is also how many chunks are alive on
// every rank. Bubble (pp - 1)(F + B - 2W), B the input gradient alone, between a rank's own first
// and last step, from 2 pp - 1 microbatches on and where W is no longer than B.
//
// Ranks end as staggered as they start, (pp - 1) F apart. The paper does away with what makes them
// wait for each other by updating before the global gradient norm is known and correcting later;
// here the norm is waited for, so the stagger is idle time: (pp - 1) max(F, F + B - 2W).
#include "sim/schedule/zero_bubble.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  return zero_bubble_list(run, rank, 2);
}

std::string refusal(const PipelineRun&) { return ""; }

}  // namespace

extern const Schedule kZbH2;
const Schedule kZbH2 = {ScheduleKind::zb_h2, steps, refusal};

}  // namespace moesim
