// Profiles that are refused: of another schema or plan, with residuals, errors, coefficients,
// slowdowns and collectives that cannot be. Keys and units are in test_bad_input.cpp.
#include "tests/catch.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

TEST_CASE("bad profile: of another schema or another plan", "[bad_input]") {
  check_refusals(R"cases(
profile.json: "moesim-profile/2" => "moesim-profile/1"
    profile.json: /schema: is "moesim-profile/1"; this program reads "moesim-profile/2"
profile.json: "moesim-profile/2" => "moesim-profile/3"
    profile.json: /schema: is "moesim-profile/3"; this program reads "moesim-profile/2"
profile.json: "schema": "moesim-profile/2", =>
    profile.json: missing key "schema"
profile.json: "plan_version": 1 => "plan_version": 2
    profile.json: /plan_version: is 2; the kernel plans of this program are version 1, so the fit would be evaluated on other tiles than it was made on; fit its points again
profile.json: "plan_version": 1, =>
    profile.json: missing key "plan_version"
profile.json: "plan_version": 1 => "plan_version": "1"
    profile.json: /plan_version: expected an integer, found the string "1"
profile.json: "plan": "fastest" => "plan": "slowest"
    profile.json: /kernels/gemm_bf16/plan: unknown value "slowest"; known: fastest, fewest_waves
profile.json: "plan": "fastest", =>
    profile.json: /kernels/gemm_bf16: missing key "plan"
profile.json: "kind": "synthetic" => "kind": "derived"
    profile.json: missing key "derived_from"
profile.json: "kind": "synthetic" => "kind": "measured", "derived_from": "q"
    profile.json: unknown key "derived_from"; known: about, collectives, comm, gemm_slowdown_under_comm, gpu, groups, id, kernels, kind, launch, plan_version, schema
profile.json: "cast": { => "casts": {
    profile.json: /kernels: unknown key "casts"; did you mean "cast"?
)cases");
}

TEST_CASE("bad profile: residuals that are refused", "[bad_input]") {
  check_refusals(R"cases(
profile.json: [6.5, 11, 12.5, 0.5, 0.25] => [6.5, 11, 12.5, 0.25]
    profile.json: /kernels/gemm_bf16/residual/nodes/0: expected 4 base-2 logarithms and a weight, found an array of 4
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, -0.25, 0]
    profile.json: /kernels/gemm_bf16/residual/nodes/1: expected 4 base-2 logarithms and a weight, found an array of 6
profile.json: [9, 11, 12.5, 2, -0.25] => 9
    profile.json: /kernels/gemm_bf16/residual/nodes/1: expected 4 base-2 logarithms and a weight, found the number 9
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, "-0.25"]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/4: expected a number, found the string "-0.25"
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, 1001]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/4: expected a number from -1000 to 1000, found 1001
profile.json: [9, 11, 12.5, 2, -0.25] => [65, 11, 12.5, 2, -0.25]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/0: expected a number from -64 to 64, found 65
profile.json: [[6.5, 11, 12.5, 0.5, 0.25], [9, 11, 12.5, 2, -0.25]] => []
    profile.json: /kernels/gemm_bf16/residual/nodes: expected an array of at least one node, found an empty array
profile.json: [[6.5, 11, 12.5, 0.5, 0.25], [9, 11, 12.5, 2, -0.25]] => {}
    profile.json: /kernels/gemm_bf16/residual/nodes: expected an array of at least one node, found an object
profile.json: "constant": 0.01, =>
    profile.json: /kernels/gemm_bf16/residual: missing key "constant"
profile.json: "constant": 0.01 => "constant": 10.5
    profile.json: /kernels/gemm_bf16/residual/constant: expected a number from -10 to 10, found 10.5
profile.json: "constant": 0.01 => "constant": NaN
    scenario.json: /profile: profile.json: line 10, column 32: syntax error while parsing value - invalid literal, found "NaN"
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, 1e999]
    scenario.json: /profile: profile.json: line 10, column 97: number overflow parsing '1e999'
profile.json: "norm": 5 => "norm": 5, "residual": {"constant": 0, "nodes": [[6, 12, 0.1]]}
    profile.json: /kernels/attention_decode/residual/nodes/0: expected 3 base-2 logarithms and a weight, found an array of 3
profile.json: "source": "t" => "source": "t", "residual": {"constant": 0, "nodes": [[6, 12, 9, 9, 0.1]]}
    profile.json: /kernels/attention_forward/residual/nodes/0: expected 3 base-2 logarithms and a weight, found an array of 5
)cases");
}

