// Wrong scenarios, models, clusters, GPUs and profiles: each must be refused with an InputError
// whose text is checked in full, because a message that names the wrong number is worse than none.
// Syntax, files and overrides are in test_bad_files.cpp, routing is in test_bad_routing.cpp.
#include "tests/catch.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

TEST_CASE("bad input: the scenario that the cases spoil is good", "[bad_input]") {
  CHECK(refusal_of(small_scenario()) == "nothing was refused");
}

TEST_CASE("bad input: unknown and repeated keys", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "seed": 7 => "seed": 7, "sead": 8
    scenario.json: unknown key "sead"; did you mean "seed"?
scenario.json: "comm_sms": 20 => "comm_sms": 20, "comm_sm": 20
    scenario.json: /plan: unknown key "comm_sm"; did you mean "comm_sms"?
scenario.json: "cv": 0.1} => "cv": 0.1}, "max_group": 2
    scenario.json: /routing: unknown key "max_group"; did you mean "max_groups"?
scenario.json: "tokens": "1B", => "tokens": "1B", "rmap": {},
    scenario.json: /phases/0: unknown key "rmap"; did you mean "ramp"?
scenario.json: "num_stages": 2 => "num_stages": 2, "shape": "linear"
    scenario.json: /phases/0/ramp: unknown key "shape"; known: from_batch, num_stages, tokens
scenario.json: "gpu_hours": 5.5 => "gpu_hours": 5.5, "seq_len": 4096
    scenario.json: /phases/2: unknown key "seq_len"; known: gpu_hours, name, source
scenario.json: "dp": 4} => "dp": 4, "zp": 1}
    scenario.json: /phases/1/plan: unknown key "zp"; did you mean "cp"?
scenario.json: "because": "why" => "because": "why", "when": "now"
    scenario.json: /variants/0: unknown key "when"; known: because, name, set
cluster.json: "num_nodes": 2 => "num_nodes": 2, "num_node": 2
    cluster.json: unknown key "num_node"; did you mean "num_nodes"?
cluster.json: "levels": 2 => "levels": 2, "tiers": 2
    cluster.json: /fabric: unknown key "tiers"; known: failures, levels, oversubscription, planes, prices, rail_optimized, routing, switch_ports, topology
cluster.json: "price": "f" => "price": "f", "gpus_per_node": "g"
    cluster.json: /sources: unknown key "gpus_per_node"; known: fabric, nic_bandwidth, nic_latency, num_nodes, nvlink_latency, price, prices
gpu.json: "num_sms": 132 => "num_sms": 132, "l2": "50 MB"
    gpu.json: unknown key "l2"; known: architecture, hbm, hbm_bandwidth, max_power, name, num_sms, nvlink_bandwidth, peak, sources
gpu.json: "bf16": "989 TFLOP/s" => "bf16": "989 TFLOP/s", "fp16": "989 TFLOP/s"
    gpu.json: /peak: unknown key "fp16"; did you mean "bf16"?
gpu.json: "peak": "e" => "peak": "e", "hmb": "b"
    gpu.json: /sources: unknown key "hmb"; did you mean "hbm"?
profile.json: "id": "p" => "id": "p", "date": "today"
    profile.json: unknown key "date"; known: about, collectives, comm, gemm_slowdown_under_comm, gpu, groups, id, kernels, kind, launch, plan_version, schema
profile.json: "out_bytes": 2 => "out_bytes": 2, "in_bytes": 1
    profile.json: /kernels/gemm_bf16: unknown key "in_bytes"; known: error, fill, hbm_efficiency, load_per_sm, mma_efficiency, norm, out_bytes, overhead, plan, points, range, residual, source, store_per_sm
profile.json: "k": 7168 => "k": 7168, "group": 4
    profile.json: /kernels/gemm_bf16/points/0: unknown key "group"; did you mean "groups"?
profile.json: "sms": [112, 132]} => "sms": [112, 132], "groups": [1, 8]}
    profile.json: /kernels/gemm_bf16/range: unknown key "groups"; known: k, m, n, sms
profile.json: "outside_pct": 14.9 => "outside_pct": 14.9, "outsid_pct": 3
    profile.json: /kernels/gemm_bf16/error: unknown key "outsid_pct"; did you mean "outside_pct"?
profile.json: "max_pct": 7.5 => "max_pct": 7.5, "mean_pct": 3
    profile.json: /kernels/gemm_bf16/error/tests/0: unknown key "mean_pct"; did you mean "max_pct"?
