// MLA decode against the reference of its calibration case, request by request: pages are
// scattered, and whatever is in no request's cache is NaN.
#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference.hpp"
#include "kernels/mla_decode.hpp"
#include "model/kernel_plan.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct DecodeProblem {
  std::vector<std::int32_t> lengths;
  std::int32_t s_q = 1, heads = 16;
  std::int64_t sms = 132;
};

struct DecodeData {
  std::vector<Bf16> q, cache;
  std::vector<std::int32_t> table;
  std::int32_t pages_per_request = 1;
  std::vector<float> out, lse;  // what has to come out
};

void append(std::vector<float>& to, const std::vector<float>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

void add_request(const DecodeProblem& p, std::size_t r, DecodeData& data) {
  const std::int32_t length = p.lengths[r];
  const auto rows = static_cast<std::size_t>(p.s_q * p.heads);
  if (length == 0) {
    data.q.resize(data.q.size() + rows * kMlaLatent, to_bf16(1));
    data.out.resize(data.out.size() + rows * kMlaValue, 0);
    data.lse.resize(data.lse.size() + rows, -INFINITY);
    return;
  }
  const Experiment& of = *kAttentionDecodeCase.experiment;
  const Call call{{1, length, p.s_q, p.heads}, {}, 0, false};
  const Arrays in = of.inputs(call, 100 + r), expected = of.outputs(call, in);
  for (const float value : in[0].values) data.q.push_back(to_bf16(value));
  for (std::int32_t token = 0; token < length; ++token) {
    const std::int32_t page = data.table[r * static_cast<std::size_t>(data.pages_per_request) +
                                         static_cast<std::size_t>(token / kMlaPage)];
    for (int d = 0; d < kMlaLatent; ++d)
      data.cache[static_cast<std::size_t>((page * kMlaPage + token % kMlaPage) * kMlaLatent + d)] =
          to_bf16(in[1].values[static_cast<std::size_t>(token * kMlaLatent + d)]);
  }
  append(data.out, expected[0].values);
  append(data.lse, expected[1].values);
}

DecodeData decode_data(const DecodeProblem& p) {
  DecodeData data;
  for (const std::int32_t length : p.lengths)
    data.pages_per_request = std::max(data.pages_per_request, (length + kMlaPage - 1) / kMlaPage);
  const std::size_t pages = p.lengths.size() * static_cast<std::size_t>(data.pages_per_request);
  for (const std::int64_t page : permutation(pages, 7))
    data.table.push_back(static_cast<std::int32_t>(page));
  data.cache.assign(pages * kMlaPage * kMlaLatent, to_bf16(kNan));
  for (std::size_t r = 0; r < p.lengths.size(); ++r) add_request(p, r, data);
  return data;
}

std::vector<float> floats(const std::vector<Bf16>& values) {
  std::vector<float> all;
  for (const Bf16 value : values) all.push_back(to_float(value));
  return all;
}

// How many differ by more than `most`; infinities have to be equal.
int wrong_lse(const std::vector<float>& found, const std::vector<float>& expected, float most) {
  int wrong = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    wrong += found[i] == expected[i] || std::abs(found[i] - expected[i]) <= most ? 0 : 1;
  return wrong;
}

void check_decode(const DecodeProblem& p, void (*kernel)(const MlaDecode&, Stream)) {
  const DecodeData data = decode_data(p);
  const auto batch = static_cast<std::int32_t>(p.lengths.size());
  const auto rows = static_cast<std::size_t>(p.s_q * p.heads);
  const MlaDecodeSchedule schedule = mla_decode_schedule(p.lengths, p.s_q * p.heads, p.sms);
  const auto slots = static_cast<std::size_t>(schedule.num_slots);
  std::vector<Bf16> out(p.lengths.size() * rows * kMlaValue, to_bf16(kNan));
  std::vector<float> lse(p.lengths.size() * rows, kNan);
  std::vector<float> partial_out(slots * rows * kMlaValue, kNan), partial_lse(slots * rows, kNan);
  kernel({data.q.data(),
          data.cache.data(),
          data.table.data(),
          p.lengths.data(),
          out.data(),
          lse.data(),
          batch,
          p.s_q,
          p.heads,
          batch * data.pages_per_request,
          data.pages_per_request,
          1 / std::sqrt(192.0f),
          schedule.parts.data(),
          schedule.first_part.data(),
          schedule.splits.data(),
          schedule.partitions(),
          static_cast<std::int32_t>(schedule.splits.size()),
          partial_out.data(),
          partial_lse.data()},
         nullptr);
  CHECK(relative_l2(floats(out), data.out) < kAttentionDecodeCase.experiment->tolerance);
  CHECK(wrong_lse(lse, data.lse, 1e-3f) == 0);
}

// Blocks of the costliest partition, as the cost model counts them.
std::int64_t costliest(const MlaDecodeSchedule& s) {
  std::int64_t most = 0;
  for (std::size_t p = 0; p + 1 < s.first_part.size(); ++p) {
    std::int64_t cost = 0;
    for (auto i = s.first_part[p]; i < s.first_part[p + 1]; ++i) {
      const MlaDecodePart& part = s.parts[static_cast<std::size_t>(i)];
      cost += part.end_block - part.first_block + kDecodeRequestBlocks;
    }
    most = std::max(most, cost);
  }
  return most;
}

}  // namespace

