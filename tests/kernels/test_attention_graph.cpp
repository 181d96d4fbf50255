// The graphs that cuDNN is given for attention, computed here step by step as each step is defined
// (the backward's on operands that our forward kernel made): they have to give the cases' results.
#include <cmath>
#include <cstring>
#include <set>

#include "calibrate/case.hpp"
#include "calibrate/cuda/library_attention.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr std::size_t kDims = 4;
using GraphIndex = std::array<std::int64_t, kDims>;

// Values of a tensor by its dimensions, in order; where it has memory, read and written by its
// strides.
class GraphRun {
 public:
  GraphRun(const AttentionGraph& graph, const std::vector<void*>& memory)
      : graph_(graph), memory_(memory), values_(graph.tensors.size()) {}
  void run() {
    for (const GraphNode& node : graph_.nodes) compute(node);
  }

 private:
  const GraphTensor& tensor(std::size_t t) const { return graph_.tensors[t]; }

  static std::size_t place(const GraphTensor& t, const GraphIndex& i) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < kDims; ++d) at = at * t.dims[d] + (t.dims[d] == 1 ? 0 : i[d]);
    return static_cast<std::size_t>(at);
  }
  static std::size_t offset(const GraphTensor& t, const GraphIndex& i) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < kDims; ++d) at += t.strides[d] * i[d];
    return static_cast<std::size_t>(at);
  }
  template <class Visit>
  static void each(const GraphTensor& t, const Visit& visit) {
    for (GraphIndex i{}; i[0] < t.dims[0]; ++i[0])
      for (i[1] = 0; i[1] < t.dims[1]; ++i[1])
        for (i[2] = 0; i[2] < t.dims[2]; ++i[2])
          for (i[3] = 0; i[3] < t.dims[3]; ++i[3]) visit(i);
  }

  const std::vector<double>& read(std::size_t index) {
    std::vector<double>& values = values_[index];
    const GraphTensor& t = tensor(index);
    if (!values.empty()) return values;
    REQUIRE(t.has_memory);  // of the others, who reads comes after who writes
    if (t.value) return values = {*t.value};
    each(t, [&](const GraphIndex& i) {
      const std::size_t at = offset(t, i);
      values.push_back(t.element == GraphElement::bf16
                           ? to_float(static_cast<const Bf16*>(memory_[index])[at])
                           : static_cast<const float*>(memory_[index])[at]);
    });
    return values;
  }
  void write(std::size_t index, std::vector<double> values) {
    const GraphTensor& t = tensor(index);
    std::size_t next = 0;
    if (t.has_memory)
      each(t, [&](const GraphIndex& i) {
        const auto value = static_cast<float>(values[next++]);
        if (t.element == GraphElement::bf16)
          static_cast<Bf16*>(memory_[index])[offset(t, i)] = to_bf16(value);
        else
          static_cast<float*>(memory_[index])[offset(t, i)] = value;
      });
    REQUIRE(values_[index].empty());  // written once
    values_[index] = std::move(values);
  }

  static double of_two(GraphStep step, double x, double b) {
    switch (step) {
      case GraphStep::mul: return x * b;
      case GraphStep::add: return x + b;
      case GraphStep::sub: return x - b;
      case GraphStep::div: return x / b;
      default: return x >= b ? 1 : 0;
    }
  }

  std::vector<double> product(const GraphNode& node) {
    const GraphTensor &x = tensor(node.x), &b = tensor(node.b), &y = tensor(node.y);
    REQUIRE(x.dims[3] == b.dims[2]);
    REQUIRE(y.dims == std::array{x.dims[0], x.dims[1], x.dims[2], b.dims[3]});
    const std::vector<double>&left = read(node.x), &right = read(node.b);
    std::vector<double> values;
    each(y, [&](const GraphIndex& i) {
      double sum = 0;
      for (std::int64_t l = 0; l < x.dims[3]; ++l)
        sum += left[place(x, {i[0], i[1], i[2], l})] * right[place(b, {i[0], i[1], l, i[3]})];
      values.push_back(sum);
    });
    return values;
  }

  // Element by element; a dimension of 1 is the same for all.
  double element(const GraphNode& node, const GraphIndex& i) {
    const auto at = [&](std::size_t index) { return read(index)[place(tensor(index), i)]; };
    switch (node.step) {
      case GraphStep::index: return static_cast<double>(i[static_cast<std::size_t>(node.axis)]);
      case GraphStep::exp: return std::exp(at(node.x));
      case GraphStep::log: return std::log(at(node.x));
      case GraphStep::identity: return at(node.x);
      case GraphStep::select: return at(node.t) != 0 ? at(node.x) : at(node.b);
      default: return of_two(node.step, at(node.x), at(node.b));
    }
  }

  // By strides: the element of x that lies where that of y does.
  std::vector<double> turned(const GraphNode& node) {
    const GraphTensor &x = tensor(node.x), &y = tensor(node.y);
    const std::vector<double>& from = read(node.x);
    std::vector<double> by_offset(from.size());
    std::size_t next = 0;
    const bool is_packed = *std::max_element(x.strides.begin(), x.strides.end()) > 0;
    REQUIRE(is_packed);
    each(x, [&](const GraphIndex& i) { by_offset.at(offset(x, i)) = from[next++]; });
    std::vector<double> values;
    each(y, [&](const GraphIndex& i) { values.push_back(by_offset.at(offset(y, i))); });
    return values;
  }

  void compute(const GraphNode& node) {
    const GraphTensor& y = tensor(node.y);
    std::vector<double> values;
    if (node.step == GraphStep::matmul) {
      values = product(node);
    } else if (node.step == GraphStep::reshape) {
      values = turned(node);
    } else if (node.step == GraphStep::sum_last || node.step == GraphStep::max_last) {
      const GraphTensor& x = tensor(node.x);
      const std::vector<double>& from = read(node.x);
      each(y, [&](const GraphIndex& i) {
        double sum = 0, highest = -INFINITY;
        for (std::int64_t l = 0; l < x.dims[3]; ++l) {
          const double value = from[place(x, {i[0], i[1], i[2], l})];
          sum += value;
          highest = std::max(highest, value);
        }
        values.push_back(node.step == GraphStep::sum_last ? sum : highest);
      });
    } else {
      each(y, [&](const GraphIndex& i) { values.push_back(element(node, i)); });
    }
    write(node.y, std::move(values));
  }

  const AttentionGraph& graph_;
  const std::vector<void*>& memory_;
  std::vector<std::vector<double>> values_;
};

}  // namespace

