// InferSim and AIConfigurator tables, in rows made up here.
#include "model/kernel_plan.hpp"
#include "tests/catch.hpp"
#include "tests/import_request.hpp"

using namespace moesim;

namespace {

// 2 x 64 x 4096 x 1024 FLOPs in 10 us are 53.7 TFLOP/s, 0.027129 of the H100's 1979.
const std::string kGemm =
    "m,k,n,latency_us,mfu\n"
    "64,1024,4096,10,0.027129\n"
    "128,1024,4096,12,0.045214\n";

const std::string kGrouped =
    "num_experts,num_local_experts,hidden_size,intermediate_size,tokens_per_expert,up_proj_us,"
    "up_mfu,down_proj_us,down_mfu\n";
// 30 of 2 x 16 rows: 30 x 2 x 2048 x 1024 FLOPs in 20 us, and 35 x 2 x 1024 x 1024 in 12 us.
const std::string kGroupedRow = "64,2,1024,1024,16,20,0.003179,12,0.003091\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("import: an InferSim GEMM table becomes cold points with provenance", "[import]") {
  TestImport import("infersim");
  import.request.plan = "fewest_waves";
  import.request.note = "a note";
  import.file(kGemm, "gemm.csv");
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 2);
  const Point& p = file.points[1];
  CHECK(p.of->op == "gemm_fp8");
  CHECK(p.shape == Shape{128, 4096, 1024});  // m, n, k
  REQUIRE(p.cold);
  CHECK_FALSE(p.warm);
  CHECK(p.cold->median.in(us) == Approx(12));
  CHECK(p.flags.empty());
  REQUIRE(file.runs.size() == 1);
  CHECK(file.runs[0].kind == ProfileKind::published);
  CHECK(file.runs[0].gpu == "h100");
  CHECK(file.runs[0].source == "a test");
  CHECK(file.runs[0].plan == "fewest_waves");
  CHECK(file.runs[0].plan_version == kPlanVersion);
  const std::string line = run_line(file.runs[0]);
  for (const char* part : {R"("importer":"infersim")",
                           R"("file":"gemm.csv")",
                           R"("file_fnv1a":")",
                           R"("table":"gemm")",
                           R"("note":"a note")"})
    CHECK(contains(line, part));
  const ImportResult result = import.run();
  REQUIRE(result.summary.size() == 1);
  CHECK(contains(result.summary[0], "2 points of gemm_fp8 (m 64..128, n 4096, k 1024) from "));
  CHECK(result.remarks.empty());
}

TEST_CASE("import: a time in another unit shows against mfu", "[import]") {
  // Milliseconds in a column of microseconds: every row is a thousand times too fast.
  const std::string in_ms =
      "m,k,n,latency_us,mfu\n32768,8192,8192,2.8,0.000794\n16384,8192,8192,1.4,0.000794\n";
  CHECK(TestImport("infersim").file(in_ms).refusal() ==
        "file: every row's FLOPs over its time and the peak of the H100 are about 1e+06 times its "
        "mfu: the unit of a time or of mfu (a fraction), --gpu or --heads is wrong");
  const std::string percent = replaced(replaced(kGemm, "0.027129", "2.7129"), "0.045214", "4.5214");
  CHECK(contains(TestImport("infersim").file(percent).refusal(), "about 0.01 times its mfu"));
  CHECK(contains(TestImport("infersim", "h20").file(kGemm).refusal(), "about 6.69 times its mfu"));
  // A column that says milliseconds is in milliseconds.
  const std::string ms_column =
      "m,k,n,latency_ms,mfu\n64,1024,4096,0.01,0.027129\n128,1024,4096,0.012,0.045214\n";
  CHECK(TestImport("infersim").file(ms_column).points().points[0].cold->median.in(us) ==
        Approx(10));
}

TEST_CASE("import: one row against its own mfu is flagged and kept", "[import]") {
  const TestImport import = TestImport("infersim").file(replaced(kGemm, "4096,12,", "4096,15,"));
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].flags.empty());
  CHECK(file.points[1].flags == std::vector<std::string>{"contradicts_mfu"});
  const std::string remark = import.run().remarks.at(0);
  CHECK(contains(remark, "1 rows contradict their own mfu"));
  CHECK(remark.ends_with(": line 3"));
}

TEST_CASE("import: a grouped GEMM row is two points", "[import]") {
  const PointFile file = TestImport("infersim").file(kGrouped + kGroupedRow).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].shape == Shape{2, 32, 2048, 1024});  // groups, m, n of gate and up, k
  CHECK(file.points[0].cold->median.in(us) == Approx(20));
  CHECK(file.points[1].shape == Shape{2, 32, 1024, 1024});
  CHECK(file.points[1].cold->median.in(us) == Approx(12));
  CHECK(file.points[0].counts.empty());
  CHECK(file.points[0].flags.empty());  // mfu is of the rows that were there: not a contradiction
}

