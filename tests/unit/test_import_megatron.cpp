// Megatron's command lines as plans: published configurations, every flag, every refusal.
#include "reports/import/expanded_grid.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/shell_words.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

LaunchImport imported(const std::string& text, const LaunchOptions& options = {}) {
  return import_launch(kMegatron, shell_words(text, "test"), options);
}

// The smallest that is a plan: 8 GPUs, one replica each.
const std::string kSmall = "--world-size 8 --nproc-per-node 8 --micro-batch-size 1 --bf16 ";

// Whether "key": value stands in the plan of these flags beside kSmall.
bool has(const std::string& flags, const std::string& key_and_value) {
  const std::string plan = imported(kSmall + flags).plan.settings.dump_line();
  INFO(plan);
  return plan.find(key_and_value) != std::string::npos;
}

std::string refused(const std::string& flags, const LaunchOptions& options = {}) {
  return refusal([&] { imported(kSmall + flags, options); });
}

std::string default_of(const LaunchImport& import_of, const std::string& flag) {
  for (const auto& taken : import_of.arguments.defaults())
    if (taken.flag == flag) return taken.value;
  return "not relied on";
}

}  // namespace

TEST_CASE("import megatron: published configurations have the published data parallelism",
          "[import]") {
  struct Row {
    const char* id;
    const char* flags;
    std::int64_t world, dp, microbatches, replicas;  // of an expert
  };
  const Row rows[] = {
      // Megatron-Bridge performance summary: TP2 PP8 VP4 EP64, 1024 H100, GBS 8192, MBS 1.
      {"T30",
       "--tensor-model-parallel-size 2 --pipeline-model-parallel-size 8 "
       "--num-virtual-stages-per-pipeline-rank 4 --expert-model-parallel-size 64 "
       "--expert-tensor-parallel-size 1 --sequence-parallel --global-batch-size 8192",
       1024,
       64,
       128,
       2},
      // Megatron-MoE-ModelZoo: TP2 EP32 PP8 VPP4 DP16, 256 H100, GBS 2048, 128 microbatches.
      {"T40",
       "--tensor-model-parallel-size 2 --pipeline-model-parallel-size 8 "
       "--num-virtual-stages-per-pipeline-rank 4 --expert-model-parallel-size 32 "
       "--expert-tensor-parallel-size 1 --sequence-parallel --global-batch-size 2048",
       256,
       16,
       128,
       1},
      // Llama 3 (arXiv 2407.21783), Table 4: TP8 CP1 PP16, 32 and 16 sequences a replica; and
      // TP8 CP16 PP16, where 16,384 GPUs leave 8 replicas.
      {"T57.8192",
       "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 16 --global-batch-size 2048",
       8192,
       64,
       32,
       1},
      {"T57.16384",
       "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 16 --global-batch-size 2048",
       16384,
       128,
       16,
       1},
      {"T57.long",
       "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 16 "
       "--context-parallel-size 16 --global-batch-size 128",
       16384,
       8,
       16,
       1}};
  for (const Row& row : rows) {
    INFO(row.id);
    LaunchOptions options;
    options.world_size = row.world;
    options.gpus_per_node = 8;
    const LaunchPlan plan =
        imported(std::string(row.flags) + " --micro-batch-size 1 --bf16", options).plan;
    CHECK(plan.grid.world() == row.world);
    CHECK(plan.grid.dp == row.dp);
    CHECK(*plan.batch / plan.grid.dp == row.microbatches);
    if (plan.has_experts) CHECK(plan.grid.num_ep_groups() == row.replicas);
    CHECK(plan.warnings.empty());
  }
}

