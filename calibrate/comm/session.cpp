#include "calibrate/comm/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

// Moments of one repeat: run begins and ends, what is beside it begins and ends.
constexpr int kMomentsPerRepeat = 4;

Seconds quantile(const std::vector<Seconds>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::lround(at))];
}

std::string as_text(const std::vector<double>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}
std::vector<double> as_values(const std::string& text) {
  std::vector<double> values(text.size() / sizeof(double));
  if (!values.empty()) std::memcpy(values.data(), text.data(), values.size() * sizeof(double));
  return values;
}

// The longest of all ranks, repeat by repeat, and how the ranks differ.
struct Gathered {
  std::vector<Seconds> longest;
  RankSpread spread;
};
Gathered longest_of(const std::vector<std::string>& of_ranks, int repeats) {
  Gathered gathered;
  gathered.longest.assign(static_cast<std::size_t>(repeats), Seconds());
  std::vector<Seconds> middles;
  for (const std::string& text : of_ranks) {
    std::vector<Seconds> own;
    for (const double value_s : as_values(text)) own.push_back(value_s * s);
    if (own.empty()) continue;
    ENSURE(own.size() == gathered.longest.size());
    for (std::size_t i = 0; i < own.size(); ++i)
      gathered.longest[i] = std::max(gathered.longest[i], own[i]);
    middles.push_back(timing_of(own).median);
  }
  ENSURE(!middles.empty());
  std::sort(middles.begin(), middles.end());
  gathered.spread = {middles.front(), quantile(middles, 0.5), middles.back()};
  return gathered;
}

}  // namespace

Timing timing_of(std::vector<Seconds> samples) {
  ENSURE(!samples.empty());
  std::sort(samples.begin(), samples.end());
  Timing timing;
  timing.median = quantile(samples, 0.5);
  timing.p10 = quantile(samples, 0.1);
  timing.p90 = quantile(samples, 0.9);
  timing.repeats = std::ssize(samples);
  return timing;
}

Session::Session(Bootstrap& bootstrap,
                 Transport& transport,
                 const RankMap& map,
                 const CommOptions& options,
                 RoutingCache& routings,
                 Results* results)
    : bootstrap_(bootstrap),
      transport_(transport),
      map_(map),
      options_(options),
      routings_(routings),
      results_(results),
      place_(map.place_of_rank(bootstrap.rank())),
      world_(transport.open(map.all())),
      began_(std::chrono::steady_clock::now()) {}

std::vector<std::int64_t> Session::sizes(std::int64_t first) const {
  std::vector<std::int64_t> all;
  for (std::int64_t bytes = first; bytes <= options_.max_bytes; bytes *= 2) all.push_back(bytes);
  return all;
}

bool Session::may_begin() {
  if (!options_.budget || stopped_) return !stopped_;
  const bool spent = std::chrono::steady_clock::now() - began_ >= *options_.budget;
  stopped_ = broadcast(bootstrap_, "budget", spent ? "spent" : "left") == "spent";
  if (stopped_ && results_ != nullptr) results_->stop();
  return !stopped_;
}

void Session::verify(const Trial& trial, std::int64_t iteration) {
  trial.prepare(iteration);
  (trial.run_verified ? trial.run_verified : trial.run)();
  transport_.wait();
  for (const auto& check : {trial.check_first, trial.check}) {
    if (!check) continue;
    const auto complaint = check(iteration);
    std::string text;
    if (complaint)
      text = trial.op + " " + shape_text(*find_case(trial.op), trial.shape) + ": " + *complaint;
    agree(bootstrap_, "verify " + trial.op, text);
  }
}

Measured Session::time(const Trial& trial) {
  for (int i = 0; i < options_.warm_ups; ++i) trial.run();
  for (int i = 0; i < options_.repeats; ++i) {
    const int first = i * kMomentsPerRepeat;
    transport_.align(*world_);
    if (trial.beside) {
      transport_.compute_follows();
      transport_.mark(Stream::compute, first + 2);
      trial.beside();
    }
    transport_.mark(Stream::communication, first);
    trial.run();
    transport_.mark(Stream::communication, first + 1);
    if (trial.beside) transport_.mark(Stream::compute, first + 3);
  }
  transport_.wait();
  std::vector<double> own_s, beside_s;
  for (int first = 0; first < options_.repeats * kMomentsPerRepeat; first += kMomentsPerRepeat) {
    if (trial.takes_part) own_s.push_back(transport_.between(first, first + 1).in(s) / trial.parts);
    if (trial.beside) beside_s.push_back(transport_.between(first + 2, first + 3).in(s));
  }
  Measured measured;
  const Gathered gathered =
      longest_of(bootstrap_.all_gather("times of " + trial.op, as_text(own_s)), options_.repeats);
  measured.timing = timing_of(gathered.longest);
  measured.ranks = gathered.spread;
  if (trial.beside)
    measured.beside =
        timing_of(longest_of(bootstrap_.all_gather("times beside " + trial.op, as_text(beside_s)),
                             options_.repeats)
                      .longest);
  return measured;
}

std::optional<Measured> Session::run(const Trial& trial) {
  if (!may_begin()) return std::nullopt;
  verify(trial, 0);
  const Measured measured = time(trial);
  verify(trial, 1);
  if (results_ != nullptr) results_->add(trial, measured);
  return measured;
}

}  // namespace moesim::comm
