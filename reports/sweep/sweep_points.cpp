#include "reports/sweep/sweep_points.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::size_t kMostCombinations = 100'000'000;  // to try conditions on: a minute
constexpr std::size_t kMostPoints = 1'000'000;          // their results are a GB or two
constexpr std::size_t kMostPointsRead = 100;            // in search of one that can be run

bool is_at_or_below(const std::string& pointer, const std::string& parent) {
  return pointer == parent || pointer.rfind(parent + "/", 0) == 0;
}

// A field whose value is a file, which must be there before the sweep begins.
bool names_file(const std::string& pointer) {
  const std::string last = pointer.substr(pointer.rfind('/') + 1);
  return last == "model" || last == "cluster" || last == "profile" || last == "operations" ||
         last == "gpu";
}

void read_any(const JsonNode& document, const std::filesystem::path& folder) {
  if (document.find("serving") != nullptr)
    read_serving_scenario(document, folder);
  else
    read_scenario(document);
}

JsonValue settings_json(const Settings& settings) {
  JsonValue object = JsonValue::object();
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const bool again = std::any_of(settings.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                   settings.end(),
                                   [&](const auto& s) { return s.first == settings[i].first; });
    if (!again) object.set(settings[i].first, canonical_value(settings[i].second));
  }
  return object;
}

}  // namespace

SweepShard parse_sweep_shard(const std::string& text, const std::string& place) {
  SweepShard shard;
  const char* const end = text.data() + text.size();
  const auto [slash, error] = std::from_chars(text.data(), end, shard.number);
  bool is_shard = error == std::errc{} && slash != end && *slash == '/';
  if (is_shard) {
    const auto [rest, wrong] = std::from_chars(slash + 1, end, shard.of);
    is_shard = wrong == std::errc{} && rest == end;
  }
  if (!is_shard) throw InputError(place, "expected a shard such as 3/7, found " + in_quotes(text));
  constexpr std::int64_t kMostShards = 1'000'000;
  if (shard.of < 1 || shard.of > kMostShards || shard.number < 1 || shard.number > shard.of)
    throw InputError(place,
                     "there is no shard " + in_quotes(text) + "; of n shards they are 1/n to n/n");
  return shard;
}

SweepPoints::SweepPoints(SweepRequest request) : request_(std::move(request)) {
  if (request_.axes.empty())
    throw InputError("--vary", "a sweep needs at least one, such as --vary /plan/tp=1,2,4");
  check_fields();
  base_ = compose({});
  const bool is_serving = base_.find("serving") != nullptr;
  if (const JsonNode* name = base_.find("name")) name_ = name->text;
  if (is_serving && request_.main_phase_only)
    throw InputError("--main-phase-only", "a serving scenario has no phases");
  base_hash_ = document_hash(base_, "");
  if (!is_serving) {
    try {
      base_hash_ = read_scenario(base_).hash;
    } catch (const InputError&) {
      // It may need a value that is varied; what is wrong with a point is told with the point.
    }
  }
  choose();
  check_first_point();
}

void SweepPoints::check_fields() const {
  std::vector<std::string> seen;
  for (const FieldAxis& axis : request_.axes)
    for (const auto& [pointer, value] : axis.alternatives.front().set) {
      if (std::find(seen.begin(), seen.end(), pointer) != seen.end())
        throw InputError("--vary " + pointer, "the field is varied twice");
      seen.push_back(pointer);
      for (const auto& [set, fixed] : request_.settings)
        if (set == pointer) throw InputError("--vary " + pointer, "the field is set as well");
    }
}

JsonNode SweepPoints::compose(const Settings& varied) {
  Settings all = request_.settings;
  all.insert(all.end(), varied.begin(), varied.end());
  return compose_document(request_.scenario, all, files_);
}

Settings SweepPoints::settings_of(std::size_t combination) const {
  std::vector<const FieldAxis::Alternative*> chosen;
  for (auto axis = request_.axes.rbegin(); axis != request_.axes.rend(); ++axis) {
    chosen.push_back(&axis->alternatives[combination % axis->alternatives.size()]);
    combination /= axis->alternatives.size();
  }
  Settings settings;
  for (auto alternative = chosen.rbegin(); alternative != chosen.rend(); ++alternative)
    settings.insert(settings.end(), (*alternative)->set.begin(), (*alternative)->set.end());
  return settings;
}

