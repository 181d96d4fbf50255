#include "calibrate/cuda/library_cublaslt.hpp"

#include <cublasLt.h>

#include <stdexcept>
#include <string>

#include "calibrate/comm/shared_library.hpp"
#include "calibrate/cuda/library_gemm.hpp"

namespace moesim {
namespace {

// What NVIDIA advises for Hopper (cuBLAS documentation, cublasSetWorkspace).
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

struct CublasLtApi {
  decltype(&::cublasLtCreate) create = nullptr;
  decltype(&::cublasLtGetVersion) version = nullptr;
  decltype(&::cublasLtMatmulDescCreate) create_desc = nullptr;
  decltype(&::cublasLtMatmulDescDestroy) destroy_desc = nullptr;
  decltype(&::cublasLtMatmulDescSetAttribute) set_desc = nullptr;
  decltype(&::cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&::cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&::cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&::cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&::cublasLtMatmul) matmul = nullptr;
};

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error("cuBLASLt, " + std::string(what) + ": status " +
                             std::to_string(static_cast<int>(status)));
}

// The library and its handle, once a program.
struct CublasLt {
  CublasLtApi api;
  cublasLtHandle_t handle = nullptr;

  CublasLt() {
    const comm::SharedLibrary library("cuBLASLt",
                                      {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"});
    library.find(api.create, "cublasLtCreate");
    library.find(api.version, "cublasLtGetVersion");
    library.find(api.create_desc, "cublasLtMatmulDescCreate");
    library.find(api.destroy_desc, "cublasLtMatmulDescDestroy");
    library.find(api.set_desc, "cublasLtMatmulDescSetAttribute");
    library.find(api.create_layout, "cublasLtMatrixLayoutCreate");
    library.find(api.destroy_layout, "cublasLtMatrixLayoutDestroy");
    library.find(api.create_preference, "cublasLtMatmulPreferenceCreate");
    library.find(api.destroy_preference, "cublasLtMatmulPreferenceDestroy");
    library.find(api.set_preference, "cublasLtMatmulPreferenceSetAttribute");
    library.find(api.heuristic, "cublasLtMatmulAlgoGetHeuristic");
    library.find(api.matmul, "cublasLtMatmul");
    check_cublas(api.create(&handle), "create");
  }
};

const CublasLt* cublaslt() {
  static const std::unique_ptr<const CublasLt> library = []() -> std::unique_ptr<const CublasLt> {
    try {
      return std::make_unique<const CublasLt>();
    } catch (const std::runtime_error&) {
      return nullptr;
    }
  }();
  return library.get();
}

// out[m, n] = a[m, k] b[n, k]^T, all row-major, out in BF16, or in FP32 and added to what is there.
// cuBLASLt's matrices are column-major,
// so it is asked for the transposed product, out^T = b a^T: what it calls A is b. Scales of FP8
// operands (calibrate/cuda/library_gemm.hpp) are part of the description: their memory has to be
// there first.
struct LtProduct {
  std::int64_t m, n, k;
  cudaDataType_t operands;
  const float* a_scale = nullptr;  // 1x128; nullptr: the operands have none
  const float* b_scale = nullptr;
  bool b_in_rows = false;  // scales of b are 1x128; else 128x128
  bool accumulates = false;
};

class LtGemm {
 public:
  LtGemm(const CublasLt& library, const LtProduct& p, int sms) : lt_(library) {
    const auto layout = [&](cudaDataType_t type, std::int64_t width, std::int64_t num_rows) {
      cublasLtMatrixLayout_t made = nullptr;
      check_cublas(lt_.api.create_layout(&made,
                                         type,
                                         static_cast<std::uint64_t>(width),
                                         static_cast<std::uint64_t>(num_rows),
                                         width),
                   "layout");
      return made;
    };
    check_cublas(lt_.api.create_desc(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "description");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    set(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, static_cast<std::int32_t>(sms));
    if (p.a_scale != nullptr) {
      set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE,
          static_cast<std::int32_t>(p.b_in_rows ? CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F
                                                : CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F));
      set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE,
          static_cast<std::int32_t>(CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F));
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.b_scale);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.a_scale);
    }
    b_ = layout(p.operands, p.k, p.n);
    a_ = layout(p.operands, p.k, p.m);
    out_ = layout(p.accumulates ? CUDA_R_32F : CUDA_R_16BF, p.n, p.m);
    beta_ = p.accumulates ? 1 : 0;
    choose();
  }
  LtGemm(const LtGemm&) = delete;
  LtGemm& operator=(const LtGemm&) = delete;
  ~LtGemm() {
    for (cublasLtMatrixLayout_t layout : {a_, b_, out_})
      if (layout != nullptr) lt_.api.destroy_layout(layout);
    if (desc_ != nullptr) lt_.api.destroy_desc(desc_);
  }

