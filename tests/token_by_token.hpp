// Tokens routed one by one: what draws from the law of a routing are compared with.
#pragma once

#include <vector>

#include "model/gate.hpp"
#include "model/token_logits.hpp"

namespace moesim {

// Of every source.
inline std::vector<RoutedTokens> route_tokens(const Gate& gate,
                                              const TokenLogits& logits,
                                              std::int64_t num_tokens,
                                              std::int64_t num_sources,
                                              Random& random) {
  std::vector<RoutedTokens> tokens(static_cast<std::size_t>(num_sources));
  std::vector<float> values(static_cast<std::size_t>(num_tokens * gate.spec().num_experts));
  for (RoutedTokens& own : tokens) {
    logits.draw(random, num_tokens, values.data());
    gate.route(values.data(), num_tokens, {}, own);
  }
  return tokens;
}

}  // namespace moesim