profile.json: "constant": 0.01 => "constant": 0.01, "weights": []
    profile.json: /kernels/gemm_bf16/residual: unknown key "weights"; known: constant, nodes
profile.json: "norm": 5 => "norm": 5, "qk_head_dim": 576
    profile.json: /kernels/attention_decode: unknown key "qk_head_dim"; known: bandwidth, block, error, norm, overhead, residual, sms, source
profile.json: "sms": 130 => "sms": 130, "heads": 128
    profile.json: /kernels/attention_forward: unknown key "heads"; known: bandwidth, error, overhead, qk_head_dim, rate, residual, sms, source, v_head_dim
profile.json: "sms": 111 => "sms": 111, "rows": 1
    profile.json: /kernels/cast: unknown key "rows"; known: bandwidth, error, overhead, per_sm, sms, source
profile.json: "layout": "97 us" => "layout": "97 us", "layuot": "1 us"
    profile.json: /comm: unknown key "layuot"; did you mean "layout"?
profile.json: "ranks_per_node": 8 => "ranks_per_node": 8, "nodes": 2
    profile.json: /groups/0: unknown key "nodes"; known: error, hidden, op, ranks, ranks_per_node, segments, sizes, sms, source, topk
profile.json: "gap": "2 us" => "gap": "2 us", "gpa": "1 us"
    profile.json: /launch: unknown key "gpa"; did you mean "gap"?
scenario.json: "seed": 7 => "seed": 7, "seed": 7
    scenario.json: key "seed" appears twice
scenario.json: "dp": 8 => "dp": 8, "dp": 16
    scenario.json: /plan: key "dp" appears twice
cluster.json: "levels": 2 => "levels": 2, "levels": 3
    scenario.json: /cluster: cluster.json: /fabric: key "levels" appears twice
tiny.json: "hidden_size": 512 => "hidden_size": 512, "hidden_size": 1024
    scenario.json: /model: tiny.json: key "hidden_size" appears twice
profile.json: "cast": { => "gemm_bf16": {}, "cast": {
    scenario.json: /profile: profile.json: /kernels: key "gemm_bf16" appears twice
)cases");
}

TEST_CASE("bad input: missing keys", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "name": "small",  =>
    scenario.json: missing key "name"
scenario.json: "model": "tiny.json",  =>
    scenario.json: missing key "model"
scenario.json: "seed": 7, =>
    scenario.json: missing key "seed"
scenario.json: "ep": 8,  =>
    scenario.json: /plan: missing key "ep"
scenario.json: "popularity": {"kind": "dirichlet", "cv": 0.1} => "max_groups": 2
    scenario.json: /routing: missing key "popularity"
scenario.json: "tokens": "1B", =>
    scenario.json: /phases/0: missing key "tokens" or "steps": how long the phase is
scenario.json: "seq_len": 4096,  =>
    scenario.json: /phases/0: missing key "seq_len"
scenario.json: "from_batch": 16,  =>
    scenario.json: /phases/0/ramp: missing key "from_batch"
scenario.json: , "source": "a report" =>
    scenario.json: /phases/2: missing key "source"
scenario.json: "because": "why",  =>
    scenario.json: /variants/0: missing key "because"
cluster.json: "gpu": "gpu.json",  =>
    cluster.json: missing key "gpu"
cluster.json: "rail_optimized": true,  =>
    cluster.json: /fabric: missing key "rail_optimized"
cluster.json: , "price": "f" =>
    cluster.json: /sources: missing key "price"
cluster.json: "price": "2 USD/h", =>
    cluster.json: missing key "price"
gpu.json: "hbm": "80 GiB", =>
    gpu.json: missing key "hbm"
gpu.json: "bf16": "989 TFLOP/s",  =>
    gpu.json: /peak: missing key "bf16"
gpu.json: "hbm": "b",  =>
    gpu.json: /sources: missing key "hbm"
gpu.json: "num_sms": 132,  => "num_sms": null,
    gpu.json: missing key "num_sms"
tiny.json: "model_type": "deepseek_v3",  =>
    tiny.json: missing key "model_type"
tiny.json: "hidden_size": 512, =>
    tiny.json: missing key "hidden_size"
tiny.json: "q_lora_rank": 64,  =>
    tiny.json: missing key "q_lora_rank" (null when queries are not compressed)
tiny.json: "n_routed_experts": 16, =>
    tiny.json: missing key "n_routed_experts" (also read as num_experts, num_local_experts, num_routed_experts)
tiny.json: "num_experts_per_tok": 4,  =>
    tiny.json: missing key "num_experts_per_tok" (also read as num_experts_per_token, experts_per_token)
profile.json: "about": "test" => "remark": "test"
    profile.json: missing key "about"
profile.json: "store_per_sm": "40 GB/s", =>
    profile.json: /kernels/gemm_bf16: missing key "store_per_sm"
profile.json: "k": [256, 2048],  =>
    profile.json: /kernels/gemm_bf16/range: missing key "k"
profile.json: "rate": "608 TFLOP/s",  =>
    profile.json: /kernels/attention_forward: missing key "rate"
profile.json: , "source": "u" =>
    profile.json: /kernels/cast: missing key "source"
profile.json: "overhead": "4 us",  =>
    profile.json: /kernels/cast: missing key "overhead"
profile.json: "dispatch_overlap": 0.5, =>
    profile.json: /comm: missing key "dispatch_overlap"
profile.json: "gap": "2 us",  =>
    profile.json: /launch: missing key "gap"
)cases");
}

