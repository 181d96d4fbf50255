// Of which parts two results differ, and in which inputs two composed documents do.
#include <algorithm>

#include "model/json_message.hpp"
#include "reports/comparison.hpp"

namespace moesim {
namespace {

bool ends_with_bytes(const std::string& key) {
  constexpr std::size_t kLength = 6;
  return key.size() > kLength && key.substr(key.size() - kLength) == "_bytes";
}

void add_part(const std::string& name, double a, double b, DifferenceParts& parts) {
  parts.parts.push_back({name, a, b});
}

// All numbers of an object; a member that a side lacks is 0 there.
void add_members(const JsonNode& a, const JsonNode& b, DifferenceParts& parts) {
  for (const auto& [key, value] : a.members)
    add_part(key, value.real, number_at(b, "/" + key).value_or(0), parts);
  for (const auto& [key, value] : b.members)
    if (a.find(key) == nullptr) add_part(key, 0, value.real, parts);
}

void add_group(const JsonNode& a,
               const JsonNode& b,
               const std::string& pointer,
               DifferenceParts parts,
               std::vector<DifferenceParts>& found) {
  const JsonNode *of_a = node_at(a, pointer), *of_b = node_at(b, pointer);
  if (of_a == nullptr || of_b == nullptr) return;
  add_members(*of_a, *of_b, parts);
  found.push_back(std::move(parts));
}

// What a rank or a pool's GPU holds: lines that sum to its total.
JsonNode held(const JsonNode& memory) {
  JsonNode lines = memory;
  lines.members.clear();
  for (const auto& [key, value] : memory.members)
    if (ends_with_bytes(key) && key != "total_bytes" && key != "hbm_bytes" &&
        key != "budget_bytes" && key != "kv_per_token_bytes")
      lines.members.emplace_back(key, value);
  return lines;
}

void add_memory(const JsonNode& a,
                const JsonNode& b,
                const std::string& title,
                std::vector<DifferenceParts>& found) {
  DifferenceParts parts{title,
                        "total_bytes",
                        {},
                        number_at(a, "/total_bytes").value_or(0),
                        number_at(b, "/total_bytes").value_or(0)};
  add_members(held(a), held(b), parts);
  found.push_back(std::move(parts));
}

const JsonNode* fullest(const JsonNode& result) {
  const JsonNode* memory = result.find("memory");
  if (memory == nullptr || memory->items.empty()) return nullptr;
  return &*std::max_element(
      memory->items.begin(), memory->items.end(), [](const JsonNode& x, const JsonNode& y) {
        return number_at(x, "/total_bytes") < number_at(y, "/total_bytes");
      });
}

std::string name_of(const JsonNode& item) {
  const JsonNode* name = item.find("name");
  return name != nullptr ? one_line(name->text) : "";
}

const JsonNode* of_name(const JsonNode& list, const std::string& name) {
  for (const JsonNode& item : list.items)
    if (name_of(item) == name) return &item;
  return nullptr;
}

void add_training(const JsonNode& a, const JsonNode& b, std::vector<DifferenceParts>& found) {
  const auto number = [](const JsonNode& result, const char* pointer) {
    return number_at(result, pointer).value_or(0);
  };
  const double step_a = number(a, "/metrics/step_time_s"),
               step_b = number(b, "/metrics/step_time_s");
  add_group(a,
            b,
            "/breakdown",
            {"Step, by what the time goes to", "step_time_s", {}, step_a, step_b},
            found);
  add_group(a,
            b,
            "/phases",
            {"Step, by phase of the schedule", "step_time_s", {}, step_a, step_b},
            found);
  const JsonNode *run_a = a.find("run"), *run_b = b.find("run");
  if (run_a != nullptr && run_b != nullptr && a.find("breakdown") != nullptr &&
      b.find("breakdown") != nullptr) {
    DifferenceParts parts{"GPU hours, by phase of the run",
                          "gpu_hours",
                          {},
                          number(a, "/metrics/gpu_hours"),
                          number(b, "/metrics/gpu_hours")};
    const std::size_t n = std::max(run_a->items.size(), run_b->items.size());
    for (std::size_t i = 0; i < n; ++i) {
      const JsonNode* of_a = i < run_a->items.size() ? &run_a->items[i] : nullptr;
      const JsonNode* of_b = i < run_b->items.size() ? &run_b->items[i] : nullptr;
      add_part(name_of(of_a != nullptr ? *of_a : *of_b),
               of_a != nullptr ? number(*of_a, "/gpu_hours") : 0,
               of_b != nullptr ? number(*of_b, "/gpu_hours") : 0,
               parts);
    }
    found.push_back(std::move(parts));
  }
  if (const JsonNode* of_a = fullest(a), *of_b = fullest(b); of_a != nullptr && of_b != nullptr)
    add_memory(*of_a, *of_b, "Memory of the fullest rank", found);
}

void add_serving(const JsonNode& a, const JsonNode& b, std::vector<DifferenceParts>& found) {
  const auto mean = [](const JsonNode& result, const char* what) {
    return number_at(result, "/metrics/" + std::string(what) + "/mean");
  };
  if (mean(a, "e2e_s") && mean(b, "e2e_s")) {
    DifferenceParts parts{"Mean request, from arrival to last token",
                          "e2e_s",
                          {},
                          *mean(a, "e2e_s"),
                          *mean(b, "e2e_s")};
    const auto part = [&](const char* name, const char* from, const char* to) {
      const auto length = [&](const JsonNode& result) {
        return *mean(result, to) - (*from == '\0' ? 0 : *mean(result, from));
      };
      add_part(name, length(a), length(b), parts);
    };
    part("in the queue", "", "queue_s");
    part("computing the prompt, to the first token", "queue_s", "ttft_s");
    part("output, from the first to the last token", "ttft_s", "e2e_s");
    found.push_back(std::move(parts));
  }
  const JsonNode *steps_a = a.find("steps"), *steps_b = b.find("steps");
  if (steps_a != nullptr && steps_b != nullptr)
    for (const JsonNode& step : steps_a->items)
      if (const JsonNode* other = of_name(*steps_b, name_of(step)))
        add_group(step,
                  *other,
                  "/breakdown",
                  {"Step \"" + name_of(step) + "\"",
                   "step_time_s",
                   {},
                   number_at(step, "/step_time_s").value_or(0),
                   number_at(*other, "/step_time_s").value_or(0)},
                  found);
  const JsonNode *pools_a = a.find("pools"), *pools_b = b.find("pools");
  for (const JsonNode& pool : pools_a->items) {
    const JsonNode* other = of_name(*pools_b, name_of(pool));
    if (other == nullptr || pool.find("memory") == nullptr || other->find("memory") == nullptr)
      continue;
    add_memory(*pool.find("memory"),
               *other->find("memory"),
               "Memory of a GPU of pool \"" + name_of(pool) + "\"",
               found);
  }
}

bool is_no_input(const std::string& key) {
  for (const char* no_input : {"name",
                               "description",
                               "assumptions",
                               "variants",
                               "sources",
                               "override",
                               "uncertain",
                               "about",
                               "because"})
    if (key == no_input) return true;
  return false;
}

// What tells kinds of one thing apart: where it differs, the whole object is another one.
bool is_another(const JsonNode& a, const JsonNode& b, bool is_root) {
  for (const char* key :
       {"kind", "topology", "distribution", "process", "policy", "name", "id", "_name_or_path"}) {
    const JsonNode *of_a = a.find(key), *of_b = b.find(key);
    if (!is_root && of_a != nullptr && of_b != nullptr &&
        canonical_text(*of_a) != canonical_text(*of_b))
      return true;
  }
  return false;
}

// In a table: a value as it stands, an object by its name.
std::string short_text(const JsonNode& node) {
  for (const char* key :
       {"_name_or_path", "id", "name", "kind", "topology", "distribution", "process", "policy"})
    if (const JsonNode* name = node.find(key)) return one_line(name->text);
  if (node.kind == JsonNode::Kind::string) return one_line(node.text);
  if (node.kind == JsonNode::Kind::null) return "";
  constexpr std::size_t kMost = 60;
  const std::string text = canonical_text(node);
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

void add_difference(const std::string& pointer,
                    const JsonNode* a,
                    const JsonNode* b,
                    std::vector<InputDifference>& found) {
  found.push_back({pointer,
                   a != nullptr ? short_text(*a) : "",
                   b != nullptr ? short_text(*b) : "",
                   b != nullptr ? *b : JsonNode()});
}

void walk(const JsonNode& a,
          const JsonNode& b,
          const std::string& pointer,
          std::vector<InputDifference>& found) {
  if (canonical_text(a) == canonical_text(b)) return;
  const bool items_alike = a.kind == JsonNode::Kind::array && b.kind == JsonNode::Kind::array &&
                           a.items.size() == b.items.size() && !a.items.empty() &&
                           a.items.front().kind == JsonNode::Kind::object;
  if (items_alike) {
    for (std::size_t i = 0; i < a.items.size(); ++i)
      walk(a.items[i], b.items[i], pointer + "/" + std::to_string(i), found);
    return;
  }
  // A cluster of another name may be the same hardware in another number: its fields are told.
  const bool is_whole = pointer != "/cluster" && is_another(a, b, pointer.empty());
  if (a.kind != JsonNode::Kind::object || b.kind != JsonNode::Kind::object || is_whole) {
    add_difference(pointer, &a, &b, found);
    return;
  }
  for (const auto& [key, member] : a.members) {
    if (is_no_input(key)) continue;
    const JsonNode* other = b.find(key);
    if (other != nullptr)
      walk(member, *other, child_pointer(pointer, key), found);
    else if (member.kind != JsonNode::Kind::null)
      add_difference(child_pointer(pointer, key), &member, nullptr, found);
  }
  for (const auto& [key, member] : b.members)
    if (!is_no_input(key) && a.find(key) == nullptr && member.kind != JsonNode::Kind::null)
      add_difference(child_pointer(pointer, key), nullptr, &member, found);
}

}  // namespace

std::vector<DifferenceParts> difference_parts(const JsonNode& a, const JsonNode& b) {
  std::vector<DifferenceParts> found;
  if (a.find("run") != nullptr)
    add_training(a, b, found);
  else
    add_serving(a, b, found);
  return found;
}

std::vector<InputDifference> input_differences(const JsonNode& a, const JsonNode& b) {
  std::vector<InputDifference> found;
  walk(a, b, "", found);
  return found;
}

}  // namespace moesim
