#include "calibrate/import/trace_mapping.hpp"

#include <numeric>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostInShape = std::int64_t{1} << 44;  // as in points

const Case* read_case(ObjectReader& reader) {
  const std::string op = reader.text("op");
  if (const Case* const found = find_case(op); found != nullptr) return found;
  std::vector<std::string> known;
  for (const Case* c : cases()) known.emplace_back(c->op);
  reader.fail("op", unknown_key(op, known));
}

Shape read_shape(ObjectReader reader, const Case& of) {
  Shape shape;
  for (const std::string_view axis : of.axes)
    shape.push_back(reader.integer(std::string(axis), 0, kMostInShape));
  reader.finish();
  return shape;
}

void read_counts(ObjectReader& reader, KernelMapping& mapping) {
  if (!reader.has("counts")) return;
  mapping.counts = reader.integer_list("counts", 0, kMostInShape);
  if (mapping.of->op != "grouped_gemm_fp8") reader.fail("counts", "only a grouped GEMM has counts");
  const auto sum = std::accumulate(mapping.counts.begin(), mapping.counts.end(), std::int64_t{0});
  if (std::ssize(mapping.counts) != mapping.shape[0] || sum != mapping.shape[1])
    reader.fail("counts", "do not add up to the shape's groups and m");
}

KernelMapping read_line(const JsonNode& node) {
  ObjectReader reader(node);
  KernelMapping mapping;
  mapping.place = node.place();
  mapping.kernel = read_kernel_pattern(reader);
  mapping.annotation = reader.text_or("annotation", "");
  if (reader.has("nth")) {
    mapping.nth = reader.integer("nth", 1, 1 << 20);
    if (mapping.annotation.empty())
      reader.fail("nth", "counts inside an annotation; none is given");
  }
  mapping.of = read_case(reader);
  if (mapping.of->axes.empty()) {
    reader.ignore("shape");
  } else {
    mapping.shape = read_shape(reader.object("shape"), *mapping.of);
  }
  read_counts(reader, mapping);
  mapping.sms = reader.integer_or("sms", 1, 4096, 0);
  mapping.beside_communication = reader.boolean_or("beside_communication", false);
  reader.finish();
  return mapping;
}

}  // namespace

std::vector<KernelMapping> read_kernel_mapping(const std::filesystem::path& path) {
  const JsonNode root = read_json_file(path);
  if (root.kind != JsonNode::Kind::array || root.items.empty())
    throw InputError(root.place(), "expected a list of mappings, found " + root.describe());
  std::vector<KernelMapping> mappings;
  for (const JsonNode& node : root.items) mappings.push_back(read_line(node));
  return mappings;
}

}  // namespace moesim