TEST_CASE("bad input: quantities without a unit, with the wrong one or of absurd size",
          "[bad_input]") {
  check_refusals(R"cases(
gpu.json: "hbm": "80 GiB" => "hbm": 80
    gpu.json: /hbm: expected a quantity with a unit such as "80 GiB", found the number 80
gpu.json: "80 GiB" => "80"
    gpu.json: /hbm: expected a quantity with a unit such as "80 GiB", found the string "80"
gpu.json: "80 GiB" => "80 GHz"
    gpu.json: /hbm: unknown unit "GHz"; known: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB
gpu.json: "80 GiB" => "3.35 TB/s"
    gpu.json: /hbm: unknown unit "TB/s"; known: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB
gpu.json: "80 GiB" => "-80 GiB"
    gpu.json: /hbm: expected a quantity above zero, found "-80 GiB"
gpu.json: "80 GiB" => "0 GiB"
    gpu.json: /hbm: expected a quantity above zero, found "0 GiB"
gpu.json: "80 GiB" => "1e999 GiB"
    gpu.json: /hbm: expected a quantity that a double can hold, found "1e999 GiB"
gpu.json: "3.35 TB/s" => "3.35 TB"
    gpu.json: /hbm_bandwidth: unknown unit "TB"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s
gpu.json: "450 GB/s" => "450 B/s"
    gpu.json: /nvlink_bandwidth: expected at least 100 MB/s, found "450 B/s"
gpu.json: "989 TFLOP/s" => "989 TFLOPS"
    gpu.json: /peak/bf16: unknown unit "TFLOPS"; known: FLOP/s, GFLOP/s, TFLOP/s, PFLOP/s
gpu.json: "989 TFLOP/s" => "989 FLOP/s"
    gpu.json: /peak/bf16: expected at least 100 GFLOP/s, found "989 FLOP/s"
gpu.json: "1979 TFLOP/s" => 1.979e15
    gpu.json: /peak/fp8: expected a quantity with a unit such as "989 TFLOP/s", found the number 1.979e+15
cluster.json: "50 GB/s" => "50 Gbps"
    cluster.json: /nic_bandwidth: unknown unit "Gbps"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s
cluster.json: "50 GB/s" => "50 B/s"
    cluster.json: /nic_bandwidth: expected at least 100 MB/s, found "50 B/s"
cluster.json: "50 GB/s" => {"value": 50, "unit": "GB/s"}
    cluster.json: /nic_bandwidth: expected a quantity with a unit such as "50 GB/s", found an object
cluster.json: "3.33 us" => "3.33 s"
    cluster.json: /nvlink_latency: expected at most 1 s, found "3.33 s"
cluster.json: "3.7 us" => "-3.7 us"
    cluster.json: /nic_latency: expected a quantity of zero or more, found "-3.7 us"
cluster.json: "3.7 us" => 0.0000037
    cluster.json: /nic_latency: expected a quantity with a unit such as "2.8 us", found the number 3.7e-06
cluster.json: "2 USD/h" => "2 EUR/h"
    cluster.json: /price: unknown unit "EUR/h"; known: USD/h
cluster.json: "2 USD/h" => "2 USD"
    cluster.json: /price: unknown unit "USD"; known: USD/h
scenario.json: "fp32" => 3
    scenario.json: /override/~1plan~1moments: expected a string, found the number 3
profile.json: "200 GB/s" => "200 GB"
    profile.json: /kernels/gemm_bf16/load_per_sm: unknown unit "GB"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s
profile.json: "2.5 us" => "2.5 kW"
    profile.json: /kernels/gemm_bf16/overhead: unknown unit "kW"; known: ps, ns, us, ms, s, min, h, d
profile.json: "608 TFLOP/s" => "608 TB/s"
    profile.json: /kernels/attention_forward/rate: unknown unit "TB/s"; known: FLOP/s, GFLOP/s, TFLOP/s, PFLOP/s
profile.json: "206 TFLOP/s" => "206 FLOP/s"
    profile.json: /kernels/gemm_bf16/points/0/rate: expected at least 100 GFLOP/s, found "206 FLOP/s"
profile.json: "13 GB/s" => "13 KB/s"
    profile.json: /comm/cast_per_sm: expected at least 100 MB/s, found "13 KB/s"
profile.json: "800 us" => "800 s"
    profile.json: /launch/chunk_startup: expected at most 1 s, found "800 s"
)cases");
}