TEST_CASE("import: the rows that were there come out of mfu on request", "[import]") {
  const PointFile file =
      TestImport("infersim").set("rows_from_mfu", 1).file(kGrouped + kGroupedRow).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].shape == Shape{2, 30, 2048, 1024});
  CHECK(file.points[1].shape == Shape{2, 35, 1024, 1024});
  // One digit does not say how many rows, and a fifth of them was not drawn.
  for (const char* mfu : {"0.003", "0.000636"}) {
    const TestImport vague = TestImport("infersim")
                                 .set("rows_from_mfu", 1)
                                 .file(kGrouped + replaced(kGroupedRow, "0.003179", mfu));
    CHECK(vague.points().points[0].shape == Shape{2, 32, 2048, 1024});
    CHECK(contains(vague.run().remarks.at(0), "1 points keep tokens_per_expert x"));
  }
}

TEST_CASE("import: InferSim attention needs its heads and BF16", "[import]") {
  const std::string decode =
      "dtype,kv_dtype,batch_size,kv_len,latency_us\nbf16,bf16,32,2048,60\nbf16,fp8,32,2048,40\n";
  CHECK(TestImport("infersim").file(decode).refusal() ==
        "file: does not say its heads; expected --set heads=N");
  CHECK(
      TestImport("infersim").set("heads", 128).file(decode).refusal() ==
      "file: line 3: column \"kv_dtype\": the operation is in BF16, found \"fp8\"; --only chooses "
      "the rows to import");
  const PointFile file =
      TestImport("infersim").set("heads", 128).only("kv_dtype", "bf16").file(decode).points();
  REQUIRE(file.points.size() == 1);
  CHECK(file.points[0].shape == Shape{32, 2048, 1, 128});
  const PointFile prefill = TestImport("infersim")
                                .set("heads", 16)
                                .file("dtype,seq_len,latency_us\nbf16,2048,70\n")
                                .points();
  CHECK(prefill.points.at(0).shape == Shape{1, 2048, 0, 16, 192, 128});
  CHECK(contains(TestImport("infersim").file("tokens,us\n1,2\n").refusal(),
                 "file: is no InferSim table: expected a column \"n\" (GEMM)"));
  CHECK(TestImport("infersim").file("n,k,latency_us\n1,2,3\n").refusal() ==
        "file: missing column \"m\"; found: n, k, latency_us");
}

TEST_CASE("import: absurd times and impossible points are refused by line", "[import]") {
  const auto with_time = [](const std::string& t) {
    return TestImport("infersim").file("m,n,k,latency_us\n64,512,512,9\n64,512,1024," + t + "\n");
  };
  const auto bad = [&](const std::string& t) {
    return "file: line 3: latency_us is " + t + " us; expected a time from 0.1 us to an hour";
  };
  CHECK(with_time("0").refusal() == bad("0"));
  CHECK(with_time("-4").refusal() == bad("-4"));
  CHECK(with_time("0.0042").refusal() == bad("0.0042"));
  CHECK(with_time("3.7e9").refusal() == bad("3.7e+09"));
  CHECK(contains(with_time("nan").refusal(), "line 3: column \"latency_us\": expected a number"));

  TestImport import("infersim");
  import.file("m,n,k,latency_us\n64,512,512,9\n8192,8192,8192,100\n8192,8192,4096,100\n");
  CHECK(
      contains(import.refusal(), "file: line 3: gemm_fp8 m=8192 n=8192 k=8192 took 100 us; the "));
  CHECK(contains(import.refusal(), "(1 more like it); --drop-impossible leaves such points out"));
  import.request.drop_impossible = true;
  const ImportResult result = import.run();
  REQUIRE(result.dropped.size() == 2);
  CHECK(contains(result.dropped[1], "line 4: gemm_fp8 m=8192 n=8192 k=4096"));
  CHECK(import.points().points.size() == 1);
  CHECK(contains(result.lines, R"("dropped_impossible":2)"));
}

TEST_CASE("import: rows of one shape that differ by over a quarter are flagged", "[import]") {
  const TestImport import =
      TestImport("infersim")
          .file("m,n,k,latency_us\n64,512,512,9\n64,512,512,12\n64,512,1024,9\n64,512,1024,11\n");
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 4);
  CHECK(file.points[0].flags == std::vector<std::string>{"disagrees"});
  CHECK(file.points[1].flags == std::vector<std::string>{"disagrees"});
  CHECK(file.points[1].timing().median.in(us) == Approx(12));  // as it was
  CHECK(file.points[2].flags.empty());
  CHECK(file.points[3].flags.empty());
  const std::string remark = import.run().remarks.at(0);
  CHECK(contains(remark, "2 points with another of the same shape"));
  CHECK(remark.ends_with(": line 2"));
}

