#include "model/block_mapping.hpp"

#include <algorithm>
#include <set>

#include "model/json_message.hpp"

namespace moesim {
namespace {

// A list of at least one object.
const std::vector<JsonNode>& lines_of(ObjectReader& reader, const char* key) {
  const JsonNode& node = reader.required(key);
  if (node.kind != JsonNode::Kind::array)
    reader.fail(key, "expected a list, found " + node.describe());
  if (node.items.empty()) reader.fail(key, "is empty; expected at least one line");
  return node.items;
}

MappedKernel read_kernel(const JsonNode& node, const MappedBlock& block) {
  ObjectReader reader(node);
  MappedKernel line;
  line.kernel = read_kernel_pattern(reader);
  line.op = reader.text("op");
  line.repeats = reader.boolean_or("repeats", false);
  if (line.repeats && block.annotation.empty())
    reader.fail("repeats", "belongs to launch order, and the block has no \"annotation\"");
  reader.finish();
  return line;
}

MappedBlock read_block(const JsonNode& node, const std::vector<std::string>& known_blocks) {
  ObjectReader reader(node);
  MappedBlock block;
  block.place = node.place();
  block.block = reader.text("block");
  if (std::find(known_blocks.begin(), known_blocks.end(), block.block) == known_blocks.end())
    reader.fail("block", unknown_key(block.block, known_blocks));
  block.annotation = reader.text_or("annotation", "");
  for (const JsonNode& kernel : lines_of(reader, "kernels"))
    block.kernels.push_back(read_kernel(kernel, block));
  reader.finish();
  return block;
}

}  // namespace

BlockMapping read_block_mapping(const std::filesystem::path& path,
                                const std::vector<std::string>& known_blocks) {
  const JsonNode root = read_json_file(path);
  ObjectReader reader(root);
  BlockMapping mapping;
  mapping.about = reader.text_or("about", "");
  std::set<std::string> annotations;
  for (const JsonNode& node : lines_of(reader, "blocks")) {
    const MappedBlock& block = mapping.blocks.emplace_back(read_block(node, known_blocks));
    if (!block.annotation.empty() && !annotations.insert(block.annotation).second)
      throw InputError(block.place,
                       "annotation " + in_quotes(block.annotation) + " has its block already");
  }
  reader.finish();
  return mapping;
}

}  // namespace moesim
