// Parameters of a rank under tensor and expert parallelism, and what ZeRO leaves of their bytes.
#include <string>
#include <vector>

#include "model/model_counts.hpp"
#include "model/rank_parameters.hpp"
#include "model/training_memory.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

ParallelPlan plan_of(std::int64_t dp, std::int64_t zero_stage) {
  ParallelPlan plan;
  plan.dp = dp;
  plan.schedule = ScheduleKind::one_f_one_b;
  plan.recipe = Recipe::bf16;
  plan.zero_stage = zero_stage;
  plan.gradient_bytes = 2;
  return plan;
}

double bytes_of(const RankMemory& memory, const std::string& key) {
  for (const MemoryPart& part : memory.parts)
    if (part.key == key) return part.bytes.in(B);
  return 0;
}

}  // namespace

TEST_CASE("ZeRO: the bytes of Rajbhandari et al., Figure 1", "[zero]") {
  // 7.5B parameters on 64 ranks, 2 + 2 + 12 bytes each: 120, 31.4, 16.6 and 1.9 GB.
  const double known[] = {120, 31.4, 16.6, 1.9};
  for (std::int64_t stage = 0; stage <= 3; ++stage) {
    const double psi = 7.5e9, n = 64;
    const ModelState state = model_state(plan_of(64, stage), {0, psi});
    const double formula[] = {16, 4 + 12 / n, 2 + 14 / n, 16 / n};
    CHECK(state.total().in(B) == Approx(formula[stage] * psi));
    CHECK(state.total().in(GB) == Approx(known[stage]).epsilon(0.02));
    CHECK(state.fp8_weights == 0 * B);
  }
}

TEST_CASE("ZeRO: shards of all replicas are the parameters, once", "[zero]") {
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::dualpipe}) {
    ParallelPlan plan = plan_of(16, 3);
    plan.schedule = schedule;
    plan.pp = 4;
    plan.cp = 2;
    plan.ep = 8;
    const StageParameters p{3e9, 5e8};
    // Dense: every rank of the stage holds it, and those of the mirrored stage; an expert: one rank
    // in each of four groups.
    const double copies = schedule == ScheduleKind::dualpipe ? 2 : 1;
    CHECK(num_dense_replicas(plan) == 32 * copies);
    CHECK(num_expert_replicas(plan) == 4 * copies);
    CHECK(32 * copies * shard_of(plan, {0, p.other}) == Approx(p.other));
    CHECK(4 * copies * shard_of(plan, {p.expert, 0}) == Approx(p.expert));
  }
  // Parts of a rank are different stages, not copies of one.
  ParallelPlan plan = plan_of(64, 1);
  plan.schedule = ScheduleKind::interleaved_1f1b;
  plan.pp = 4;
  plan.virtual_stages = 4;
  CHECK(num_dense_replicas(plan) == 64);
}

TEST_CASE("rank parameters: tensor parallelism divides what it can", "[zero]") {
  const ModelSpec llama = shipped_model("llama-3.1-405b");
  const double hidden = 16384, head = 128;
  // 128 query and 8 key-value heads on 8 ranks: 16 and 1; on 16 ranks every two share a pair.
  CHECK(attention_parameters_of_rank(llama, 8) == Approx(hidden * head * (2 * 16 + 2 * 1)));
  CHECK(attention_parameters_of_rank(llama, 16) == Approx(hidden * head * (2 * 8 + 2 * 1)));
  CHECK(attention_parameters_of_rank(llama, 1) == Approx(attention_parameters(llama)));

  const ModelSpec v3 = shipped_model("deepseek-v3");
  const double down = 7168. * (1536 + 512 + 64);
  const double up = 1536. * 128 * 192 + 512. * 128 * 256 + 128. * 128 * 7168;
  CHECK(attention_parameters_of_rank(v3, 1) == Approx(down + up));
  CHECK(attention_parameters_of_rank(v3, 4) == Approx(down + up / 4));

  ParallelPlan plan = plan_of(16, 1);
  plan.tp = 4;
  plan.ep = 8;
  plan.expert_tp = 2;
  const auto p = layer_parameters(
      v3, plan, {LayerKind::embedding, LayerKind::dense, LayerKind::moe, LayerKind::head});
  const double norms = 2 * 7168 + 1536 + 512, matrix = 129280. * 7168;
  REQUIRE(p.size() == 4);
  CHECK(p[0].other == Approx(matrix / 4));
  CHECK(p[1].other == Approx(down + up / 4 + norms + 3. * 7168 * 18432 / 4));
  CHECK(p[2].other == Approx(down + up / 4 + norms + 256. * 7168 + 256 + 3. * 7168 * 2048 / 4));
  CHECK(p[2].expert == Approx(32 * 3. * 7168 * 2048 / 2));
  CHECK(p[3].other == Approx(7168 + matrix / 4));
  // The head that an MTP module uses again is the same matrix.
  const auto twice = layer_parameters(v3, plan, {LayerKind::head, LayerKind::head});
  CHECK(twice[0].other == Approx(7168 + matrix / 4));
  CHECK(twice[1].other == 7168);
}

