#include "reports/import/megatron_flags.hpp"

#include "reports/import/flag_words.hpp"

namespace moesim {
namespace {

using namespace flag_words;

constexpr LaunchFlag kFlags[] = {
    // The world: torchrun's, and what the environment tells Megatron.
    {"--nnodes", kInteger, kPlan, "world size"},
    {"--nproc-per-node", kInteger, kPlan, "world size, GPUs of a node"},
    {"--world-size --num-gpus", kInteger, kPlan, "world size"},
    {"--data-parallel-size", kInteger, kPlan, "dp"},
    // Degrees and their order.
    {"--tensor-model-parallel-size", kInteger, kPlan, "tp"},
    {"--pipeline-model-parallel-size", kInteger, kPlan, "pp"},
    {"--context-parallel-size", kInteger, kPlan, "cp"},
    {"--cp-comm-type", kWords, kPlan, "cp_method"},
    {"--expert-model-parallel-size", kInteger, kPlan, "ep"},
    {"--expert-tensor-parallel-size", kInteger, kPlan, "expert_tp"},
    {"--sequence-parallel", kNone, kPlan, "sequence_parallel"},
    {"--use-tp-pp-dp-mapping", kNone, kPlan, "rank_order"},
    // The pipeline.
    {"--num-layers-per-virtual-pipeline-stage", kInteger, kPlan, "virtual_stages"},
    {"--num-virtual-stages-per-pipeline-rank", kInteger, kPlan, "virtual_stages"},
    {"--decoder-first-pipeline-num-layers", kInteger, kPlan, "layers_per_stage"},
    {"--decoder-last-pipeline-num-layers", kInteger, kPlan, "layers_per_stage"},
    {"--account-for-embedding-in-pipeline-split", kNone, kPlan, "layers_per_stage"},
    {"--account-for-loss-in-pipeline-split", kNone, kPlan, "layers_per_stage"},
    {"--pipeline-model-parallel-layout", kWord, kPlan, "layers_per_stage, virtual_stages"},
    {"--overlap-moe-expert-parallel-comm", kNone, kPlan, "overlap_expert_comm"},
    {"--moe-deepep-num-sms", kInteger, kPlan, "comm_sms"},
    // The batch.
    {"--micro-batch-size", kInteger, kPlan, "microbatch"},
    {"--global-batch-size", kInteger, kPlan, "batch of a phase"},
    {"--seq-length", kInteger, kPlan, "seq_len of a phase"},
    // Precision and memory.
    {"--bf16", kNone, kPlan, "recipe"},
    {"--fp16", kNone, kPlan, "recipe"},
    {"--fp8-format", kWord, kPlan, "recipe"},
    {"--fp8-recipe", kWord, kPlan, "recipe"},
    {"--use-distributed-optimizer", kNone, kPlan, "zero_stage"},
    {"--use-megatron-fsdp --use-custom-fsdp", kNone, kPlan, "zero_stage"},
    {"--data-parallel-sharding-strategy", kWord, kPlan, "zero_stage"},
    {"--use-torch-fsdp2", kNone, kPlan, "zero_stage"},
    {"--overlap-grad-reduce", kNone, kPlan, "overlap_grad_reduce"},
    {"--overlap-param-gather", kNone, kPlan, "overlap_param_gather"},
    {"--ddp-bucket-size", kInteger, kPlan, "gradient_bucket"},
    {"--recompute-granularity", kWord, kPlan, "recompute"},
    {"--recompute-modules", kWords, kPlan, "recompute"},
    {"--accumulate-allreduce-grads-in-fp32", kNone, kPlan, "gradients"},
    {"--grad-reduce-in-bf16", kNone, kPlan, "gradients"},
    {"--use-precision-aware-optimizer", kNone, kPlan, "gradients, moments"},
    {"--main-grads-dtype", kWord, kPlan, "gradients"},
    {"--exp-avg-dtype", kWord, kPlan, "moments"},
    {"--exp-avg-sq-dtype", kWord, kPlan, "moments"},
    // The model.
    {"--num-layers", kInteger, kModel, "num_hidden_layers"},
    {"--hidden-size", kInteger, kModel, "hidden_size"},
    {"--ffn-hidden-size", kInteger, kModel, "intermediate_size"},
    {"--num-attention-heads", kInteger, kModel, "num_attention_heads"},
    {"--group-query-attention", kNone, kModel, "num_key_value_heads below num_attention_heads"},
    {"--num-query-groups", kInteger, kModel, "num_key_value_heads"},
    {"--kv-channels", kInteger, kModel, "head_dim"},
    {"--vocab-size", kInteger, kModel, "vocab_size"},
    {"--max-position-embeddings", kInteger, kModel, "max_position_embeddings"},
    {"--num-experts", kInteger, kModel, "num_experts"},
    {"--moe-router-topk", kInteger, kModel, "num_experts_per_tok"},
    {"--moe-ffn-hidden-size", kInteger, kModel, "moe_intermediate_size"},
    {"--moe-shared-expert-intermediate-size", kInteger, kModel, "shared_expert_intermediate_size"},
    {"--moe-layer-freq", kWord, kModel, "which layers have experts"},
    {"--moe-router-num-groups", kInteger, kModel, "n_group"},
    {"--moe-router-group-topk", kInteger, kModel, "topk_group"},
    {"--moe-router-score-function", kWord, kModel, "scoring_func"},
    {"--moe-router-topk-scaling-factor", kWord, kModel, "routed_scaling_factor"},
    {"--moe-router-enable-expert-bias", kNone, kModel, "topk_method"},
    {"--moe-router-pre-softmax", kNone, kModel, "norm_topk_prob"},
    {"--multi-latent-attention", kNone, kModel, "kv_lora_rank"},
    {"--q-lora-rank", kInteger, kModel, "q_lora_rank"},
    {"--kv-lora-rank", kInteger, kModel, "kv_lora_rank"},
    {"--qk-head-dim", kInteger, kModel, "qk_nope_head_dim"},
    {"--qk-pos-emb-head-dim", kInteger, kModel, "qk_rope_head_dim"},
    {"--v-head-dim", kInteger, kModel, "v_head_dim"},
    {"--qk-layernorm", kNone, kModel, "query and key norms"},
    {"--mtp-num-layers", kInteger, kModel, "num_nextn_predict_layers"},
    {"--untie-embeddings-and-output-weights", kNone, kModel, "tie_word_embeddings"},
    {"--swiglu", kNone, kModel, "hidden_act"},
    {"--squared-relu", kNone, kModel, "hidden_act"},
    {"--normalization", kWord, kModel, "the norm"},
    {"--norm-epsilon", kWord, kModel, "rms_norm_eps"},
    {"--disable-bias-linear", kNone, kModel, "attention_bias"},
    {"--add-qkv-bias", kNone, kModel, "attention_bias"},
    {"--window-size", kWord, kModel, "sliding_window"},
    {"--position-embedding-type", kWord, kModel, "the position embedding"},
    {"--rotary-base", kWord, kModel, "rope_theta"},
    {"--rotary-percent", kWord, kModel, "partial_rotary_factor"},
    {"--rotary-scaling-factor", kWord, kModel, "rope_scaling"},
    {"--rope-scaling-factor", kWord, kModel, "rope_scaling"},
    {"--use-rope-scaling", kNone, kModel, "rope_scaling"},
    {"--mscale", kWord, kModel, "rope_scaling"},
    {"--mscale-all-dim", kWord, kModel, "rope_scaling"},
    // What costs time or memory and has no key in a plan.
    {"--rampup-batch-size", kWords, kUnexpressed, "the ramp of the batch: a phase's batch_ramp"},
    {"--recompute-method", kWord, kUnexpressed, "which layers are recomputed: all are"},
    {"--recompute-num-layers", kInteger, kUnexpressed, "how many layers are recomputed: all are"},
    {"--moe-token-dispatcher-type",
     kWord,
     kUnexpressed,
     "the dispatcher: the simulator's sends a token to a node once, as DeepEP does"},
    {"--moe-enable-deepep", kNone, kUnexpressed, "the dispatcher, which is DeepEP's always"},
    {"--moe-flex-dispatcher-backend",
     kWord,
     kUnexpressed,
     "the dispatcher, which is DeepEP's always"},
    {"--moe-hybridep-num-sms", kInteger, kUnexpressed, "SMs of another dispatcher"},
    {"--moe-shared-expert-overlap", kNone, kUnexpressed, "shared experts beside the dispatch"},
    {"--moe-expert-capacity-factor", kWord, kUnexpressed, "dropped tokens: none are dropped"},
    {"--moe-pad-expert-input-to-capacity", kNone, kUnexpressed, "padding to a capacity"},
    {"--moe-router-force-load-balancing",
     kNone,
     kUnexpressed,
     "balanced experts: a scenario's \"routing\" says \"balanced\""},
    {"--moe-router-padding-for-fp8", kNone, kUnexpressed, "padding of an expert's rows"},
    {"--delay-wgrad-compute", kNone, kUnexpressed, "weight gradients in a step of their own"},
    {"--defer-embedding-wgrad-compute", kNone, kUnexpressed, "the embedding's gradient, deferred"},
    {"--tp-comm-overlap", kNone, kUnexpressed, "tensor-parallel traffic beside its GEMM"},
    {"--microbatch-group-size-per-virtual-pipeline-stage",
     kInteger,
     kUnexpressed,
     "microbatches that pass a part together: pp do"},
    {"--no-overlap-p2p-communication", kNone, kUnexpressed, "pipeline messages beside compute"},
    {"--overlap-p2p-communication-warmup-flush",
     kNone,
     kUnexpressed,
     "pipeline messages while the pipeline fills and drains"},
    {"--fp8-param-gather --fp8-param", kNone, kUnexpressed, "weights gathered in FP8"},
    {"--first-last-layers-bf16", kNone, kUnexpressed, "first and last layers in BF16"},
    {"--num-layers-at-start-in-bf16", kInteger, kUnexpressed, "first layers in BF16"},
    {"--num-layers-at-end-in-bf16", kInteger, kUnexpressed, "last layers in BF16"},
    {"--main-params-dtype", kWord, kUnexpressed, "the master weights, which are FP32"},
    {"--optimizer-cpu-offload", kNone, kUnexpressed, "optimizer state in host memory"},
    {"--optimizer-offload-fraction", kWord, kUnexpressed, "optimizer state in host memory"},
    {"--cpu-offloading-num-layers", kInteger, kUnexpressed, "activations in host memory"},
    {"--num-distributed-optimizer-instances",
     kInteger,
     kUnexpressed,
     "optimizer state sharded over a part of the replicas"},
    {"--overlap-param-gather-with-optimizer-step",
     kNone,
     kUnexpressed,
     "weights gathered beside the optimizer"},
    {"--hierarchical-context-parallel-sizes",
     kWords,
     kUnexpressed,
     "context parallelism in two levels"},
    {"--enable-cuda-graph --external-cuda-graph", kNone, kUnexpressed, "CUDA graphs: launch gaps"},
    {"--cuda-graph-impl", kWord, kUnexpressed, "CUDA graphs: launch gaps"},
    {"--cuda-graph-scope", kWords, kUnexpressed, "CUDA graphs: launch gaps"},
    {"--ddp-num-buckets", kInteger, kUnexpressed, "how many gradient buckets there are"},
    {"--distribute-saved-activations", kNone, kUnexpressed, "saved inputs sharded over tp"},
    {"--use-transformer-engine-op-fuser", kNone, kUnexpressed, "fused kernels"},
};

constexpr IgnoredFlags kIgnored[] = {
    {"data and tokenizer",
     "--data-path=* --data-cache-path= --split= --train-data-path=* --valid-data-path=* "
     "--test-data-path=* --tokenizer-type= --tokenizer-model= --vocab-file= --merge-file= "
     "--mock-data --num-workers= --dataloader-type= --reset-position-ids --reset-attention-mask "
     "--eod-mask-loss --no-create-attention-mask-in-dataloader --num-dataset-builder-threads= "
     "--no-mmap-bin-files --data-args-path= --per-split-data-args-path= --legacy-tokenizer "
     "--make-vocab-size-divisible-by= --calculate-per-token-loss"},
    {"checkpoints and paths",
     "--save= --load= --save-interval= --ckpt-format= --ckpt-fully-parallel-load "
     "--ckpt-fully-parallel-save --use-dist-ckpt --dist-ckpt-format= --async-save "
     "--auto-detect-ckpt-format --no-load-optim --no-load-rng --no-save-optim --no-save-rng "
     "--finetune --pretrained-checkpoint= --use-checkpoint-args --exit-on-missing-checkpoint "
     "--ckpt-assume-constant-structure --non-persistent-save-interval= --dist-ckpt-strictness= "
     "--save-retain-interval="},
    {"logging and profiling",
     "--log-interval= --log-throughput --log-progress --log-params-norm --log-num-zeros-in-grad "
     "--log-timers-to-tensorboard --log-memory-to-tensorboard --log-validation-ppl-to-tensorboard "
     "--log-world-size-to-tensorboard --log-batch-size-to-tensorboard --log-straggler "
     "--tensorboard-dir= --tensorboard-queue-size= --tensorboard-log-interval= --wandb-project= "
     "--wandb-exp-name= --wandb-save-dir= --timing-log-level= --timing-log-option= --profile "
     "--profile-step-start= --profile-step-end= --profile-ranks=* --use-pytorch-profiler "
     "--record-memory-history --memory-snapshot-path= --logging-level= --moe-per-layer-logging "
     "--one-logger-project= --one-logger-run-name="},
    {"the optimizer's and the schedule's numbers",
     "--lr= --min-lr= --lr-decay-style= --lr-decay-iters= --lr-decay-samples= --lr-warmup-iters= "
     "--lr-warmup-samples= --lr-warmup-fraction= --lr-warmup-init= --lr-wsd-decay-style= "
     "--lr-wsd-decay-iters= --lr-wsd-decay-samples= --weight-decay= --start-weight-decay= "
     "--end-weight-decay= --weight-decay-incr-style= --adam-beta1= --adam-beta2= --adam-eps= "
     "--clip-grad= --optimizer= --sgd-momentum= --override-opt_param-scheduler "
     "--use-checkpoint-opt_param-scheduler --decoupled-lr= --decoupled-min-lr= "
     "--moe-aux-loss-coeff= --moe-z-loss-coeff= --moe-router-bias-update-rate= "
     "--moe-router-load-balancing-type= --moe-router-dtype= --mtp-loss-scaling-factor= "
     "--init-method-std= --loss-scale= --initial-loss-scale= --min-loss-scale= "
     "--attention-dropout= --hidden-dropout= --seed= --te-rng-tracker --use-cpu-initialization "
     "--no-check-for-nan-in-loss-and-grad --check-for-large-grads --check-for-spiky-loss"},
    {"how long the run is, which a phase says in tokens",
     "--train-iters= --train-samples= --exit-duration-in-mins= --exit-interval= "
     "--exit-signal-handler --eval-iters= --eval-interval= --skip-train --train-sync-interval="},
    {"the process and its start",
     "--distributed-backend= --distributed-timeout-minutes= --local-rank= --lazy-mpu-init= "
     "--no-initialization --manual-gc --manual-gc-interval= --manual-gc-eval "
     "--nccl-communicator-config-path= --disable-straggler-on-startup --straggler-minmax-count= "
     "--use-ring-exchange-p2p --high-priority-stream-groups=* --enable-ft-package "
     "--adlr-autoresume"},
    {"how Megatron runs a kernel, which the profile measures",
     "--transformer-impl= --attention-backend= --use-flash-attn --use-mcore-models "
     "--no-masked-softmax-fusion --no-bias-gelu-fusion --no-bias-swiglu-fusion "
     "--no-bias-dropout-fusion --no-rope-fusion --no-gradient-accumulation-fusion "
     "--no-persist-layer-norm --no-async-tensor-model-parallel-allreduce --moe-grouped-gemm "
     "--moe-use-legacy-grouped-gemm --moe-permute-fusion --moe-router-fusion "
     "--cross-entropy-loss-fusion --cross-entropy-fusion-impl= --apply-layernorm-1p "
     "--attention-softmax-in-fp32 --apply-query-key-layer-scaling --rotary-interleaved "
     "--use-rotary-position-embeddings --mla-down-proj-fusion --enable-experimental "
     "--fp8-margin= --fp8-interval= --fp8-amax-history-len= --fp8-amax-compute-algo= "
     "--no-fp8-wgrad "
     "--no-align-grad-reduce --no-align-param-gather --ddp-average-in-collective "
     "--ddp-pad-buckets-for-high-nccl-busbw --gradient-reduce-div-fusion "
     "--keep-fp8-weight-transpose-cache --empty-unused-memory-level= --moe-apply-probs-on-input "
     "--no-scatter-gather-tensors-in-pipeline"},
};

}  // namespace

std::span<const LaunchFlag> megatron_flags() { return kFlags; }
std::span<const IgnoredFlags> megatron_ignored_flags() { return kIgnored; }

}  // namespace moesim
