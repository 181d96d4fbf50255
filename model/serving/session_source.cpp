#include "model/serving/session_source.hpp"

#include <functional>
#include <limits>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "model/random.hpp"
#include "model/serving/arrival_process.hpp"
#include "model/serving/length_sampler.hpp"
#include "model/serving/request_bodies.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kTurnStream = 0xa226, kThinkStream = 0xa227, kTokenStream = 0xa228;

class SessionSource final : public RequestSource {
 public:
  SessionSource(const RequestSpec& spec, std::uint64_t seed)
      : process_(*spec.arrivals, seed),
        turns_(spec.arrivals->turns),
        input_(spec.input),
        output_(spec.output),
        bodies_(spec, seed),
        turn_random_(seed, kTurnStream),
        think_random_(seed, kThinkStream),
        token_random_(seed, kTokenStream),
        think_ticks_(spec.arrivals->think_time.in(ps)),
        end_(spec.duration ? to_tick(*spec.duration) : kLastArrival),
        block_tokens_(spec.arrivals->block_tokens),
        system_tokens_(spec.arrivals->system_tokens) {
    for (std::int64_t i = 0; i < system_tokens_ / block_tokens_; ++i) {
      system_.push_back(new_block());
    }
    open_session();
  }

  std::optional<Tick> next_arrival() override {
    if (pending_.empty()) return std::nullopt;
    return pending_.top().first;
  }

  Request take() override {
    ENSURE(!pending_.empty());
    const std::int64_t id = pending_.top().second;
    pending_.pop();
    const Request request = sessions_.at(id).turn;
    if (id == num_sessions_ - 1 && is_opening_) open_session();
    return request;
  }

  void finished(const Request& request, Tick when) override {
    const auto found = sessions_.find(request.session);
    ENSURE(found != sessions_.end());
    Session& session = found->second;
    const double think = think_ticks_ * -std::log(think_random_.uniform());
    const bool asks = session.turns_left > 0 && think < static_cast<double>(end_ - when);
    if (!asks || !prepare(session, request.session, when + static_cast<Tick>(think))) {
      sessions_.erase(found);
    }
  }

  RequestCounts counts() const override { return bodies_.counts(); }
  std::int64_t block_tokens() const override { return block_tokens_; }

 private:
  struct Session {
    std::int32_t turns_left = 0;
    std::int64_t input_tokens = 0, context_tokens = 0;  // of the last turn; with its answer
    std::vector<std::uint32_t> blocks;                  // of the last input
    Request turn;                                       // the next one
  };

  std::uint32_t new_block() {
    if (next_block_ == std::numeric_limits<std::uint32_t>::max()) {
      throw InputError("requests", "the sessions have more than 2^32 blocks; use larger ones");
    }
    return next_block_++;
  }

  // The next session waits in line with the turns, so there is always one of it until they end. One
  // whose first turn is left out never opens.
  void open_session() {
    for (is_opening_ = true;;) {
      const Tick arrival = process_.next();
      if (arrival >= end_ || is_full_) break;
      const std::int64_t id = num_sessions_++;
      Session& session = sessions_[id];
      session.turns_left = turns_.draw(turn_random_);
      session.context_tokens = system_tokens_;
      session.input_tokens = system_tokens_;
      session.blocks = system_;
      if (prepare(session, id, arrival)) return;
      sessions_.erase(id);
    }
    is_opening_ = false;
  }

  // Draws a turn; false when it is too long or enough requests were drawn.
  bool prepare(Session& session, std::int64_t id, Tick arrival) {
    Request turn;
    turn.id = bodies_.counts().read;
    turn.arrival = arrival;
    turn.session = id;
    const std::int64_t input = session.context_tokens + input_.draw(token_random_);
    turn.output_tokens = output_.draw(token_random_);
    if (input + turn.output_tokens > std::numeric_limits<std::int32_t>::max()) {
      throw InputError("requests", "a session's context is longer than 2^31 tokens");
    }
    turn.input_tokens = static_cast<std::int32_t>(input);
    const RequestBodies::Found found = bodies_.finish(turn);
    if (found == RequestBodies::Found::nothing) is_full_ = true;
    if (found != RequestBodies::Found::request) return false;
    // Blocks that were full stay what they are; the one that was partly filled is another now.
    session.blocks.resize(static_cast<std::size_t>(session.input_tokens / block_tokens_));
    while (static_cast<std::int64_t>(session.blocks.size()) * block_tokens_ < input) {
      session.blocks.push_back(new_block());
    }
    turn.blocks = session.blocks;
    session.input_tokens = input;
    session.context_tokens = input + turn.output_tokens;
    --session.turns_left;
    session.turn = turn;
    pending_.push({arrival, id});
    return true;
  }

  ArrivalProcess process_;
  LengthSampler turns_, input_, output_;
  RequestBodies bodies_;
  Random turn_random_, think_random_, token_random_;
  double think_ticks_;
  Tick end_;
  std::int64_t block_tokens_, system_tokens_;
  std::vector<std::uint32_t> system_;
  std::uint32_t next_block_ = 0;
  std::unordered_map<std::int64_t, Session> sessions_;
  std::int64_t num_sessions_ = 0;
  bool is_opening_ = false;  // the last session's first turn waits in line
  bool is_full_ = false;     // num_requests were drawn
  using Pending = std::pair<Tick, std::int64_t>;  // when, whose
  std::priority_queue<Pending, std::vector<Pending>, std::greater<>> pending_;
};

}  // namespace

std::unique_ptr<RequestSource> make_session_source(const RequestSpec& spec, std::uint64_t seed) {
  return std::make_unique<SessionSource>(spec, seed);
}

}  // namespace moesim
