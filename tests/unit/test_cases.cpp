// What a case says of its operation: the CPU references, checked against calculations of their own,
// and the grids of shapes.
#include <cmath>
#include <numeric>
#include <set>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/measure_plan.hpp"
#include "calibrate/reference_fp8.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

const Experiment& experiment_of(std::string_view op) {
  const Case* const of = find_case(op);
  REQUIRE(of != nullptr);
  REQUIRE(of->experiment != nullptr);
  return *of->experiment;
}

// All magnitudes that E4M3 can hold, from its bits.
std::vector<double> e4m3_magnitudes() {
  std::vector<double> all;
  for (int bits = 0; bits < 127; ++bits) {  // 127 is NaN
    const int exponent = bits / 8, mantissa = bits % 8;
    all.push_back(exponent == 0 ? std::ldexp(mantissa, -9)
                                : std::ldexp(8 + mantissa, exponent - 10));
  }
  return all;
}

Arrays results(std::string_view op, const Call& call, Arrays inputs) {
  return experiment_of(op).outputs(call, inputs);
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

TEST_CASE("cases: E4M3 rounds to the nearest code and ties to even") {
  const std::vector<double> codes = e4m3_magnitudes();
  CHECK(codes.back() == 448);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    INFO("code " << i << " is " << codes[i]);
    CHECK(round_e4m3(static_cast<float>(codes[i])) == codes[i]);
    CHECK(round_e4m3(static_cast<float>(-codes[i])) == -codes[i]);
    if (i + 1 == codes.size()) break;
    const double middle = (codes[i] + codes[i + 1]) / 2;  // exact in FP32
    CHECK(round_e4m3(static_cast<float>(middle)) == codes[i % 2 == 0 ? i : i + 1]);
    CHECK(round_e4m3(std::nextafter(static_cast<float>(middle), 0.0F)) == codes[i]);
    CHECK(round_e4m3(std::nextafter(static_cast<float>(middle), 1e9F)) == codes[i + 1]);
  }
  CHECK(round_e4m3(460) == 448);
  CHECK(round_e4m3(-1e30F) == -448);
  CHECK(std::isnan(round_e4m3(NAN)));
}

TEST_CASE("cases: quantising scales by the largest magnitude of a block") {
  std::vector<float> values(2 * 130);  // two rows: a block of 128, and one of 2
  values[5] = -2;
  values[6] = 1;
  values[129] = 0.5;
  values[130 + 7] = 8;
  const Scaled rows = quantise_rows(values, 2, 130);
  REQUIRE(rows.scales.size() == 4);
  CHECK(rows.scales[0] == 2.0F / 448);
  CHECK(rows.scales[1] == 0.5F / 448);
  CHECK(rows.scales[2] == 8.0F / 448);
  CHECK(rows.scales[3] == 1e-4F / 448);  // zeros
  CHECK(rows.codes[5] == -448);
  CHECK(rows.codes[6] == 224);
  CHECK(rows.codes[129] == 448);
  CHECK(rows.codes[130 + 7] == 448);

  const Scaled blocks = quantise_blocks(values, 2, 130);
  REQUIRE(blocks.scales.size() == 2);
  CHECK(blocks.scales[0] == 8.0F / 448);
  CHECK(blocks.codes[5] == -112);
}

TEST_CASE("cases: inputs are near a standard normal and those of the hash") {
  const std::vector<float> values = normal_values(100000, 1, 0);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 1e5;
  CHECK(std::abs(mean) < 0.01);
  CHECK(dot(values, values) / 1e5 == Approx(1).epsilon(0.01));
  CHECK(normal_values(100000, 1, 0) == values);
  CHECK(normal_values(100000, 1, 1) != values);
  CHECK(normal_values(100000, 2, 0) != values);
  // A GPU that fills its own buffers has to come to the same.
  CHECK(normal_values(2, 1, 0) == std::vector<float>{values[0], values[1]});
  CHECK(round_bf16(1 + 0x1p-8F) == 1);
  CHECK(round_bf16(1 + 3 * 0x1p-8F) == 1 + 0x1p-6F);
  CHECK(round_bf16(1 + 0x1.1p-8F) == 1 + 0x1p-7F);

  std::vector<std::int64_t> order = permutation(1000, 1);
  CHECK(order != permutation(1000, 2));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<std::int64_t>(i));
}

TEST_CASE("cases: relative L2 error sees what was not written") {
  CHECK(relative_l2({3, 4}, {3, 4}) == 0);
  CHECK(relative_l2({3, 5}, {3, 4}) == Approx(0.2));
  CHECK(std::isinf(relative_l2({3, NAN}, {3, 4})));
  CHECK(relative_l2({0, 0}, {0, 0}) == 0);
  CHECK(std::isinf(relative_l2({0, 1e-9F}, {0, 0})));
}