TEST_CASE("import: AIConfigurator GEMM under short and under its own names", "[import]") {
  const std::string mine =
      "source,dtype,m,n,k,us\nx-1,fp8_block,64,512,256,9\n"
      "x-1,bfloat16,64,512,256,11\n";
  const PointFile file = TestImport("aiconfigurator").file(mine).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "gemm_fp8");
  CHECK(file.points[1].of->op == "gemm_bf16");
  CHECK(file.points[0].shape == Shape{64, 512, 256});
  REQUIRE(file.points[0].warm);
  CHECK_FALSE(file.points[0].cold);
  CHECK(file.points[0].warm->median.in(us) == Approx(9));
  CHECK(contains(run_line(file.runs[0]), R"("source":["x-1"])"));
  const std::string theirs =
      "framework,version,device,op_name,kernel_source,gemm_dtype,m,n,k,latency\n"
      "TRTLLM,1,NVIDIA H100 80GB HBM3,gemm,flow,fp8_block,64,512,256,0.009\n";
  const PointFile own = TestImport("aiconfigurator").file(theirs).points();
  CHECK(own.points.at(0).warm->median.in(us) == Approx(9));  // latency is in ms
  CHECK(contains(TestImport("aiconfigurator", "h20").file(theirs).refusal(),
                 "line 2: was measured on \"NVIDIA H100 80GB HBM3\", and --gpu names a H20"));
  CHECK(contains(TestImport("aiconfigurator").file(replaced(mine, "fp8_block", "fp8")).refusal(),
                 "line 2: column \"dtype\": there is no operation for \"fp8\""));
  CHECK(contains(TestImport("aiconfigurator").file("dtype,m,k,us\nbfloat16,1,2,3\n").refusal(),
                 "missing column \"n\""));
  CHECK(contains(
      TestImport("aiconfigurator").file("dtype,m,n,k,us,latency\nbfloat16,1,2,3,4,5\n").refusal(),
      "has columns \"latency\" and \"us\", two units for one time"));
}

TEST_CASE("import: AIConfigurator MLA", "[import]") {
  const PointFile decode = TestImport("aiconfigurator")
                               .file("source,kv,heads,batch,kv_len,us\nx,bfloat16,16,8,500,20\n")
                               .points();
  CHECK(decode.points.at(0).shape == Shape{8, 500, 1, 16});
  const std::string header =
      "op_name,mla_dtype,kv_cache_dtype,num_heads,batch_size,isl,tp_size,"
      "step,latency\n";
  const PointFile theirs =
      TestImport("aiconfigurator")
          .file(header + "mla_generation,bfloat16,bfloat16,16,8,1,1,499,0.02\n")
          .points();
  CHECK(theirs.points.at(0).shape == Shape{8, 500, 1, 16});
  const PointFile prefill =
      TestImport("aiconfigurator")
          .file(header + "mla_context,bfloat16,bfloat16,16,2,300,1,100,0.05\n")
          .points();
  CHECK(prefill.points.at(0).shape == Shape{2, 300, 100, 16, 192, 128});
  const std::string unnamed = header + "mla,bfloat16,bfloat16,16,8,1,1,499,0.02\n";
  CHECK(contains(TestImport("aiconfigurator").file(unnamed).refusal(),
                 "may be MLA prefill or decode: its columns fit both"));
  TestImport told("aiconfigurator");
  told.request.options.op = "attention_decode";
  CHECK(told.file(unnamed).points().points.at(0).of->op == "attention_decode");
  CHECK(
      contains(TestImport("aiconfigurator")
                   .file("kv,heads,batch,isl,prefix,us\nfp8,16,8,500,0,20\n")
                   .refusal(),
               "column \"kv\": the operation is in BF16, found \"fp8\"; --only chooses the rows to "
               "import, as in --only kv=bfloat16"));
}

TEST_CASE("import: AIConfigurator casts and collectives count bytes", "[import]") {
  const PointFile cast =
      TestImport("aiconfigurator").file("source,m,k,us\nx,256,1024,5\n").points();
  CHECK(cast.points.at(0).of->op == "cast");
  CHECK(cast.points[0].shape == Shape{256 * 1024 * 3 + 256 * 8 * 4});
  const std::string nccl =
      "nccl,op,ranks,dtype,bytes,us\n2,alltoall,8,half,4096,9\n"
      "2,all_reduce,4,half,4096,9\n";
  CHECK(contains(TestImport("aiconfigurator").file(nccl).refusal(),
                 "expected --set ranks_per_node=N"));
  const PointFile file = TestImport("aiconfigurator").set("ranks_per_node", 4).file(nccl).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "all_to_all");
  CHECK(file.points[0].shape == Shape{8, 4, 4096});  // two nodes
  CHECK(file.points[1].shape == Shape{4, 4, 4096});
  // Their own tables count elements.
  const std::string theirs =
      "nccl_dtype,num_gpus,message_size,op_name,latency\n"
      "half,4,2048,all_gather,0.012\nint8,4,2048,all_gather,0.011\n";
  const PointFile own = TestImport("aiconfigurator").set("ranks_per_node", 8).file(theirs).points();
  CHECK(own.points.at(0).shape == Shape{4, 4, 4096});
  CHECK(own.points.at(1).shape == Shape{4, 4, 2048});
  CHECK(contains(TestImport("aiconfigurator").set("ranks_per_node", 3).file(nccl).refusal(),
                 "line 2: 8 ranks do not fill nodes of 3 (ranks_per_node)"));
}

