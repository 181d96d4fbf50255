// A pipeline's messages: microbatches of `tokens` rows of `hidden` BF16 elements pass along a chain
// of stages, every stage sending one on while it receives the next. Stages are nodes, all rails at
// once, as tensor- or expert-parallel groups within nodes pass on what they hold; on one node, its
// GPUs. The time is that of one step, which all stages take together: num_microbatches + stages - 2
// steps bring all microbatches to the last stage.
//
// What is passed on is what was received, so the last stage checks the whole chain.
#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/payload.hpp"

namespace moesim::comm {
namespace {

constexpr int kNumMicrobatches = 8;

class Chain {
 public:
  Chain(Session& session, Group& group, const std::vector<int>& places, std::size_t words)
      : session_(session),
        transport_(session.transport()),
        group_(group),
        places_(places),
        words_(words),
        memory_(transport_.allocate(words * kNumMicrobatches)) {}

  int num_steps() const { return kNumMicrobatches + group_.size() - 2; }

  void prepare(std::int64_t iteration) {
    poison(transport_, *memory_);
    if (group_.rank() != 0) return;
    for (int m = 0; m < kNumMicrobatches; ++m)
      write_payload(transport_, *memory_, first(m), words_, {places_[0], m, iteration});
  }
  void run() {
    const int stage = group_.rank();
    for (int step = 0; step < num_steps(); ++step) {
      std::vector<Message> sends, receives;
      // Microbatch m leaves stage s in step m + s.
      const int leaves = step - stage, comes = step - stage + 1;
      if (stage + 1 < group_.size() && is_one(leaves))
        sends.push_back({stage + 1, first(leaves), words_});
      if (stage > 0 && is_one(comes)) receives.push_back({stage - 1, first(comes), words_});
      transport_.exchange(group_, *memory_, sends, *memory_, receives);
    }
  }
  std::optional<std::string> check(std::int64_t iteration) {
    for (int m = 0; m < kNumMicrobatches; ++m)
      if (auto wrong = check_payload(transport_,
                                     *memory_,
                                     first(m),
                                     words_,
                                     {places_[0], m, iteration},
                                     session_.rank_at(session_.place()),
                                     session_.sender_text(places_[0]) + " along the chain"))
        return wrong;
    return std::nullopt;
  }

 private:
  static bool is_one(int microbatch) { return microbatch >= 0 && microbatch < kNumMicrobatches; }
  std::size_t first(int microbatch) const { return static_cast<std::size_t>(microbatch) * words_; }

  Session& session_;
  Transport& transport_;
  Group& group_;
  const std::vector<int>& places_;
  std::size_t words_;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace

void measure_pipeline(Session& session) {
  const RankMap& map = session.map();
  const bool over_nodes = map.num_nodes() > 1;
  const std::vector<int> places =
      over_nodes ? map.same_rail(session.place()) : map.same_node(session.place());
  const auto group = session.transport().open(places);
  const auto stages = static_cast<std::int64_t>(places.size());
  if (stages == 1) return;
  const std::int64_t per_node = over_nodes ? 1 : stages;
  const std::int64_t row_bytes = 2 * session.options().hidden;
  for (std::int64_t tokens = 1; tokens <= session.options().max_tokens; tokens *= 2) {
    const std::int64_t bytes = tokens * row_bytes;
    if (bytes * kNumMicrobatches > session.options().max_bytes) {
      session.leave_out();
      continue;
    }
    Chain chain(session, *group, places, static_cast<std::size_t>(bytes) / kWordBytes);
    Trial trial;
    trial.op = "pipeline_send";
    trial.shape = {stages, per_node, bytes};
    trial.parts = chain.num_steps();
    trial.prepare = [&](std::int64_t i) { chain.prepare(i); };
    trial.run = [&] { chain.run(); };
    trial.check = [&](std::int64_t i) { return chain.check(i); };
    trial.note = {{"microbatches", std::int64_t{kNumMicrobatches}}};
    trial.cells = {
        trial.op, std::to_string(stages), std::to_string(per_node), std::to_string(bytes)};
    trial.more_cells = [bytes](const Measured& m) {
      return std::vector{digits((static_cast<double>(bytes) * B / m.timing.median).in(GB_per_s))};
    };
    session.run(trial);
    if (session.stopped()) return;
  }
}

}  // namespace moesim::comm