TEST_CASE("cases: the FP8 GEMM is the product of what its codes stand for") {
  const Call call{{3, 200, 256}, {}, 0, false};
  const Arrays in = experiment_of("gemm_fp8").inputs(call, 1);
  const Arrays out = results("gemm_fp8", call, in);
  REQUIRE(out[0].values.size() == 600);
  for (const std::size_t row : {0U, 2U})
    for (const std::size_t column : {0U, 127U, 128U, 199U}) {
      double sum = 0;
      for (std::size_t k = 0; k < 256; ++k)
        sum += static_cast<double>(in[0].values[row * 256 + k]) * in[1].values[row * 2 + k / 128] *
               in[2].values[column * 256 + k] * in[3].values[column / 128 * 2 + k / 128];
      CHECK(out[0].values[row * 200 + column] == Approx(sum).epsilon(1e-6));
    }
}

TEST_CASE("cases: a grouped GEMM is one GEMM for each group") {
  const Call call{{3, 7, 130, 256}, {2, 0, 5}, 0, false};
  const Arrays in = experiment_of("grouped_gemm_fp8").inputs(call, 1);
  const Arrays out = results("grouped_gemm_fp8", call, in);
  const auto part = [](const Array& a, std::size_t from, std::size_t size) {
    const auto begin = a.values.begin() + static_cast<std::ptrdiff_t>(from);
    return Array{a.name, a.element, {begin, begin + static_cast<std::ptrdiff_t>(size)}};
  };
  const Arrays third = {part(in[0], 2 * 256, 5 * 256),
                        part(in[1], 2 * 2, 5 * 2),
                        part(in[2], 2 * 130 * 256, 130 * 256),
                        part(in[3], 2 * 2 * 2, 2 * 2)};
  CHECK(results("gemm_fp8", {{5, 130, 256}, {}, 0, false}, third)[0].values ==
        part(out[0], 2 * 130, 5 * 130).values);
  // Without counts the first groups have one row more.
  Call even = call;
  even.counts.clear();
  Call counted = call;
  counted.counts = {3, 2, 2};
  CHECK(results("grouped_gemm_fp8", even, in)[0].values ==
        results("grouped_gemm_fp8", counted, in)[0].values);
}

TEST_CASE("cases: the weight gradient adds to what is there") {
  const Call call{{2, 3, 256}, {}, 0, false};
  Arrays in = experiment_of("gemm_fp8_wgrad").inputs(call, 1);
  const std::vector<float> with = results("gemm_fp8_wgrad", call, in)[0].values;
  const std::vector<float> before = in[4].values;
  in[4].values.assign(in[4].values.size(), 0);
  const std::vector<float> alone = results("gemm_fp8_wgrad", call, in)[0].values;
  for (std::size_t i = 0; i < with.size(); ++i)
    CHECK(with[i] == Approx(before[i] + alone[i]).epsilon(1e-5));
  double sum = 0;  // row 1, column 2
  for (std::size_t k = 0; k < 256; ++k)
    sum += static_cast<double>(in[0].values[256 + k]) * in[1].values[2 + k / 128] *
           in[2].values[512 + k] * in[3].values[4 + k / 128];
  CHECK(alone[5] == Approx(sum).epsilon(1e-6));
}

TEST_CASE("cases: attention sees its prefix and nothing of the future") {
  const Call call{{1, 3, 2, 2, 4, 3}, {}, 0, false};
  Arrays in = experiment_of("attention_forward").inputs(call, 1);
  const std::vector<float> all = results("attention_forward", call, in)[0].values;
  // The last key is the last query's alone: [keys, heads, width].
  for (std::size_t i = 4 * 2 * 3; i < 5 * 2 * 3; ++i) in[2].values[i] += 1;
  const std::vector<float> changed = results("attention_forward", call, in)[0].values;
  for (std::size_t i = 0; i < all.size(); ++i) CHECK((all[i] == changed[i]) == (i < 2 * 2 * 3));
  // Equal keys are weighted equally: the first query has the mean of three values.
  in[1].values.assign(in[1].values.size(), 0.5F);
  const std::vector<float> mean = results("attention_forward", call, in)[0].values;
  const std::vector<float>& v = in[2].values;
  CHECK(mean[0] == Approx((v[0] + v[6] + v[12]) / 3));
}