TEST_CASE("import megatron: a whole command line, its plan and its grid", "[import]") {
  LaunchOptions options;
  options.model = shipped_model("deepseek-v3");
  const LaunchImport result = imported(
      "torchrun --nnodes 128 --nproc_per_node 8 pretrain_gpt.py --tensor-model-parallel-size 2 "
      "--pipeline-model-parallel-size 8 --expert-model-parallel-size 64 --sequence-parallel "
      "--expert-tensor-parallel-size 1 --pipeline-model-parallel-layout 'Et|(tt|)*30mL' "
      "--micro-batch-size 1 --global-batch-size 8192 --seq-length 4096 --bf16 "
      "--fp8-format e4m3 --fp8-recipe blockwise --use-distributed-optimizer --overlap-grad-reduce "
      "--overlap-param-gather --recompute-granularity selective "
      "--recompute-modules mla_up_proj layernorm moe_act --num-layers 61 --hidden-size 7168 "
      "--lr 2.2e-4 --moe-token-dispatcher-type flex",
      options);
  CHECK(
      result.plan.settings.dump_line() ==
      "{\"tp\":2,\"cp\":1,\"pp\":8,\"dp\":64,\"ep\":64,\"expert_tp\":1,"
      "\"sequence_parallel\":true,\"microbatch\":1,\"schedule\":\"interleaved_1f1b\","
      "\"virtual_stages\":4,\"layers_per_stage\":[1,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,"
      "2,2,2,2,2,2,2,0],\"comm_sms\":20,\"recipe\":\"fp8_block\",\"recompute\":[\"norm\","
      "\"latent_up_projection\",\"swiglu\"],\"zero_stage\":1,\"overlap_grad_reduce\":true,"
      "\"gradient_bucket\":\"256 MB\",\"overlap_param_gather\":true,\"gradients\":\"fp32\","
      "\"moments\":\"fp32\"}");
  CHECK(result.plan.seq_len == 4096);
  CHECK(result.plan.batch == 8192);
  CHECK(result.plan.arithmetic ==
        std::vector<std::string>{
            "dp = world size 1024 / (tp 2 x cp 1 x pp 8 = 16) = 64",
            "dense grid: tp 2 x cp 1 x dp 64 x pp 8 = 1024 GPUs",
            "MoE grid: expert_tp 1 x ep 64 x expert replicas 2 x pp 8 = 1024 GPUs",
            "microbatches of a pipeline = batch 8192 / (dp 64 x microbatch 1 = 64) = 128"});
  const std::vector<GridGroup> groups = expanded_grid(result.plan);
  std::vector<std::string> lines;
  for (const GridGroup& group : groups)
    lines.push_back(group.name + " " + std::to_string(group.ranks) + " x " +
                    std::to_string(group.groups) + ": " + gpu_list(group.first) + "; " +
                    std::to_string(group.ranks_per_node));
  CHECK(lines == std::vector<std::string>{"tensor parallel 2 x 512: 0-1; 2",
                                          "data parallel 64 x 16: 0, 2, 4, ..., 126; 4",
                                          "pipeline 8 x 128: 0, 128, 256, ..., 896; 1",
                                          "expert parallel 64 x 16: 0-63; 8",
                                          "replicas of an expert 2 x 512: 0, 64; 1"});
  REQUIRE(result.arguments.ignored().size() == 2);
  CHECK(result.arguments.ignored()[0].words == "--lr 2.2e-4");
  CHECK(result.arguments.ignored()[1].words == "torchrun pretrain_gpt.py");
}

