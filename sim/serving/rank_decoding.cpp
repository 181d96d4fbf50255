// The part of RankEngine that decodes: stretches, pages as they fill, preemption.
#include <algorithm>
#include <utility>

#include "model/errors.hpp"
#include "sim/serving/rank_engine.hpp"

namespace moesim {

std::int64_t RankEngine::missing_pages(const Slot& s) const {
  const std::int64_t tokens = s.context + 1 + shared_.draft_tokens;
  return tokens <= s.capacity ? 0 : pages_.pages_for(tokens - s.capacity);
}

void RankEngine::begin_stretch(std::int32_t slot) {
  Slot& s = slots_[slot];
  s.stretch = shared_.drafts.draw(std::min(s.output - s.generated, kMostStretch), shared_.random);
  s.tokens_per_step =
      s.stretch.tokens == s.stretch.steps
          ? 1 << kFraction
          : static_cast<std::int32_t>((static_cast<std::int64_t>(s.stretch.tokens) << kFraction) /
                                      s.stretch.steps);
  s.begin = shared_.step;
  s.state = State::decoding;
  ++num_decoding_;
  decode_context_ += static_cast<std::int64_t>(s.context) << kFraction;
  decode_growth_ += s.tokens_per_step;
  s.stretch_pages = 0;
  for_pages_due(s, [&](std::int64_t step) {
    ++s.stretch_pages;
    ++shared_.wheel.at(step, rank_).pages_due;
  });
  StepWheel::add(shared_.wheel.at(s.begin + s.stretch.steps - 1, rank_), slots_, slot);
  if (!s.fresh) return;
  s.fresh = false;
  if (details_[slot].live.last_token != shared_.last_step_end) late_.push_back(slot);
}

// After so many steps of it; by chance only at its end, spread evenly before.
void RankEngine::end_stretch(std::int32_t slot, std::int64_t steps) {
  Slot& s = slots_[slot];
  const std::int32_t wanted = s.output - s.generated;
  const std::int32_t tokens =
      steps == s.stretch.steps
          ? std::min(s.stretch.tokens, wanted)
          : std::min(static_cast<std::int32_t>((s.tokens_per_step * steps) >> kFraction),
                     wanted - 1);
  --num_decoding_;
  decode_context_ -=
      (static_cast<std::int64_t>(s.context) << kFraction) + s.tokens_per_step * steps;
  decode_growth_ -= s.tokens_per_step;
  s.context += tokens;
  s.generated += tokens;
  s.pages += s.stretch_pages;
  s.capacity += s.stretch_pages * static_cast<std::int32_t>(pages_.page_tokens());
  s.state = State::pending;
  burst_ += tokens - steps;
  shared_.counters.output_tokens += tokens;
  shared_.counters.accepted_tokens += tokens - steps;
}

bool RankEngine::continue_decoding() {
  for (const std::int32_t slot : ready_) {
    enter_running(slot, State::pending);
    pending_.push_back(slot);
  }
  ready_.clear();

  StepWheel::Cell& cell = shared_.wheel.at(shared_.step, rank_);
  std::int64_t missing = std::exchange(cell.pages_due, 0);
  const std::int64_t due = missing;
  for (const std::int32_t slot : pending_) missing += missing_pages(slots_[slot]);
  bool preempted = false;
  if (missing > pages_.available()) {
    preempted = share_scarce_pages();
  } else {
    pages_.take(due);
    for (const std::int32_t slot : pending_) {
      take_pages(slot, missing_pages(slots_[slot]));
      begin_stretch(slot);
    }
  }
  pending_.clear();
  formed_ = true;
  return preempted;
}

std::int64_t RankEngine::pages_due_now(const Slot& s) const {
  std::int64_t pages = 0;
  for_pages_due(s, [&](std::int64_t step) { pages += step == shared_.step; });
  return pages;
}

bool RankEngine::share_scarce_pages() {
  std::vector<std::int32_t> in_need = pending_;
  for (const std::int32_t slot : running_)
    if (slots_[slot].state == State::decoding && pages_due_now(slots_[slot]) > 0)
      in_need.push_back(slot);
  in_order_of_admission(in_need);
  bool preempted = false;
  for (const std::int32_t slot : in_need) {
    Slot& s = slots_[slot];
    while (s.state == State::pending || s.state == State::decoding) {
      const bool goes_on = s.state == State::decoding;
      const std::int64_t needed = goes_on ? pages_due_now(s) : missing_pages(s);
      if (needed <= pages_.available()) {
        s.paid = true;
        if (goes_on) {
          pages_.take(needed);  // its own at the end of the stretch
        } else {
          take_pages(slot, needed);
          begin_stretch(slot);
        }
        break;
      }
      preempt(victim());
      preempted = true;
    }
  }
  for (const std::int32_t slot : in_need) slots_[slot].paid = false;
  return preempted;
}

void RankEngine::in_order_of_admission(std::vector<std::int32_t>& slots) const {
  std::sort(slots.begin(), slots.end(), [&](std::int32_t a, std::int32_t b) {
    return details_[a].order < details_[b].order;
  });
}

std::int32_t RankEngine::victim() const {
  const bool by_priority = shared_.settings.engine.policy == Policy::priority;
  const auto urgency = [&](std::int32_t slot) {
    const Details& d = details_[slot];
    return std::pair(by_priority ? d.live.record.request.priority : 0, d.order);
  };
  return *std::max_element(running_.begin(), running_.end(), [&](std::int32_t a, std::int32_t b) {
    return urgency(a) < urgency(b);
  });
}

void RankEngine::preempt(std::int32_t slot) {
  Slot& s = slots_[slot];
  Details& d = details_[slot];
  const auto late = std::find(late_.begin(), late_.end(), slot);
  const bool was_decoding = s.state != State::prompt;
  if (late != late_.end())
    late_.erase(late);  // its first step here would have been this one
  else if (was_decoding && !s.fresh)
    d.live.last_token = shared_.last_step_end;
  if (s.state == State::decoding) {
    StepWheel::remove(shared_.wheel.at(s.begin + s.stretch.steps - 1, rank_), slots_, slot);
    s.stretch_pages = 0;  // it has so far
    for_pages_due(s, [&](std::int64_t step) {
      if (step < shared_.step || (step == shared_.step && s.paid))
        ++s.stretch_pages;
      else if (step > shared_.step)  // those of this step are off the wheel
        --shared_.wheel.at(step, rank_).pages_due;
    });
    end_stretch(slot, shared_.step - s.begin);
  } else if (s.state == State::prompt) {
    prompts_.erase(std::find(prompts_.begin(), prompts_.end(), slot));
  }
  leave_running(slot);
  ++shared_.counters.preemptions;
  ++d.live.record.preemptions;

  const std::int64_t kv_pages = pages_.pages_for(s.context);
  free_pages(slot);
  s.fresh = true;
  s.state = State::waiting;
  if (was_decoding && shared_.settings.engine.preemption == Preemption::swap &&
      pages_in_swap_ + kv_pages <= swap_capacity_) {
    s.swapped = s.has_kv = true;
    pages_in_swap_ += kv_pages;
    swapped_out_ += kv_pages;
    shared_.counters.swapped_pages += kv_pages;
  } else {
    s.has_kv = false;
    s.context = 0;
    d.prompt = d.live.record.request.input_tokens + s.generated;
    d.done = d.next_block = 0;
    set_outstanding(slot, waiting_tokens(slot));
  }
  queue_.push_preempted(slot, sort_key(d.live.record.request));
}

}  // namespace moesim
