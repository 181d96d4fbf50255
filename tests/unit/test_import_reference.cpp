// The importers on the real tables: every row that stands for an operation of ours arrives, and the
// few that no GPU could have measured are known.
#include "tests/catch.hpp"
#include "tests/import_request.hpp"
#include "tests/reference_data.hpp"

using namespace moesim;

namespace {

// "gemm_fp8 110, ..." and what was left out.
std::string counts(TestImport import, const std::filesystem::path& file) {
  import.request.drop_impossible = true;
  import.request.files = {file};
  std::map<std::string, int> by_op;
  for (const Point& p : import.points().points) ++by_op[std::string(p.of->op)];
  std::string text;
  for (const auto& [op, n] : by_op) text += op + " " + std::to_string(n) + " ";
  return text + "without " + std::to_string(import.run().dropped.size());
}

}  // namespace

TEST_CASE("import: the InferSim tables", "[import][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const auto kernels = *folder / "kernels";
  const TestImport h800("infersim", "h800"), h20("infersim", "h20");
  CHECK(counts(h800, kernels / "h800_gemm_fp8.csv") == "gemm_fp8 110 without 0");
  CHECK(counts(h20, kernels / "h20_gemm_fp8.csv") == "gemm_fp8 402 without 0");
  CHECK(counts(h800, kernels / "h800_grouped_gemm_prefill.csv") == "grouped_gemm_fp8 48 without 0");
  // One token an expert is none for half of them, and 4096 on one GPU were 3228.
  CHECK(counts(h800, kernels / "h800_grouped_gemm_decode.csv") == "grouped_gemm_fp8 92 without 2");
  CHECK(counts(h20, kernels / "h20_grouped_gemm_decode.csv") == "grouped_gemm_fp8 531 without 1");
  TestImport h800_rows = h800, h20_rows = h20;
  CHECK(counts(h800_rows.set("rows_from_mfu", 1), kernels / "h800_grouped_gemm_decode.csv") ==
        "grouped_gemm_fp8 94 without 0");
  CHECK(counts(h20_rows.set("rows_from_mfu", 1), kernels / "h20_grouped_gemm_decode.csv") ==
        "grouped_gemm_fp8 532 without 0");
  TestImport mla = h800;
  mla.set("heads", 128);
  CHECK(counts(mla, kernels / "h800_mla_decode.csv") == "attention_decode 41 without 0");
  CHECK(counts(mla, kernels / "h800_mla_prefill.csv") == "attention_forward 5 without 0");
}

TEST_CASE("import: the AIConfigurator tables", "[import][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const auto kernels = *folder / "kernels";
  const TestImport any("aiconfigurator");
  TestImport fp8 = any, mla = any, half = any, normal = any;
  fp8.only("source", "trtllm-1.3.0rc20").only("dtype", "fp8_block");
  CHECK(counts(fp8, kernels / "h100_gemm.csv") == "gemm_fp8 18944 without 0");
  mla.only("kv", "bfloat16").only("source", "trtllm-1.3.0rc20");
  CHECK(counts(mla, kernels / "h100_mla_decode.csv") == "attention_decode 1448 without 0");
  CHECK(counts(mla, kernels / "h100_mla_prefill.csv") == "attention_forward 880 without 0");
  CHECK(counts(any, kernels / "h100_quant_fp8.csv") == "cast 1628 without 0");
  half.set("ranks_per_node", 8).only("nccl", "2.29.2").only("dtype", "half");
  CHECK(counts(half, kernels / "h100_nccl_1node.csv") ==
        "all_gather 63 all_reduce 63 all_to_all 63 reduce_scatter 63 without 0");
  CHECK(counts(any, kernels / "h100_deepep_ll.csv") ==
        "combine_low_latency 95 dispatch_low_latency 95 without 0");
  normal.set("hidden", 7168).set("topk", 8);
  CHECK(counts(normal, kernels / "h100_deepep_normal.csv") == "combine 437 dispatch 437 without 0");
  for (const char* name :
       {"h100_mla_bmm.csv", "h100_moe_wideep_context.csv", "h100_moe_wideep_generation.csv"}) {
    TestImport none = any;
    none.request.files = {kernels / name};
    CHECK(contains(none.refusal(), "for which there is no operation"));
  }
}

TEST_CASE("import: the DeepSeek-V3 training trace", "[import][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  TestImport import("trace", "h800");
  import.map(R"json([{"kernel": "Flash_fwd_kernel", "grid": [32, 128, 1], "op": "attention_forward",
    "shape": {"batch": 1, "seq": 4096, "prefix": 0, "heads": 128, "qk_head_dim": 192,
              "v_head_dim": 128}},
   {"kernel": "/fp8_ptp128c::GemmKernel/", "grid": [112, 1, 1], "annotation": "attn(F)", "nth": 1,
    "op": "gemm_fp8", "shape": {"m": 4096, "n": 24576, "k": 1536}, "sms": 112}])json");
  import.request.files = {*folder / "train_trace" / "train.json"};
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 2);
  // Of four layers each; the medians that train_trace/README.md gives.
  CHECK(file.points[0].warm->repeats == 4);
  CHECK(file.points[0].warm->median.in(us) == Approx(1234.5));
  CHECK(file.points[1].warm->repeats == 4);
  CHECK(file.points[1].warm->median.in(us) == Approx(372));
}
