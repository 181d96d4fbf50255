// A scenario of five small files, to be spoilt one edit at a time: what the tests of wrong input
// share.
#pragma once

#include <cstddef>
#include <exception>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "model/scenario.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {

using Texts = std::map<std::string, std::string>;  // file name to text

inline const Texts& small_scenario() {
  static const Texts texts = {
      {"scenario.json",
       R"({
  "name": "small", "description": "two nodes",
  "model": "tiny.json", "cluster": "cluster.json", "profile": "profile.json",
  "plan": {
    "tp": 1, "cp": 1, "pp": 2, "dp": 8, "ep": 8, "schedule": "dualpipe",
    "fallback_schedule": "1f1b", "comm_sms": 20, "recipe": "fp8_block", "moments": "bf16",
    "layers_per_stage": [2, 2]
  },
  "routing": {"kind": "sampled", "popularity": {"kind": "dirichlet", "cv": 0.1}},
  "phases": [
    {"name": "main", "seq_len": 4096, "batch": 64, "tokens": "1B",
     "ramp": {"from_batch": 16, "tokens": "1M", "num_stages": 2}},
    {"name": "long", "seq_len": 8192, "batch": 32, "steps": 10,
     "plan": {"cp": 2, "dp": 4}, "routing": {"kind": "balanced"}},
    {"name": "post", "gpu_hours": 5.5, "source": "a report"}
  ],
  "seed": 7,
  "assumptions": ["a", "b"],
  "override": {"/plan/moments": "fp32"},
  "variants": [{"name": "fewer", "because": "why", "set": {"/plan/comm_sms": 8}}]
}
)"},
      {"tiny.json",
       R"({
  "model_type": "deepseek_v3", "vocab_size": 1000, "num_hidden_layers": 4, "hidden_size": 512,
  "num_attention_heads": 8, "q_lora_rank": 64, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
  "qk_rope_head_dim": 8, "v_head_dim": 16, "intermediate_size": 1024,
  "first_k_dense_replace": 1, "moe_intermediate_size": 128, "n_routed_experts": 16,
  "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2,
  "num_nextn_predict_layers": 1, "_name_or_path": "hub/small"
}
)"},
      {"cluster.json",
       R"({
  "name": "pair", "gpu": "gpu.json", "num_nodes": 2, "gpus_per_node": 8,
  "nic_bandwidth": "50 GB/s", "nvlink_latency": "3.33 us", "nic_latency": "3.7 us",
  "fabric": {"topology": "fat_tree", "levels": 2, "planes": 1, "switch_ports": 64,
             "rail_optimized": true, "oversubscription": 1.5},
  "price": "2 USD/h",
  "sources": {"num_nodes": "a", "nic_bandwidth": "b", "nvlink_latency": "c", "nic_latency": "d",
              "fabric": "e", "price": "f"}
}
)"},
      {"gpu.json",
       R"({
  "name": "X100", "architecture": "x", "num_sms": 132, "hbm": "80 GiB",
  "hbm_bandwidth": "3.35 TB/s", "nvlink_bandwidth": "450 GB/s",
  "peak": {"fp8": "1979 TFLOP/s", "bf16": "989 TFLOP/s", "fp32": "67 TFLOP/s"},
  "sources": {"num_sms": "a", "hbm": "b", "hbm_bandwidth": "c", "nvlink_bandwidth": "d", "peak": "e"}
}
)"},
      {"profile.json",
       R"({
  "schema": "moesim-profile/2", "plan_version": 1, "id": "p", "kind": "synthetic",
  "gpu": "gpu.json", "about": "test",
  "kernels": {
    "gemm_bf16": {
      "plan": "fastest", "mma_efficiency": 0.8, "load_per_sm": "200 GB/s",
      "store_per_sm": "40 GB/s", "fill": "0.4 us", "overhead": "2.5 us", "hbm_efficiency": 0.9,
      "norm": 4, "out_bytes": 2,
      "range": {"m": [64, 8192], "n": [512, 4096], "k": [256, 2048], "sms": [112, 132]},
      "residual": {"constant": 0.01, "nodes": [[6.5, 11, 12.5, 0.5, 0.25], [9, 11, 12.5, 2, -0.25]]},
      "error": {"inside_pct": 6.5, "outside_pct": 14.9, "basis": "held_out", "num_points": 40,
                "tests": [{"what": "m", "median_pct": 2.5, "p95_pct": 6.25, "max_pct": 7.5}]},
      "points": [{"m": 64, "n": 2112, "k": 7168, "sms": 132, "rate": "206 TFLOP/s"}],
      "source": "s"
    },
    "attention_forward": {"rate": "608 TFLOP/s", "overhead": "45 us", "sms": 130,
                          "qk_head_dim": 192, "v_head_dim": 128, "source": "t",
                          "error": {"inside_pct": 7, "outside_pct": 15, "basis": "stated"}},
    "attention_decode": {"block": "1.6 us", "overhead": "10 us", "bandwidth": "3 TB/s", "norm": 5,
                         "sms": 129, "source": "d",
                         "error": {"inside_pct": 11, "outside_pct": 31, "basis": "stated"}},
    "cast": {"bandwidth": "2 TB/s", "overhead": "4 us", "sms": 111, "source": "u",
             "error": {"inside_pct": 21, "outside_pct": 32, "basis": "in_sample"}}
  },
  "comm": {"nvlink_efficiency": 0.75, "nic_efficiency": 0.85, "dispatch_overlap": 0.5,
           "cached_dispatch_overlap": 0.6, "combine_overlap": 0.7, "dispatch_per_sm": "12 GB/s",
           "combine_per_sm": "9 GB/s", "layout": "97 us",
           "cast_per_sm": "13 GB/s", "low_latency_overhead": "26 us",
           "error": {"links": {"inside_pct": 9, "outside_pct": 16, "basis": "held_out"},
                     "overlap": {"inside_pct": 12, "outside_pct": 22, "basis": "stated"},
                     "copies": {"inside_pct": 13, "outside_pct": 23, "basis": "in_sample"},
                     "overheads": {"inside_pct": 14, "outside_pct": 24, "basis": "stated"}},
           "source": "v"},
  "launch": {"gap": "2 us", "chunk_startup": "800 us",
             "error": {"inside_pct": 10, "outside_pct": 25, "basis": "stated"}, "source": "w"},
  "gemm_slowdown_under_comm": {"comm_sms": [8, 20], "factor": [1.02, 1.05], "source": "x"},
  "groups": [{"op": "all_reduce", "ranks": 16, "ranks_per_node": 8, "sizes": [512, 1e9],
              "segments": [{"latency_us": 15, "size_per_s": 1e9},
                           {"latency_us": 40, "size_per_s": 2e11}],
              "error": {"inside_pct": 8, "outside_pct": 17, "basis": "held_out"}, "source": "y"}]
}
)"},
  };
  return texts;
}

