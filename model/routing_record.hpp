// Recorded routing, read strictly: which experts real tokens went to, or how often each expert was
// chosen. Every refusal is an InputError that names the file and the line or the place in it.
//
// Token records, for replay (read_token_records):
//   .jsonl  one object a line, its keys in any order:
//             {"token": 0, "layer": 3, "experts": [17, 4, 200, 31, 8, 99, 143, 6]}
//   .csv    the header token,layer,expert_0,...,expert_{k-1}, then one line of numbers each
//   Tokens are numbered from 0 and all of them visit every layer; layers follow each other without
//   gaps, in any order in the file. vLLM and SGLang return routed experts to the client as an array
//   of [tokens, layers, top_k], from which these lines are written.
//
// Loads of experts, for popularity (read_load_table):
//   .json   {"rows": [{"layer": 1, "relative_load": [...], "domain": "github", "method": "..."}]}
//           with domain and method optional; one of each has to be asked for where there are
//           several, and every row has mean 1 to within 10 %
//   counts  of tokens by layer and expert, as inference engines write them: model/expert_counts.hpp
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/gate.hpp"
#include "model/popularity.hpp"

namespace moesim {

struct TokenRecords {
  std::int64_t first_layer = 0;
  // Of layer first_layer + i, all of as many tokens. A recording holds no weights: they are empty.
  std::vector<RoutedTokens> layers;
};

// Refuses, besides what is not such a file: an expert out of range or twice in one token, another
// number of experts than `top_k`, a token twice in a layer or not in all of them, a missing layer,
// a last line that is cut off.
TokenRecords read_token_records(const std::filesystem::path& path,
                                std::int64_t num_experts,
                                std::int64_t top_k);

// `domain` and `method` are empty where the user named none. The rows of the table are the recorded
// layers in ascending order, which have no gaps.
LoadTable read_load_table(const std::filesystem::path& path,
                          const std::string& domain,
                          const std::string& method,
                          std::int64_t num_experts);

}  // namespace moesim
