#include "model/settings.hpp"

#include <sstream>

namespace moesim {

std::pair<std::string, JsonNode> parse_setting(const std::string& text, const std::string& option) {
  const std::size_t equals = text.find('=');
  if (text.empty() || text[0] != '/' || equals == std::string::npos)
    throw InputError(option + " " + text,
                     "expected /pointer=value, such as /cluster/nic_bandwidth=\"100 GB/s\"");
  const std::string pointer = text.substr(0, equals), value = text.substr(equals + 1),
                    origin = option + " " + pointer;
  JsonNode node;
  try {
    node = parse_json(value, origin);
  } catch (const InputError&) {
    node.kind = JsonNode::Kind::string;
    node.text = value;
    node.file = std::make_shared<const std::string>(origin);
  }
  return {pointer, std::move(node)};
}

FieldAxis parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (text.empty() || text[0] != '/' || equals == std::string::npos || equals + 1 == text.size())
    throw InputError("--vary " + text, "expected /pointer=value,value, such as /plan/tp=1,2,4");
  const std::string pointer = text.substr(0, equals);
  FieldAxis axis{pointer.substr(pointer.rfind('/') + 1), {}};
  std::istringstream values(text.substr(equals + 1));
  for (std::string value; std::getline(values, value, ',');)
    axis.alternatives.push_back(
        {axis.name + " " + value, {parse_setting(pointer + "=" + value, "--vary")}});
  return axis;
}

}  // namespace moesim
