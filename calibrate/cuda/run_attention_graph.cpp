#include <limits>

#include "calibrate/cuda/attention_graph.hpp"

namespace moesim {
namespace {

using Dims = std::array<std::int64_t, 4>;

// Dimensions are {batch, heads, rows, width} everywhere.
Dims swapped(Dims d) {
  std::swap(d[2], d[3]);
  return d;
}
Dims packed(const Dims& d) { return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}; }

// What both passes are built from.
class GraphPieces {
 public:
  GraphPieces(const AttentionSizes& a, AttentionGraph& graph) : a_(a), graph_(graph) {}

  std::size_t tensor(const GraphTensor& t) {
    graph_.tensors.push_back(t);
    return graph_.tensors.size() - 1;
  }
  void node(const GraphNode& n) { graph_.nodes.push_back(n); }

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
    GraphTensor& t = graph_.tensors[made];
    t.dims = swapped(t.dims);
    t.strides = swapped(t.strides);
    return made;
  }
  std::size_t packed_tensor(const Dims& dims, bool has_memory = false) {
    return tensor({GraphElement::fp32, dims, packed(dims), has_memory, {}});
  }
  Dims per_query() const { return {a_.batch, a_.heads, a_.seq, 1}; }
  Dims score_dims() const { return {a_.batch, a_.heads, a_.seq, a_.keys()}; }
  std::size_t scores(GraphElement element = GraphElement::fp32) {
    const Dims dims = score_dims();
    return tensor({element, dims, packed(dims), false, {}});
  }
  std::size_t number(GraphElement element, double value) {
    return tensor({element, {1, 1, 1, 1}, {1, 1, 1, 1}, true, value});
  }
  // The tensor that a step of one or two, over scores, leaves.
  std::size_t over_scores(GraphStep step, std::size_t x, std::size_t b = kNoTensor) {
    const std::size_t y = scores();
    node({step, x, b, kNoTensor, y});
    return y;
  }
  // The same over one value a query.
  std::size_t over_queries(GraphStep step, std::size_t x, std::size_t b = kNoTensor) {
    const std::size_t y = packed_tensor(per_query());
    node({step, x, b, kNoTensor, y});
    return y;
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

 private:
  std::size_t shifted(GraphStep step, std::size_t row, std::int64_t by) {
    const std::size_t amount = number(GraphElement::int32, static_cast<double>(by)),
                      result = scores(GraphElement::int32);
    node({step, row, amount, kNoTensor, result, GraphElement::int32});
    return result;
  }

  AttentionSizes a_;
  AttentionGraph& graph_;
};

class BackwardBuilder {
 public:
  explicit BackwardBuilder(const AttentionSizes& a) : a_(a), pieces_(a, g_) {}

  AttentionBackwardGraph build() {
    make_operands();
    make_row_sums();
    const std::size_t p = probabilities();
    const std::size_t p_t = transposed_scores(p);
    pieces_.node({GraphStep::matmul, p_t, g_.d_out, kNoTensor, g_.d_v});
    const std::size_t ds = score_gradients(p);
    const std::size_t ds_t = transposed_scores(ds);
    pieces_.node({GraphStep::matmul, ds_t, g_.q, kNoTensor, g_.d_k});
    const GraphTensor& k_t = g_.tensors[g_.k];
    const std::size_t k =
        pieces_.tensor({GraphElement::fp32, swapped(k_t.dims), swapped(k_t.strides), false, {}});
    pieces_.node({GraphStep::reshape, g_.k, kNoTensor, kNoTensor, k});
    pieces_.node({GraphStep::matmul, ds, k, kNoTensor, g_.d_q_sum});
    pieces_.node({GraphStep::identity, g_.d_q_sum, kNoTensor, kNoTensor, g_.d_q});
    return std::move(g_);
  }

