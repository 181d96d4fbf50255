// cuDNN's graph API as far as attention needs it: the library, looked for when the program runs,
// the descriptors of a graph (calibrate/cuda/attention_graph.hpp), and the engine that runs it. For
// library_cudnn.cpp alone.
#pragma once

#include <cudnn.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/comm/shared_library.hpp"
#include "calibrate/cuda/attention_graph.hpp"

namespace moesim {

// Before, sums of dQ have to be zeroed and keys padded to 128 by the caller (cudnn-frontend).
inline constexpr std::size_t kOldestCudnn = 91600;

struct CudnnApi {
  decltype(&::cudnnGetVersion) version = nullptr;
  decltype(&::cudnnGetErrorString) error_text = nullptr;
  decltype(&::cudnnGetLastErrorString) last_error = nullptr;
  decltype(&::cudnnCreate) create = nullptr;
  decltype(&::cudnnSetStream) set_stream = nullptr;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&::cudnnBackendSetAttribute) set = nullptr;
  decltype(&::cudnnBackendGetAttribute) get = nullptr;
  decltype(&::cudnnBackendFinalize) finalize = nullptr;
  decltype(&::cudnnBackendExecute) execute = nullptr;

  CudnnApi() {
    const comm::SharedLibrary library("cuDNN", {"libcudnn.so.9", "libcudnn.so"});
    library.find(version, "cudnnGetVersion");
    library.find(error_text, "cudnnGetErrorString");
    library.find(last_error, "cudnnGetLastErrorString");
    library.find(create, "cudnnCreate");
    library.find(set_stream, "cudnnSetStream");
    library.find(create_descriptor, "cudnnBackendCreateDescriptor");
    library.find(destroy_descriptor, "cudnnBackendDestroyDescriptor");
    library.find(set, "cudnnBackendSetAttribute");
    library.find(get, "cudnnBackendGetAttribute");
    library.find(finalize, "cudnnBackendFinalize");
    library.find(execute, "cudnnBackendExecute");
    if (version() < kOldestCudnn)
      throw std::runtime_error("cuDNN is version " + version_text() + "; needed is " +
                               version_text(kOldestCudnn) + " or newer");
  }

  std::string version_text() const { return version_text(version()); }
  static std::string version_text(std::size_t v) {  // 91900
    return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
           std::to_string(v % 100);
  }

  void check(cudnnStatus_t status, const char* what) const {
    if (status == CUDNN_STATUS_SUCCESS) return;
    char reason[1024] = {};
    last_error(reason, sizeof reason);
    std::string text = "cuDNN " + version_text() + ", " + what + ": " + error_text(status);
    if (reason[0] != 0) text += std::string(": ") + reason;
    std::replace(text.begin(), text.end(), '\n', ' ');
    throw std::runtime_error(text);
  }
};

// One descriptor of the graph API. What others refer to has to outlive them.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type) : api_(&api) {
    api_->check(api_->create_descriptor(type, &made_), "descriptor");
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept
      : api_(other.api_), made_(std::exchange(other.made_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;
  ~CudnnDescriptor() {
    if (made_ != nullptr) api_->destroy_descriptor(made_);
  }

  template <class T>
  void set(cudnnBackendAttributeName_t name,
           cudnnBackendAttributeType_t type,
           const T* values,
           std::size_t count) {
    api_->check(api_->set(made_, name, type, static_cast<std::int64_t>(count), values),
                "attribute");
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    set(name, type, &value, 1);
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& other) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.made_);
  }
  void finalize(const char* what) { api_->check(api_->finalize(made_), what); }
  cudnnBackendDescriptor_t get() const { return made_; }

 private:
  const CudnnApi* api_;
  cudnnBackendDescriptor_t made_ = nullptr;
};

inline cudnnDataType_t data_type(GraphElement element) {
  switch (element) {
    case GraphElement::bf16: return CUDNN_DATA_BFLOAT16;
    case GraphElement::fp32: return CUDNN_DATA_FLOAT;
    case GraphElement::int32: return CUDNN_DATA_INT32;
    case GraphElement::boolean: break;
  }
  return CUDNN_DATA_BOOLEAN;
}

inline std::int64_t unique_id(std::size_t tensor) { return static_cast<std::int64_t>(tensor) + 1; }

inline CudnnDescriptor describe(const CudnnApi& api, const GraphTensor& t, std::size_t index) {
  constexpr std::int64_t kAlignment = 16;
  CudnnDescriptor d(api, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, data_type(t.element));
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, t.dims.data(), t.dims.size());
  d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, t.strides.data(), t.strides.size());
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, unique_id(index));
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
  d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, !t.has_memory);
  d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, t.value.has_value());
  d.finalize("tensor");
  return d;
}

inline cudnnPointwiseMode_t pointwise_mode(GraphStep step) {
  switch (step) {
    case GraphStep::mul: return CUDNN_POINTWISE_MUL;
    case GraphStep::add: return CUDNN_POINTWISE_ADD;
    case GraphStep::sub: return CUDNN_POINTWISE_SUB;
    case GraphStep::div: return CUDNN_POINTWISE_DIV;
    case GraphStep::log: return CUDNN_POINTWISE_LOG;
    case GraphStep::exp: return CUDNN_POINTWISE_EXP;
    case GraphStep::index: return CUDNN_POINTWISE_GEN_INDEX;
    case GraphStep::at_least: return CUDNN_POINTWISE_CMP_GE;
    case GraphStep::select: return CUDNN_POINTWISE_BINARY_SELECT;
    default: return CUDNN_POINTWISE_IDENTITY;
  }
}

