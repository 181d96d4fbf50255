#include "model/serving/serving_scenario.hpp"

#include "model/composed_scenario.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostRequests = 1 << 20, kMostTokens = 1 << 27;  // of a stated step
constexpr std::int64_t kMostSeeds = 100;

void check_pool(const ObjectReader& reader, const std::string& name, const ServingSpec& serving) {
  std::vector<std::string> known;
  for (const PoolSpec& pool : serving.pools) {
    if (pool.name == name) return;
    known.push_back(pool.name);
  }
  reader.fail("pool", "no pool is named " + in_quotes(name) + "; known: " + joined(known));
}

StepPoint read_step(const JsonNode& node, const ServingSpec& serving) {
  ObjectReader reader(node);
  StepPoint point;
  point.name = reader.text("name");
  point.pool = reader.text("pool");
  check_pool(reader, point.pool, serving);
  if (reader.has("requests")) {
    point.requests = reader.integer("requests", 1, kMostRequests);
    point.context = reader.integer("context", 0, kMostTokens);
  }
  if (reader.has("prompts")) {
    point.prompts = reader.integer("prompts", 1, kMostRequests);
    point.prompt_tokens = reader.integer("prompt_tokens", 1, kMostTokens);
    point.prefix = reader.integer_or("cached_tokens", 0, kMostTokens, 0);
    if (point.prompts > kMostTokens / point.prompt_tokens)
      reader.fail("prompts",
                  std::to_string(point.prompts) + " prompts of " +
                      std::to_string(point.prompt_tokens) +
                      " tokens are too many for one step; expected a product of at most " +
                      std::to_string(kMostTokens));
  }
  if (point.requests == 0 && point.prompts == 0)
    reader.fail("missing key \"requests\" or \"prompts\": what the step does");
  reader.finish();
  return point;
}

std::vector<StepPoint> read_steps(const JsonNode& list, const ServingSpec& serving) {
  if (list.kind != JsonNode::Kind::array)
    throw InputError(list.place(), "expected an array, found " + list.describe());
  std::vector<StepPoint> points;
  for (const JsonNode& item : list.items) {
    points.push_back(read_step(item, serving));
    for (std::size_t i = 0; i + 1 < points.size(); ++i)
      if (points[i].name == points.back().name)
        throw InputError(item.place() + "/name",
                         "a second step named " + in_quotes(points.back().name));
  }
  return points;
}

void check_compression(const ObjectReader& reader,
                       std::int64_t factor,
                       const ServingScenario& scenario) {
  if (factor == 1 || !scenario.requests) return;
  const RequestSpec& requests = *scenario.requests;
  if (requests.trace || waits_for_answers(requests))
    reader.fail("compress_time",
                "given, but when requests come is not the process's alone; expected 1");
  if (!requests.duration)
    reader.fail("compress_time", "given, but the requests have no \"duration\" to compress");
}

MeasureSpec read_measure(const JsonNode& node, const ServingScenario& scenario) {
  ObjectReader reader(node);
  MeasureSpec measure;
  if (reader.has("warm_up")) measure.warm_up = reader.seconds("warm_up");
  if (reader.has("stop_after")) {
    measure.stop_after = reader.seconds("stop_after");
    if (*measure.stop_after <= measure.warm_up)
      reader.fail("stop_after", "expected more than \"warm_up\"");
  }
  measure.seeds = reader.integer_or("seeds", 1, kMostSeeds, 1);
  measure.compress_time = reader.integer_or("compress_time", 1, 1000, 1);
  check_compression(reader, measure.compress_time, scenario);
  measure.slo = reader.text_or("slo", "");
  measure.slo_place = node.place() + "/slo";
  reader.finish();
  return measure;
}

TokenPrices read_prices(const JsonNode& node) {
  ObjectReader reader(node);
  TokenPrices prices{
      reader.dollars("input"), reader.dollars("cached_input"), reader.dollars("output")};
  reader.finish();
  return prices;
}

}  // namespace

ServingScenario read_serving_scenario(const std::filesystem::path& path, const Settings& settings) {
  return read_serving_scenario(compose_document(path, settings), path.parent_path());
}

ServingScenario read_serving_scenario(const JsonNode& document,
                                      const std::filesystem::path& folder) {
  ObjectReader reader(document);
  if (reader.has("phases"))
    reader.fail("phases", "given beside \"serving\"; a scenario either trains or serves");
  ServingScenario scenario;
  read_base(reader, scenario);
  scenario.serving = read_serving(
      reader.required("serving"), scenario.model, scenario.cluster, scenario.profile);
  const JsonNode& routing = reader.required("routing");
  scenario.routing = read_routing(routing, scenario.model);
  if (scenario.model.moe)
    check_popularity(
        routing,
        scenario.routing,
        *scenario.model.moe,
        scenario.model.num_moe_layers() + scenario.model.num_mtp_modules,
        scenario.seed);
  if (const JsonNode* requests = reader.optional("requests"))
    scenario.requests = read_requests(*requests, folder);
  if (const JsonNode* steps = reader.optional("steps"))
    scenario.steps = read_steps(*steps, scenario.serving);
  if (!scenario.requests && scenario.steps.empty())
    reader.fail("missing key \"requests\" or \"steps\": what is served");
  if (const JsonNode* measure = reader.optional("measure"))
    scenario.measure = read_measure(*measure, scenario);
  if (const JsonNode* prices = reader.optional("prices")) scenario.prices = read_prices(*prices);
  scenario.variants = read_variants(reader);
  reader.finish();
  scenario.hash = document_hash(document, "");
  return scenario;
}

}  // namespace moesim