 private:
  void make_operands() {
    g_.q = pieces_.rows(a_.seq, a_.qk);
    g_.k = pieces_.turned_rows(a_.keys(), a_.qk);
    g_.v = pieces_.turned_rows(a_.keys(), a_.v);
    g_.out = pieces_.rows(a_.seq, a_.v);
    g_.d_out = pieces_.rows(a_.seq, a_.v);
    g_.lse = pieces_.packed_tensor(pieces_.per_query(), true);
    g_.d_q = pieces_.rows(a_.seq, a_.qk);
    g_.d_k = pieces_.rows(a_.keys(), a_.qk);
    g_.d_v = pieces_.rows(a_.keys(), a_.v);
    g_.row_sum = pieces_.packed_tensor(pieces_.per_query(), true);
    g_.d_q_sum = pieces_.packed_tensor({a_.batch, a_.heads, a_.seq, a_.qk}, true);
    scale_ = pieces_.number(GraphElement::fp32, a_.scale());
  }

  // By one: where dropout would scale.
  void make_row_sums() {
    const std::size_t products = pieces_.packed_tensor({a_.batch, a_.heads, a_.seq, a_.v});
    pieces_.node({GraphStep::mul, g_.d_out, g_.out, kNoTensor, products});
    const std::size_t sums = pieces_.over_queries(GraphStep::sum_last, products);
    const std::size_t one = pieces_.number(GraphElement::fp32, 1);
    pieces_.node({GraphStep::mul, sums, one, kNoTensor, g_.row_sum});
  }

  std::size_t probabilities() {
    const std::size_t raw = pieces_.over_scores(GraphStep::matmul, g_.q, g_.k),
                      scaled = pieces_.over_scores(GraphStep::mul, raw, scale_),
                      less = pieces_.over_scores(GraphStep::sub, scaled, g_.lse);
    return pieces_.over_scores(GraphStep::exp, pieces_.masked(less));
  }

  std::size_t score_gradients(std::size_t p) {
    const std::size_t dp = pieces_.over_scores(GraphStep::matmul, g_.d_out, g_.v),
                      less = pieces_.over_scores(GraphStep::sub, dp, g_.row_sum),
                      ds = pieces_.over_scores(GraphStep::mul, less, p);
    return pieces_.over_scores(GraphStep::mul, ds, scale_);
  }

  // In BF16, as tensor cores take it.
  std::size_t transposed_scores(std::size_t x) {
    const Dims dims = pieces_.score_dims();
    const std::size_t y =
        pieces_.tensor({GraphElement::bf16, swapped(dims), swapped(packed(dims)), false, {}});
    pieces_.node({GraphStep::reshape, x, kNoTensor, kNoTensor, y});
    return y;
  }

  AttentionSizes a_;
  AttentionBackwardGraph g_ = {};
  GraphPieces pieces_;
  std::size_t scale_ = kNoTensor;
};

}  // namespace

AttentionBackwardGraph attention_backward_graph(const AttentionSizes& a) {
  return BackwardBuilder(a).build();
}

AttentionForwardGraph attention_forward_graph(const AttentionSizes& a) {
  AttentionForwardGraph g = {};
  GraphPieces pieces(a, g);
  g.q = pieces.rows(a.seq, a.qk);
  g.k = pieces.turned_rows(a.keys(), a.qk);
  g.v = pieces.rows(a.keys(), a.v);
  g.out = pieces.rows(a.seq, a.v);
  g.lse = pieces.packed_tensor(pieces.per_query(), true);
  const std::size_t scale = pieces.number(GraphElement::fp32, a.scale());
  const std::size_t raw = pieces.over_scores(GraphStep::matmul, g.q, g.k),
                    scaled = pieces.over_scores(GraphStep::mul, raw, scale),
                    seen = pieces.masked(scaled);
  const std::size_t highest = pieces.over_queries(GraphStep::max_last, seen),
                    less = pieces.over_scores(GraphStep::sub, seen, highest),
                    e = pieces.over_scores(GraphStep::exp, less),
                    sum = pieces.over_queries(GraphStep::sum_last, e),
                    log_sum = pieces.over_queries(GraphStep::log, sum);
  pieces.node({GraphStep::add, highest, log_sum, kNoTensor, g.lse});
  const std::size_t p = pieces.scores(GraphElement::bf16);  // as tensor cores take it
  pieces.node({GraphStep::div, e, sum, kNoTensor, p});
  pieces.node({GraphStep::matmul, p, g.v, kNoTensor, g.out});
  return g;
}

}  // namespace moesim