TEST_CASE("import: AIConfigurator DeepEP tables are dispatch and combine", "[import]") {
  const PointFile low = TestImport("aiconfigurator")
                            .file(
                                "nodes,ranks,tokens,hidden,topk,dispatch_us,combine_us\n"
                                "2,16,32,7168,8,60,110\n")
                            .points();
  REQUIRE(low.points.size() == 2);
  CHECK(low.points[0].of->op == "dispatch_low_latency");
  CHECK(low.points[0].shape == Shape{16, 8, 32, 7168, 8});
  CHECK(low.points[1].of->op == "combine_low_latency");
  CHECK(low.points[1].timing().median.in(us) == Approx(110));
  const std::string normal =
      "nodes,ranks,tokens,sms,dispatch_transmit_us,dispatch_notify_us,combine_transmit_us,"
      "combine_notify_us\n2,16,4096,20,900,30,1700,40\n";
  CHECK(contains(TestImport("aiconfigurator").file(normal).refusal(), "expected --set hidden=N"));
  const PointFile file =
      TestImport("aiconfigurator").set("hidden", 7168).set("topk", 8).file(normal).points();
  REQUIRE(file.points.size() == 2);
  CHECK(file.points[0].of->op == "dispatch");
  CHECK(file.points[0].sms == 20);
  CHECK(file.points[0].timing().median.in(us) == Approx(930));
  CHECK(file.points[1].timing().median.in(us) == Approx(1740));
  const std::string theirs =
      "node_num,num_token,hidden_size,num_topk,num_experts,dispatch_sms,dispatch_transmit_us,"
      "dispatch_notify_us,combine_sms,combine_transmit_us,combine_notify_us\n"
      "2,64,7168,8,256,24,90,30,20,170,40\n";
  const PointFile own = TestImport("aiconfigurator").set("ranks_per_node", 8).file(theirs).points();
  CHECK(own.points.at(0).shape == Shape{16, 8, 64, 7168, 8});
  CHECK(own.points.at(0).sms == 24);
  CHECK(own.points.at(1).sms == 20);
  CHECK(contains(TestImport("aiconfigurator").file("bmm_dtype,us\nbf16,3\n").refusal(),
                 "is a table of batched products of absorbed MLA (column \"bmm_dtype\"), for which "
                 "there is no operation; tables with one: gemm"));
}

TEST_CASE("import: options that a format would pass over are refused", "[import]") {
  CHECK(TestImport("infersim").set("headz", 8).file(kGemm).refusal() ==
        "--set headz=8: unknown key \"headz\" of infersim; did you mean \"heads\"?");
  CHECK(TestImport("infersim").map("[]").file(kGemm).refusal() ==
        "--map: infersim files need no mapping");
  CHECK(TestImport("nccl-tests").only("a", "b").file("x").refusal() ==
        "--only: nccl-tests files have no columns");
  TestImport op("infersim");
  op.request.options.op = "cast";
  CHECK(op.file(kGemm).refusal() == "--op: infersim files say which operation they are of");
  CHECK(contains(TestImport("infersim", "h101").file(kGemm).refusal(),
                 "--gpu: no file in " + (scenario_folder() / "gpus").string() +
                     " describes \"h101\"; known: a100-80, "));
  CHECK(
      contains(TestImport("infersim", "../gpus/h100").file(kGemm).refusal(), "--gpu: no file in"));
  TestImport unsigned_("infersim");
  unsigned_.request.source = " ";
  CHECK(contains(unsigned_.file(kGemm).refusal(), "--source: is empty"));
}

TEST_CASE("import: the same file with the same options counts once", "[import]") {
  TestImport import("infersim");
  import.file(kGemm);
  const std::string lines = import.run().lines;
  CHECK(
      contains(refusal([&] { import.run(lines); }), "was imported before, with the same options"));
  CHECK(refusal([&] { import.run("{\"schema\":\"moesim-points/1\"}\n"); }) ==
        "nothing was refused");
  import.file(kGemm);  // twice on one command line
  CHECK(import.refusal() ==
        "file: was imported before, with the same options: its points would count twice");
}