// Descriptors of a graph's tensors and operations: no GPU is asked for these.
class CudnnOperations {
 public:
  CudnnOperations(const CudnnApi& api, const AttentionGraph& graph) : api_(api) {
    for (std::size_t i = 0; i < graph.tensors.size(); ++i)
      tensors_.push_back(describe(api, graph.tensors[i], i));
    for (const GraphNode& node : graph.nodes) {
      if (node.step == GraphStep::matmul)
        add_matmul(node);
      else if (node.step == GraphStep::sum_last || node.step == GraphStep::max_last)
        add_reduction(node);
      else if (node.step == GraphStep::reshape)
        add_reshape(node);
      else
        add_pointwise(node);
    }
  }
  std::vector<cudnnBackendDescriptor_t> operations() const {
    std::vector<cudnnBackendDescriptor_t> all;
    for (const CudnnDescriptor& d : operations_) all.push_back(d.get());
    return all;
  }

 private:
  CudnnDescriptor& operation(cudnnBackendDescriptorType_t type) {
    return operations_.emplace_back(api_, type);
  }
  CudnnDescriptor& kind(cudnnBackendDescriptorType_t type) {
    return kinds_.emplace_back(api_, type);
  }

  void add_matmul(const GraphNode& n) {
    CudnnDescriptor& how = kind(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, data_type(n.math));
    how.finalize("product");
    CudnnDescriptor& op = operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[n.x]);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[n.b]);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[n.y]);
    op.finalize("product");
  }
  void add_reduction(const GraphNode& n) {
    CudnnDescriptor& how = kind(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR,
            CUDNN_TYPE_REDUCTION_OPERATOR_TYPE,
            n.step == GraphStep::sum_last ? CUDNN_REDUCE_TENSOR_ADD : CUDNN_REDUCE_TENSOR_MAX);
    how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, data_type(n.math));
    how.finalize("reduction");
    CudnnDescriptor& op = operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    op.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[n.x]);
    op.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[n.y]);
    op.finalize("reduction");
  }
  void add_reshape(const GraphNode& n) {
    CudnnDescriptor& op = operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, tensors_[n.x]);
    op.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, tensors_[n.y]);
    op.finalize("reshape");
  }
  void add_pointwise(const GraphNode& n) {
    CudnnDescriptor& how = kind(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, pointwise_mode(n.step));
    how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, data_type(n.math));
    if (n.step == GraphStep::index) how.set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, n.axis);
    how.finalize("step");
    CudnnDescriptor& op = operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[n.x]);
    if (n.b != kNoTensor) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[n.b]);
    if (n.t != kNoTensor) op.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tensors_[n.t]);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[n.y]);
    op.finalize("step");
  }

  const CudnnApi& api_;
  std::vector<CudnnDescriptor> tensors_, kinds_, operations_;
};

// The first of the engines that its heuristic names and that takes the graph.
class CudnnPlan {
 public:
  // `what`: the operation, for messages; of static storage.
  CudnnPlan(const CudnnApi& api,
            cudnnHandle_t handle,
            const AttentionGraph& graph,
            const char* what)
      : api_(api),
        what_(what),
        operations_(api, graph),
        graph_(api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const std::vector<cudnnBackendDescriptor_t> all = operations_.operations();
    graph_.set(
        CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, all.data(), all.size());
    graph_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
    graph_.finalize(what_);
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
      if (!plan_) choose(handle, mode);
    if (!plan_)
      throw std::runtime_error("cuDNN " + api.version_text() + ", " + what_ +
                               ": none of its engines takes the graph" +
                               (refusal_.empty() ? "" : "; the first says: " + refusal_));
    std::int64_t count = 0;
    api_.check(api_.get(plan_->get(),
                        CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                        CUDNN_TYPE_INT64,
                        1,
                        &count,
                        &workspace_bytes_),
               "workspace");
  }
  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  const CudnnDescriptor& plan() const { return *plan_; }

 private:
  void choose(cudnnHandle_t handle, cudnnBackendHeurMode_t mode) {
    constexpr std::size_t kMostEngines = 16;
    CudnnDescriptor heuristic(api_, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    std::vector<cudnnBackendDescriptor_t> found;
    std::int64_t count = 0;
    const std::size_t first = configs_.size();
    for (std::size_t i = 0; i < kMostEngines; ++i)
      found.push_back(configs_.emplace_back(api_, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
    try {
      heuristic.finalize(what_);
      api_.check(api_.get(heuristic.get(),
                          CUDNN_ATTR_ENGINEHEUR_RESULTS,
                          CUDNN_TYPE_BACKEND_DESCRIPTOR,
                          static_cast<std::int64_t>(kMostEngines),
                          &count,
                          found.data()),
                 what_);
      for (std::size_t i = 0; i < static_cast<std::size_t>(count) && !plan_; ++i)
        try_engine(handle, configs_[first + i]);
    } catch (const std::runtime_error& error) {
      note(error);
    }
  }
  void try_engine(cudnnHandle_t handle, const CudnnDescriptor& config) {
    try {
      CudnnDescriptor plan(api_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      plan.finalize("engine");
      plan_ = std::make_unique<CudnnDescriptor>(std::move(plan));
    } catch (const std::runtime_error& error) {
      note(error);
    }
  }
  void note(const std::runtime_error& error) {
    if (refusal_.empty()) refusal_ = error.what();
  }

  const CudnnApi& api_;
  const char* what_;
  CudnnOperations operations_;
  CudnnDescriptor graph_;
  std::vector<CudnnDescriptor> configs_;
  std::unique_ptr<CudnnDescriptor> plan_;
  std::int64_t workspace_bytes_ = 0;
  std::string refusal_;
};

}  // namespace moesim
