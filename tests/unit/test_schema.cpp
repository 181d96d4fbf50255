// The shipped JSON Schema against the readers themselves: whatever a reader knows, the schema has,
// and what the schema has, a reader knows. A key added to either alone fails here.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/serving/serving_scenario.hpp"
#include "tests/catch.hpp"
#include "tests/json_schema.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

namespace fs = std::filesystem;
using Kind = JsonNode::Kind;

JsonSchema shipped_schema() {
  return JsonSchema(read_json_file(scenario_folder() / "schema" / "inputs.json"));
}

// A member of any document, or an item of an array, for writing.
JsonNode& child(JsonNode& node, const std::string& step) {
  if (node.kind == Kind::array) return node.items.at(std::stoul(step));
  for (auto& [key, member] : node.members)
    if (key == step) return member;
  node.members.emplace_back(step, JsonNode{});
  return node.members.back().second;
}

JsonNode& at(JsonNode& root, const std::string& pointer) {
  JsonNode* node = &root;
  for (std::size_t from = 1; from < pointer.size();) {
    const std::size_t end = std::min(pointer.find('/', from), pointer.size());
    node = &child(*node, pointer.substr(from, end - from));
    from = end + 1;
  }
  return *node;
}

// Puts what a scenario names by file into it: only then can a test change it.
void inline_file(JsonNode& holder, const std::string& key, const fs::path& folder) {
  const JsonNode* named = holder.find(key);
  if (named == nullptr || named->kind != Kind::string) return;
  const fs::path file = folder / named->text;
  JsonNode contents = read_json_file(file);
  inline_file(contents, "gpu", file.parent_path());
  child(holder, key) = contents;
}

struct Seed {
  const char* scenario;
  const char* pointer;  // changed in it; empty: as it is
  const char* value;
};

// Scenarios and changes of them that together show every key. Each must be readable as it is.
constexpr Seed kSeeds[] = {
    {"deepseek-v3-chunk", "", ""},
    {"deepseek-v3-pretrain", "", ""},
    {"deepseek-v3-interrupted", "", ""},
    {"azure-conversation-h200", "", ""},
    {"conversation-h800", "", ""},
    {"deepseek-v3-serving-day", "", ""},
    {"deepseek-v3-h100-sglang", "", ""},
    {"deepseek-v3-chunk", "/plan/placement", R"({"policy": "contiguous"})"},
    {"deepseek-v3-chunk", "/plan/overheads", "{}"},
    {"deepseek-v3-chunk", "/routing/correlation", R"({"rho": 0.1, "cluster_size": 2})"},
    {"deepseek-v3-chunk", "/routing/popularity", R"({"kind": "zipf", "exponent": 0.1})"},
    {"deepseek-v3-chunk",
     "/routing/popularity",
     R"({"kind": "power_law", "exponent": 1, "lowest": 1, "highest": 2})"},
    {"deepseek-v3-chunk", "/routing/popularity", R"({"kind": "dirichlet", "cv": 0.1})"},
    {"deepseek-v3-chunk", "/cluster/fabric/failures", R"({"uplinks": []})"},
    {"deepseek-v3-chunk",
     "/cluster/fabric",
     R"({"topology": "dragonfly", "switch_ports": 64,
         "dragonfly": {"p": 16, "a": 32, "h": 16, "groups": 511}})"},
    {"deepseek-v3-chunk",
     "/cluster/fabric",
     R"({"topology": "slim_fly", "switch_ports": 64,
         "slim_fly": {"q": 28, "endpoints_per_switch": 21}})"},
    {"deepseek-v3-interrupted",
     "/operations/spares",
     R"({"nodes": 1, "swap": "1 min", "repair": "1 d", "source": "s"})"},
    {"deepseek-v3-interrupted",
     "/operations/evaluation",
     R"({"every_steps": 1000, "pause": "1 min", "source": "s"})"},
    {"deepseek-v3-interrupted", "/operations/stragglers", R"({"sigma": 0.1, "source": "s"})"},
    {"deepseek-v3-interrupted",
     "/operations/stragglers",
     R"({"share": 0.1, "slowdown": 1.1, "source": "s"})"},
    {"azure-conversation-h200", "/requests/trace/window", R"({"duration": "50 s"})"},
    {"azure-conversation-h200", "/serving/pools/0/speculative", R"({"acceptance": [0.8]})"},
    {"azure-conversation-h200",
     "/serving/pools/0/failures",
     R"({"mean_between": "10 h", "repair": "1 h", "stated": [{"at": "1 s", "unit": 0}]})"},
    {"azure-conversation-h200", "/serving/pools/0/unit/placement", R"({"policy": "contiguous"})"},
    {"azure-conversation-h200",
     "/serving/pools/0/scaler",
     R"({"kind": "scheduled", "min_units": 1, "max_units": 2, "start_up": "1 s",
         "schedule": [{"at": "1 s", "units": 2}]})"},
    {"azure-conversation-h200",
     "/serving/pools/0/scaler",
     R"({"kind": "predictive", "min_units": 1, "max_units": 2, "start_up": "1 s",
         "interval": "1 s", "horizon": "1 s"})"},
    {"azure-conversation-h200",
     "/serving/pools/0/expert_tiers",
     R"({"hbm": "60 GB", "host": "100 GB", "host_bandwidth": "50 GB/s",
         "ssd_bandwidth": "5 GB/s"})"},
    {"azure-conversation-h200",
     "/prices",
     R"({"input": "1 USD", "cached_input": "1 USD", "output": "1 USD"})"},
    {"azure-conversation-h200", "/requests/classes/0/slo", R"({"ttft": "2 s"})"},
    {"deepseek-v3-serving-day",
     "/requests/arrivals",
     R"({"process": "gamma", "rate_per_s": 100, "cv": 2})"},
    {"deepseek-v3-serving-day",
     "/requests/arrivals",
     R"({"process": "gamma", "rate_per_s": 100, "burstiness": 2})"},
    {"deepseek-v3-serving-day",
     "/requests/arrivals",
     R"({"process": "mmpp", "states": [{"rate_per_s": 1, "mean_stay": "5 s"},
                                       {"rate_per_s": 2, "mean_stay": "5 s"}]})"},
    {"deepseek-v3-serving-day",
     "/requests/arrivals",
     R"({"process": "diurnal", "hourly_rates_per_s": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
         1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "between": "linear"})"},
    {"deepseek-v3-serving-day",
     "/requests/arrivals",
     R"({"process": "closed_loop", "concurrency": 10, "think_time": "1 s"})"},
    {"deepseek-v3-serving-day",
     "/requests",
     R"({"arrivals": {"process": "sessions", "sessions_per_s": 1, "think_time": "10 s",
                      "block_tokens": 64, "system_tokens": 64,
                      "turns": {"distribution": "constant", "tokens": 3}},
         "input_tokens": {"distribution": "constant", "tokens": 100},
         "output_tokens": {"distribution": "constant", "tokens": 100}, "duration": "100 s"})"},
    {"deepseek-v3-serving-day",
     "/requests/input_tokens",
     R"({"distribution": "constant", "tokens": 100})"},
    {"deepseek-v3-serving-day",
     "/requests/input_tokens",
     R"({"distribution": "lognormal", "mean": 100, "cv": 1})"},
    {"deepseek-v3-serving-day",
     "/requests/input_tokens",
     R"({"distribution": "lognormal", "mean": 100, "p50": 90})"},
    {"deepseek-v3-serving-day",
     "/requests/input_tokens",
     R"({"distribution": "empirical", "values": [100, 200], "weights": [1, 2]})"},
    {"deepseek-v3-serving-day",
     "/requests/input_tokens",
     R"({"distribution": "empirical", "edges": [100, 200, 300], "weights": [1, 2]})"},
};