TEST_CASE("an MLA decode schedule deals out every block once, in order") {
  for (const std::int64_t sms : {1, 2, 7, 132})
    for (const std::vector<std::int32_t>& lengths :
         {std::vector<std::int32_t>{1}, {0, 0}, {4096}, {64, 0, 65, 100000, 1}, {640, 640, 640}}) {
      const MlaDecodeSchedule s = mla_decode_schedule(lengths, 128, sms);
      CHECK(s.partitions() == std::max<std::int64_t>(1, sms / 2));
      std::size_t request = 0, split = 0;
      std::int32_t block = 0, slots = 0;
      bool right = true;
      for (const MlaDecodePart& part : s.parts) {
        const std::int32_t end = (lengths[request] + 63) / 64;
        right = right && part.request == static_cast<std::int32_t>(request) &&
                part.first_block == block && part.end_block <= end;
        const bool whole = part.first_block == 0 && part.end_block == end;
        right = right && part.slot == (whole ? -1 : slots++);
        block = part.end_block;
        if (block < end) continue;
        if (!whole) {
          const MlaDecodeSplit& at = s.splits.at(split++);
          right =
              right && at.request == part.request && at.first_slot + at.num_slots == slots &&
              s.parts[static_cast<std::size_t>(&part - s.parts.data() - at.num_slots + 1)].slot ==
                  at.first_slot;
        }
        ++request;
        block = 0;
      }
      CHECK(right);
      CHECK(request == lengths.size());
      CHECK(split == s.splits.size());
      CHECK(slots == s.num_slots);
    }
}

TEST_CASE("no partition of an MLA decode schedule costs more than the cost model's plan says") {
  for (const std::int32_t batch : {1, 3, 64, 300})
    for (const std::int32_t length : {1, 129, 4096, 65536})
      for (const std::int64_t heads : {16, 128, 256}) {
        const std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch), length);
        CHECK(costliest(mla_decode_schedule(lengths, heads, 132)) <=
              decode_plan(batch, length, heads, 132).blocks);
      }
}

TEST_CASE("naive MLA decode agrees with the reference") {
  check_decode({{100, 1, 64}, 1, 16}, mla_decode_naive);
  check_decode({{129, 0, 2}, 2, 16}, mla_decode_naive);
}

TEST_CASE("MLA decode agrees with the reference, request by request") {
  for (const Call& call : kAttentionDecodeCase.experiment->checks()) {
    const Shape& s = call.shape;
    check_decode(
        {std::vector<std::int32_t>(static_cast<std::size_t>(s[0]), static_cast<std::int32_t>(s[1])),
         static_cast<std::int32_t>(s[2]),
         static_cast<std::int32_t>(s[3])},
        mla_decode);
  }
}

TEST_CASE("MLA decode: more parts than partitions, requests split and whole") {
  check_decode({{100, 0, 64, 1, 385}, 1, 16, 2}, mla_decode);
}

TEST_CASE("MLA decode: one partition takes all requests, of odd and even numbers of pages") {
  check_decode({{129, 64, 0, 300, 1, 65, 128}, 1, 16, 1}, mla_decode);
}

TEST_CASE("MLA decode: rows that see no key of their part") {
  // The last block of the first request has one token, which the first of two query tokens does
  // not see, and is a part of its own.
  check_decode({{385, 2}, 2, 40, 10}, mla_decode);
}

}  // namespace moesim