TEST_CASE("import megatron: what each flag becomes", "[import]") {
  const std::pair<const char*, const char*> rows[] = {
      {"", "\"recompute\":\"none\",\"zero_stage\":0,\"gradients\":\"fp32\",\"moments\":\"fp32\""},
      {"--pipeline-model-parallel-size 2", "\"schedule\":\"1f1b\""},
      {"--num-layers 16 --pipeline-model-parallel-size 2 "
       "--num-layers-per-virtual-pipeline-stage 4",
       "\"schedule\":\"interleaved_1f1b\",\"virtual_stages\":2,\"layers_per_stage\":[4,4,4,4]"},
      {"--num-layers 14 --pipeline-model-parallel-size 4 --decoder-first-pipeline-num-layers 3 "
       "--decoder-last-pipeline-num-layers 1",
       "\"layers_per_stage\":[3,5,5,1]"},
      {"--num-layers 14 --pipeline-model-parallel-size 2 --num-virtual-stages-per-pipeline-rank 2 "
       "--decoder-last-pipeline-num-layers 6",
       "\"layers_per_stage\":[4,3,4,3]"},
      {"--num-layers 14 --pipeline-model-parallel-size 4 --account-for-embedding-in-pipeline-split "
       "--account-for-loss-in-pipeline-split",
       "\"layers_per_stage\":[3,4,4,3]"},
      {"--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout=Ett|t*3|(t|)*1,tL",
       "\"virtual_stages\":2,\"layers_per_stage\":[2,3,1,1]"},
      {"--context-parallel-size 2", "\"cp_method\":\"ring\""},
      {"--context-parallel-size 2 --cp-comm-type all_gather", "\"cp_method\":\"all_gather\""},
      {"--context-parallel-size 2 --cp-comm-type a2a", "\"cp_method\":\"ulysses\""},
      {"--tensor-model-parallel-size 2", "\"sequence_parallel\":false"},
      {"--tensor-model-parallel-size 2 --sequence-parallel", "\"sequence_parallel\":true"},
      {"--tensor-model-parallel-size 2 --sequence-parallel --num-experts 8", "\"expert_tp\":2"},
      {"--tensor-model-parallel-size 2 --use-tp-pp-dp-mapping", "\"rank_order\":\"tp-cp-pp-dp\""},
      {"--expert-model-parallel-size 8 --overlap-moe-expert-parallel-comm",
       "\"overlap_expert_comm\":true,\"comm_sms\":20"},
      {"--expert-model-parallel-size 8 --moe-deepep-num-sms 24", "\"comm_sms\":24"},
      {"--fp8-format hybrid", "\"recipe\":\"fp8_tensor\""},
      {"--fp8-format hybrid --fp8-recipe tensorwise", "\"recipe\":\"fp8_tensor\""},
      {"--fp8-format e4m3 --fp8-recipe blockwise", "\"recipe\":\"fp8_block\""},
      {"--fp8-format e4m3 --fp8-recipe mxfp8", "\"recipe\":\"mxfp8\""},
      {"--recompute-granularity full --recompute-method uniform --recompute-num-layers 1",
       "\"recompute\":\"full\""},
      {"--recompute-granularity selective", "\"recompute\":[\"core_attention\"]"},
      {"--use-distributed-optimizer", "\"zero_stage\":1"},
      {"--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads", "\"zero_stage\":2"},
      {"--use-torch-fsdp2", "\"zero_stage\":3"},
      {"--overlap-grad-reduce", "\"gradient_bucket\":\"160 MB\""},
      {"--overlap-grad-reduce --ddp-bucket-size 500000 --grad-reduce-in-bf16",
       "\"gradient_bucket\":\"1 MB\",\"gradients\":\"bf16\""},
      {"--use-precision-aware-optimizer --main-grads-dtype bf16 --exp-avg-dtype bf16 "
       "--exp-avg-sq-dtype bf16",
       "\"gradients\":\"bf16\",\"moments\":\"bf16\""}};
  for (const auto& [flags, key_and_value] : rows) {
    INFO(flags);
    CHECK(has(flags, key_and_value));
  }
}

TEST_CASE("import megatron: defaults that were relied on are named", "[import]") {
  const LaunchImport result =
      imported(kSmall +
               "--tensor-model-parallel-size 4 --expert-model-parallel-size 2 --sequence-parallel "
               "--overlap-grad-reduce --fp8-format hybrid");
  CHECK(default_of(result, "--expert-tensor-parallel-size") ==
        "that of --tensor-model-parallel-size, which is 4");
  CHECK(default_of(result, "--fp8-recipe") == "delayed");
  CHECK(default_of(result, "--ddp-bucket-size") == "40000000");
  CHECK(default_of(result, "--global-batch-size") ==
        "one microbatch on each replica, microbatch 1 x dp 2 = 2");
  CHECK(default_of(result, "--use-distributed-optimizer") == "off");
  CHECK(default_of(result, "--micro-batch-size") == "not relied on");
}