TEST_CASE("bad profile: errors that are refused", "[bad_input]") {
  check_refusals(R"cases(
profile.json: "inside_pct": 21 => "inside_pct": 33
    profile.json: /kernels/cast/error/outside_pct: is 32, below the inside_pct of 33: a model is no better where nothing was measured
profile.json: "inside_pct": 21 => "inside_pct": -1
    profile.json: /kernels/cast/error/inside_pct: expected a number from 0 to 1000, found -1
profile.json: "inside_pct": 21 => "inside_pct": 2100
    profile.json: /kernels/cast/error/inside_pct: expected a number from 0 to 1000, found 2100
profile.json: "inside_pct": 21, =>
    profile.json: /kernels/cast/error: missing key "inside_pct"
profile.json: "outside_pct": 32, "basis": "in_sample" => "outside_pct": 32
    profile.json: /kernels/cast/error: missing key "basis"
profile.json: "outside_pct": 32, "basis": "in_sample" => "outside_pct": 32, "basis": "guess"
    profile.json: /kernels/cast/error/basis: unknown value "guess"; known: held_out, in_sample, stated
profile.json: "tests": [{"what": "m", "median_pct": 2.5, "p95_pct": 6.25, "max_pct": 7.5}] => "tests": 3
    profile.json: /kernels/gemm_bf16/error/tests: expected an array, found the number 3
profile.json: "p95_pct": 6.25,  =>
    profile.json: /kernels/gemm_bf16/error/tests/0: missing key "p95_pct"
profile.json: "median_pct": 2.5 => "median_pct": -2.5
    profile.json: /kernels/gemm_bf16/error/tests/0/median_pct: expected a number from 0 to 1e+06, found -2.5
profile.json: "num_points": 40 => "num_points": -1
    profile.json: /kernels/gemm_bf16/error/num_points: expected an integer from 0 to 1099511627776, found -1
profile.json: "error": {"inside_pct": 10 => "errors": {"inside_pct": 10
    profile.json: /launch: missing key "error"
profile.json: "links": { => "link": {
    profile.json: /comm/error: missing key "links"
profile.json: "inside_pct": 12 => "inside_pct": 23
    profile.json: /comm/error/overlap/outside_pct: is 22, below the inside_pct of 23: a model is no better where nothing was measured
)cases");
}

TEST_CASE("bad profile: coefficients that are refused", "[bad_input]") {
  check_refusals(R"cases(
profile.json: "norm": 4 => "norm": 0.5
    profile.json: /kernels/gemm_bf16/norm: expected a number from 1 to 100, found 0.5
profile.json: "norm": 5 => "norm": 101
    profile.json: /kernels/attention_decode/norm: expected a number from 1 to 100, found 101
profile.json: "fill": "0.4 us",  =>
    profile.json: /kernels/gemm_bf16: missing key "fill"
profile.json: "fill": "0.4 us" => "fill": "0.4"
    profile.json: /kernels/gemm_bf16/fill: expected a quantity with a unit such as "2.8 us", found the string "0.4"
profile.json: "fill": "0.4 us" => "fill": "2 s"
    profile.json: /kernels/gemm_bf16/fill: expected at most 1 s, found "2 s"
profile.json: "out_bytes": 2 => "out_bytes": 0
    profile.json: /kernels/gemm_bf16/out_bytes: expected a number from 1 to 16, found 0
profile.json: "block": "1.6 us" => "block": "1.6 GB"
    profile.json: /kernels/attention_decode/block: unknown unit "GB"; known: ps, ns, us, ms, s, min, h, d
profile.json: "sms": 129 => "sms": 133
    profile.json: /kernels/attention_decode/sms: expected an integer from 1 to 132, found 133
profile.json: "block": "1.6 us",  =>
    profile.json: /kernels/attention_decode: missing key "block"
profile.json: "bandwidth": "2 TB/s",  => "per_sm": "20 GB/s", 
    profile.json: /kernels/cast: unknown key "per_sm"; known: bandwidth, error, overhead, sms, source
profile.json: "bandwidth": "2 TB/s" => "bandwidth": "2 TB/s", "per_sm": "20 KB/s"
    profile.json: /kernels/cast/per_sm: expected at least 100 MB/s, found "20 KB/s"
profile.json: "bandwidth": "3 TB/s",  =>
    profile.json: /kernels/attention_decode: missing key "bandwidth"
)cases");
}

TEST_CASE("bad profile: slowdowns and collectives that are refused", "[bad_input]") {
  check_refusals(R"cases(
profile.json: "factor": [1.02, 1.05] => "factor": [1.02]
    profile.json: /gemm_slowdown_under_comm/factor: expected one number for each of the 2 of comm_sms, found an array of 1
profile.json: "factor": [1.02, 1.05] => "factor": 1.05
    profile.json: /gemm_slowdown_under_comm/factor: expected one number for each of the 2 of comm_sms, found the number 1.05
profile.json: "comm_sms": [8, 20] => "comm_sms": [20, 8]
    profile.json: /gemm_slowdown_under_comm/comm_sms: expected each above the one before, found 8 after 20
profile.json: "comm_sms": [8, 20] => "comm_sms": [20, 20]
    profile.json: /gemm_slowdown_under_comm/comm_sms: expected each above the one before, found 20 after 20
profile.json: "comm_sms": [8, 20] => "comm_sms": [8, 133]
    profile.json: /gemm_slowdown_under_comm/comm_sms/1: expected an integer from 1 to 132, found 133
profile.json: , "source": "x" => 
    profile.json: /gemm_slowdown_under_comm: missing key "source"
profile.json: "segments": [ => "segments": [], "groups": [
    profile.json: /groups/0/segments: expected an array of at least one segment, found an empty array
profile.json: "segments": [ => "segment": [
    profile.json: /groups/0: missing key "segments"
profile.json: "size_per_s": 1e9} => "size_per_s": 0}
    profile.json: /groups/0/segments/0/size_per_s: expected a number from 1 to 1e+15, found 0
profile.json: "latency_us": 40 => "latency_us": -40
    profile.json: /groups/0/segments/1/latency_us: expected a number from 0 to 1e+06, found -40
profile.json: "sizes": [512, 1e9] => "sizes": [1e9, 512]
    profile.json: /groups/0/sizes: expected [lowest, highest], found [1e+09, 512]
profile.json: "sizes": [512, 1e9] => "sizes": [512]
    profile.json: /groups/0/sizes: expected [lowest, highest], found an array of 1
profile.json: "ranks": 16 => "ranks": 1
    profile.json: /groups/0/ranks: expected an integer from 2 to 1048576, found 1
profile.json: "ranks_per_node": 8 => "ranks_per_node": 17
    profile.json: /groups/0/ranks_per_node: expected an integer from 1 to 16, found 17
)cases");
}
