#include "model/serving/played_trace.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "model/errors.hpp"
#include "model/random.hpp"
#include "model/serving/arrival_process.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kCopyStream = 0xa222, kJitterStream = 0xa223;

bool is_earlier(const PlayedTrace::Row& a, const PlayedTrace::Row& b) {
  if (a.row.waits != b.row.waits) return b.row.waits;
  return !a.row.waits && a.row.arrival < b.row.arrival;
}

Tick scaled(Tick time, double factor) {
  if (factor == 1) return time;
  const double product = static_cast<double>(time) * factor;
  return product < static_cast<double>(kLastArrival) ? static_cast<Tick>(std::llround(product))
                                                     : kLastArrival;
}

}  // namespace

PlayedTrace::PlayedTrace(const TraceUse& use, std::uint64_t seed) : use_(use) {
  const RequestTrace& trace = *use.trace;
  const Tick begin = use.window_start ? to_tick(*use.window_start) : 0;
  const Tick end = use.window_duration ? later(begin, to_tick(*use.window_duration)) : kLastArrival;
  std::vector<bool> is_open(static_cast<std::size_t>(trace.num_sessions), false);
  for (const TraceRow& row : trace.rows) {
    // Turns that wait are in the window when the session's first one is.
    const bool is_inside = row.waits ? is_open[static_cast<std::size_t>(row.session)]
                                     : row.arrival >= begin && row.arrival < end;
    if (!is_inside && trace.has_times) {
      ++outside_window_;
      continue;
    }
    if (row.session >= 0) is_open[static_cast<std::size_t>(row.session)] = true;
    rows_.push_back({row, 0, -1});
    if (!row.waits) rows_.back().row.arrival = scaled(row.arrival - begin, use.time_scale);
  }
  if (rows_.empty()) {
    throw InputError(trace.file, "no request is inside the window");
  }
  std::stable_sort(rows_.begin(), rows_.end(), is_earlier);
  if (trace.has_waits) link_turns();
  const auto is_timed = [](const Row& row) { return !row.row.waits; };
  num_timed_ = std::count_if(rows_.begin(), rows_.end(), is_timed);
  if (use.window_duration) {
    period_ = scaled(to_tick(*use.window_duration), use.time_scale);
  } else {
    // The last gap is not in the trace: as long as the mean one.
    const auto last = static_cast<std::size_t>(num_timed_ - 1);
    const Tick span = rows_[last].row.arrival - rows_.front().row.arrival;
    period_ = later(span, span / std::max<std::int64_t>(1, num_timed_ - 1));
  }
  if (use.repeat > 1 && period_ == 0 && trace.has_times) {
    throw InputError(trace.file,
                     "all requests arrive at once; to repeat them, the window needs a duration");
  }
  if (use.rate_scale != 1) make_copies(seed);
  if (use.jitter > 0 * s) spread(seed);
}

// Into the next repetition's time only what its own begin gives back: the rate stays what it is.
void PlayedTrace::spread(std::uint64_t seed) {
  Random random(seed, kJitterStream);
  const Tick first = rows_.front().row.arrival;
  for (Row& row : rows_) {
    if (row.row.waits) continue;
    Tick& arrival = row.row.arrival;
    arrival = later(arrival, static_cast<Tick>(random.uniform() * use_.jitter.in(ps)));
    if (use_.repeat > 1 && period_ > 0) arrival = first + (arrival - first) % period_;
  }
  std::stable_sort(rows_.begin(), rows_.end(), is_earlier);
  if (use_.trace->has_waits) link_turns();
}

// Links are indices: made anew whenever the rows' order changes.
void PlayedTrace::link_turns() {
  for (Row& row : rows_) row.next_turn = -1;
  // Order of the file within a session.
  std::vector<std::size_t> order(rows_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return rows_[a].row.row < rows_[b].row.row;
  });
  std::unordered_map<std::int32_t, std::size_t> last;
  for (const std::size_t i : order) {
    const TraceRow& row = rows_[i].row;
    if (row.session < 0) continue;
    if (row.waits) rows_[last.at(row.session)].next_turn = static_cast<std::int64_t>(i);
    last[row.session] = i;
  }
}

void PlayedTrace::make_copies(std::uint64_t seed) {
  Random random(seed, kCopyStream);
  const double whole = std::floor(use_.rate_scale), part = use_.rate_scale - whole;
  num_copies_ = static_cast<std::int64_t>(std::ceil(use_.rate_scale));
  std::vector<Row> copies;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const std::int64_t count =
        static_cast<std::int64_t>(whole) + (part > 0 && random.uniform() < part ? 1 : 0);
    const Tick here = rows_[i].row.arrival;
    const Tick gap = i + 1 < rows_.size() ? rows_[i + 1].row.arrival - here : 0;
    for (std::int64_t copy = 0; copy < count; ++copy) {
      copies.push_back(rows_[i]);
      copies.back().copy = copy;
      if (copy > 0) {
        copies.back().row.arrival += static_cast<Tick>(random.uniform() * static_cast<double>(gap));
      }
    }
  }
  std::stable_sort(copies.begin(), copies.end(), is_earlier);
  rows_ = std::move(copies);
  num_timed_ = static_cast<std::int64_t>(rows_.size());
}

const std::uint32_t* PlayedTrace::blocks(std::int64_t population) {
  const RequestTrace& trace = *use_.trace;
  if (population == 0) return trace.blocks.data();
  const auto at = static_cast<std::size_t>(population - 1);
  if (populations_.size() <= at) populations_.resize(at + 1);
  if (!populations_[at]) {
    const std::uint64_t shift = static_cast<std::uint64_t>(population) * trace.num_identities;
    if (shift + trace.num_identities > std::numeric_limits<std::uint32_t>::max()) {
      throw InputError(trace.file, "its blocks, copied and repeated, are more than 2^32");
    }
    populations_[at] = std::make_unique<std::uint32_t[]>(trace.blocks.size());
    std::transform(trace.blocks.begin(), trace.blocks.end(), populations_[at].get(),
                   [&](std::uint32_t block) { return block + static_cast<std::uint32_t>(shift); });
  }
  return populations_[at].get();
}

Request PlayedTrace::request(std::int64_t index, std::int64_t repetition) {
  const Row& row = rows_[static_cast<std::size_t>(index)];
  const std::int64_t population = repetition * num_copies_ + row.copy;
  Request request;
  request.id = population * use_.trace->num_rows + row.row.row;
  request.input_tokens = row.row.input_tokens;
  request.output_tokens = row.row.output_tokens;
  if (row.row.session >= 0) {
    request.session = population * use_.trace->num_sessions + row.row.session;
  }
  if (row.row.num_blocks > 0) {
    request.blocks = {blocks(population) + row.row.first_block, row.row.num_blocks};
  }
  return request;
}

}  // namespace moesim
