// DualPipeV (deepseek-ai/DualPipe, README; a "cut-in-half" DualPipe, after Sea AI Lab): two parts a
// rank, down the ranks and up again, so that each stage is held once. A rank does what a rank of
// the first half of DualPipe over 2 pp ranks does, with the microbatches that come back up in place
// of those of the other direction. Over 2 pp stages: bubble (pp - 1)(F&B + B - 3W) and 2 pp + 1
// chunks alive, of half a rank.
#include "sim/schedule/dualpipe.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  return half_pipe_list({run.pp, rank, run.num_microbatches, {0, 1}});
}

std::string refusal(const PipelineRun& run) {
  if (run.num_microbatches < 2 * run.pp)
    return "DualPipeV over " + std::to_string(run.pp) + " ranks needs at least 2 x " +
           std::to_string(run.pp) + " = " + std::to_string(2 * run.pp) +
           " microbatches a pipeline, found " + std::to_string(run.num_microbatches);
  return "";
}

}  // namespace

extern const Schedule kDualPipeV;
const Schedule kDualPipeV = {ScheduleKind::dualpipe_v, steps, refusal};

}  // namespace moesim
