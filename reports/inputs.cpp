#include "reports/inputs.hpp"

#include <algorithm>

#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestValue = 100;  // characters; longer lists are cut, with their length

bool is_leaf(const JsonNode& node) {
  if (node.kind == JsonNode::Kind::object) return node.members.empty();
  if (node.kind != JsonNode::Kind::array) return true;
  return std::all_of(node.items.begin(), node.items.end(), [](const JsonNode& item) {
    return item.kind != JsonNode::Kind::object && item.kind != JsonNode::Kind::array;
  });
}

std::string value_text(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::null: return "null";
    case JsonNode::Kind::boolean: return node.boolean ? "true" : "false";
    case JsonNode::Kind::integer: return std::to_string(node.integer);
    case JsonNode::Kind::real: return number_text(node.real);
    case JsonNode::Kind::string: return one_line(node.text);
    case JsonNode::Kind::object: return "{}";
    case JsonNode::Kind::array: break;
  }
  std::string text;
  for (const JsonNode& item : node.items) {
    text += (text.empty() ? "" : ", ") + value_text(item);
    if (text.size() > kLongestValue) {
      text += ", ... (" + std::to_string(node.items.size()) + " values)";
      break;
    }
  }
  return "[" + text + "]";
}

class InputList {
 public:
  explicit InputList(const fs::path& folder) : folder_(folder) {}

  void add(const JsonNode& node, const std::string& pointer, const std::string& source) {
    if (is_leaf(node)) {
      rows_.push_back({pointer.empty() ? "/" : pointer, value_text(node), origin_of(node), source});
      return;
    }
    for (std::size_t i = 0; i < node.items.size(); ++i)
      add(node.items[i], pointer + "/" + std::to_string(i), source);
    const JsonNode* sources = node.find("sources");
    for (const auto& [key, member] : node.members) {
      const std::string below = child_pointer(pointer, key);
      if (says_nothing_itself(pointer, key)) continue;
      if (key == "profile" && member.kind == JsonNode::Kind::object) {
        add_profile(member, below);
        continue;
      }
      const JsonNode* of_member = sources != nullptr ? sources->find(key) : nullptr;
      const bool has_source = of_member != nullptr && of_member->kind == JsonNode::Kind::string;
      add(member, below, has_source ? one_line(of_member->text) : source);
    }
  }
  std::vector<InputRow> rows() { return std::move(rows_); }

 private:
  static bool says_nothing_itself(const std::string& pointer, const std::string& key) {
    const bool is_head = pointer.empty() && (key == "override" || key == "variants" ||
                                             key == "assumptions" || key == "description");
    return is_head || key == "sources";
  }

  // Kernels, fits of collectives and the parts of their errors: a row each; all else value by
  // value.
  void add_profile(const JsonNode& profile, const std::string& pointer) {
    for (const auto& [key, member] : profile.members) {
      const std::string below = child_pointer(pointer, key);
      if (key == "kernels") {
        for (const auto& [kernel, fit] : member.members)
          add_summary(fit, child_pointer(below, kernel));
      } else if (key == "groups") {
        for (std::size_t i = 0; i < member.items.size(); ++i)
          add_summary(member.items[i], below + "/" + std::to_string(i));
      } else if (key == "gpu" || is_leaf(member)) {
        add(member, below, "");
      } else {
        const JsonNode* source = member.find("source");
        for (const auto& [name, value] : member.members)
          if (name != "source" && name != "error")
            add(value,
                child_pointer(below, name),
                source != nullptr ? one_line(value_text(*source)) : "");
      }
    }
  }
  void add_summary(const JsonNode& fit, const std::string& pointer) {
    const JsonNode* source = fit.find("source");
    const JsonNode* error = fit.find("error");
    const JsonNode* basis = error != nullptr ? error->find("basis") : nullptr;
    const JsonNode* inside = error != nullptr ? error->find("inside_pct") : nullptr;
    const JsonNode* outside = error != nullptr ? error->find("outside_pct") : nullptr;
    std::string text = "a fit";
    if (const JsonNode* op = fit.find("op")) text += " of " + value_text(*op);
    if (inside != nullptr && outside != nullptr)
      text += ", +- " + value_text(*inside) + " % where measured, " + value_text(*outside) +
              " % beyond";
    if (basis != nullptr) text += " (" + value_text(*basis) + ")";
    rows_.push_back({pointer, text, origin_of(fit), source != nullptr ? value_text(*source) : ""});
  }

  // "models/deepseek-v3.json: /hidden_size"; of an override: where it was written.
  std::string origin_of(const JsonNode& node) const {
    if (!node.file) return "the name of the file";
    const std::string& file = *node.file;
    if (node.pointer.rfind("/override/", 0) == 0) return "override in " + from_folder(file);
    if (file.rfind("--", 0) == 0) return "override " + file;
    return place_of(from_folder(file), node.pointer);
  }
  std::string from_folder(const std::string& file) const {
    const fs::path near = fs::path(file).lexically_normal().lexically_relative(
        folder_.empty() ? fs::path(".") : folder_.lexically_normal());
    return near.empty() ? file : near.generic_string();
  }

  fs::path folder_;
  std::vector<InputRow> rows_;
};

}  // namespace

std::vector<InputRow> input_rows(const JsonNode& document, const fs::path& folder) {
  InputList list(folder);
  list.add(document, "", "");
  return list.rows();
}

std::optional<Section> inputs_section(const std::vector<InputRow>& rows) {
  if (rows.empty()) return std::nullopt;
  Section section;
  section.title = "All inputs";
  section.paragraphs.push_back(
      "Every value of the scenario with the files that it names and the overrides: what stands "
      "there is what was used. `--set` changes a value by its name here.");
  Table table{"", {"input", "value", "from", "source"}, {}};
  for (const InputRow& row : rows)
    table.rows.push_back({row.pointer, row.value, row.from, row.source});
  section.tables.push_back(std::move(table));
  section.only_in_files = true;
  return section;
}

std::optional<Section> assumptions_section(const std::vector<std::string>& assumptions) {
  if (assumptions.empty()) return std::nullopt;
  Section section;
  section.title = "Assumptions";
  section.paragraphs.push_back("What the scenario takes for granted, in its own words.");
  section.notes = assumptions;
  return section;
}

}  // namespace moesim