// Replaces the one place where `from` stands.
inline void replace_once(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
    throw std::logic_error("a test replaces what is not there exactly once: " + from);
  }
  text.replace(at, from.size(), to);
}

inline std::string without(std::string text, const std::string& part) {
  for (std::size_t at = 0; (at = text.find(part)) != std::string::npos;)
    text.erase(at, part.size());
  return text;
}

// The message of the InputError that reading throws, without the folder; anything else that happens
// is told in words that no message has.
inline std::string refusal_of(const std::filesystem::path& scenario,
                              const std::string& folder,
                              const std::vector<std::pair<std::string, JsonNode>>& settings = {}) {
  try {
    read_scenario(scenario, settings);
  } catch (const InputError& error) {
    return without(error.what(), folder + "/");
  } catch (const std::exception& error) {
    return std::string("not an InputError: ") + error.what();
  }
  return "nothing was refused";
}

inline std::string refusal_of(const Texts& texts,
                              const std::vector<std::pair<std::string, JsonNode>>& settings = {}) {
  const TemporaryFolder folder;
  for (const auto& [name, text] : texts) folder.add_file(name, text);
  return refusal_of(folder.path() / "scenario.json", folder.path().string(), settings);
}

inline bool is_one_line(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) return false;
  }
  return !text.empty();
}

// Edits of the small scenario's files ("file: old => new", one a line), then the message, indented.
inline void check_refusals(const std::string& cases) {
  std::istringstream lines(cases);
  Texts texts = small_scenario();
  std::string edits;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.front() != ' ') {
      const std::size_t colon = line.find(": "), arrow = line.find(" =>");
      const std::string to = arrow + 4 < line.size() ? line.substr(arrow + 4) : "";
      replace_once(texts.at(line.substr(0, colon)), line.substr(colon + 2, arrow - colon - 2), to);
      edits += line + "\n";
      continue;
    }
    CAPTURE(edits);
    const std::string message = refusal_of(texts);
    CHECK(message == line.substr(4));
    CHECK(is_one_line(message));
    texts = small_scenario();
    edits.clear();
  }
}

}  // namespace moesim