bool SweepPoints::is_wanted(std::size_t combination) {
  const Settings varied = settings_of(combination);
  std::optional<JsonNode> composed;
  const Condition::FieldLookup lookup = [&](const std::string& pointer) -> const JsonNode* {
    const JsonNode* value = nullptr;
    bool related = false;
    for (const auto& [field, set] : varied) {
      if (field == pointer)
        value = &set;
      else if (is_at_or_below(field, pointer) || is_at_or_below(pointer, field))
        related = true;
    }
    if (!related) return value != nullptr ? value : value_at(base_, pointer);
    if (!composed) composed = compose(varied);
    return value_at(*composed, pointer);
  };
  return std::all_of(request_.conditions.begin(),
                     request_.conditions.end(),
                     [&](const Condition& condition) { return condition.holds(lookup); });
}

void SweepPoints::choose() {
  for (const FieldAxis& axis : request_.axes) {
    for (const auto& [pointer, value] : axis.alternatives.front().set) fields_.push_back(pointer);
    if (axis.alternatives.size() > kMostCombinations / num_combinations_)
      throw InputError(
          "--vary",
          "the axes have more than " + std::to_string(kMostCombinations) + " combinations");
    num_combinations_ *= axis.alternatives.size();
  }
  for (std::size_t i = 0; i < num_combinations_; ++i) {
    if (!is_wanted(i)) continue;
    if (combinations_.size() == kMostPoints)
      throw InputError("--vary",
                       "there are more than " + std::to_string(kMostPoints) +
                           " points; vary less, or divide a field's values over several sweeps");
    combinations_.push_back(i);
  }
  if (combinations_.empty())
    throw InputError("--where",
                     "none of " + std::to_string(num_combinations_) +
                         " combinations meets the condition" +
                         (request_.conditions.size() == 1 ? "" : "s"));
}

bool SweepPoints::varies_files() const {
  return std::any_of(fields_.begin(), fields_.end(), names_file);
}

void SweepPoints::check_first_point() {
  const Settings first = settings_of(combinations_.front());
  compose(first);  // every field is there
  for (std::size_t a = 0; a < request_.axes.size(); ++a)
    for (const FieldAxis::Alternative& alternative : request_.axes[a].alternatives) {
      const bool has_file = std::any_of(alternative.set.begin(),
                                        alternative.set.end(),
                                        [](const auto& s) { return names_file(s.first); });
      if (!has_file) continue;
      Settings changed = first;
      changed.insert(changed.end(), alternative.set.begin(), alternative.set.end());
      compose(changed);
    }
  const std::filesystem::path folder = request_.scenario.parent_path();
  for (std::size_t i = 0; i < std::min(size(), kMostPointsRead); ++i) {
    try {
      read_any(document(i), folder);
      return;
    } catch (const UnknownKey&) {
      throw;  // wrong at every point
    } catch (const InputError&) {
      // Wrong at this one: a result.
    }
  }
}

Settings SweepPoints::varied(std::size_t point) const { return settings_of(combinations_[point]); }

JsonNode SweepPoints::document(std::size_t point) { return compose(varied(point)); }

std::string SweepPoints::id(std::size_t point) {
  const std::string beside =
      std::string(kSweepSchema) + (request_.main_phase_only ? " main phase" : "");
  try {
    return document_hash(document(point), beside);
  } catch (const InputError&) {  // no document: what it would have been made of
    return document_hash(base_, beside + settings_json(varied(point)).dump_line());
  }
}

std::string SweepPoints::header(const SweepShard& shard) const {
  JsonValue axes = JsonValue::array(), conditions = JsonValue::array();
  for (const FieldAxis& axis : request_.axes) {
    JsonValue values = JsonValue::array();
    for (const FieldAxis::Alternative& alternative : axis.alternatives)
      values.push(settings_json(alternative.set));
    axes.push(std::move(values));
  }
  for (const Condition& condition : request_.conditions) conditions.push(condition.text());
  return JsonValue::object()
      .set("schema", kSweepSchema)
      .set("scenario", JsonValue::object().set("name", name_).set("hash", base_hash_))
      .set("settings", settings_json(request_.settings))
      .set("axes", std::move(axes))
      .set("conditions", std::move(conditions))
      .set("main_phase_only", request_.main_phase_only)
      .set("num_points", static_cast<std::int64_t>(size()))
      .set("shard", shard.text())
      .dump_line();
}

}  // namespace moesim