TEST_CASE("bad input: wrong kinds of value and values out of range", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "comm_sms": 20 => "comm_sms": 3.7
    scenario.json: /plan/comm_sms: expected an integer, found the number 3.7
scenario.json: "pp": 2 => "pp": 2.0
    scenario.json: /plan/pp: expected an integer, found the number 2.0
scenario.json: "dp": 8 => "dp": "8"
    scenario.json: /plan/dp: expected an integer, found the string "8"
scenario.json: "ep": 8 => "ep": 0
    scenario.json: /plan/ep: expected an integer from 1 to 1048576, found 0
scenario.json: "tp": 1 => "tp": -1
    scenario.json: /plan/tp: expected an integer from 1 to 1048576, found -1
scenario.json: "cp": 1 => "cp": 1048577
    scenario.json: /plan/cp: expected an integer from 1 to 1048576, found 1048577
scenario.json: "pp": 2 => "pp": 99999999999999999999
    scenario.json: /plan/pp: the integer 99999999999999999999 does not fit in 64 bits
scenario.json: [2, 2] => [2, -2]
    scenario.json: /plan/layers_per_stage/1: expected an integer from 0 to 4, found -2
scenario.json: [2, 2] => [2, 5]
    scenario.json: /plan/layers_per_stage/1: expected an integer from 0 to 4, found 5
scenario.json: [2, 2] => [2, 1.5]
    scenario.json: /plan/layers_per_stage/1: expected an integer, found the number 1.5
scenario.json: [2, 2] => "2, 2"
    scenario.json: /plan/layers_per_stage: expected an array of integers, found the string "2, 2"
scenario.json: "dualpipe" => "DualPipe"
    scenario.json: /plan/schedule: unknown value "DualPipe"; known: gpipe, 1f1b, interleaved_1f1b, zb_h1, zb_h2, zb_v, dualpipe, dualpipe_v, overlapped_pair
scenario.json: "fp8_block" => "fp8"
    scenario.json: /plan/recipe: unknown value "fp8"; known: fp8_block, bf16, fp8_tensor, mxfp8
scenario.json: "/plan/moments": "fp32" => "/plan/recipe": "fp16"
    scenario.json: /override/~1plan~1recipe: unknown value "fp16"; known: fp8_block, bf16, fp8_tensor, mxfp8
scenario.json: "kind": "sampled" => "kind": "random"
    scenario.json: /routing/kind: unknown value "random"; known: balanced, sampled
scenario.json: "cv": 0.1 => "cv": -0.1
    scenario.json: /routing/popularity/cv: expected a number from 0 to 1.7320508075688772, found -0.1
scenario.json: "cv": 0.1 => "cv": "0.1"
    scenario.json: /routing/popularity/cv: expected a number, found the string "0.1"
scenario.json: "tokens": "1B" => "tokens": 1.5
    scenario.json: /phases/0/tokens: expected a whole number above zero such as 4096 or "14.8T", found the number 1.5
scenario.json: "tokens": "1B" => "tokens": "1.0000000001B"
    scenario.json: /phases/0/tokens: expected a whole number above zero such as 4096 or "14.8T", found the string "1.0000000001B"
scenario.json: "tokens": "1B" => "tokens": "1 GB"
    scenario.json: /phases/0/tokens: expected a whole number above zero such as 4096 or "14.8T", found the string "1 GB"
scenario.json: "steps": 10 => "steps": 0
    scenario.json: /phases/1/steps: expected an integer from 1 to 1099511627776, found 0
scenario.json: "batch": 64 => "batch": -64
    scenario.json: /phases/0/batch: expected an integer from 1 to 1073741824, found -64
scenario.json: "batch": 64 => "batch": 1073741825
    scenario.json: /phases/0/batch: expected an integer from 1 to 1073741824, found 1073741825
scenario.json: "seq_len": 4096 => "seq_len": 134217729
    scenario.json: /phases/0/seq_len: expected an integer from 1 to 134217728, found 134217729
scenario.json: "num_stages": 2 => "num_stages": 65
    scenario.json: /phases/0/ramp/num_stages: expected an integer from 1 to 64, found 65
scenario.json: "gpu_hours": 5.5 => "gpu_hours": -1
    scenario.json: /phases/2/gpu_hours: expected a number from 0 to 1e+12, found -1
scenario.json: "seed": 7 => "seed": -7
    scenario.json: /seed: expected an integer from 0 to 4611686018427387904, found -7
scenario.json: "name": "small" => "name": 5
    scenario.json: /name: expected a string, found the number 5
scenario.json: ["a", "b"] => ["a", 2]
    scenario.json: /assumptions/1: expected a string, found the number 2
scenario.json: ["a", "b"] => "a"
    scenario.json: /assumptions: expected an array of strings, found the string "a"
scenario.json: "routing": {"kind": "sampled", "popularity": {"kind": "dirichlet", "cv": 0.1}} => "routing": "sampled"
    scenario.json: /routing: expected an object, found the string "sampled"
cluster.json: "num_nodes": 2 => "num_nodes": 2.5
    cluster.json: /num_nodes: expected an integer, found the number 2.5
cluster.json: "gpus_per_node": 8 => "gpus_per_node": 1025
    cluster.json: /gpus_per_node: expected an integer from 1 to 1024, found 1025
cluster.json: "num_nodes": 2, "gpus_per_node": 8 => "num_nodes": 1048576, "gpus_per_node": 1024
    cluster.json: /num_nodes: 1048576 nodes x 1024 GPUs = 1073741824; expected at most 4194304
cluster.json: "rail_optimized": true => "rail_optimized": 1
    cluster.json: /fabric/rail_optimized: expected true or false, found the number 1
cluster.json: "oversubscription": 1.5 => "oversubscription": 0.5
    cluster.json: /fabric/oversubscription: expected a number from 1 to 100, found 0.5
cluster.json: "fat_tree" => "torus"
    cluster.json: /fabric/topology: unknown value "torus"; known: single_node, fat_tree, multi_plane_fat_tree, dragonfly, slim_fly
cluster.json: "fat_tree" => "single_node"
    cluster.json: /fabric/topology: "single_node", but num_nodes is 2
cluster.json: "nic_latency": "d" => "nic_latency": ""
    cluster.json: /sources/nic_latency: is empty; expected where the figure is from
gpu.json: "num_sms": 132 => "num_sms": 4097
    gpu.json: /num_sms: expected an integer from 1 to 4096, found 4097
gpu.json: "architecture": "x" => "architecture": null
    gpu.json: missing key "architecture"
gpu.json: "hbm": "b" => "hbm": ["b"]
    gpu.json: /sources/hbm: expected a string, found an array
tiny.json: "hidden_size": 512 => "hidden_size": 512.0
    tiny.json: /hidden_size: expected an integer, found the number 512.0
tiny.json: "num_hidden_layers": 4 => "num_hidden_layers": 10000
    tiny.json: /num_hidden_layers: expected an integer from 1 to 1024, found 10000
tiny.json: "vocab_size": 1000 => "vocab_size": 0
    tiny.json: /vocab_size: expected an integer from 1 to 268435456, found 0
tiny.json: "n_routed_experts": 16 => "n_routed_experts": 16385
    tiny.json: /n_routed_experts: expected an integer from 1 to 16384, found 16385
tiny.json: "num_nextn_predict_layers": 1 => "tie_word_embeddings": "no"
    tiny.json: /tie_word_embeddings: expected true or false, found the string "no"
profile.json: "mma_efficiency": 0.8 => "mma_efficiency": 80
    profile.json: /kernels/gemm_bf16/mma_efficiency: expected a number from 0.01 to 1, found 80
profile.json: "nic_efficiency": 0.85 => "nic_efficiency": 0
    profile.json: /comm/nic_efficiency: expected a number from 0.01 to 1, found 0
profile.json: [64, 8192] => [64]
    profile.json: /kernels/gemm_bf16/range/m: expected [lowest, highest], found an array of 1
profile.json: [64, 8192] => [8192, 64]
    profile.json: /kernels/gemm_bf16/range/m: expected [lowest, highest], found [8192, 64]
profile.json: [112, 132] => [112, 144]
    profile.json: /kernels/gemm_bf16/range/sms/1: expected an integer from 1 to 132, found 144
profile.json: "sms": 130 => "sms": 133
    profile.json: /kernels/attention_forward/sms: expected an integer from 1 to 132, found 133
profile.json: [{"m": 64 => [5, {"m": 64
    profile.json: /kernels/gemm_bf16/points/0: expected an object, found the number 5
profile.json: "kind": "synthetic" => "kind": "guessed"
    profile.json: /kind: unknown value "guessed"; known: measured, published, synthetic, derived
profile.json: 1.02, 1.05 => 0.95, 1.05
    profile.json: /gemm_slowdown_under_comm/factor/0: expected a number from 1 to 10, found 0.95
)cases");
}

TEST_CASE("bad input: plans that do not fit model, cluster or batch", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "dp": 8 => "dp": 16
    scenario.json: /plan: tp 1 x cp 1 x pp 2 x dp 16 = 32 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: "tp": 1 => "tp": 2
    scenario.json: /plan: tp 2 x cp 1 x pp 2 x dp 8 = 32 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: "pp": 2, "dp": 8 => "pp": 1, "dp": 16
    scenario.json: /plan/pp: DualPipe needs an even number of stages, found 1
scenario.json: "pp": 2, "dp": 8, "ep": 8 => "pp": 16, "dp": 1, "ep": 1
    scenario.json: /plan/pp: 16 stages for the 4 layers of tiny
scenario.json: "cp": 1, "pp": 2, "dp": 8 => "cp": 1048576, "pp": 1048576, "dp": 1048576
    scenario.json: /plan: tp 1 x cp 1048576 x pp 1048576 x dp 1048576 = 1152921504606846976 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: "ep": 8 => "ep": 3
    scenario.json: /plan/ep: 3 does not divide the tp x cp x dp = 8 ranks of a stage
scenario.json: "ep": 8 => "ep": 16
    scenario.json: /plan/ep: 16 does not divide the tp x cp x dp = 8 ranks of a stage
tiny.json: "n_routed_experts": 16 => "n_routed_experts": 12
    scenario.json: /plan/ep: 8 does not divide the 12 experts of tiny
cluster.json: "num_nodes": 2, "gpus_per_node": 8 => "num_nodes": 6, "gpus_per_node": 4
scenario.json: "dp": 8, "ep": 8 => "dp": 12, "ep": 6
tiny.json: "n_routed_experts": 16 => "n_routed_experts": 12
    scenario.json: /plan/ep: 6 is more than one node of 4 GPUs but not whole nodes
scenario.json: "comm_sms": 20 => "comm_sms": 132
    scenario.json: /plan/comm_sms: 132 leaves no SM of 132 for compute
scenario.json: "comm_sms": 20 => "comm_sms": 0
    scenario.json: /plan/comm_sms: is 0, but this schedule runs dispatch and combine beside compute kernels and they need SMs of their own; expected at least 1
gpu.json: "fp8": "1979 TFLOP/s",  =>
    scenario.json: /plan/recipe: "fp8_block", but the X100 has no FP8 tensor cores; expected "bf16"
scenario.json: [2, 2] => [2, 2, 0]
    scenario.json: /plan/layers_per_stage: has 3 entries for pp 2
scenario.json: [2, 2] => [4]
    scenario.json: /plan/layers_per_stage: has 1 entry for pp 2
scenario.json: [2, 2] => [2, 1]
    scenario.json: /plan/layers_per_stage: adds up to 3, but tiny has 4 layers
scenario.json: "1f1b" => "overlapped_pair"
    scenario.json: /plan/fallback_schedule: an overlapped pair cannot stand in for a pipeline; expected "1f1b"
scenario.json: "schedule": "dualpipe" => "schedule": "overlapped_pair"
    scenario.json: /plan/pp: an overlapped pair is one stage; expected 1, found 2
scenario.json: "batch": 64 => "batch": 60
    scenario.json: /phases/0/batch: 60 sequences are not divisible by dp 8
scenario.json: "seq_len": 8192 => "seq_len": 8191
    scenario.json: /phases/1/seq_len: 8191 is not divisible by cp 2
cluster.json: "num_nodes": 2, "gpus_per_node": 8 => "num_nodes": 16, "gpus_per_node": 8
scenario.json: "dp": 8 => "dp": 64
scenario.json: "batch": 64 => "batch": 33554432
    scenario.json: /phases/0/batch: 33554432 sequences x cp 1 x 4 layers are too many loads to draw; expected a product of at most 67108864, or routing of kind "balanced"
scenario.json: "batch": 64 => "batch": 16777216
    scenario.json: /phases/0/batch: 2097152 microbatches x 4 layers are too many to simulate; expected a product of at most 4194304
scenario.json: "seq_len": 4096, "batch": 64 => "seq_len": 134217728, "batch": 800000
    scenario.json: /phases/0/batch: 800000 sequences of 134217728 tokens are a step of 40480 days at the cluster's BF16 peak; expected at most 5
scenario.json: "cv": 0.1} => "cv": 0.1}, "max_groups": 5
    scenario.json: /routing/max_groups: expected an integer from 1 to 4, found 5
tiny.json: "num_experts_per_tok": 4 => "num_experts_per_tok": 8
scenario.json: "cv": 0.1} => "cv": 0.1}, "max_groups": 1
    scenario.json: /routing/max_groups: groups x experts in each = 1 x 4 are fewer than the top-8 of a token
