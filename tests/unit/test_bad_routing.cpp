// Wrong routing and placements of experts: refused with a message that is checked in full.
#include "tests/catch.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

TEST_CASE("bad input: routing", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "pareto", "cv": 0.1
    scenario.json: /routing/popularity/kind: unknown value "pareto"; known: uniform, zipf, power_law, dirichlet, table
scenario.json: , "popularity": {"kind": "dirichlet", "cv": 0.1} =>
    scenario.json: /routing: missing key "popularity"
scenario.json: "popularity": {"kind": "dirichlet", "cv": 0.1} => "popularity": "uniform"
    scenario.json: /routing/popularity: expected an object, found the string "uniform"
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "uniform", "cv": 0.1
    scenario.json: /routing/popularity: unknown key "cv"; known: kind
scenario.json: "popularity": {"kind": "dirichlet", "cv": 0.1} => "popularity_cv": 0.1
    scenario.json: /routing: missing key "popularity"
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "dirichlet", "cv": 1.8
    scenario.json: /routing/popularity/cv: expected a number from 0 to 1.7320508075688772, found 1.8
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "dirichlet", "cv": 1.7
    scenario.json: /routing/popularity: layer 0: expert 11 has a relative load of 11.41; a token chooses an expert at most once, so at most num_experts / top_k = 4
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "zipf", "exponent": 1.5
    scenario.json: /routing/popularity/exponent: gives the most popular expert a relative load of 7.547; a token chooses an expert at most once, so at most num_experts / top_k = 4
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "power_law", "exponent": 2, "lowest": 3, "highest": 2
    scenario.json: /routing/popularity/highest: expected a number from 3 to 1e+09, found 2
scenario.json: "kind": "dirichlet", "cv": 0.1 => "kind": "table", "file": "none.json"
    scenario.json: /routing/popularity/file: none.json: cannot be read: no such file
scenario.json: "cv": 0.1} => "cv": 0.1}, "sequence_cv": -1
    scenario.json: /routing/sequence_cv: expected a number from 0 to 1.732, found -1
scenario.json: "cv": 0.1} => "cv": 0.1}, "correlation": {"rho": 1, "cluster_size": 2}
    scenario.json: /routing/correlation/rho: expected a number from 0 to 0.95, found 1
scenario.json: "cv": 0.1} => "cv": 0.1}, "correlation": {"rho": 0.5}
    scenario.json: /routing/correlation: missing key "cluster_size"
scenario.json: "cv": 0.1} => "cv": 0.1}, "correlation": {"rho": 0.5, "cluster_size": 17}
    scenario.json: /routing/correlation/cluster_size: expected an integer from 1 to 4, found 17
scenario.json: "cv": 0.1} => "cv": 0.1}, "correlation": {"rho": 0.5, "cluster_size": 3}
    scenario.json: /routing/correlation/cluster_size: 3 does not divide the 4 experts of a group
scenario.json: "cv": 0.1} => "cv": 0.1}, "correlation": {"rho": 0.5, "cluster": 4}
    scenario.json: /routing/correlation: missing key "cluster_size"
scenario.json: "routing": {"kind": "balanced"} => "routing": {"popularity": {"kind": "zipf"}}
    scenario.json: /phases/1/routing/popularity: missing key "exponent"
)cases");
}

TEST_CASE("bad input: placements", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "scattered"}
    scenario.json: /plan/placement/policy: unknown value "scattered"; known: contiguous, round_robin, eplb_hierarchical, eplb_global, table
scenario.json: "ep": 8 => "ep": 8, "placement": "contiguous"
    scenario.json: /plan/placement: expected an object, found the string "contiguous"
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "round_robin"}
tiny.json: "n_routed_experts": 16 => "n_routed_experts": 12
    scenario.json: /plan/placement: 12 experts are not divisible by 8 ranks
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "eplb_global", "redundant_experts": 4}
    scenario.json: /plan/placement: 20 slots (16 experts and 4 redundant) are not divisible by 8 ranks
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "contiguous", "redundant_experts": 8}
    scenario.json: /plan/placement: 8 redundant experts: only the eplb policies place redundant experts
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "eplb_global", "redundant_experts": 8}
    scenario.json: /plan/placement/redundant_experts: replicas of an expert need their gradients added up before the optimizer, which is not modelled; expected 0, or the schedule "overlapped_pair", which has no optimizer
scenario.json: "pp": 2, "dp": 8, "ep": 8, "schedule": "dualpipe" => "pp": 1, "dp": 16, "ep": 16, "placement": {"policy": "eplb_hierarchical"}, "schedule": "1f1b"
tiny.json: "n_group": 4, "topk_group": 2 => "n_group": 1, "topk_group": 1
    scenario.json: /plan/placement: 1 expert groups are not divisible by 2 nodes
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "table"}
    scenario.json: /plan/placement: missing key "table"
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "table", "table": {"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0]}}
    scenario.json: /plan/placement/table/slot_to_expert: expected each of the 16 experts in a slot, found expert 15 in none
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "table", "table": {"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16]}}
    scenario.json: /plan/placement/table/slot_to_expert/15: expected an integer from 0 to 15, found 16
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "table", "table": {"slots_per_rank": 3, "slot_to_expert": [0, 1, 2]}}
    scenario.json: /plan/placement/table/slot_to_expert: expected 8 ranks x 3 slots = 24 slots, found 3
scenario.json: "ep": 8 => "ep": 8, "placement": {"policy": "table", "table": {"slots_per_rank": 2, "slot_to_expert": [0, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]}}
    scenario.json: /plan/placement/table/slot_to_expert/1: expected different experts on rank 0, found expert 0 again
scenario.json: "model": "tiny.json" => "model": {"model_type": "llama", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 1024}
scenario.json: "ep": 8 => "ep": 1, "placement": {"policy": "contiguous"}
    scenario.json: /plan/placement: given, but small has no experts
)cases");
}
