#include "reports/solve.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "model/parallel_for.hpp"
#include "model/scenario_document.hpp"

namespace moesim {
namespace {

constexpr int kSampled = 9;      // of the bracket, ends included: half a binary order apart at 16
constexpr int kInner = 3;        // points a round: an interval becomes a quarter
constexpr double kBracket = 16;  // times and divided by the own value
constexpr std::size_t kMostCrossings = 4;  // that are narrowed down

// Equally far apart in ratio where that is possible; ends left out, alike ones once.
std::vector<double> between(const ScaledField& field, double low, double high, int count) {
  std::vector<double> values;
  for (int i = 1; i <= count; ++i) {
    const double share = static_cast<double>(i) / (count + 1);
    const double at = low > 0 ? low * std::pow(high / low, share) : low + share * (high - low);
    const double value = field.possible(at);
    if (value > low && value < high && (values.empty() || value > values.back()))
      values.push_back(value);
  }
  return values;
}

class Searcher {
 public:
  Searcher(const SolveSearch& search, const std::function<SolvePoint(double)>& evaluate)
      : search_(search), evaluate_(evaluate) {}

  std::vector<SolvePoint> evaluate(const std::vector<double>& values) {
    std::vector<SolvePoint> points(values.size());
    parallel_for(values.size(), search_.num_threads, [&](std::size_t i) {
      points[i] = evaluate_(values[i]);
      points[i].at = values[i];
    });
    all_.insert(all_.end(), points.begin(), points.end());
    return points;
  }

  SolveCrossing narrowed(SolveCrossing crossing) {
    while (crossing.above.at - crossing.below.at >
               search_.precision * std::abs(crossing.above.at) ||
           search_.field.is_whole) {
      const std::vector<double> inner =
          between(search_.field, crossing.below.at, crossing.above.at, kInner);
      if (inner.empty()) break;
      std::vector<SolvePoint> points = {crossing.below};
      for (SolvePoint& point : evaluate(inner)) points.push_back(std::move(point));
      points.push_back(crossing.above);
      // Of several changes the one beyond which everything seen holds.
      std::size_t change = 0;
      for (std::size_t i = 0; i + 1 < points.size(); ++i)
        if (points[i].holds != points[i + 1].holds) {
          change = i;
          if (!crossing.holds_above()) break;
        }
      crossing = {points[change], points[change + 1]};
    }
    return crossing;
  }

  std::vector<SolvePoint> all() && {
    std::sort(all_.begin(), all_.end(), [](const SolvePoint& a, const SolvePoint& b) {
      return a.at < b.at;
    });
    return std::move(all_);
  }

 private:
  const SolveSearch& search_;
  const std::function<SolvePoint(double)>& evaluate_;
  std::vector<SolvePoint> all_;
};

struct Evaluated {
  std::optional<JsonNode> result;
  std::string refusal;
};

Evaluated evaluated(const SolveRequest& request,
                    const ScaledField& field,
                    double at,
                    const ResultOptions& options) {
  Settings settings = request.settings;
  settings.emplace_back(field.pointer, field.node(at));
  try {
    return {result_node(result_document(request.scenario, settings, options)), ""};
  } catch (const InputError& error) {
    return {std::nullopt, error.what()};
  }
}

SolvePoint judged(const Evaluated& evaluated, const std::vector<MetricBound>& bounds) {
  SolvePoint point;
  point.refusal = evaluated.refusal;
  point.values.resize(bounds.size());
  if (!evaluated.result) return point;
  point.holds = true;
  double least = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    point.values[i] = bounds[i].metric.of(*evaluated.result);
    if (bounds[i].holds(*evaluated.result)) continue;
    const double margin = point.values[i] ? bounds[i].margin(*point.values[i]) : 0;
    if (point.holds || margin < least) {
      point.fails_first = i;
      least = margin;
    }
    point.holds = false;
  }
  if (!is_feasible(*evaluated.result)) point.refusal = "the plan is infeasible";
  return point;
}

// The largest step against the way that a metric goes from end to end, where it is more than a
// thousandth of its range: less is rounding.
void add_turns(const SolveAnswer& answer, std::size_t bound, std::vector<std::string>& found) {
  std::vector<const SolvePoint*> points;
  double low = 0, high = 0;
  for (const SolvePoint& point : answer.solution.points)
    if (point.values[bound]) {
      const double value = *point.values[bound];
      low = points.empty() ? value : std::min(low, value);
      high = points.empty() ? value : std::max(high, value);
      points.push_back(&point);
    }
  if (points.size() < 2) return;
  const auto value = [&](std::size_t i) { return *points[i]->values[bound]; };
  const bool rises = value(points.size() - 1) >= value(0);
  std::size_t worst = 0;
  double most = 0;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const double against = (rises ? -1 : 1) * (value(i + 1) - value(i));
    if (against > most) {
      most = against;
      worst = i;
    }
  }
  if (most <= 1e-3 * (high - low)) return;
  const ScaledField& field = answer.search.field;
  const std::string& name = answer.bounds[bound].metric.name;
  found.push_back(name + " does not " + (rises ? "rise" : "fall") + " throughout: from " +
                  field.text(points[worst]->at) + " to " + field.text(points[worst + 1]->at) +
                  " it " + (rises ? "falls" : "rises") + " from " +
                  format_metric(name, value(worst)) + " to " +
                  format_metric(name, value(worst + 1)));
}