scenario.json: "model": "tiny.json" => "model": {"model_type": "llama", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 1024}
    scenario.json: /plan/ep: is 8, but small has no experts; expected 1
scenario.json: "model": "tiny.json" => "model": {"model_type": "llama", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 1024}
scenario.json: "ep": 8 => "ep": 1
scenario.json: "cv": 0.1} => "cv": 0.1}, "max_groups": 1
    scenario.json: /routing/max_groups: given, but small has no experts
scenario.json: "schedule": "dualpipe" => "schedule": "overlapped_pair"
scenario.json: "pp": 2, "dp": 8 => "pp": 1, "dp": 16
scenario.json: [2, 2] => [2]
    scenario.json: /phases/0/batch: an overlapped pair is two microbatches on each of dp 16 ranks; expected 32, found 64
scenario.json: "schedule": "dualpipe" => "schedule": "overlapped_pair"
scenario.json: "pp": 2, "dp": 8 => "pp": 1, "dp": 16
scenario.json: [2, 2] => [0]
    scenario.json: /plan/layers_per_stage: an overlapped pair needs at least one layer, found 0
scenario.json: "schedule": "dualpipe" => "schedule": "overlapped_pair"
scenario.json: "pp": 2, "dp": 8 => "pp": 1, "dp": 16
scenario.json: [2, 2] => null
    scenario.json: /plan: missing key "layers_per_stage": how many layers the pair of chunks has
