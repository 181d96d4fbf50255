#include "calibrate/comm/exchange_run.hpp"

#include <algorithm>

#include "calibrate/comm/payload.hpp"
#include "model/errors.hpp"

namespace moesim::comm {
namespace {

constexpr std::int64_t kExpertSenders = std::int64_t{1} << 32;  // beyond all places

// Place of the row in its parcel, or nothing.
std::optional<std::size_t> find_row(const Parcel& parcel, const RowId& row) {
  const auto it = std::lower_bound(parcel.rows.begin(), parcel.rows.end(), row);
  if (it == parcel.rows.end() || *it != row) return std::nullopt;
  return static_cast<std::size_t>(it - parcel.rows.begin());
}

PayloadKey token_key(const RowId& row, std::int64_t iteration) {
  return {row.source, kEveryone, iteration};
}
PayloadKey answer_key(const Parcel& parcel, const RowId& row, std::int64_t iteration) {
  return {parcel.expert >= 0 ? kExpertSenders + parcel.expert : parcel.from, row.source, iteration};
}

}  // namespace

ExchangeRun::ExchangeRun(Session& session,
                         Group& world,
                         const ExchangePlan& plan,
                         std::size_t row_words)
    : session_(session), world_(world), plan_(plan), row_words_(row_words) {
  for (const Hop& hop : plan.hops) {
    if (hop.empty()) continue;
    hops_.push_back(&hop);
    Step& step = steps_.emplace_back();
    for (const Parcel& parcel : hop) {
      if (parcel.from == session.place()) add(step.out, parcel, parcel.to);
      if (parcel.to == session.place()) add(step.in, parcel, parcel.from);
    }
    for (Side* side : {&step.out, &step.in}) {
      const std::size_t words =
          side->messages.empty() ? 0
                                 : side->messages.back().first_word + side->messages.back().words;
      side->memory = session.transport().allocate(words);
    }
  }
}

void ExchangeRun::add(Side& side, const Parcel& parcel, int peer) const {
  const std::size_t first =
      side.messages.empty() ? 0 : side.messages.back().first_word + side.messages.back().words;
  side.parcels.push_back(&parcel);
  side.messages.push_back({peer, first, parcel.rows.size() * row_words_});
}

std::size_t ExchangeRun::most_words(const ExchangePlan& plan, int world, std::size_t row_words) {
  std::size_t most = 0;
  for (const Hop& hop : plan.hops) {
    std::vector<std::size_t> out(static_cast<std::size_t>(world)), in = out;
    for (const Parcel& parcel : hop) {
      most = std::max(most, out[static_cast<std::size_t>(parcel.from)] += parcel.rows.size());
      most = std::max(most, in[static_cast<std::size_t>(parcel.to)] += parcel.rows.size());
    }
  }
  return most * row_words;
}

// Whether the rows of this step are sums of answers.
bool ExchangeRun::sums(std::size_t step) const { return plan_.is_combine && step > 0; }

void ExchangeRun::expected_row(std::size_t step,
                               const Parcel& parcel,
                               const RowId& row,
                               std::int64_t iteration,
                               std::vector<Word>& out) const {
  const std::size_t first = static_cast<std::size_t>(row.token) * row_words_;
  out.resize(row_words_);
  if (!plan_.is_combine) return fill_payload(out, token_key(row, iteration), first);
  if (!sums(step)) return fill_payload(out, answer_key(parcel, row, iteration), first);
  std::fill(out.begin(), out.end(), 0);
  for (const Parcel& answers : *hops_[0]) {
    if (answers.to != parcel.from || !find_row(answers, row)) continue;
    const PayloadKey key = answer_key(answers, row, iteration);
    for (std::size_t i = 0; i < row_words_; ++i) out[i] += payload_word(key, first + i);
  }
}

void ExchangeRun::prepare(std::int64_t iteration) {
  iteration_ = iteration;
  Transport& transport = session_.transport();
  for (const Step& step : steps_) {
    poison(transport, *step.in.memory);
    poison(transport, *step.out.memory);
  }
  std::vector<Word> row_words, parcel_words;
  const Side& out = steps_.front().out;
  for (std::size_t i = 0; i < out.parcels.size(); ++i) {
    parcel_words.clear();
    for (const RowId& row : out.parcels[i]->rows) {
      expected_row(0, *out.parcels[i], row, iteration, row_words);
      parcel_words.insert(parcel_words.end(), row_words.begin(), row_words.end());
    }
    transport.write(*out.memory, out.messages[i].first_word, parcel_words);
  }
}

void ExchangeRun::run() {
  for (const Step& step : steps_)
    session_.transport().exchange(
        world_, *step.out.memory, step.out.messages, *step.in.memory, step.in.messages);
}

void ExchangeRun::run_verified() {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (i > 0) {
      first_complaint_ = check_step(0, iteration_);  // before late data can make up for it
      relay();
    }
    const Step& step = steps_[i];
    session_.transport().exchange(
        world_, *step.out.memory, step.out.messages, *step.in.memory, step.in.messages);
  }
}