TEST_CASE("cases: the gradient of attention agrees with finite differences") {
  const Call call{{2, 4, 3, 2, 5, 3}, {}, 0, false};
  const Arrays in = experiment_of("attention_backward").inputs(call, 1);
  const Arrays gradients = results("attention_backward", call, in);
  REQUIRE(gradients.size() == 3);
  for (std::size_t operand = 0; operand < 3; ++operand)
    for (std::size_t i = 0; i < in[operand].values.size(); i += 7) {
      constexpr float kStep = 1.0F / 64;
      Arrays up = in, down = in;
      up[operand].values[i] += kStep;
      down[operand].values[i] -= kStep;
      const double difference =
          dot(results("attention_forward", call, up)[0].values, in[3].values) -
          dot(results("attention_forward", call, down)[0].values, in[3].values);
      INFO(gradients[operand].name << " " << i);
      CHECK(gradients[operand].values[i] == Approx(difference / (2 * kStep)).margin(2e-3));
    }
}

TEST_CASE("cases: decode returns the cached values its scores choose") {
  // One cached token: its value, and its score as the log-sum.
  const Call one{{2, 1, 1, 3}, {}, 0, false};
  const Arrays in = experiment_of("attention_decode").inputs(one, 1);
  const Arrays out = results("attention_decode", one, in);
  for (std::size_t request = 0; request < 2; ++request)
    for (std::size_t head = 0; head < 3; ++head) {
      const std::size_t row = request * 3 + head;
      double score = 0;
      for (std::size_t d = 0; d < 576; ++d)
        score += static_cast<double>(in[0].values[row * 576 + d]) * in[1].values[request * 576 + d];
      CHECK(out[1].values[row] == Approx(score / std::sqrt(192.0)));
      CHECK(out[0].values[row * 512 + 511] == Approx(in[1].values[request * 576 + 511]));
    }
  // Of two query tokens the first does not see the last cached one.
  const Call two{{1, 5, 2, 1}, {}, 0, false};
  Arrays both = experiment_of("attention_decode").inputs(two, 1);
  const Arrays before = results("attention_decode", two, both);
  both[1].values[4 * 576] += 1;
  const Arrays after = results("attention_decode", two, both);
  CHECK(before[1].values[0] == after[1].values[0]);
  CHECK(before[1].values[1] != after[1].values[1]);
}

TEST_CASE("cases: memory-bound references move what they should") {
  const Call cast = bytes_call(2 * (7168 * 3 + 224));
  const Arrays x = experiment_of("cast").inputs(cast, 1);
  const Arrays codes = results("cast", cast, x);
  double worst = 0;
  for (std::size_t i = 0; i < x[0].values.size(); ++i)
    worst = std::max(worst,
                     std::abs(static_cast<double>(codes[0].values[i]) * codes[1].values[i / 128] -
                              x[0].values[i]) /
                         std::max(0.1, static_cast<double>(std::abs(x[0].values[i]))));
  CHECK(worst < 1.0 / 16 + 1e-6);  // half a step of three bits
  CHECK(worst > 1.0 / 20);

  const Call strip = bytes_call(128 * 1536 * 3 + 1536 * 4);
  const Arrays tokens = experiment_of("cast_transpose").inputs(strip, 1);
  const Arrays turned = results("cast_transpose", strip, tokens);
  REQUIRE(turned[1].values.size() == 1536);
  CHECK(turned[0].values[3 * 128 + 100] * turned[1].values[3] ==
        Approx(tokens[0].values[100 * 1536 + 3]).epsilon(0.07));

  const Call permute = bytes_call(5 * 3 * (7168 + 224));
  const Arrays rows = experiment_of("permute").inputs(permute, 1);
  const Arrays permuted = results("permute", permute, rows);
  REQUIRE(permuted[0].values.size() == 10 * 7168);
  std::multiset<float> sources(rows[2].values.begin(), rows[2].values.end());
  for (int token = 0; token < 5; ++token) CHECK(sources.count(static_cast<float>(token)) == 2);
  for (std::size_t row = 0; row < 10; ++row) {
    const auto source = static_cast<std::size_t>(rows[2].values[row]);
    CHECK(permuted[0].values[row * 7168 + 9] == rows[0].values[source * 7168 + 9]);
    CHECK(permuted[1].values[row * 56 + 55] == rows[1].values[source * 56 + 55]);
  }

  const Call unpermute = bytes_call(3 * 3 * 7168 * 2);
  const Arrays parts = experiment_of("unpermute").inputs(unpermute, 1);
  const Arrays summed = results("unpermute", unpermute, parts);
  const auto part = [&](std::size_t i) {
    return static_cast<double>(parts[2].values[i]) *
           parts[0].values[static_cast<std::size_t>(parts[1].values[i]) * 7168 + 1];
  };
  CHECK(summed[0].values[7168 + 1] == Approx(part(2) + part(3)));
}