scenario.json: "seq_len": 8192, "batch": 32 => "seq_len": 8192, "batch": 33
    scenario.json: /phases/1/batch: 33 sequences are not divisible by dp 4
)cases");
}

TEST_CASE("bad input: phases", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "phases": [ => "phases": [], "assumption": [
    scenario.json: /phases: expected an array of at least one phase, found an empty array
scenario.json: "from_batch": 16 => "from_batch": 65
    scenario.json: /phases/0/ramp/from_batch: expected an integer from 1 to 64, found 65
scenario.json: "tokens": "1M" => "tokens": "2B"
    scenario.json: /phases/0/ramp/tokens: a ramp of 2e+09 tokens is not shorter than the phase of 1e+09
scenario.json: "tokens": "1B" => "tokens": "1B", "steps": 5
    scenario.json: /phases/0/tokens: given beside "steps"; expected one of the two
scenario.json: {"name": "main", => {"name": "early", "gpu_hours": 1, "source": "x"}, {"name": "main",
    scenario.json: /phases/0/gpu_hours: the first phase must be simulated; it only states gpu_hours
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"cp": 2, "dp": 8}
    scenario.json: /phases/1/plan: tp 1 x cp 2 x pp 2 x dp 8 = 32 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"cp": 2, "dp": 4, "ep": 5}
    scenario.json: /phases/1/plan/ep: 5 does not divide the tp x cp x dp = 8 ranks of a stage
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"pp": 1}
    scenario.json: /phases/1/plan: tp 1 x cp 1 x pp 1 x dp 8 = 8 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"pp": 4, "dp": 4}
    scenario.json: /phases/1/plan: /plan/ep: 8 does not divide the tp x cp x dp = 4 ranks of a stage
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"dp": null}
    scenario.json: /phases/1/plan: missing key "dp"
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": {"dp": 3.5}
    scenario.json: /phases/1/plan/dp: expected an integer, found the number 3.5