// What no seed shows, because it needs more than one change or a file of its own.
const std::set<std::string> kNotShown = {
    "popularity/file", "popularity/domain", "popularity/method", "placement/table"};

class Readers {
 public:
  Readers() {
    for (const auto& entry : fs::directory_iterator(scenario_folder()))
      if (entry.is_directory())
        fs::create_directory_symlink(fs::absolute(entry.path()),
                                     folder_.path() / entry.path().filename());
  }
  std::string refused(const JsonNode& document) const {
    const fs::path path = folder_.add_file("probe.jsonc", canonical_text(document));
    return refusal([&] {
      if (is_serving_scenario(path))
        read_serving_scenario(path, {});
      else
        read_scenario(path, {});
    });
  }

 private:
  TemporaryFolder folder_;
};

JsonNode document_of(const Seed& seed) {
  JsonNode document = read_json_file(scenario_folder() / (std::string(seed.scenario) + ".jsonc"));
  inline_file(document, "cluster", scenario_folder());
  inline_file(document, "operations", scenario_folder());
  // A day that is compressed allows only some arrivals.
  const JsonNode* measure = document.find("measure");
  if (measure != nullptr && measure->find("compress_time") != nullptr)
    at(document, "/measure/compress_time") = parse_json("1", "seed");
  if (*seed.pointer != '\0') at(document, seed.pointer) = parse_json(seed.value, "seed");
  return document;
}

// "x.json: /a: unknown key "zzzz"; known: b, c" -> b, c.
std::set<std::string> known_in(const std::string& message) {
  std::set<std::string> words;
  const std::string mark = "known: ";
  std::size_t from = message.find(mark);
  if (from == std::string::npos) return words;
  for (from += mark.size(); from < message.size();) {
    const std::size_t end = std::min(message.find(", ", from), message.size());
    words.insert(message.substr(from, end - from));
    from = end + 2;
  }
  return words;
}

const JsonNode& object_alternative(const JsonSchema& schema, const JsonNode& node) {
  const JsonNode& resolved = schema.resolved(node);
  const JsonNode* alternatives = resolved.find("anyOf");
  if (alternatives == nullptr) return resolved;
  for (const JsonNode& one : alternatives->items)
    if (schema.resolved(one).find("properties") != nullptr) return schema.resolved(one);
  return resolved;
}