ScaledField field_of(const SolveRequest& request, const JsonNode& document) {
  const JsonNode* node = node_at(document, request.field);
  std::optional<ScaledField> field;
  if (node != nullptr && node->kind != JsonNode::Kind::null) {
    field = scaled_field(request.field, *node);
    if (!field)
      throw InputError("--field " + request.field,
                       "expected a field with a number, found " + node->describe());
  } else if (request.from && request.to) {  // a member that the file leaves out
    field = field_from_text(request.field, *request.from, "--from");
  } else {
    compose_document(request.scenario,
                     {{request.field, parse_json("0", "--field " + request.field)}});
    throw InputError("--field " + request.field,
                     "the scenario leaves it out; give --from and --to as well");
  }
  for (const auto& text : {request.from, request.to})
    if (text && field->is_whole && text->find_first_of(".eE") != std::string::npos)
      field->is_whole = false;
  return *field;
}

SolveSearch search_of(const SolveRequest& request, const JsonNode& document) {
  SolveSearch search;
  search.field = field_of(request, document);
  const ScaledField& field = search.field;
  const auto end =
      [&](const std::optional<std::string>& text, const char* option, double fallback) {
        return field.possible(text ? read_field_value(field, *text, option) : fallback);
      };
  search.low = end(request.from,
                   "--from",
                   field.is_whole ? std::max(1.0, field.value / kBracket) : field.value / kBracket);
  search.high = end(request.to, "--to", field.value * kBracket);
  if (search.low >= search.high)
    throw InputError("--from, --to",
                     "expected a range, found " + field.text(search.low) + " to " +
                         field.text(search.high) +
                         (field.value == 0 ? "; the scenario's value is 0: give both" : ""));
  search.precision = request.precision;
  search.num_threads = request.num_threads;
  return search;
}

bool is_training(const JsonNode& document) { return document.find("serving") == nullptr; }

// What the first phase alone decides is the same with and without the others.
bool first_phase_decides(const JsonNode& whole,
                         const JsonNode& first,
                         const std::vector<MetricBound>& bounds) {
  return is_feasible(whole) == is_feasible(first) &&
         std::all_of(bounds.begin(), bounds.end(), [&](const MetricBound& bound) {
           return bound.metric.of(whole) == bound.metric.of(first);
         });
}

}  // namespace

Solution solve(const SolveSearch& search, const std::function<SolvePoint(double)>& evaluate) {
  Searcher searcher(search, evaluate);
  std::vector<double> values = between(search.field, search.low, search.high, kSampled - 2);
  values.insert(values.begin(), search.low);
  values.push_back(search.high);
  const std::vector<SolvePoint> sampled = searcher.evaluate(values);
  Solution solution;
  for (std::size_t i = 0; i + 1 < sampled.size(); ++i)
    if (sampled[i].holds != sampled[i + 1].holds)
      solution.crossings.push_back({sampled[i], sampled[i + 1]});
  for (std::size_t i = 0; i < std::min(solution.crossings.size(), kMostCrossings); ++i)
    solution.crossings[i] = searcher.narrowed(solution.crossings[i]);
  solution.points = std::move(searcher).all();
  return solution;
}

SolveAnswer solve_scenario(const SolveRequest& request) {
  const JsonNode document = compose_document(request.scenario, request.settings);
  SolveAnswer answer;
  answer.search = search_of(request, document);
  const auto tell = [&](const std::string& what) {
    if (request.progress) request.progress(what);
  };
  tell("the scenario as it is");
  ResultOptions options;
  options.num_threads = request.num_threads;
  const JsonNode whole = result_node(result_document(request.scenario, request.settings, options));
  answer.scenario = node_at(whole, "/scenario/name")->text;
  answer.hash = node_at(whole, "/scenario/hash")->text;
  // An infeasible plan may have no numbers; then those of the bracket's ends name them.
  std::optional<JsonNode> named = whole;
  for (const double end : {answer.search.high, answer.search.low})
    if (!named || result_metrics(*named).empty())
      named = evaluated(request, answer.search.field, end, options).result;
  answer.bounds = parse_bounds(request.bounds, named ? *named : whole, "--for");
  options.main_phase_only = true;
  if (is_training(document))
    answer.first_phase_only = first_phase_decides(
        whole,
        result_node(result_document(request.scenario, request.settings, options)),
        answer.bounds);
  options.main_phase_only = answer.first_phase_only;
  options.num_threads = 1;  // points side by side instead
  const JsonNode* own = node_at(document, request.field);
  if (own != nullptr && scaled_field(request.field, *own)) {
    answer.own = judged({whole, ""}, answer.bounds);
    answer.own->at = answer.search.field.value;
  }
  tell("values of " + request.field);
  answer.solution = solve(answer.search, [&](double at) {
    return judged(evaluated(request, answer.search.field, at, options), answer.bounds);
  });
  const std::vector<SolvePoint>& points = answer.solution.points;
  const bool none_read = std::all_of(points.begin(), points.end(), [](const SolvePoint& p) {
    return !p.refusal.empty() && std::none_of(p.values.begin(), p.values.end(), [](const auto& v) {
      return v.has_value();
    });
  });
  if (none_read && points.front().refusal != "the plan is infeasible")
    throw InputError("--from, --to",
                     "no value of the range can be simulated: " + points.front().refusal);
  for (std::size_t i = 0; i < answer.bounds.size(); ++i)
    add_turns(answer, i, answer.contradictions);
  return answer;
}

bool never_holds(const SolveAnswer& answer) {
  return std::none_of(answer.solution.points.begin(),
                      answer.solution.points.end(),
                      [](const SolvePoint& point) { return point.holds; });
}

}  // namespace moesim
