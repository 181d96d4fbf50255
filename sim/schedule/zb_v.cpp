// ZB-V (Qi et al., ICLR 2024, arXiv 2401.10241, section 6; also arXiv 2405.15362): two parts a
// rank, down the ranks and up again, so that the last rank turns a microbatch around at once and
// the first is both ends of the model. Where a forward, an input gradient (B) and a weight gradient
// (W) take the same time there is no bubble between a rank's own first and last step, from
// 2 pp - 1 microbatches on, with 2 pp chunks of half a rank alive: the memory of 1F1B.
//
// The list is the handcrafted one of that case. The authors also search for lists for other
// durations; that is not done here, and where W <= F <= B the bubble is 2 (pp - 1)(B - W), of a
// chunk. Ranks end (pp - 1) F apart (see zb_h2.cpp), which is idle time here.
#include <algorithm>

#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

class Builder {
 public:
  explicit Builder(std::int64_t num_microbatches) : num_microbatches_(num_microbatches) {}

  void forward(int part) { add(StepKind::forward, part, next_f_[part]++); }
  void input(int part) { add(StepKind::backward_input, part, next_b_[part]++); }
  void weight(int part) { add(StepKind::weight, part, next_w_[part]++); }
  void backward(int part) {
    input(part);
    weight(part);
  }
  std::int64_t forwards(int part) const { return next_f_[part]; }
  bool weight_waits(int part) const { return next_w_[part] < next_b_[part]; }
  std::vector<ScheduleStep> take() { return std::move(list_); }

 private:
  // A short run is a longer one whose last microbatches are not there.
  void add(StepKind kind, int part, std::int32_t microbatch) {
    if (microbatch >= num_microbatches_) return;
    const Chunk chunk{part, microbatch};
    if (kind == StepKind::forward)
      list_.push_back({kind, chunk, {}});
    else
      list_.push_back({kind, {}, chunk});
  }

  std::int64_t num_microbatches_;
  std::int32_t next_f_[2] = {0, 0}, next_b_[2] = {0, 0}, next_w_[2] = {0, 0};
  std::vector<ScheduleStep> list_;
};

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  constexpr int down = 0, up = 1;
  const std::int64_t to_turn = run.pp - rank,  // ranks a microbatch passes before it comes back
      num_microbatches = std::max(run.num_microbatches, 2 * run.pp - 1);
  Builder b(run.num_microbatches);
  // Until the first microbatch comes back up.
  for (std::int64_t i = 0; i < 2 * to_turn - 1; ++i) b.forward(down);
  // Until its backward does.
  for (std::int64_t i = 0; i < rank; ++i) {
    b.forward(up);
    b.forward(down);
  }
  for (std::int64_t i = 0; i < to_turn; ++i) {
    b.forward(up);
    b.backward(up);
  }
  // One of each.
  while (b.forwards(down) < num_microbatches || b.forwards(up) < num_microbatches) {
    if (b.forwards(down) < num_microbatches) b.forward(down);
    b.backward(down);
    b.forward(up);
    b.backward(up);
  }
  // Input gradients go first where a rank above waits for them; the weight gradients fill the end.
  for (std::int64_t i = 0; i < rank; ++i) {
    b.input(down);
    b.input(up);
  }
  for (std::int64_t i = 0; i < to_turn; ++i) {
    b.input(down);
    b.weight(down);
  }
  while (b.weight_waits(up)) b.weight(up);
  while (b.weight_waits(down)) b.weight(down);
  return b.take();
}

std::string refusal(const PipelineRun&) { return ""; }

}  // namespace

extern const Schedule kZbV;
const Schedule kZbV = {ScheduleKind::zb_v, steps, refusal};

}  // namespace moesim
