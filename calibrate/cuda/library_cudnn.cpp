#include "calibrate/cuda/library_cudnn.hpp"

#include "calibrate/cuda/routes.hpp"

#if __has_include(<cudnn.h>)

#include <bit>

#include "calibrate/cuda/cudnn_graph.hpp"
#include "calibrate/cuda/library_attention.hpp"

namespace moesim {
namespace {

struct CudnnLibrary {
  std::unique_ptr<const CudnnApi> api;
  std::string problem;  // why it is not there

  CudnnLibrary() {
    try {
      api = std::make_unique<const CudnnApi>();
    } catch (const std::runtime_error& error) {
      problem = error.what();
    }
  }
};

const CudnnLibrary& cudnn_library() {
  static const CudnnLibrary library;
  return library;
}

// One of the two passes, and what keeps the library from it. Plans are compiled for this: not
// before the operation is asked for.
struct CudnnPass {
  const CudnnApi* api = cudnn_library().api.get();
  cudnnHandle_t handle = nullptr;
  const char* what;
  std::string problem = cudnn_library().problem;

  template <class MakeGraph>
  CudnnPass(const char* pass, const MakeGraph& graph) : what(pass) {
    if (api == nullptr) return;
    try {
      api->check(api->create(&handle), "create");
      for (const Call& call : attention_checks())
        CudnnPlan(*api, handle, graph(attention_sizes(call.shape)), what);
    } catch (const std::runtime_error& error) {
      problem = error.what();
    }
  }
};

const CudnnPass& forward_pass() {
  static const CudnnPass pass("attention forward", attention_forward_graph);
  return pass;
}
const CudnnPass& backward_pass() {
  static const CudnnPass pass("attention backward", attention_backward_graph);
  return pass;
}

// A plan with its operands.
class CudnnCall {
 public:
  CudnnCall(const CudnnPass& pass,
            const AttentionGraph& graph,
            const std::vector<void*>& operands,
            GpuCall& gpu)
      : api_(*pass.api),
        handle_(pass.handle),
        what_(pass.what),
        plan_(api_, handle_, graph, what_),
        pack_(api_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
    std::vector<std::int64_t> ids;
    std::vector<void*> memory;
    numbers_.reserve(graph.tensors.size());
    for (std::size_t i = 0; i < graph.tensors.size(); ++i) {
      const GraphTensor& t = graph.tensors[i];
      if (!t.has_memory) continue;
      ids.push_back(unique_id(i));
      memory.push_back(t.value ? number(t) : operands[i]);
    }
    void* const workspace = gpu.allocate<std::byte>(plan_.workspace_bytes());
    pack_.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids.data(), ids.size());
    pack_.set(
        CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, memory.data(), memory.size());
    pack_.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
    pack_.finalize(what_);
  }
  void run(Stream stream) const {
    api_.check(api_.set_stream(handle_, stream), "stream");
    api_.check(api_.execute(handle_, plan_.plan().get(), pack_.get()), what_);
  }

 private:
  // On the host, where it has to stay while the call may run.
  void* number(const GraphTensor& t) {
    const auto bits = t.element == GraphElement::int32
                          ? static_cast<std::uint32_t>(static_cast<std::int32_t>(*t.value))
                          : std::bit_cast<std::uint32_t>(static_cast<float>(*t.value));
    return &numbers_.emplace_back(bits);
  }

  const CudnnApi& api_;
  cudnnHandle_t handle_;
  const char* what_;
  CudnnPlan plan_;
  std::vector<std::uint32_t> numbers_;
  CudnnDescriptor pack_;
};

}  // namespace

bool can_run_attention_backward(const Call& call) {
  return can_run_attention(call) && backward_pass().problem.empty();
}

std::string attention_backward_problem() { return backward_pass().problem; }

std::string cudnn_version() {
  const CudnnApi* const api = cudnn_library().api.get();
  return api == nullptr ? "" : api->version_text();
}

void prepare_attention_backward(const Call& call, GpuCall& gpu) {
  const LibraryAttentionBackward p = attention_backward_operands(call, gpu);
  const auto ready = std::make_shared<const CudnnCall>(backward_pass(), p.graph, p.memory, gpu);
  gpu.launch = [ready](Stream stream) { ready->run(stream); };
}

bool can_run_library_attention(const Call& call) {
  return can_run_attention(call) && forward_pass().problem.empty();
}

std::string library_attention_problem() { return forward_pass().problem; }

void prepare_library_attention(const Call& call, GpuCall& gpu) {
  const LibraryAttentionForward p = attention_forward_operands(call, gpu);
  const auto ready = std::make_shared<const CudnnCall>(forward_pass(), p.graph, p.memory, gpu);
  gpu.launch = [ready](Stream stream) { ready->run(stream); };
}

}  // namespace moesim

#else

#include "model/errors.hpp"

namespace moesim {

bool can_run_attention_backward(const Call& /*call*/) { return false; }
std::string attention_backward_problem() { return "this build has no cuDNN: no header cudnn.h"; }
std::string cudnn_version() { return ""; }
void prepare_attention_backward(const Call& /*call*/, GpuCall& /*gpu*/) { ENSURE(false); }
bool can_run_library_attention(const Call& /*call*/) { return false; }
std::string library_attention_problem() { return attention_backward_problem(); }
void prepare_library_attention(const Call& /*call*/, GpuCall& /*gpu*/) { ENSURE(false); }

}  // namespace moesim

#endif
