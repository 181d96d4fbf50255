#include "model/overlap_order.hpp"

#include <algorithm>
#include <vector>

#include "model/json_message.hpp"

namespace moesim {
namespace {

struct NamedMove {
  const char* name;
  OverlapMove move;
};
constexpr NamedMove kMoves[] = {{"combine(B)", OverlapMove::combine_b},
                                {"attn(F)", OverlapMove::attention_f},
                                {"mlp(B)", OverlapMove::mlp_b},
                                {"mlp(W)", OverlapMove::mlp_w},
                                {"mlp(F)", OverlapMove::mlp_f},
                                {"combine(F)", OverlapMove::combine_f},
                                {"attn(B)", OverlapMove::attention_b},
                                {"attn(W)", OverlapMove::attention_w}};

// What a move reads, within its layer.
struct Need {
  const char *later, *earlier;
};
constexpr Need kNeeds[] = {{"mlp(F)", "attn(F)"},
                           {"combine(F)", "mlp(F)"},
                           {"mlp(B)", "combine(B)"},
                           {"mlp(W)", "mlp(B)"},
                           {"attn(B)", "mlp(B)"},
                           {"attn(W)", "attn(B)"}};

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + in_quotes(name);
  return text;
}

}  // namespace

OverlapOrder read_overlap_order(ObjectReader& reader, const std::string& key) {
  const std::vector<std::string> found = reader.text_list(key);
  std::vector<std::string> expected;
  for (const NamedMove& row : kMoves) expected.emplace_back(row.name);
  if (!std::is_permutation(found.begin(), found.end(), expected.begin(), expected.end()))
    reader.fail(key,
                "expected " + listed(expected) + ", each once, in the order they start; found " +
                    (found.empty() ? "none" : listed(found)));
  auto at = [&](const std::string& name) { return std::find(found.begin(), found.end(), name); };
  for (const Need& need : kNeeds)
    if (at(need.later) < at(need.earlier))
      reader.fail(key,
                  in_quotes(need.later) + " needs " + in_quotes(need.earlier) +
                      ", which comes after it; found " + listed(found));
  OverlapOrder order{};
  for (const NamedMove& row : kMoves)
    order[static_cast<std::size_t>(at(row.name) - found.begin())] = row.move;
  return order;
}

}  // namespace moesim