// What this rank passes on of a row, from what arrived in the first hop: the row, or the sum of the
// answers to it.
void ExchangeRun::relayed_row(const std::vector<Word>& arrived,
                              const RowId& row,
                              std::vector<Word>& out) const {
  out.assign(row_words_, 0);
  if (!plan_.is_combine && row.source == session_.place())
    return fill_payload(
        out, token_key(row, iteration_), static_cast<std::size_t>(row.token) * row_words_);
  const Side& in = steps_[0].in;
  for (std::size_t i = 0; i < in.parcels.size(); ++i) {
    const auto at = find_row(*in.parcels[i], row);
    if (!at) continue;
    const Word* words = arrived.data() + in.messages[i].first_word + *at * row_words_;
    for (std::size_t w = 0; w < row_words_; ++w) out[w] += words[w];
  }
}

void ExchangeRun::relay() {
  Transport& transport = session_.transport();
  std::vector<Word> arrived(steps_[0].in.memory->words());
  transport.read(*steps_[0].in.memory, 0, arrived);
  const Side& out = steps_[1].out;
  std::vector<Word> row_words, parcel_words;
  for (std::size_t i = 0; i < out.parcels.size(); ++i) {
    parcel_words.clear();
    for (const RowId& row : out.parcels[i]->rows) {
      relayed_row(arrived, row, row_words);
      parcel_words.insert(parcel_words.end(), row_words.begin(), row_words.end());
    }
    transport.write(*out.memory, out.messages[i].first_word, parcel_words);
  }
}

std::optional<std::string> ExchangeRun::check_step(std::size_t step, std::int64_t iteration) {
  std::vector<Word> expected, found;
  const Side& in = steps_[step].in;
  for (std::size_t i = 0; i < in.parcels.size(); ++i) {
    const Parcel& parcel = *in.parcels[i];
    found.resize(in.messages[i].words);
    session_.transport().read(*in.memory, in.messages[i].first_word, found);
    for (std::size_t r = 0; r < parcel.rows.size(); ++r) {
      expected_row(step, parcel, parcel.rows[r], iteration, expected);
      const auto begin = found.begin() + static_cast<std::ptrdiff_t>(r * row_words_);
      const auto differ = std::mismatch(expected.begin(), expected.end(), begin);
      if (differ.first == expected.end()) continue;
      return mismatch_text(session_.rank_at(session_.place()),
                           session_.sender_text(parcel.from),
                           static_cast<std::size_t>(differ.second - found.begin()),
                           *differ.second,
                           *differ.first);
    }
  }
  return std::nullopt;
}

std::optional<std::string> ExchangeRun::check(std::int64_t iteration) {
  return check_step(steps_.size() - 1, iteration);
}

}  // namespace moesim::comm
