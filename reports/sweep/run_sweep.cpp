#include "reports/sweep/run_sweep.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "model/composed_scenario.hpp"
#include "model/json_message.hpp"
#include "reports/sweep/point_result.hpp"

namespace moesim {
namespace {

// Workers that take the next of n pieces until none is left, one of them fails or `stop` is set.
template <class Body>
void share_out(std::size_t n, int num_threads, const std::atomic<bool>* stop, const Body& body) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&] {
    for (;;) {
      if (failed || (stop != nullptr && *stop)) return;
      const std::size_t i = next++;
      if (i >= n) return;
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        failed = true;
      }
    }
  };
  const std::size_t num_workers = std::min(n, static_cast<std::size_t>(std::max(1, num_threads)));
  std::vector<std::thread> threads;
  for (std::size_t w = 1; w < num_workers; ++w) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

std::string described(const Settings& settings) {
  std::string text;
  for (const auto& [pointer, value] : settings)
    text += (text.empty() ? "" : ", ") + pointer + " = " + canonical_text(value);
  return one_line(text);
}

// All of them where files vary, which may have changed; else a few: the header has shown already
// that the scenario is the same.
void check_ids(SweepPoints& points, const std::vector<SweepRow>& rows, int num_threads) {
  constexpr std::size_t kFew = 200;
  const std::size_t every = points.varies_files() ? 1 : rows.size() / kFew + 1;
  share_out((rows.size() + every - 1) / every, num_threads, nullptr, [&](std::size_t i) {
    const SweepRow& row = rows[i * every];
    const std::string expected = points.id(row.point);
    if (row.id != expected)
      throw InputError("point " + std::to_string(row.point),
                       "has the id " + row.id + " in the file, and " + expected +
                           " now: a file that its settings name has changed; start anew in "
                           "another result file");
  });
}

}  // namespace

std::string sweep_line(SweepPoints& points, std::size_t point) {
  const Settings varied = points.varied(point);
  JsonValue set = JsonValue::object(), metrics = JsonValue::object();
  for (const auto& [pointer, value] : varied) set.set(pointer, canonical_value(value));
  bool feasible = false;
  std::string reason;
  try {
    const PointResult result = point_result(points.document(point),
                                            points.request().scenario.parent_path(),
                                            points.request().main_phase_only);
    feasible = result.feasible;
    reason = result.reason;
    JsonValue::Object numbers;
    for (const NamedNumber& number : result.metrics)
      numbers.emplace_back(number.name, number.value);
    metrics = JsonValue(std::move(numbers));
  } catch (const UnknownKey&) {
    throw;
  } catch (const InputError& error) {
    reason = error.what();
  } catch (const std::exception& error) {
    throw std::runtime_error("point " + std::to_string(point) + " (" + described(varied) +
                             "): " + error.what());
  }
  JsonValue line = JsonValue::object();
  line.set("point", static_cast<std::int64_t>(point)).set("id", points.id(point));
  line.set("set", std::move(set)).set("feasible", feasible);
  if (!feasible) line.set("reason", std::move(reason));
  return line.set("metrics", std::move(metrics)).dump_line();
}

SweepRun run_sweep(SweepPoints& points, SweepFile* file, const SweepOptions& options) {
  SweepRun run;
  if (file != nullptr) run.rows = file->take_rows();
  run.num_before = run.rows.size();
  check_ids(points, run.rows, options.num_threads);
  std::vector<bool> is_done(points.size());
  for (const SweepRow& row : run.rows) is_done[row.point] = true;
  std::vector<std::size_t> waiting;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (options.shard.has(i) && !is_done[i]) waiting.push_back(i);

  SweepRowReader reader("a line just written");
  std::mutex mutex;
  std::size_t num_done = 0;
  share_out(waiting.size(), options.num_threads, options.stop, [&](std::size_t i) {
    const std::string line = sweep_line(points, waiting[i]);
    const std::lock_guard lock(mutex);
    if (file != nullptr) file->append(waiting[i], line);
    run.rows.push_back(reader.read(line, run.rows.size() + 2));
    ++num_done;
    if (options.finished) options.finished(run.rows.back());
    if (options.progress) options.progress(num_done, waiting.size());
  });
  run.stopped = num_done < waiting.size();
  if (file != nullptr && !run.stopped) file->finish();
  std::sort(run.rows.begin(), run.rows.end(), [](const SweepRow& a, const SweepRow& b) {
    return a.point < b.point;
  });
  return run;
}

}  // namespace moesim