TEST_CASE("rank parameters: tied embeddings are held once where both ends are", "[zero]") {
  ModelSpec m = shipped_model("llama-3.1-70b");
  const ParallelPlan plan = plan_of(8, 1);
  const double matrix = static_cast<double>(m.vocab * m.hidden),
               norm = static_cast<double>(m.hidden);
  m.tied_embeddings = true;
  CHECK(stage_parameters(m, plan, {LayerKind::embedding, LayerKind::head}).other == matrix + norm);
  CHECK(stage_parameters(m, plan, {LayerKind::head}).other == matrix + norm);
  m.tied_embeddings = false;
  CHECK(stage_parameters(m, plan, {LayerKind::embedding, LayerKind::head}).other ==
        2 * matrix + norm);
}

TEST_CASE("training memory: what each ZeRO stage adds and takes away", "[zero]") {
  auto memory = [](const Changes& changes) {
    const Scenario s = small_v3(changes);
    const ParallelPlan& plan = s.phases[0].plan;
    const ChunkShape shape = chunk_shape(s.model, plan, 4096);
    return training_memory(s.model, plan, shape, {}, 1, plan.layout().stages_of(1), 5 * GB);
  };
  const Changes one = with_schedule("1f1b");
  auto with = [&](Changes more) {
    more.insert(more.begin(), one.begin(), one.end());
    return memory(more);
  };
  const RankMemory zero1 = memory(one);
  const double local = bytes_of(zero1, "weights_bytes") / 2;
  const double shard = bytes_of(zero1, "master_weights_bytes") / 4;
  CHECK(shard < local);
  CHECK(bytes_of(zero1, "gradients_bytes") == Approx(4 * local));
  CHECK(bytes_of(zero1, "activations_bytes") == 5e9);

  const RankMemory zero0 = with({{"/plan/zero_stage", "0"}});
  CHECK(bytes_of(zero0, "master_weights_bytes") == Approx(4 * local));
  CHECK(bytes_of(zero0, "moments_bytes") == Approx(2 * 2 * local));

  const RankMemory zero2 =
      with({{"/plan/zero_stage", "2"}, {"/plan/gradient_bucket", "\"100 MB\""}});
  CHECK(bytes_of(zero2, "gradients_bytes") == Approx(4 * shard));
  CHECK(bytes_of(zero2, "bucket_buffers_bytes") == Approx(4 * 100e6));  // two, dense and expert
  CHECK(bytes_of(zero2, "weights_bytes") == Approx(2 * local));

  const RankMemory zero3 = with({{"/plan/zero_stage", "3"}});
  CHECK(bytes_of(zero3, "weights_bytes") == Approx(2 * shard));
  CHECK(bytes_of(zero3, "fp8_weights_bytes") == Approx(shard));
  // Stage 1 is two equal layers: one is whole at a time, or two where the next is gathered ahead.
  CHECK(bytes_of(zero3, "gathered_weights_bytes") == Approx(3 * local / 2));
  CHECK(bytes_of(with({{"/plan/zero_stage", "3"}, {"/plan/overlap_param_gather", "true"}}),
                 "gathered_weights_bytes") == Approx(3 * local));

  const RankMemory framework =
      with({{"/plan/overheads",
             R"({"cuda_context": "0.5 GB", "nccl_buffers": "2 GB", "fragmentation": 0.05})"}});
  CHECK(bytes_of(framework, "cuda_context_bytes") == 0.5e9);
  CHECK(bytes_of(framework, "nccl_buffers_bytes") == 2e9);
  CHECK(bytes_of(framework, "fragmentation_bytes") == Approx(0.05 * zero1.total().in(B)));
  CHECK(framework.total().in(B) == Approx(1.05 * zero1.total().in(B) + 2.5e9));
  CHECK(bytes_of(with({{"/plan/gradients", "\"bf16\""}}), "gradients_bytes") == Approx(2 * local));
}

TEST_CASE("plan: sharding that cannot be is refused", "[zero]") {
  auto refusal = [](const Changes& changes, const char* scenario) -> std::string {
    try {
      shipped_scenario(scenario, changes);
    } catch (const InputError& error) {
      const std::string text = error.what();
      return text.substr(text.find("/plan"));
    }
    return "accepted";
  };
  CHECK(refusal({{"/plan/overlap_param_gather", "true"}, {"/plan/zero_stage", "0"}},
                "deepseek-v3-pretrain") ==
        "/plan/overlap_param_gather: is true, but zero_stage 0 keeps all weights on every rank and "
        "gathers none; expected false, or zero_stage 1, 2 or 3");
  CHECK(refusal({{"/plan/gradient_bucket", "\"1 KB\""}}, "deepseek-v3-pretrain") ==
        "/plan/gradient_bucket: expected at least 1 MB, found 1000 B");
  CHECK(refusal({{"/plan/zero_stage", "2"}}, "deepseek-v3-chunk") ==
        "/plan/zero_stage: an overlapped pair has no optimizer and moves neither gradients nor "
        "weights; expected 0 or 1");
  CHECK(refusal({{"/plan/overheads", R"({"fragmentation": 1.5})"}}, "deepseek-v3-pretrain") ==
        "/plan/overheads: /fragmentation: expected a number from 0 to 1, found 1.5");
  CHECK(refusal({{"/plan/overheads", R"({"cuda": "1 GB"})"}}, "deepseek-v3-pretrain")
            .find("/plan/overheads: unknown key \"cuda\"") == 0);
}
