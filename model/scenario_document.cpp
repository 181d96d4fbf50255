#include "model/scenario_document.hpp"

#include <cstdio>

#include "model/composed_scenario.hpp"
#include "model/json_message.hpp"
#include "model/named_file.hpp"
#include "model/uncertain_inputs.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

bool is_below(const std::string& pointer, const std::string& parent) {
  return pointer.rfind(parent + "/", 0) == 0;
}

// The model's name in messages and reports: a published config.json may carry a path of its
// authors' under this key.
void set_model_name(JsonNode& config, const std::string& name) {
  if (config.kind != JsonNode::Kind::object)
    return;  // ObjectReader complains later, with the place
  JsonNode text;
  text.kind = JsonNode::Kind::string;
  text.text = name;
  for (auto& [key, value] : config.members) {
    if (key == "_name_or_path") {
      value = std::move(text);
      return;
    }
  }
  config.members.emplace_back("_name_or_path", std::move(text));
}

// Replaces the file name under `key` by the file's content.
void resolve(JsonNode& object, const std::string& key, const fs::path& folder, JsonFiles& files) {
  if (object.kind != JsonNode::Kind::object)
    return;  // ObjectReader complains later, with the place
  for (auto& [name, value] : object.members) {
    if (name != key) continue;
    const bool names_gpu = key == "cluster" || key == "profile";
    if (value.kind == JsonNode::Kind::object) {  // in place; it may still name its GPU's file
      if (names_gpu) resolve(value, "gpu", folder, files);
      continue;
    }
    if (value.kind == JsonNode::Kind::null) continue;  // a missing key
    if (value.kind != JsonNode::Kind::string || value.text.empty())
      throw InputError(value.place(),
                       "expected a file name or an object, found " + value.describe());
    const fs::path path = named_file(value, folder);
    JsonNode content;
    try {
      content = files.read(path);
    } catch (const InputError& error) {
      throw InputError(value.place(), error.what());
    }
    if (key == "model") set_model_name(content, path.stem().string());
    if (names_gpu) resolve(content, "gpu", path.parent_path(), files);
    value = std::move(content);
  }
}

template <class Visit>
void for_each_pool(JsonNode& document, const Visit& visit) {
  for (auto& [key, serving] : document.members)
    if (key == "serving")
      for (auto& [name, pools] : serving.members)
        if (name == "pools")
          for (JsonNode& pool : pools.items) visit(pool);
}

// References ("/cluster") are replaced before files are opened, everything else after.
bool replaces_reference(const std::string& pointer) {
  return pointer == "/model" || pointer == "/cluster" || pointer == "/profile" ||
         pointer == "/operations";
}

void apply(const Settings& overrides, bool references, JsonNode& document) {
  for (const auto& [pointer, value] : overrides) {
    if (pointer.empty() || pointer == "/override" || is_below(pointer, "/override"))
      throw InputError(
          value.place(),
          "expected the path of a value such as \"/plan/ep\", found " + in_quotes(pointer));
    if (replaces_reference(pointer) != references) continue;
    // May be a member that the file leaves out: the readers of these refuse those they do not know.
    const bool may_add = is_below(pointer, "/routing") || is_below(pointer, "/plan") ||
                         is_below(pointer, "/phases") || is_below(pointer, "/cluster/fabric") ||
                         pointer == "/profile/collectives" || pointer == "/operations" ||
                         is_below(pointer, "/operations") || is_below(pointer, "/serving") ||
                         pointer == "/requests" || is_below(pointer, "/requests") ||
                         is_below(pointer, "/measure");
    set_at(document, pointer, value, value.place(), may_add);
  }
}

}  // namespace

const JsonNode& JsonFiles::read(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto known = files_.find(path.string());
  if (known != files_.end()) return known->second;
  return files_.emplace(path.string(), read_json_file(path)).first->second;
}

JsonNode compose_document(const fs::path& path, const Settings& settings) {
  JsonFiles files;
  return compose_document(path, settings, files);
}

JsonNode compose_document(const fs::path& path, const Settings& settings, JsonFiles& files) {
  JsonNode document = files.read(path);
  const fs::path folder = path.parent_path();
  Settings overrides;
  if (const JsonNode* in_file = document.find("override")) {
    if (in_file->kind != JsonNode::Kind::object)
      throw InputError(in_file->place(),
                       "expected an object of JSON pointers, found " + in_file->describe());
    overrides = in_file->members;
  }
  overrides.insert(overrides.end(), settings.begin(), settings.end());
  apply(overrides, /*references=*/true, document);
  for (const char* key : {"model", "cluster", "profile", "operations"})
    resolve(document, key, folder, files);
  for_each_pool(document, [&](JsonNode& pool) {
    for (const char* key : {"cluster", "profile"}) resolve(pool, key, folder, files);
  });
  apply(overrides, /*references=*/false, document);
  for (const char* key : {"cluster", "profile"})
    resolve(document, key, folder, files);  // a GPU's file named by an override
  return document;
}

void read_base(ObjectReader& reader, ScenarioBase& base) {
  base.name = reader.text("name");
  base.description = reader.text("description");
  reader.ignore("override");
  const JsonNode& config = reader.required("model");
  const JsonNode* model_name = config.find("_name_or_path");
  base.model = read_model_spec(config,
                               model_name != nullptr && model_name->kind == JsonNode::Kind::string
                                   ? model_name->text
                                   : base.name);
  for (const std::int64_t window : base.model.attention_window)
    if (window != 0)
      ObjectReader(config).fail(
          "layer_types",
          one_line(base.model.name) +
              " alternates windowed attention, which is not modelled in training or serving yet");
  base.cluster = read_cluster_spec(reader.required("cluster"));
  base.profile = read_profile(reader.required("profile"));
  base.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, std::int64_t{1} << 62));
  if (const JsonNode* uncertain = reader.optional("uncertain")) read_uncertain_inputs(*uncertain);
  if (reader.has("assumptions")) base.assumptions = reader.text_list("assumptions");
}

std::vector<Variant> read_variants(ObjectReader& scenario) {
  std::vector<Variant> variants;
  const JsonNode* list = scenario.optional("variants");
  if (list == nullptr) return variants;
  if (list->kind != JsonNode::Kind::array)
    scenario.fail("variants", "expected an array, found " + list->describe());
  for (const JsonNode& item : list->items) {
    ObjectReader reader(item);
    Variant v;
    v.name = reader.text("name");
    v.because = reader.text("because");
    for (const auto& [pointer, value] : reader.object("set").node().members)
      v.set.emplace_back(pointer, value);
    reader.finish();
    // Whether the values fit is checked where the variant is run; a path that leads nowhere is
    // found here.
    JsonNode copy = scenario.node();
    apply(v.set, /*references=*/false, copy);
    variants.push_back(std::move(v));
  }
  return variants;
}

std::string document_hash(const JsonNode& document, const std::string& beside) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : canonical_text(document) + beside)
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  char buffer[17];
  std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(h));
  return buffer;
}

bool is_serving_scenario(const fs::path& path) {
  return read_json_file(path).find("serving") != nullptr;
}

}  // namespace moesim