scenario.json: "plan": {"cp": 2, "dp": 4} => "plan": [2, 4]
    scenario.json: /phases/1/plan: expected an object, found an array
scenario.json: "kind": "balanced" => "max_groups": 0
    scenario.json: /phases/1/routing/max_groups: expected an integer from 1 to 4, found 0
scenario.json: "batch": 32 => "batch": 30
    scenario.json: /phases/1/batch: 30 sequences are not divisible by dp 4
)cases");
}

TEST_CASE("bad input: models", "[bad_input]") {
  check_refusals(R"cases(
tiny.json: "deepseek_v3" => "deepseek_v9"
    tiny.json: /model_type: unknown model type "deepseek_v9"; known: deepseek, deepseek_v2, deepseek_v3, kimi_k2, qwen3_moe, mixtral, gpt_oss, llama, mistral, qwen2, qwen3
tiny.json: "deepseek_v3" => "two\nlines"
    tiny.json: /model_type: unknown model type "two\nlines"; known: deepseek, deepseek_v2, deepseek_v3, kimi_k2, qwen3_moe, mixtral, gpt_oss, llama, mistral, qwen2, qwen3
tiny.json: "n_routed_experts": 16 => "n_routed_experts": 16, "num_experts": 8
    tiny.json: /num_experts: is 8 but "n_routed_experts" is 16; they mean the same
tiny.json: "num_experts_per_tok": 4 => "experts_per_token": 17
    tiny.json: /experts_per_token: 17 is more than the 16 experts
tiny.json: "num_experts_per_tok": 4 => "num_experts_per_tok": 513
    tiny.json: /num_experts_per_tok: expected an integer from 1 to 512, found 513
tiny.json: "n_group": 4 => "n_group": 5
    tiny.json: /n_group: 5 does not divide the 16 experts
tiny.json: "topk_group": 2 => "topk_group": 5
    tiny.json: /topk_group: expected an integer from 1 to 4, found 5
tiny.json: "n_group": 4, "topk_group": 2 => "n_group": 8, "topk_group": 1
    tiny.json: /topk_group: groups x experts in each = 1 x 2 are fewer than the top-4 of a token
tiny.json: "first_k_dense_replace": 1 => "first_k_dense_replace": 5
    tiny.json: /first_k_dense_replace: expected an integer from 0 to 4, found 5
tiny.json: "q_lora_rank": 64 => "attention_bias": true, "q_lora_rank": 64
    tiny.json: /attention_bias: biases are not modelled for latent attention; expected false
tiny.json: "hidden_size": 512 => "hidden_size": 16777217
    tiny.json: /hidden_size: expected an integer from 1 to 16777216, found 16777217
tiny.json: "hidden_size": 512 => "hidden_size": 16777216
tiny.json: "moe_intermediate_size": 128 => "moe_intermediate_size": 16777216
    tiny.json: these sizes make a model of some 1e+17 parameters; expected at most 1e+15
tiny.json: "topk_group": 2 => "topk_group": 0
    tiny.json: /topk_group: expected an integer from 1 to 4, found 0
scenario.json: "model": "tiny.json" => "model": {"model_type": "llama", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 3, "intermediate_size": 1024}
    scenario.json: /model/num_key_value_heads: 3 does not divide num_attention_heads 8
scenario.json: "model": "tiny.json" => "model": {"model_type": "llama", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 9, "intermediate_size": 1024}
    scenario.json: /model/num_attention_heads: 9 does not divide hidden_size 512 and there is no head_dim
scenario.json: "model": "tiny.json" => "model": {"model_type": "qwen3_moe", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "moe_intermediate_size": 128, "num_experts": 8, "num_experts_per_tok": 2, "mlp_only_layers": [4]}
    scenario.json: /model/mlp_only_layers/0: expected an integer from 0 to 3, found 4
tiny.json: "_name_or_path": "hub/small" => "layer_types": ["full_attention"]
    tiny.json: /layer_types: expected one entry for each of the 4 layers, found 1
tiny.json: "_name_or_path": "hub/small" => "layer_types": ["full_attention", "full_attention", "linear_attention", "full_attention"]
    tiny.json: /layer_types/2: unknown layer type "linear_attention"; known: full_attention, sliding_attention
tiny.json: "_name_or_path": "hub/small" => "sliding_window": 128, "layer_types": ["full_attention", "full_attention", "sliding_attention", "full_attention"]
    tiny.json: /layer_types: tiny alternates windowed attention, which is not modelled in training or serving yet
tiny.json: "_name_or_path": "hub/small" => "layer_types": ["full_attention", "full_attention", "sliding_attention", "full_attention"]
    tiny.json: missing key "sliding_window"
)cases");
}