// Walks documents along the schema and asks the readers about each object.
class Comparison {
 public:
  void add(const Seed& seed) {
    document_ = document_of(seed);
    INFO(seed.scenario << " " << seed.pointer << " " << seed.value);
    REQUIRE(readers_.refused(document_) == "nothing was refused");
    visit(document_, "", schema_.definition("scenario"));
  }
  // Everything the schema has below what the scenario reaches, and what a reader knew of it.
  void finish() const {
    for (const auto& [place, keys] : asked_)
      for (const auto& [key, known] : keys) {
        if (kNotShown.count(place.substr(place.rfind('/') + 1) + "/" + key) != 0) continue;
        INFO("the schema's key " << key << " at " << place);
        CHECK(known);
      }
    CHECK(asked_.size() >= 40);
  }

 private:
  void visit(const JsonNode& value, const std::string& pointer, const JsonNode& described) {
    const JsonNode& schema = object_alternative(schema_, described);
    if (value.kind == Kind::array) {
      const JsonNode* items = schema.find("items");
      for (std::size_t i = 0; items != nullptr && i < value.items.size(); ++i)
        visit(value.items[i], pointer + "/" + std::to_string(i), *items);
      return;
    }
    const JsonNode* properties = schema.find("properties");
    if (value.kind != Kind::object || properties == nullptr) return;
    ask(pointer, schema.pointer, *properties);
    for (const auto& [key, member] : value.members) {
      const JsonNode* inside = properties->find(key);
      if (inside != nullptr) visit(member, pointer + "/" + key, *inside);
    }
  }

  std::string refused_with(const std::string& pointer, const std::string& text) {
    JsonNode changed = document_;
    at(changed, pointer) = parse_json(text, "probe");
    return readers_.refused(changed);
  }

  // `place`: of the object in the schema, where definitions are shared.
  void ask(const std::string& pointer, const std::string& place, const JsonNode& properties) {
    const std::string message = refused_with(pointer + "/zzzz", "1");
    INFO(pointer << ": " << message);
    CHECK(message.find("unknown key \"zzzz\"") != std::string::npos);
    for (const std::string& key : known_in(message)) {
      INFO(key);
      CHECK(properties.find(key) != nullptr);
    }
    auto& keys = asked_[place];
    for (const auto& [key, described] : properties.members) {
      bool& known = keys[key];
      if (known) continue;
      const std::string answer = refused_with(pointer + "/" + key, R"("zzzz")");
      known = answer.find("unknown key \"" + key + "\"") == std::string::npos;
      const JsonNode* values = schema_.resolved(described).find("enum");
      if (!known || values == nullptr || answer.find("unknown value") == std::string::npos)
        continue;
      std::set<std::string> allowed;
      for (const JsonNode& one : values->items) allowed.insert(one.text);
      INFO(key << ": " << answer);
      CHECK(allowed == known_in(answer));
    }
  }

  JsonSchema schema_ = shipped_schema();
  Readers readers_;
  JsonNode document_;
  std::map<std::string, std::map<std::string, bool>> asked_;  // place, key: a reader knew it
};

}  // namespace

TEST_CASE("every shipped input is as its schema says", "[schema]") {
  const JsonSchema schema = shipped_schema();
  std::size_t files = 0;
  const auto check = [&](const fs::path& folder, const char* name) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_directory()) continue;
      ++files;
      INFO(entry.path());
      CHECK(schema.problems(read_json_file(entry.path()), schema.definition(name)) ==
            std::vector<std::string>{});
    }
  };
  check(scenario_folder(), "scenario");
  check(scenario_folder() / "clusters", "cluster");
  check(scenario_folder() / "gpus", "gpu");
  check(scenario_folder() / "operations", "operations");
  CHECK(files >= 35);
}

TEST_CASE("the schema refuses what the readers refuse", "[schema]") {
  const JsonSchema schema = shipped_schema();
  const JsonNode& scenario = schema.definition("scenario");
  for (const auto& [pointer, value] : {std::pair<const char*, const char*>{"/plan/ppp", "2"},
                                       {"/plan/pp", "\"two\""},
                                       {"/plan/schedule", "\"2f2b\""},
                                       {"/cluster/nic_bandwidth", "50"},
                                       {"/cluster/nic_bandwidth", "\"50 apples\""},
                                       {"/phases/0/tokens", "\"14.8 T of them\""},
                                       {"/seed", "1.5"}}) {
    JsonNode document = document_of({"deepseek-v3-chunk", "", ""});
    CHECK(schema.problems(document, scenario).empty());
    at(document, pointer) = parse_json(value, "probe");
    INFO(pointer << " " << value);
    CHECK_FALSE(schema.problems(document, scenario).empty());
    CHECK(Readers().refused(document) != "nothing was refused");
  }
}

TEST_CASE("schema and readers know the same keys and values", "[schema]") {
  Comparison comparison;
  for (const Seed& seed : kSeeds) comparison.add(seed);
  comparison.finish();
}