TEST_CASE("attention backward: the graph for cuDNN gives the case's gradients", "[library]") {
  const Case& of = *find_case("attention_backward");
  for (const Call& call : of.experiment->checks()) {
    GpuCall gpu;
    gpu.seed = 1;
    const LibraryAttentionBackward p = attention_backward_operands(call, gpu);
    gpu.launch = [&p](Stream) { GraphRun(p.graph, p.memory).run(); };
    const Arrays found = gpu.checked_outputs(),
                 expected = of.experiment->outputs(call, of.experiment->inputs(call, 1));
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO(found[i].name << " of " << call.shape[0] << " " << call.shape[1] << " "
                         << call.shape[2]);
      REQUIRE(found[i].values.size() == expected[i].values.size());
      CHECK(relative_l2(found[i].values, expected[i].values) < of.experiment->tolerance);
    }
  }
}

TEST_CASE("attention forward: the graph for cuDNN gives the case's result", "[library]") {
  const Case& of = *find_case("attention_forward");
  for (const Call& call : of.experiment->checks()) {
    GpuCall gpu;
    gpu.seed = 1;
    const LibraryAttentionForward p = attention_forward_operands(call, gpu);
    gpu.launch = [&p](Stream) { GraphRun(p.graph, p.memory).run(); };
    const Arrays found = gpu.checked_outputs(),
                 expected = of.experiment->outputs(call, of.experiment->inputs(call, 1));
    REQUIRE(found.size() == 1);
    CHECK(relative_l2(found[0].values, expected[0].values) < of.experiment->tolerance);
    // What the backward reads: for the first query of a head, its only score where no prefix is.
    if (call.shape[2] > 0) continue;
    const Arrays in = of.experiment->inputs(call, 1);
    double score = 0;
    for (std::size_t i = 0; i < 192; ++i)
      score += static_cast<double>(in[0].values[i]) * in[1].values[i];
    CHECK(static_cast<const float*>(p.memory[p.graph.lse])[0] ==
          Approx(score / std::sqrt(192.0)).epsilon(1e-5));
  }
}

TEST_CASE("attention backward: every tensor of the graph with memory is given some", "[library]") {
  GpuCall gpu;
  const LibraryAttentionBackward p =
      attention_backward_operands({{2, 80, 0, 2, 192, 128}, {}, 0, false}, gpu);
  std::set<const void*> places;
  for (std::size_t t = 0; t < p.graph.tensors.size(); ++t) {
    const GraphTensor& tensor = p.graph.tensors[t];
    const bool on_gpu = tensor.has_memory && !tensor.value;
    CHECK((p.memory[t] != nullptr) == on_gpu);
    if (on_gpu) CHECK(places.insert(p.memory[t]).second);
  }
  CHECK(places.size() == 11);
}
