// MLA prefill against the reference of its calibration case, request by request.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "calibrate/cases/attention_reference.hpp"
#include "calibrate/cases/cases.hpp"
#include "calibrate/reference.hpp"
#include "kernels/mla_prefill.hpp"
#include "model/kernel_plan.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct PrefillRequest {
  std::int32_t seq, prefix;
};

struct PrefillData {
  std::vector<Bf16> q, k, v;
  std::vector<std::int32_t> first_query{0}, first_key{0};
  std::vector<float> out;               // what has to come out, [queries, heads, 128]
  std::vector<std::vector<float>> lse;  // [heads][queries]
};

void append(std::vector<Bf16>& to, const std::vector<float>& values) {
  for (const float value : values) to.push_back(to_bf16(value));
}

// Of one query, in double precision; the case itself does not return it.
float reference_lse(const AttentionSizes& a,
                    const Arrays& in,
                    std::int64_t head,
                    std::int64_t query) {
  std::vector<double> scores(static_cast<std::size_t>(a.prefix + query + 1));
  for (std::size_t j = 0; j < scores.size(); ++j) {
    const std::size_t q = attention_row(a, 0, query, a.seq, head, a.qk);
    const std::size_t k = attention_row(a, 0, static_cast<std::int64_t>(j), a.keys(), head, a.qk);
    for (std::size_t d = 0; d < static_cast<std::size_t>(a.qk); ++d)
      scores[j] += a.scale() * in[0].values[q + d] * in[1].values[k + d];
  }
  const double highest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double score : scores) sum += std::exp(score - highest);
  return static_cast<float>(highest + std::log(sum));
}

PrefillData prefill_data(const std::vector<PrefillRequest>& requests, std::int32_t heads) {
  const Experiment& of = *kAttentionForwardCase.experiment;
  PrefillData data;
  data.lse.resize(static_cast<std::size_t>(heads));
  std::uint64_t seed = 50;
  for (const PrefillRequest& r : requests) {
    data.first_query.push_back(data.first_query.back() + r.seq);
    data.first_key.push_back(data.first_key.back() + r.seq + r.prefix);
    if (r.seq == 0) {
      data.k.resize(static_cast<std::size_t>(data.first_key.back() * heads * kMlaQkHead),
                    to_bf16(9));
      data.v.resize(static_cast<std::size_t>(data.first_key.back() * heads * kMlaVHead),
                    to_bf16(9));
      continue;
    }
    const Call call{{1, r.seq, r.prefix, heads, kMlaQkHead, kMlaVHead}, {}, 0, false};
    const Arrays in = of.inputs(call, seed++);
    append(data.q, in[0].values);
    append(data.k, in[1].values);
    append(data.v, in[2].values);
    const Arrays expected = of.outputs(call, in);
    data.out.insert(data.out.end(), expected[0].values.begin(), expected[0].values.end());
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t i = 0; i < r.seq; ++i)
        data.lse[static_cast<std::size_t>(head)].push_back(
            reference_lse(attention_sizes(call.shape), in, head, i));
  }
  return data;
}

void check_prefill(const std::vector<PrefillRequest>& requests,
                   std::int32_t heads,
                   void (*kernel)(const MlaPrefill&, Stream),
                   std::int32_t head_group = 0) {
  const PrefillData data = prefill_data(requests, heads);
  const std::int32_t queries = data.first_query.back();
  const std::vector<MlaPrefillTile> tiles = mla_prefill_tiles(data.first_query, data.first_key);
  std::vector<Bf16> out(data.out.size(), to_bf16(kNan));
  std::vector<float> lse(static_cast<std::size_t>(heads * queries), kNan);
  kernel({data.q.data(),
          data.k.data(),
          data.v.data(),
          data.first_query.data(),
          data.first_key.data(),
          out.data(),
          lse.data(),
          static_cast<std::int32_t>(requests.size()),
          heads,
          queries,
          data.first_key.back(),
          1 / std::sqrt(192.0f),
          tiles.data(),
          static_cast<std::int32_t>(tiles.size()),
          head_group},
         nullptr);
  std::vector<float> found;
  for (const Bf16 value : out) found.push_back(to_float(value));
  CHECK(relative_l2(found, data.out) < kAttentionForwardCase.experiment->tolerance);
  int wrong = 0;
  for (std::size_t i = 0; i < lse.size(); ++i) {
    const auto n = static_cast<std::size_t>(queries);
    wrong += std::abs(lse[i] - data.lse[i / n][i % n]) <= 1e-3f ? 0 : 1;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("tiles of MLA prefill: each once, the one with the most keys first, as planned") {
  const std::vector<std::int32_t> first_query{0, 300, 300, 301, 429},
      first_key{0, 300, 500, 900, 1028};
  const std::vector<MlaPrefillTile> tiles = mla_prefill_tiles(first_query, first_key);
  std::vector<std::pair<int, int>> found;
  for (const MlaPrefillTile& tile : tiles) found.emplace_back(tile.request, tile.block);
  CHECK(found == std::vector<std::pair<int, int>>{{2, 0}, {0, 2}, {0, 1}, {0, 0}, {3, 0}});
}

TEST_CASE("MLA prefill takes as many tiles of keys as the cost model's plan says") {
  for (const std::int32_t seq : {1, 127, 128, 129, 1000, 4096})
    for (const std::int32_t prefix : {0, 1, 127, 128, 300, 4096}) {
      std::int64_t tiles = 0;
      for (const MlaPrefillTile& tile : mla_prefill_tiles(
               std::vector<std::int32_t>{0, seq}, std::vector<std::int32_t>{0, seq + prefix}))
        tiles += ceil_div(mla_prefill_keys(seq, seq + prefix, tile.block), kAttentionTile);
      CHECK(tiles == prefill_plan(1, seq, prefix, 1).tiles);
    }
}

TEST_CASE("naive MLA prefill agrees with the reference") {
  check_prefill({{40, 0}, {0, 5}, {1, 30}, {17, 129}}, 2, mla_prefill_naive);
}

TEST_CASE("MLA prefill agrees with the reference, request by request") {
  for (const Call& call : kAttentionForwardCase.experiment->checks()) {
    const Shape& s = call.shape;
    const PrefillRequest request{static_cast<std::int32_t>(s[1]), static_cast<std::int32_t>(s[2])};
    check_prefill(std::vector<PrefillRequest>(static_cast<std::size_t>(s[0]), request),
                  static_cast<std::int32_t>(s[3]),
                  mla_prefill);
  }
}

TEST_CASE("MLA prefill: lengths and prefixes on both sides of the tiles' edges") {
  check_prefill({{1, 0}, {0, 7}, {127, 1}, {1, 128}, {128, 0}, {2, 300}}, 1, mla_prefill);
}

TEST_CASE("MLA prefill: the rings of tiles go round more than twice") {
  check_prefill({{300, 390}}, 1, mla_prefill);
}

TEST_CASE("MLA prefill: heads in groups, the last one smaller") {
  check_prefill({{140, 0}, {9, 3}}, 5, mla_prefill, 2);
}

}  // namespace moesim