TEST_CASE("cases: norms and activations by their formulas") {
  const Call norm = bytes_call(7168 * 8);
  const Arrays x = experiment_of("rmsnorm").inputs(norm, 1);
  const Arrays normed = results("rmsnorm", norm, x);
  CHECK(normed[1].values[10] == x[0].values[10] + x[1].values[10]);
  const double mean_square = dot(normed[1].values, normed[1].values) / 7168;
  for (const std::size_t i : {0U, 100U, 7167U})
    CHECK(normed[0].values[i] ==
          Approx(normed[1].values[i] * x[2].values[i] / std::sqrt(mean_square)));

  const Call swiglu = bytes_call(2048 * 5 + 64);
  const Arrays gate_up = experiment_of("swiglu").inputs(swiglu, 1);
  const Arrays act = results("swiglu", swiglu, gate_up);
  const double gate = gate_up[0].values[200], up = gate_up[0].values[2048 + 200];
  CHECK(static_cast<double>(act[0].values[200]) * act[1].values[1] ==
        Approx(gate / (1 + std::exp(-gate)) * up).epsilon(0.07));

  // Rotation keeps lengths, leaves the first row and the first 128 channels as they are.
  const Call rope = bytes_call(3 * 128 * 64 * 4);
  const Arrays before = experiment_of("rope").inputs(rope, 1);
  const Arrays after = results("rope", rope, before);
  const std::size_t row = 128 * 192, second = row + 192 + 128;  // token 1, head 1
  for (std::size_t i = 0; i < row; ++i) CHECK(after[0].values[i] == before[0].values[i]);
  CHECK(after[0].values[second - 1] == before[0].values[second - 1]);
  const double a = before[0].values[second], b = before[0].values[second + 1];
  CHECK(after[0].values[second] == Approx(a * std::cos(1.0) - b * std::sin(1.0)));
  CHECK(after[0].values[second + 1] == Approx(a * std::sin(1.0) + b * std::cos(1.0)));
}

TEST_CASE("cases: every grid is fit to be measured") {
  std::size_t num_measured = 0;
  for (const Case* of : cases()) {
    if (of->experiment == nullptr) continue;
    ++num_measured;
    INFO(of->op);
    std::set<std::string> keys;
    Tier tier = Tier::core;
    for (const GridCall& g : of->experiment->grid(132)) {
      INFO(call_text(*of, g.call));
      CHECK(keys.insert(call_key(*of, g.call)).second);
      CHECK(g.tier >= tier);
      tier = g.tier;
      REQUIRE(g.call.shape.size() == of->axes.size());
      CHECK(*std::min_element(g.call.shape.begin(), g.call.shape.end()) >= 0);
      CHECK((g.call.sms == 0 || g.call.sms < 132));
      if (g.call.counts.empty()) continue;
      CHECK(g.call.counts.size() == static_cast<std::size_t>(g.call.shape[0]));
      CHECK(std::accumulate(g.call.counts.begin(), g.call.counts.end(), std::int64_t{0}) ==
            g.call.shape[1]);
    }
    CHECK(keys.size() > 15);
    CHECK(of->experiment->checks().size() >= 2);
  }
  CHECK(num_measured == 26);
  CHECK(find_case("scale_copy")->experiment == nullptr);
}

TEST_CASE("cases: what a case counts as its bytes is what its reference holds") {
  const auto bytes_of = [](const Arrays& arrays) {
    double bytes = 0;
    for (const Array& a : arrays) {
      const double each = a.element == Element::e4m3 ? 1 : a.element == Element::bf16 ? 2 : 4;
      bytes += each * static_cast<double>(a.values.size());
    }
    return bytes;
  };
  // Those that read and write every array they are given once.
  for (const char* op : {"cast",
                         "cast_back",
                         "cast_transpose",
                         "recast_transpose",
                         "weight_transpose",
                         "swiglu",
                         "swiglu_backward",
                         "adam",
                         "elementwise"}) {
    const Experiment& experiment = experiment_of(op);
    for (const Call& call : experiment.checks()) {
      const Arrays in = experiment.inputs(call, 1);
      INFO(op);
      CHECK(bytes_of(in) + bytes_of(experiment.outputs(call, in)) ==
            static_cast<double>(call.shape[0]));
    }
  }
}

}  // namespace moesim
