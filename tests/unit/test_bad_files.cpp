// Wrong files rather than wrong values: missing, cut, mis-encoded, not JSON; overrides that lead
// nowhere; and mutations of the shipped files, which must be read or refused, and nothing else.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

namespace {

// The small scenario with other text in `file`.
std::string refusal_with(const std::string& file, const std::string& text) {
  Texts texts = small_scenario();
  texts.at(file) = text;
  return refusal_of(texts);
}

std::string shipped_refusal(const std::string& name,
                            const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::pair<std::string, JsonNode>> settings;
  for (const auto& [pointer, text] : changes) {
    settings.emplace_back(pointer, parse_json(text, "--set " + pointer));
  }
  return refusal_of(scenario_folder() / (name + ".jsonc"), scenario_folder().string(), settings);
}

}  // namespace

TEST_CASE("bad files: references, schema, kernels and syntax", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: "tiny.json" => "none.json"
    scenario.json: /model: none.json: cannot be read: no such file
scenario.json: "tiny.json" => ""
    scenario.json: /model: expected a file name or an object, found the string ""
scenario.json: "tiny.json" => "tiny.json\u0000.txt"
    scenario.json: /model: tiny.json?.txt: cannot be read: its name holds a NUL byte
scenario.json: "tiny.json" => "two\nlines.json"
    scenario.json: /model: two?lines.json: cannot be read: no such file
scenario.json: "tiny.json" => 17
    scenario.json: /model: expected a file name or an object, found the number 17
scenario.json: "tiny.json" => ["tiny.json"]
    scenario.json: /model: expected a file name or an object, found an array
scenario.json: "cluster.json" => "clusters/none.json"
    scenario.json: /cluster: clusters/none.json: cannot be read: no such file
scenario.json: "profile.json" => "tiny.json/profile.json"
    scenario.json: /profile: tiny.json/profile.json: cannot be read: Not a directory
cluster.json: "gpu.json" => "none.json"
    cluster.json: /gpu: none.json: cannot be read: no such file
cluster.json: "gpu.json" => 80
    cluster.json: /gpu: expected a file name or an object, found the number 80
profile.json: "gpu.json" => "none.json"
    profile.json: /gpu: none.json: cannot be read: no such file
profile.json: "gpu.json" => "profile.json"
    profile.json: missing key "name"
profile.json: "moesim-profile/2" => "moesim-profile/1"
    profile.json: /schema: is "moesim-profile/1"; this program reads "moesim-profile/2"
profile.json: "gemm_bf16" => "gemm_bf61"
    profile.json: /kernels: unknown key "gemm_bf61"; did you mean "gemm_bf16"?
profile.json: "cast": { => "conv3d": {
    profile.json: /kernels: unknown key "conv3d"; known: gemm_fp8, gemm_fp8_wgrad, gemm_bf16, grouped_gemm_fp8, attention_forward, attention_backward, attention_decode, cast, cast_back, cast_transpose, recast_transpose, weight_transpose, cast_e5m6, cast_back_e5m6, scale_transpose, scale_copy, rmsnorm, rmsnorm_backward, elementwise, rope, copy, broadcast_copy, swiglu, swiglu_backward, adam, attention_backward_edges, permute, unpermute, expert_count, expert_map, gate_gather, small
profile.json: "kernels": { => "kernel": {}, "kernels": {
    profile.json: unknown key "kernel"; did you mean "kernels"?
scenario.json: "cv": 0.1 => "cv": NaN
    scenario.json: line 9, column 76: syntax error while parsing value - invalid literal, found "NaN"
scenario.json: "cv": 0.1 => "cv": Infinity
    scenario.json: line 9, column 76: syntax error while parsing value - invalid literal, found "Infinity"
scenario.json: "cv": 0.1 => "cv": -Infinity
    scenario.json: line 9, column 77: syntax error while parsing value - invalid number; expected digit after '-', found "-Infinity"
scenario.json: "cv": 0.1 => "cv": 1e999
    scenario.json: line 9, column 80: number overflow parsing '1e999'
scenario.json: "cv": 0.1 => "cv": 0.1f
    scenario.json: line 9, column 80: syntax error while parsing object - invalid literal, found "0.1f"; expected '}'
scenario.json: "cv": 0.1 => "cv": .1
    scenario.json: line 9, column 76: syntax error while parsing value - invalid literal, found ".1"
scenario.json: "seed": 7 => "seed": 007
    scenario.json: line 17, column 12: syntax error while parsing object - unexpected number literal; expected '}'
scenario.json: "seed": 7, => "seed": 7
    scenario.json: line 18, column 15: syntax error while parsing object - unexpected string literal; expected '}'
scenario.json: "seed": 7, => "seed": 7,,
    scenario.json: line 17, column 13: syntax error while parsing object key - unexpected ','; expected string literal
scenario.json: "seed": 7 => "seed": '7'
    scenario.json: line 17, column 11: syntax error while parsing value - invalid literal, found "'"
scenario.json: "seed": 7 => "seed": 0x7
    scenario.json: line 17, column 12: syntax error while parsing object - invalid literal, found "0x7"; expected '}'
scenario.json: "seed": 7 => /* no end "seed": 7
    scenario.json: line 22, column 1: syntax error while parsing object key - invalid comment; missing closing '*/'; expected string literal
scenario.json: "seed": 7 => seed: 7
    scenario.json: line 17, column 3: syntax error while parsing object key - invalid literal, found "seed"; expected string literal
)cases");
}

TEST_CASE("bad files: whole files that hold something else", "[bad_input]") {
  struct Row {
    std::string file, text, message;
  };
  std::string levels;
  for (int i = 0; i < 64; ++i) levels += "/0";
  const std::string long_key(1000, 'k');
  const std::string as_model = "scenario.json: /model: tiny.json: ";
  const std::string syntax = "syntax error while parsing ";
  const std::vector<Row> rows = {
      {"tiny.json", "", as_model + "is empty"},
      {"tiny.json", " \n", as_model + "is empty"},
      {"tiny.json", "[]", "tiny.json: expected an object, found an array"},
      {"tiny.json", "\"tiny\"", "tiny.json: expected an object, found the string \"tiny\""},
      {"tiny.json",
       R"({"model_type": "deepseek_v3", "vocab)",
       as_model + "line 1, column 37: " + syntax +
           "object key - invalid string: missing closing quote; expected string literal"},
      {"tiny.json",
       R"({"model_type": "deepseek_v3", "vocab_size": 10)",
       as_model + "line 1, column 47: " + syntax +
           "object - unexpected end of input; expected '}'"},
      {"tiny.json",
       std::string(65, '[') + std::string(65, ']'),
       as_model + levels + ": nested deeper than 64 levels"},
      {"scenario.json", "[{}]", "scenario.json: expected an object, found an array"},
      {"scenario.json", "null", "scenario.json: expected an object, found null"},
      {"scenario.json", "{}", "scenario.json: missing key \"name\""},
      {"scenario.json",
       "not json",
       "scenario.json: line 1, column 2: " + syntax + "value - invalid literal, found \"not\""},
      {"scenario.json", "\xEF\xBB\xBF", "scenario.json: is empty"},
      {"scenario.json",
       "\xEF\xBB\xBF{\"name\": \"x\"} {}",
       "scenario.json: line 1, column 15: " + syntax +
           "value - unexpected '{'; expected end of input"},
      {"scenario.json",
       "{\"name\": \"x\"}}",
       "scenario.json: line 1, column 14: " + syntax +
           "value - unexpected '}'; expected end of input"},
      {"scenario.json",
       "{\"name\": \"\xFF\xFE\"}",
       "scenario.json: line 1, column 11: " + syntax +
           "value - invalid string: ill-formed UTF-8 byte"},
      {"scenario.json",
       "{\"name\": \"\xC3(\"}",
       "scenario.json: line 1, column 12: " + syntax +
           "value - invalid string: ill-formed UTF-8 byte"},
      {"scenario.json",
       std::string("\xFF\xFE{\0}\0", 6),
       "scenario.json: line 1, column 1: this is UTF-16 text; expected UTF-8"},
      {"scenario.json",
       std::string("{\"name\": \"x\"}\0\1", 15),
       "scenario.json: line 1, column 14: a NUL byte; this is not JSON text"},
      {"scenario.json",
       "{\"name\": \"a\nb\"}",
       "scenario.json: line 1, column 12: " + syntax +
           "value - invalid string: control character U+000A (LF) must be escaped to \\u000A or "
           "\\n"},
      {"scenario.json",
       "{\"name\": 1" + std::string(5000, '0') + ".0}",
       "scenario.json: line 1, column 5012: number overflow parsing '1" + std::string(274, '0') +
           "..."},
      // A place is short enough to read whatever the keys are.
      {"scenario.json",
       "{\"" + long_key + "\": {\"a\": 1, \"a\": 2}}",
       "scenario.json: /" + long_key.substr(0, 279) + "..." + long_key.substr(0, 120) +
           ": key \"a\" appears twice"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file, row.text);
    const std::string message = refusal_with(row.file, row.text);
    CHECK(message == row.message);
    CHECK(is_one_line(message));
  }
}

TEST_CASE("bad files: a folder where a file belongs, and no file at all", "[bad_input]") {
  const TemporaryFolder folder;
  for (const auto& [name, text] : small_scenario()) folder.add_file(name, text);
  const std::string path = folder.path().string();
  CHECK(refusal_of(folder.path() / "none.json", path) == "none.json: cannot be read: no such file");
  CHECK(refusal_of(folder.path(), folder.path().parent_path().string()) ==
        folder.path().filename().string() + ": cannot be read: it is a directory");
  CHECK(refusal_of("no-such-scenario.json", path) ==
        "no-such-scenario.json: cannot be read: no such file");
  std::filesystem::remove(folder.path() / "tiny.json");
  std::filesystem::create_directory(folder.path() / "tiny.json");
  CHECK(refusal_of(folder.path() / "scenario.json", path) ==
        "scenario.json: /model: tiny.json: cannot be read: it is a directory");
  CHECK(refusal_of(folder.add_file("two\nlines.json", "{"), path) ==
        "two?lines.json: line 1, column 2: syntax error while parsing object key - unexpected end "
        "of input; expected string literal");
}

TEST_CASE("bad files: what would fill the memory is refused while it is read", "[bad_input]") {
  // Every value carries its pointer, so a key of 1 MB over 600 values would take 600 MB.
  std::string text = "{\"" + std::string(1000000, 'k') + "\": [0";
  for (int i = 0; i < 600; ++i) text += ",0";
  CHECK(refusal_with("tiny.json", text + "]}") ==
        "scenario.json: /model: tiny.json: holds too many values: more than 512 MiB once read");
}

TEST_CASE("bad overrides: in the file", "[bad_input]") {
  check_refusals(R"cases(
scenario.json: {"/plan/moments": "fp32"} => [1]
    scenario.json: /override: expected an object of JSON pointers, found an array
scenario.json: {"/plan/moments": "fp32"} => {"plan/ep": 8}
    scenario.json: /override/plan~1ep: a path must start with "/", found "plan/ep"
scenario.json: {"/plan/moments": "fp32"} => {"": {}}
    scenario.json: /override/: expected the path of a value such as "/plan/ep", found ""
scenario.json: {"/plan/moments": "fp32"} => {"/override": {}}
    scenario.json: /override/~1override: expected the path of a value such as "/plan/ep", found "/override"
scenario.json: {"/plan/moments": "fp32"} => {"/plan/moments": "fp8"}
    scenario.json: /override/~1plan~1moments: unknown value "fp8"; known: bf16, fp32
scenario.json: {"/plan/moments": "fp32"} => {"/plan/momens": "bf16"}
    scenario.json: /override/~1plan~1momens: unknown key "momens"; did you mean "moments"?
scenario.json: {"/plan/moments": "fp32"} => {"/plan/ep": 3.7}
    scenario.json: /override/~1plan~1ep: expected an integer, found the number 3.7
scenario.json: {"/plan/moments": "fp32"} => {"/plan/ep": 3}
    scenario.json: /override/~1plan~1ep: 3 does not divide the tp x cp x dp = 8 ranks of a stage
scenario.json: {"/plan/moments": "fp32"} => {"/plan/dp": 16}
    scenario.json: /plan: tp 1 x cp 1 x pp 2 x dp 16 = 32 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: {"/plan/moments": "fp32"} => {"/plan": 3}
    scenario.json: /override/~1plan: expected an object, found the number 3
scenario.json: {"/plan/moments": "fp32"} => {"/plan/ep/x": 3}
    scenario.json: /override/~1plan~1ep~1x: no key "x" in /plan/ep, which is the number 8
scenario.json: {"/plan/moments": "fp32"} => {"/plan/layers_per_stage/2": 3}
    scenario.json: /override/~1plan~1layers_per_stage~12: no item "2" in /plan/layers_per_stage, an array of 2
scenario.json: {"/plan/moments": "fp32"} => {"/plan/layers_per_stage/01": 3}
    scenario.json: /override/~1plan~1layers_per_stage~101: no item "01" in /plan/layers_per_stage, an array of 2
scenario.json: {"/plan/moments": "fp32"} => {"/plan/layers_per_stage/1": 3}
    scenario.json: /plan/layers_per_stage: adds up to 5, but tiny has 4 layers
scenario.json: {"/plan/moments": "fp32"} => {"/phases/3/tokens": "1B"}
    scenario.json: /override/~1phases~13~1tokens: no item "3" in /phases, an array of 3
scenario.json: {"/plan/moments": "fp32"} => {"/phases/-": {}}
    scenario.json: /override/~1phases~1-: no item "-" in /phases, an array of 3
scenario.json: {"/plan/moments": "fp32"} => {"/phases/1/plan/dp": 3}
    scenario.json: /phases/1/plan: tp 1 x cp 2 x pp 2 x dp 3 = 12 ranks, but the cluster has 2 nodes x 8 GPUs = 16
scenario.json: {"/plan/moments": "fp32"} => {"/phases/1/plan/ep": 3}
    scenario.json: /phases/1/plan: /override/~1phases~11~1plan~1ep: 3 does not divide the tp x cp x dp = 8 ranks of a stage
scenario.json: {"/plan/moments": "fp32"} => {"/phases/1/plan/epp": 3}
    scenario.json: /phases/1/plan: /override/~1phases~11~1plan~1epp: unknown key "epp"; did you mean "ep"?
scenario.json: {"/plan/moments": "fp32"} => {"/phases/0/tokns": 3}
    scenario.json: /override/~1phases~10~1tokns: unknown key "tokns"; did you mean "tokens"?
scenario.json: {"/plan/moments": "fp32"} => {"/phases/1/routing/max_groups": 9}
    scenario.json: /phases/1/routing: /override/~1phases~11~1routing~1max_groups: expected an integer from 1 to 4, found 9
scenario.json: {"/plan/moments": "fp32"} => {"/phases/1": null}
    scenario.json: /override/~1phases~11: expected an object, found null
scenario.json: {"/plan/moments": "fp32"} => {"/phases": []}
    scenario.json: /override/~1phases: expected an array of at least one phase, found an empty array
scenario.json: {"/plan/moments": "fp32"} => {"/planet/ep": 8}
    scenario.json: /override/~1planet~1ep: unknown key "planet"; did you mean "plan"?
scenario.json: {"/plan/moments": "fp32"} => {"/model/hidden_sise": 8}
    scenario.json: /override/~1model~1hidden_sise: unknown key "hidden_sise" in /model; did you mean "hidden_size"?
scenario.json: {"/plan/moments": "fp32"} => {"/model/hidden_size": "8"}
    scenario.json: /override/~1model~1hidden_size: expected an integer, found the string "8"
scenario.json: {"/plan/moments": "fp32"} => {"/model/experts": 8}
    scenario.json: /override/~1model~1experts: unknown key "experts" in /model; known: model_type, vocab_size, num_hidden_layers, hidden_size, num_attention_heads, q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, intermediate_size, first_k_dense_replace, moe_intermediate_size, n_routed_experts, n_shared_experts, num_experts_per_tok, n_group, topk_group, num_nextn_predict_layers, _name_or_path
scenario.json: {"/plan/moments": "fp32"} => {"/model": "none.json"}
    scenario.json: /override/~1model: none.json: cannot be read: no such file
scenario.json: {"/plan/moments": "fp32"} => {"/cluster": 5}
    scenario.json: /override/~1cluster: expected a file name or an object, found the number 5
scenario.json: {"/plan/moments": "fp32"} => {"/cluster/num_nodes": 4}
    scenario.json: /plan: tp 1 x cp 1 x pp 2 x dp 8 = 16 ranks, but the cluster has 4 nodes x 8 GPUs = 32
scenario.json: {"/plan/moments": "fp32"} => {"/cluster/nic_bandwidth": "50 GB"}
    scenario.json: /override/~1cluster~1nic_bandwidth: unknown unit "GB"; known: B/s, KB/s, MB/s, GB/s, TB/s, Kb/s, Mb/s, Gb/s, Tb/s
scenario.json: {"/plan/moments": "fp32"} => {"/cluster/gpu": "none.json"}
    scenario.json: /override/~1cluster~1gpu: none.json: cannot be read: no such file
scenario.json: {"/plan/moments": "fp32"} => {"/cluster/gpu/hbm": 80}
    scenario.json: /override/~1cluster~1gpu~1hbm: expected a quantity with a unit such as "80 GiB", found the number 80
scenario.json: {"/plan/moments": "fp32"} => {"/cluster/fabric/topology": "ring"}
    scenario.json: /override/~1cluster~1fabric~1topology: unknown value "ring"; known: single_node, fat_tree, multi_plane_fat_tree, dragonfly, slim_fly
scenario.json: {"/plan/moments": "fp32"} => {"/profile/kernels/cast/sms": 0}
    scenario.json: /override/~1profile~1kernels~1cast~1sms: expected an integer from 1 to 132, found 0
scenario.json: {"/plan/moments": "fp32"} => {"/a~2b": 0}
    scenario.json: /override/~1a~02b: in a path "~" is written "~0" and "/" in a key "~1", found "/a~2b"
scenario.json: {"/plan/moments": "fp32"} => {"/a\nb": 0}
    scenario.json: /override/~1a?b: unknown key "a\nb"; known: name, description, model, cluster, profile, plan, routing, phases, seed, assumptions, override, variants
scenario.json: "/plan/comm_sms": 8 => "/plann/comm_sms": 8
    scenario.json: /variants/0/set/~1plann~1comm_sms: unknown key "plann"; did you mean "plan"?
scenario.json: "/plan/comm_sms": 8 => "/phases/7/batch": 8
    scenario.json: /variants/0/set/~1phases~17~1batch: no item "7" in /phases, an array of 3
scenario.json: {"/plan/comm_sms": 8} => ["/plan/comm_sms", 8]
    scenario.json: /variants/0/set: expected an object, found an array
scenario.json: "set": {"/plan/comm_sms": 8} => "sets": {}
    scenario.json: /variants/0: missing key "set"
)cases");
}

TEST_CASE("bad overrides: from the command line", "[bad_input]") {
  struct Row {
    std::string pointer, json, message;
  };
  const std::vector<Row> rows = {
      {"/plan/ep", "3.7", "--set /plan/ep: expected an integer, found the number 3.7"},
      {"/plan/ep", "3", "--set /plan/ep: 3 does not divide the tp x cp x dp = 8 ranks of a stage"},
      {"/plan/epp", "8", "--set /plan/epp: unknown key \"epp\"; did you mean \"ep\"?"},
      {"/plan", R"({"ep": 8})", "--set /plan: missing key \"tp\""},
      {"/plan/layers_per_stage",
       "[2, 2.5]",
       "--set /plan/layers_per_stage: /1: expected an integer, found the number 2.5"},
      {"/model", "\"none.json\"", "--set /model: none.json: cannot be read: no such file"},
      {"/model", "3", "--set /model: expected a file name or an object, found the number 3"},
      {"/modell", "3", "--set /modell: unknown key \"modell\"; did you mean \"model\"?"},
      {"model", "3", "--set model: a path must start with \"/\", found \"model\""},
      {"/cluster/nic_bandwidth",
       "50",
       "--set /cluster/nic_bandwidth: expected a quantity with a unit such as \"50 GB/s\", found "
       "the number 50"},
      {"/phases/1/batch", "30", "--set /phases/1/batch: 30 sequences are not divisible by dp 4"},
      {"/seed", "\"1\"", "--set /seed: expected an integer, found the string \"1\""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pointer, row.json);
    const JsonNode value = parse_json(row.json, "--set " + row.pointer);
    CHECK(refusal_of(small_scenario(), {{row.pointer, value}}) == row.message);
  }
}

TEST_CASE("bad input: shipped models and GPUs put where they cannot work", "[bad_input]") {
  const std::string chunk = "deepseek-v3-chunk";
  CHECK(
      shipped_refusal(chunk, {{"/model", "\"models/gpt-oss-20b.json\""}}) ==
      "models/gpt-oss-20b.json: /layer_types: gpt-oss-20b alternates windowed attention, which is "
      "not modelled in training or serving yet");
  CHECK(shipped_refusal(chunk, {{"/cluster/gpu", "\"gpus/a100-80.json\""}}) ==
        "deepseek-v3-chunk.jsonc: /plan/recipe: \"fp8_block\", but the A100-80GB has no FP8 tensor "
        "cores; expected \"bf16\"");
  CHECK(shipped_refusal(chunk, {{"/model", "\"models/mixtral-8x7b.json\""}}) ==
        "deepseek-v3-chunk.jsonc: /plan/ep: 64 does not divide the 8 experts of mixtral-8x7b");
  CHECK(
      shipped_refusal(chunk, {{"/cluster", "\"clusters/h800-2048.jsonc\""}}) ==
      "deepseek-v3-chunk.jsonc: /plan: tp 1 x cp 1 x pp 1 x dp 64 = 64 ranks, but the cluster has "
      "256 nodes x 8 GPUs = 2048");
}

TEST_CASE("scenario: a GPU's file may be named by an override or by a cluster in place",
          "[bad_input]") {
  Texts texts = small_scenario();
  texts["other.json"] = texts.at("gpu.json");
  replace_once(texts["other.json"], "\"X100\"", "\"X200\"");
  const TemporaryFolder folder;
  for (const auto& [name, text] : texts) folder.add_file(name, text);
  const auto path = folder.path() / "scenario.json";
  CHECK(read_scenario(path).cluster.gpu.name == "X100");
  const auto set = [&](const std::string& pointer, const std::string& json) {
    return read_scenario(path, {{pointer, parse_json(json, "--set")}});
  };
  CHECK(set("/cluster/gpu", "\"other.json\"").cluster.gpu.name == "X200");
  std::string cluster = texts.at("cluster.json");
  replace_once(cluster, "gpu.json", "other.json");
  CHECK(set("/cluster", cluster).cluster.gpu.name == "X200");
}

TEST_CASE("scenario: a model is called after its file, whatever its authors wrote into it",
          "[bad_input]") {
  const TemporaryFolder folder;  // tiny.json says "_name_or_path": "hub/small"
  for (const auto& [name, text] : small_scenario()) folder.add_file(name, text);
  CHECK(read_scenario(folder.path() / "scenario.json").model.name == "tiny");
}

TEST_CASE("scenario: an override may give a phase what it takes from the plan otherwise",
          "[bad_input]") {
  const TemporaryFolder folder;
  for (const auto& [name, text] : small_scenario()) folder.add_file(name, text);
  const Scenario scenario = read_scenario(folder.path() / "scenario.json",
                                          {{"/phases/1/plan/ep", parse_json("4", "--set")}});
  CHECK(scenario.phases[0].plan.ep == 8);
  CHECK(scenario.phases[1].plan.ep == 4);
}

TEST_CASE("bad input: mutated files are read or refused, and nothing else", "[bad_input]") {
  struct File {
    std::string name, text;
  };
  std::vector<File> files;
  const TemporaryFolder folder;
  for (const std::string name : {"deepseek-v3-pretrain.jsonc",
                                 "models/deepseek-v3.json",
                                 "clusters/h800-2048.jsonc",
                                 "gpus/h800.json",
                                 "profiles/h800-published.json"}) {
    files.push_back({name, file_text(scenario_folder() / name)});
    REQUIRE(!files.back().text.empty());
    std::filesystem::create_directories((folder.path() / name).parent_path());
    folder.add_file(name, files.back().text);
  }
  const auto scenario = folder.path() / files.front().name;
  const std::string path = folder.path().string();
  REQUIRE(refusal_of(scenario, path) == "nothing was refused");

  std::uint64_t state = 20250101;
  const auto below = [&state](std::size_t limit) {  // xorshift64* (Vigna, 2016)
    state ^= state >> 12U;
    state ^= state << 25U;
    state ^= state >> 27U;
    return static_cast<std::size_t>((state * 2685821657736338717U) >> 33U) % limit;
  };
  // Besides any byte: what numbers, strings and structure are made of.
  const std::string telling = "0123456789-+.eE\"\\{}[]:,/ \n\tNaTPGMKBs";
  int num_read = 0, num_refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const File& file = files[below(files.size())];
    std::string text = file.text;
    for (std::size_t edits = 1 + below(3); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = below(text.size()), length = 1 + below(8);
      switch (below(6)) {
        case 0: text[at] = static_cast<char>(below(256)); break;
        case 1: text[at] = telling[below(telling.size())]; break;
        case 2: text.insert(at, 1, telling[below(telling.size())]); break;
        case 3: text.erase(at, length); break;
        case 4: text.insert(at, text.substr(below(text.size()), length)); break;
        default:
          if (below(8) == 0) text.resize(at);
      }
    }
    folder.add_file(file.name, text);
    const std::string message = refusal_of(scenario, path);
    folder.add_file(file.name, file.text);
    CAPTURE(round, file.name, message);
    if (message == "nothing was refused") {
      ++num_read;
      continue;
    }
    ++num_refused;
    REQUIRE(message.rfind("not an InputError", 0) != 0);
    REQUIRE(is_one_line(message));
    REQUIRE(message.find(".json") != std::string::npos);  // names a file
    REQUIRE(message.size() < 2000);
  }
  CHECK(num_read > 100);
  CHECK(num_refused > 1000);
}