TEST_CASE("import megatron: the sizes of the world", "[import]") {
  const std::string rest = " --micro-batch-size 1 --bf16";
  CHECK(imported("--nnodes 2 --nproc_per_node 4" + rest).plan.grid.dp == 8);
  CHECK(imported("--nnodes 2 --nproc_per_node 4" + rest).plan.gpus_per_node == 4);
  CHECK(imported("--nproc_per_node 4" + rest).plan.grid.dp == 4);
  CHECK(
      imported("--data-parallel-size 6 --tensor-model-parallel-size 4" + rest).plan.grid.world() ==
      24);
  CHECK(imported("--num-gpus 16" + rest).plan.warnings.front().find("8 are assumed") !=
        std::string::npos);
  CHECK(refusal([&] { imported(rest); }) ==
        "--world-size: nothing says how many GPUs there are; expected --world-size N, --nnodes and "
        "--nproc-per-node, or --data-parallel-size N");
  CHECK(refusal([&] { imported("--nnodes 2 --nproc-per-node 8 --world-size 8" + rest); }) ==
        "--nnodes: nodes 2 x GPUs 8 = 16, but the world size is 8");
  CHECK(refused("--data-parallel-size 4") ==
        "--data-parallel-size: is 4, but the world of 8 / (tp 1 x cp 1 x pp 1 = 1) is 8");
  CHECK(refused("--tensor-model-parallel-size 3") ==
        "world size: 8 is not a whole number of model replicas: tp 3 x cp 1 x pp 1 = 3");
  CHECK(refusal([&] { imported("--num-gpus 12" + rest); }) ==
        "world size: 12 GPUs are not whole nodes of 8");
}

TEST_CASE("import megatron: what a plan cannot be, with the arithmetic", "[import]") {
  const std::pair<const char*, const char*> rows[] = {
      {"--expert-model-parallel-size 3",
       "--expert-model-parallel-size: expert_tp 1 x ep 3 = 3 does not divide the tp 1 x cp 1 x dp "
       "8 = 8 GPUs of a pipeline stage"},
      {"--expert-model-parallel-size 8 --num-experts 12",
       "--expert-model-parallel-size: 8 does not divide the 12 experts"},
      {"--tensor-model-parallel-size 2 --num-experts 8",
       "--sequence-parallel: is not given, but Megatron needs it beside "
       "--tensor-model-parallel-size 2 and experts"},
      {"--pipeline-model-parallel-size 2 --expert-model-parallel-size 4 --use-tp-pp-dp-mapping",
       "--use-tp-pp-dp-mapping: needs as many replicas of an expert as of a dense layer, that is "
       "expert_tp 1 x ep 4 = 4 equal to tp 1 x cp 1 = 1"},
      {"--num-layers 61 --pipeline-model-parallel-size 4",
       "--pipeline-model-parallel-size: 61 layers do not spread evenly over 4 ranks x 1 virtual "
       "stages; --pipeline-model-parallel-layout, --decoder-first-pipeline-num-layers or "
       "--decoder-last-pipeline-num-layers say an uneven split"},
      {"--num-layers-per-virtual-pipeline-stage 2",
       "--num-layers-per-virtual-pipeline-stage: says a number of stages only beside the number of "
       "layers: expected --num-layers among the arguments, or --model"},
      {"--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout Et|t|tL",
       "--pipeline-model-parallel-layout: has 3 stages, which pp 2 does not divide"},
      {"--num-layers 4 --pipeline-model-parallel-layout Et*3L",
       "--pipeline-model-parallel-layout: has 3 transformer layers, the model has 4"},
      {"--pipeline-model-parallel-layout 'E(t|'",
       "--pipeline-model-parallel-layout: a parenthesis is never closed"},
      {"--pipeline-model-parallel-layout Et*x",
       "--pipeline-model-parallel-layout: expected a layer or a group and a number around \"*\", "
       "found \"Et*\""},
      {"--global-batch-size 12",
       "--global-batch-size: 12 sequences / (dp 8 x microbatch 1 = 8) is not a whole number of "
       "microbatches"},
      {"--context-parallel-size 8 --seq-length 4100",
       "--seq-length: 4100 tokens are not divided by cp 8"},
      {"--context-parallel-size 2 --cp-comm-type p2p a2a",
       "--cp-comm-type: differs from layer to layer, which a plan cannot say; found \"a2a\" after "
       "\"p2p\""},
      {"--fp16", "--fp16: is not a precision that a plan has; expected --bf16"},
      {"--fp8-format e5m2", "--fp8-format: expected one of hybrid, e4m3; found \"e5m2\""},
      {"--recompute-granularity selective --recompute-modules moe",
       "--recompute-modules: a plan cannot recompute \"moe\"; it can core_attn, layernorm, "
       "mla_up_proj, moe_act"},
      {"--overlap-param-gather",
       "--overlap-param-gather: is given without --use-distributed-optimizer, which it needs"},
      {"--exp-avg-dtype bf16",
       "--exp-avg-dtype: is given without --use-precision-aware-optimizer, which Megatron needs"},
      {"--use-precision-aware-optimizer --exp-avg-dtype bf16",
       "--exp-avg-sq-dtype: differs from --exp-avg-dtype; a plan has one precision for both "
       "moments"}};
  for (const auto& [flags, message] : rows) CHECK(refused(flags) == message);
  CHECK(refusal([] { imported("--world-size 8 --bf16"); }) ==
        "--micro-batch-size: is not given, and Megatron has no default for it");
}