  void run(const void* a, const void* b, void* out, void* workspace, Stream stream) const {
    const float one = 1;
    check_cublas(lt_.api.matmul(lt_.handle,
                                desc_,
                                &one,
                                b,
                                b_,
                                a,
                                a_,
                                &beta_,
                                out,
                                out_,
                                out,
                                out_,
                                &chosen_.algo,
                                workspace,
                                kWorkspaceBytes,
                                stream),
                 "matmul");
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_cublas(lt_.api.set_desc(desc_, attribute, &value, sizeof value), "attribute");
  }

  // The first that its heuristic names.
  void choose() {
    cublasLtMatmulPreference_t preference = nullptr;
    check_cublas(lt_.api.create_preference(&preference), "preference");
    lt_.api.set_preference(preference,
                           CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                           &kWorkspaceBytes,
                           sizeof kWorkspaceBytes);
    int found = 0;
    const cublasStatus_t status =
        lt_.api.heuristic(lt_.handle, desc_, b_, a_, out_, out_, preference, 1, &chosen_, &found);
    lt_.api.destroy_preference(preference);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_cublas(status, "heuristic");
    if (found == 0) throw std::runtime_error("cuBLASLt has no algorithm for this product");
  }

  const CublasLt& lt_;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, out_ = nullptr;
  float beta_ = 0;
  cublasLtMatmulHeuristicResult_t chosen_ = {};
};

}  // namespace

bool can_run_gemm_bf16(const Call& /*call*/) { return cublaslt() != nullptr; }

std::string cublaslt_version() {
  if (cublaslt() == nullptr) return "";
  const std::size_t version = cublaslt()->api.version();  // 130100
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

void prepare_gemm_bf16(const Call& call, GpuCall& gpu) {
  const std::int64_t m = call.shape[0], n = call.shape[1], k = call.shape[2];
  const Bf16* const a = gpu.bf16(m * k, 0);
  const Bf16* const b = gpu.bf16(n * k, 1);
  Bf16* const out = gpu.output<Bf16>("out", Element::bf16, m * n);
  void* const workspace = gpu.allocate<std::byte>(static_cast<std::int64_t>(kWorkspaceBytes));
  const auto gemm = std::make_shared<const LtGemm>(
      *cublaslt(), LtProduct{m, n, k, CUDA_R_16BF}, static_cast<int>(gpu.sms));
  gpu.launch = [=](Stream stream) { gemm->run(a, b, out, workspace, stream); };
}

// Leading dimensions in whole 16 bytes (cuBLAS documentation, cublasLtMatmul, FP8 kernels).
constexpr std::int64_t kFp8Alignment = 16;

bool can_run_library_gemm_fp8(const Call& call) {
  return cublaslt() != nullptr && call.shape[1] % kFp8Alignment == 0 &&
         call.shape[2] % kFp8Alignment == 0;
}

void prepare_library_gemm_fp8(const Call& call, GpuCall& gpu) {
  const LibraryGemmFp8 p = library_gemm_fp8_operands(call, gpu);
  void* const workspace = gpu.allocate<std::byte>(static_cast<std::int64_t>(kWorkspaceBytes));
  const auto gemm = std::make_shared<const LtGemm>(
      *cublaslt(),
      LtProduct{p.rows, p.n, p.k, CUDA_R_8F_E4M3, p.a_scale, p.b_scale},
      static_cast<int>(gpu.sms));
  gpu.launch = [=](Stream stream) { gemm->run(p.a, p.b, p.out, workspace, stream); };
}

bool can_run_library_wgrad(const Call& call) {
  for (const std::int64_t size : call.shape)
    if (size % kFp8Alignment != 0) return false;
  return cublaslt() != nullptr;
}

void prepare_library_wgrad(const Call& call, GpuCall& gpu) {
  const LibraryWgrad p = library_wgrad_operands(call, gpu);
  void* const workspace = gpu.allocate<std::byte>(static_cast<std::int64_t>(kWorkspaceBytes));
  LtProduct product{p.m, p.n, p.k, CUDA_R_8F_E4M3, p.a_scale, p.b_scale};
  product.b_in_rows = true;
  product.accumulates = true;
  const auto gemm = std::make_shared<const LtGemm>(*cublaslt(), product, static_cast<int>(gpu.sms));
  gpu.launch = [=](Stream stream) { gemm->run(p.a, p.b, p.c, workspace, stream); };
}

}  // namespace moesim
