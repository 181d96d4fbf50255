#include <limits>

#include "calibrate/cuda/attention_graph.hpp"

namespace moesim {
namespace {

using Dims = std::array<std::int64_t, 4>;

// Dimensions are {batch, heads, rows, width} everywhere.
class GraphBuilder {
 public:
  explicit GraphBuilder(const AttentionSizes& a) : a_(a) {}

  AttentionBackwardGraph build() {
    make_operands();
    make_row_sums();
    const std::size_t p = probabilities();
    const std::size_t p_t = transposed_scores(p);
    node({GraphStep::matmul, p_t, g_.d_out, kNoTensor, g_.d_v});
    const std::size_t ds = score_gradients(p);
    const std::size_t ds_t = transposed_scores(ds);
    node({GraphStep::matmul, ds_t, g_.q, kNoTensor, g_.d_k});
    const GraphTensor& k_t = g_.tensors[g_.k];
    const std::size_t k =
        tensor({GraphElement::fp32, swapped(k_t.dims), swapped(k_t.strides), false, {}});
    node({GraphStep::reshape, g_.k, kNoTensor, kNoTensor, k});
    node({GraphStep::matmul, ds, k, kNoTensor, g_.d_q_sum});
    node({GraphStep::identity, g_.d_q_sum, kNoTensor, kNoTensor, g_.d_q});
    return std::move(g_);
  }

 private:
  static Dims swapped(Dims d) {
    std::swap(d[2], d[3]);
    return d;
  }
  static Dims packed(const Dims& d) { return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}; }

  std::size_t tensor(const GraphTensor& t) {
    g_.tensors.push_back(t);
    return g_.tensors.size() - 1;
  }
  void node(const GraphNode& n) { g_.nodes.push_back(n); }

  // Of [batch, rows, heads, width] in memory.
  std::size_t rows(std::int64_t num_rows, std::int64_t width) {
    return tensor({GraphElement::bf16,
                   {a_.batch, a_.heads, num_rows, width},
                   {num_rows * a_.heads * width, width, a_.heads * width, 1},
                   true,
                   {}});
  }
  std::size_t turned_rows(std::int64_t num_rows, std::int64_t width) {
    const std::size_t made = rows(num_rows, width);
    GraphTensor& t = g_.tensors[made];
    t.dims = swapped(t.dims);
    t.strides = swapped(t.strides);
    return made;
  }
  std::size_t packed_tensor(const Dims& dims, bool has_memory = false) {
    return tensor({GraphElement::fp32, dims, packed(dims), has_memory, {}});
  }
  Dims score_dims() const { return {a_.batch, a_.heads, a_.seq, a_.keys()}; }
  std::size_t scores(GraphElement element = GraphElement::fp32) {
    const Dims dims = score_dims();
    return tensor({element, dims, packed(dims), false, {}});
  }
  std::size_t number(GraphElement element, double value) {
    return tensor({element, {1, 1, 1, 1}, {1, 1, 1, 1}, true, value});
  }
  // The tensor that a step of two, over scores, leaves.
  std::size_t over_scores(GraphStep step, std::size_t x, std::size_t b) {
    const std::size_t y = scores();
    node({step, x, b, kNoTensor, y});
    return y;
  }

  void make_operands() {
    const Dims per_query = {a_.batch, a_.heads, a_.seq, 1};
    g_.q = rows(a_.seq, a_.qk);
    g_.k = turned_rows(a_.keys(), a_.qk);
    g_.v = turned_rows(a_.keys(), a_.v);
    g_.out = rows(a_.seq, a_.v);
    g_.d_out = rows(a_.seq, a_.v);
    g_.lse = packed_tensor(per_query, true);
    g_.d_q = rows(a_.seq, a_.qk);
    g_.d_k = rows(a_.keys(), a_.qk);
    g_.d_v = rows(a_.keys(), a_.v);
    g_.row_sum = packed_tensor(per_query, true);
    g_.d_q_sum = packed_tensor({a_.batch, a_.heads, a_.seq, a_.qk}, true);
    scale_ = number(GraphElement::fp32, a_.scale());
  }

  // By one: where dropout would scale.
  void make_row_sums() {
    const std::size_t products = packed_tensor({a_.batch, a_.heads, a_.seq, a_.v}),
                      sums = packed_tensor({a_.batch, a_.heads, a_.seq, 1});
    node({GraphStep::mul, g_.d_out, g_.out, kNoTensor, products});
    node({GraphStep::sum_last, products, kNoTensor, kNoTensor, sums});
    node({GraphStep::mul, sums, number(GraphElement::fp32, 1), kNoTensor, g_.row_sum});
  }

  std::size_t probabilities() {
    const std::size_t raw = over_scores(GraphStep::matmul, g_.q, g_.k),
                      scaled = over_scores(GraphStep::mul, raw, scale_),
                      less = over_scores(GraphStep::sub, scaled, g_.lse), p = scores();
    node({GraphStep::exp, masked(less), kNoTensor, kNoTensor, p});
    return p;
  }

  // Query i sees keys 0 ... keys - seq + i.
  std::size_t masked(std::size_t unmasked) {
    std::size_t row = scores(GraphElement::int32);
    const std::size_t column = scores(GraphElement::int32);
    node({GraphStep::index, unmasked, kNoTensor, kNoTensor, row, GraphElement::fp32, 2});
    node({GraphStep::index, unmasked, kNoTensor, kNoTensor, column, GraphElement::fp32, 3});
    if (a_.prefix > 0) {
      row = shifted(GraphStep::add, row, a_.keys());
      row = shifted(GraphStep::sub, row, a_.seq);
    }
    const std::size_t seen = scores(GraphElement::boolean), result = scores();
    node({GraphStep::at_least, row, column, kNoTensor, seen, GraphElement::boolean});
    const std::size_t nothing =
        number(GraphElement::fp32, -std::numeric_limits<double>::infinity());
    node({GraphStep::select, unmasked, nothing, seen, result});
    return result;
  }
  std::size_t shifted(GraphStep step, std::size_t row, std::int64_t by) {
    const std::size_t amount = number(GraphElement::int32, static_cast<double>(by)),
                      result = scores(GraphElement::int32);
    node({step, row, amount, kNoTensor, result, GraphElement::int32});
    return result;
  }

  std::size_t score_gradients(std::size_t p) {
    const std::size_t dp = over_scores(GraphStep::matmul, g_.d_out, g_.v),
                      less = over_scores(GraphStep::sub, dp, g_.row_sum),
                      ds = over_scores(GraphStep::mul, less, p);
    return over_scores(GraphStep::mul, ds, scale_);
  }

  // In BF16, as tensor cores take it.
  std::size_t transposed_scores(std::size_t x) {
    const Dims dims = score_dims();
    const std::size_t y =
        tensor({GraphElement::bf16, swapped(dims), swapped(packed(dims)), false, {}});
    node({GraphStep::reshape, x, kNoTensor, kNoTensor, y});
    return y;
  }

  AttentionSizes a_;
  AttentionBackwardGraph g_ = {};
  std::size_t scale_ = kNoTensor;
};

}  // namespace

AttentionBackwardGraph attention_backward_graph(const AttentionSizes& a) {
  return GraphBuilder(a).build();
}

}  // namespace moesim