TEST_CASE("import megatron: the model's flags have to be the model's", "[import]") {
  LaunchOptions options;
  options.model = shipped_model("deepseek-v3");
  const std::string layout =
      "--sequence-parallel --num-layers 61 --hidden-size 7168 "
      "--num-experts 256 --moe-router-topk 8 --moe-ffn-hidden-size 2048 "
      "--kv-lora-rank 512 --mtp-num-layers 1 --ffn-hidden-size 18432 ";
  CHECK(refused(layout, options) == "nothing was refused");
  CHECK(refused("--num-layers 60", options) ==
        "--num-layers: is 60, but num_hidden_layers of deepseek-v3 is 61");
  // The dense width as hidden size: the mistake of a popular preset.
  CHECK(refused("--hidden-size 18432", options) ==
        "--hidden-size: is 18432, but hidden_size of deepseek-v3 is 7168");
  CHECK(refused("--num-experts 384", options) ==
        "--num-experts: is 384, but num_experts of deepseek-v3 is 256");
}

TEST_CASE("import megatron: a flag that does nothing is said to", "[import]") {
  const std::pair<const char*, const char*> rows[] = {
      {"--fp8-recipe mxfp8", "--fp8-recipe does nothing beside the other arguments."},
      {"--cp-comm-type p2p", "--cp-comm-type does nothing beside the other arguments."},
      {"--ddp-bucket-size 5", "--ddp-bucket-size does nothing beside the other arguments."},
      {"--overlap-moe-expert-parallel-comm",
       "--overlap-moe-expert-parallel-comm does nothing beside the other arguments."},
      {"--sequence-parallel", "--sequence-parallel does nothing at tp 1."}};
  for (const auto& [flags, warning] : rows) {
    INFO(flags);
    CHECK(imported(kSmall + flags).plan.warnings == std::vector<std::string>{warning});
  }
}

TEST_CASE("import megatron: sizes that nobody has", "[import]") {
  CHECK(refused("--tensor-model-parallel-size 99999") ==
        "--tensor-model-parallel-size: expected 1 to 32768, found 99999");
  CHECK(refused("--pipeline-model-parallel-layout 't*60000,t*60000'").find("around \"*\"") !=
        std::string::npos);
}
