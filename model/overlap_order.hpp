// The order of the blocks inside an overlapped layer: one layer of a forward chunk beside one of a
// backward chunk (see sim/step_program). Data of a plan ("overlap_order"), because it decides what
// a dispatch or combine hides behind. The names are those of a timeline. dispatch(F) follows
// attn(F), and dispatch(B) follows mlp(B), as soon as the communication stream is free; combine(F)
// starts once the blocks before it have run.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "model/json_reader.hpp"

namespace moesim {

enum class OverlapMove : std::uint8_t {
  combine_b,  // the backward pass of combine: a dispatch of gradients
  attention_f,
  mlp_b,
  mlp_w,
  mlp_f,
  combine_f,
  attention_b,
  attention_w
};
using OverlapOrder = std::array<OverlapMove, 8>;

// The order of the public DeepSeek-V3 training trace (README, section 1).
inline constexpr OverlapOrder kTraceOrder = {OverlapMove::combine_b,
                                             OverlapMove::attention_f,
                                             OverlapMove::mlp_b,
                                             OverlapMove::mlp_w,
                                             OverlapMove::mlp_f,
                                             OverlapMove::combine_f,
                                             OverlapMove::attention_b,
                                             OverlapMove::attention_w};

// Each move once, and after what it needs; anything else is an InputError at `key`.
OverlapOrder read_overlap_order(ObjectReader& reader, const std::string& key);

}  // namespace moesim
