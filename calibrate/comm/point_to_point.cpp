// Point to point: one pair for each way two ranks can reach each other, and incast. Place 0 is one
// end of every pair, so that its node and NIC are what is measured.
#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/payload.hpp"

namespace moesim::comm {
namespace {

// Some ranks that send to one another; the others only keep time with them.
class Pattern {
 public:
  struct Arrow {
    int from, to;  // places
  };
  // Steps follow each other; the arrows of a step fly at the same time.
  Pattern(Session& session, std::vector<std::vector<Arrow>> steps, std::size_t words)
      : session_(session),
        transport_(session.transport()),
        steps_(std::move(steps)),
        words_(words) {
    std::size_t out = 0, in = 0;
    for (const auto& step : steps_) {
      auto& [sends, receives] = messages_.emplace_back();
      for (const Arrow& a : step) {
        if (a.from == session.place()) sends.push_back({a.to, words * out++, words});
        if (a.to == session.place()) receives.push_back({a.from, words * in++, words});
      }
    }
    from_ = transport_.allocate(words * out);
    to_ = transport_.allocate(words * in);
  }

  bool takes_part() const { return from_->words() + to_->words() > 0; }

  void prepare(std::int64_t iteration) {
    poison(transport_, *to_);
    for (const auto& [sends, receives] : messages_)
      for (const Message& m : sends)
        write_payload(
            transport_, *from_, m.first_word, words_, {session_.place(), m.peer, iteration});
  }
  void run() {
    for (const auto& [sends, receives] : messages_)
      transport_.exchange(session_.world(), *from_, sends, *to_, receives);
  }
  std::optional<std::string> check(std::int64_t iteration) {
    const int place = session_.place();
    for (const auto& [sends, receives] : messages_)
      for (const Message& m : receives)
        if (auto wrong = check_payload(transport_,
                                       *to_,
                                       m.first_word,
                                       words_,
                                       {m.peer, place, iteration},
                                       session_.rank_at(place),
                                       session_.sender_text(m.peer)))
          return wrong;
    return std::nullopt;
  }

 private:
  Session& session_;
  Transport& transport_;
  std::vector<std::vector<Arrow>> steps_;
  std::vector<std::pair<std::vector<Message>, std::vector<Message>>> messages_;  // this rank's
  std::size_t words_;
  std::unique_ptr<DeviceMemory> from_, to_;
};

struct Setting {
  std::string op, between;
  Shape ranks;  // ranks, ranks_per_node
  std::vector<std::vector<Pattern::Arrow>> steps;
  double parts = 1;
};

void measure(Session& session, const Setting& setting, std::int64_t first_size) {
  for (const std::int64_t bytes : session.sizes(first_size)) {
    const auto streams = static_cast<std::int64_t>(setting.steps.front().size());
    // What arrives at one rank is a buffer of it.
    if (bytes * streams > session.options().max_bytes && streams > 1) {
      session.leave_out();
      continue;
    }
    Pattern pattern(session, setting.steps, static_cast<std::size_t>(bytes) / kWordBytes);
    Trial trial;
    trial.op = setting.op;
    trial.shape = {setting.ranks[0], setting.ranks[1], bytes};
    trial.takes_part = pattern.takes_part();
    trial.parts = setting.parts;
    trial.prepare = [&](std::int64_t i) { pattern.prepare(i); };
    trial.run = [&] { pattern.run(); };
    trial.check = [&](std::int64_t i) { return pattern.check(i); };
    trial.cells = {setting.op, setting.between, std::to_string(bytes)};
    // Into the busiest rank; both ways count once.
    const double into = static_cast<double>(setting.ranks[0] - 1) * static_cast<double>(bytes);
    trial.more_cells = [into](const Measured& m) {
      return std::vector{digits((into * B / m.timing.median).in(GB_per_s))};
    };
    session.run(trial);
    if (session.stopped()) return;
  }
}

std::string pair_text(const Session& session, int other) {
  return "ranks " + std::to_string(session.rank_at(0)) + " and " +
         std::to_string(session.rank_at(other));
}

void measure_pair(Session& session, const std::string& way, int other, std::int64_t per_node) {
  constexpr std::int64_t kSmallest = 8;
  const std::string between = pair_text(session, other);
  measure(
      session, {"send_" + way, between, {2, per_node}, {{{0, other}}, {{other, 0}}}, 2}, kSmallest);
  if (!session.stopped())
    measure(
        session, {"swap_" + way, between, {2, per_node}, {{{0, other}, {other, 0}}}, 1}, kSmallest);
}

// 2, 4, 8, ... of `senders` and all of them, to place 0.
void measure_incast(Session& session,
                    const std::string& op,
                    const std::vector<int>& senders,
                    bool one_node) {
  constexpr std::int64_t kSmallest = 4096;
  for (std::size_t k = 2; k <= senders.size();
       k = k < senders.size() ? std::min(2 * k, senders.size()) : k + 1) {
    Setting setting{op, std::to_string(k) + " ranks to one", {}, {{}}, 1};
    const auto ranks = static_cast<std::int64_t>(k) + 1;
    setting.ranks = {ranks, one_node ? ranks : 1};
    for (std::size_t i = 0; i < k; ++i) setting.steps[0].push_back({senders[i], 0});
    measure(session, setting, kSmallest);
    if (session.stopped()) return;
  }
}

}  // namespace

void measure_point_to_point(Session& session) {
  const RankMap& map = session.map();
  const int per_node = map.ranks_per_node();
  if (map.world() == 1) {  // nothing but a check of the machinery: a message to oneself
    measure(session, {"send_node", "rank 0 and itself", {1, 1}, {{{0, 0}}}, 1}, 8);
    return;
  }
  if (per_node > 1) measure_pair(session, "node", 1, 2);
  if (map.num_nodes() > 1) measure_pair(session, "rail", per_node, 1);
  if (map.num_nodes() > 1 && per_node > 1) measure_pair(session, "cross_rail", per_node + 1, 1);
  std::vector<int> on_node, elsewhere;
  for (int p = 1; p < map.world(); ++p) (map.node(p) == 0 ? on_node : elsewhere).push_back(p);
  measure_incast(session, "incast_node", on_node, true);
  measure_incast(session, "incast_network", elsewhere, false);
}

}  // namespace moesim::comm
