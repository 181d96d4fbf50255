#include "calibrate/comm/fake_transport.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

std::size_t idx(int i) { return static_cast<std::size_t>(i); }

using Storage = std::shared_ptr<std::vector<Word>>;

class FakeMemory : public DeviceMemory {
 public:
  explicit FakeMemory(std::size_t words)
      : DeviceMemory(words), storage_(std::make_shared<std::vector<Word>>(words)) {}
  const Storage& storage() const { return storage_; }

 private:
  Storage storage_;
};

const Storage& storage_of(const DeviceMemory& memory) {
  return static_cast<const FakeMemory&>(memory).storage();
}

struct Late {
  std::weak_ptr<std::vector<Word>> to;
  std::size_t first_word = 0;
  std::vector<Word> words;
};

// What a member brings to a call, and its clock, which the call moves on.
struct Call {
  std::span<const Message> sends, receives;
  Storage from, to;
  std::size_t words = 0;
  std::array<Seconds, 2>* now = nullptr;  // by Stream
};

Seconds& at(const Call& call, Stream stream) {
  return (*call.now)[static_cast<std::size_t>(stream)];
}

}  // namespace

struct FakeGroupState {
  FakeGroupState(std::uint64_t id_,
                 std::vector<int> places_,
                 int max_ctas_,
                 std::shared_ptr<std::atomic<bool>> alarm,
                 Timeout timeout)
      : id(id_),
        places(places_),
        max_ctas(max_ctas_),
        meeting(places_, std::move(alarm), timeout),
        calls(places_.size()) {}
  std::uint64_t id;
  std::vector<int> places;
  int max_ctas;
  Meeting meeting;
  std::vector<Call> calls;  // [member]
  std::uint64_t num_calls = 0;
  std::vector<Late> late;
};

namespace {

class FakeGroup : public Group {
 public:
  FakeGroup(int rank, std::shared_ptr<FakeGroupState> state)
      : Group(rank, static_cast<int>(state->places.size())), state_(std::move(state)) {}
  FakeGroupState& state() const { return *state_; }

 private:
  std::shared_ptr<FakeGroupState> state_;
};

FakeGroupState& state_of(Group& group) { return static_cast<FakeGroup&>(group).state(); }

// Brings data to their places, with the fault that was asked for.
class Delivery {
 public:
  Delivery(FakeGroupState& group, FakeFault fault, int victim)
      : group_(group), fault_(fault), victim_(victim) {
    for (const Late& late : group_.late)
      if (const Storage to = late.to.lock())
        std::copy(
            late.words.begin(), late.words.end(), to->begin() + static_cast<long>(late.first_word));
    group_.late.clear();
  }

  void operator()(int from,
                  int to,
                  std::span<const Word> words,
                  const Storage& storage,
                  std::size_t first_word) {
    ENSURE(first_word + words.size() <= storage->size());
    const bool hit = fault_ != FakeFault::none && from != to && group_.places[idx(to)] == victim_ &&
                     !words.empty();
    if (hit && fault_ == FakeFault::drop) return;
    if (hit && fault_ == FakeFault::late) {
      group_.late.push_back({storage, first_word, {words.begin(), words.end()}});
      return;
    }
    std::copy(words.begin(), words.end(), storage->begin() + static_cast<long>(first_word));
    if (hit) (*storage)[first_word + words.size() / 2] ^= Word{1} << 17;
  }

 private:
  FakeGroupState& group_;
  FakeFault fault_;
  int victim_;
};

std::span<const Word> part(const Storage& storage, std::size_t first, std::size_t words) {
  ENSURE(first + words <= storage->size());
  return {storage->data() + first, words};
}

void deliver_messages(FakeGroupState& group, Delivery& deliver) {
  const std::size_t n = group.calls.size();
  std::vector<std::vector<const Message*>> receives(n * n);  // [from, to]
  for (std::size_t to = 0; to < n; ++to)
    for (const Message& m : group.calls[to].receives) receives[idx(m.peer) * n + to].push_back(&m);
  std::vector<std::size_t> taken(n * n, 0);
  const auto fail = [&](std::size_t from, std::size_t to, const std::string& what) {
    throw std::logic_error("fake exchange: place " + std::to_string(group.places[from]) + " to " +
                           std::to_string(group.places[to]) + ": " + what);
  };
  for (std::size_t from = 0; from < n; ++from)
    for (const Message& sent : group.calls[from].sends) {
      const std::size_t to = idx(sent.peer), pair = from * n + to;
      if (taken[pair] == receives[pair].size()) fail(from, to, "a message that nobody receives");
      const Message& received = *receives[pair][taken[pair]++];
      if (received.words != sent.words)
        fail(from,
             to,
             std::to_string(sent.words) + " words for a receiver of " +
                 std::to_string(received.words));
      deliver(static_cast<int>(from),
              static_cast<int>(to),
              part(group.calls[from].from, sent.first_word, sent.words),
              group.calls[to].to,
              received.first_word);
    }
  for (std::size_t pair = 0; pair < n * n; ++pair)
    if (taken[pair] != receives[pair].size())
      fail(pair / n, pair % n, "a message that nobody sends");
}

void deliver_collective(Collective what, FakeGroupState& group, Delivery& deliver) {
  const int n = static_cast<int>(group.calls.size());
  const std::size_t words = group.calls.front().words;
  std::vector<Word> sum;
  if (what == Collective::all_reduce || what == Collective::reduce_scatter) {
    sum.assign(what == Collective::all_reduce ? words : words * idx(n), 0);
    for (const Call& call : group.calls) {
      const auto own = part(call.from, 0, sum.size());
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += own[i];
    }
  }
  // Of sums no single rank is the source; the one before stands for all, so that faults can hit.
  for (int to = 0; to < n; ++to) {
    const Storage& into = group.calls[idx(to)].to;
    const int other = n == 1 ? to : (to + n - 1) % n;
    switch (what) {
      case Collective::all_reduce: deliver(other, to, sum, into, 0); break;
      case Collective::reduce_scatter:
        deliver(other, to, std::span<const Word>(sum).subspan(words * idx(to), words), into, 0);
        break;
      case Collective::all_gather:
        for (int from = 0; from < n; ++from)
          deliver(from, to, part(group.calls[idx(from)].from, 0, words), into, words * idx(from));
        break;
      case Collective::broadcast:
        deliver(0, to, part(group.calls[0].from, 0, words), into, 0);
        break;
    }
  }
}

}  // namespace

class FakeTransport : public Transport {
 public:
  FakeTransport(FakeFabric& fabric, int place) : fabric_(fabric), place_(place) {}

  std::unique_ptr<Group> open(const std::vector<int>& places, int max_ctas) override {
    const auto own = std::find(places.begin(), places.end(), place_);
    ENSURE(own != places.end());
    return std::make_unique<FakeGroup>(static_cast<int>(own - places.begin()),
                                       fabric_.group(num_opened_++, places, max_ctas));
  }

  std::unique_ptr<DeviceMemory> allocate(std::size_t words) override {
    return std::make_unique<FakeMemory>(words);
  }
  void write(DeviceMemory& to, std::size_t first_word, std::span<const Word> words) override {
    ENSURE(first_word + words.size() <= to.words());
    std::copy(words.begin(), words.end(), storage_of(to)->begin() + static_cast<long>(first_word));
  }
  void read(const DeviceMemory& from, std::size_t first_word, std::span<Word> words) override {
    const auto found = part(storage_of(from), first_word, words.size());
    std::copy(found.begin(), found.end(), words.begin());
  }

  void exchange(Group& group,
                const DeviceMemory& from,
                std::span<const Message> sends,
                DeviceMemory& to,
                std::span<const Message> receives) override {
    FakeGroupState& state = state_of(group);
    call(group, {sends, receives, storage_of(from), storage_of(to), 0, &now_}, "exchange", [&] {
      Delivery deliver(state, fabric_.fault_, fabric_.map_.world() - 1);
      deliver_messages(state, deliver);
      std::vector<Seconds> durations;
      Seconds start;
      for (std::size_t r = 0; r < state.calls.size(); ++r) {
        const Call& own = state.calls[r];
        durations.push_back(fabric_.clock_.exchange(
            state.places, static_cast<int>(r), {own.sends, own.receives}, state.max_ctas));
        if (durations.back() > Seconds()) start = std::max(start, at(own, Stream::communication));
      }
      advance(state, start, durations);
    });
  }

  void collective(Collective what,
                  Group& group,
                  const DeviceMemory& from,
                  DeviceMemory& to,
                  std::size_t words) override {
    FakeGroupState& state = state_of(group);
    call(group, {{}, {}, storage_of(from), storage_of(to), words, &now_}, "collective", [&] {
      Delivery deliver(state, fabric_.fault_, fabric_.map_.world() - 1);
      deliver_collective(what, state, deliver);
      const bool whole = what == Collective::all_reduce || what == Collective::broadcast;
      const auto size =
          static_cast<double>(words * kWordBytes * (whole ? 1 : state.calls.size())) * B;
      const Seconds t = fabric_.clock_.collective(what, state.places, size, state.max_ctas);
      advance(state, latest(state), std::vector<Seconds>(state.calls.size(), t));
    });
  }

  void align(Group& group) override {
    FakeGroupState& state = state_of(group);
    call(group, {{}, {}, {}, {}, 0, &now_}, "align", [&] {
      const Seconds end =
          latest(state) +
          fabric_.clock_.collective(Collective::all_reduce, state.places, 4 * B, state.max_ctas);
      for (const Call& own : state.calls) at(own, Stream::communication) = end;
    });
  }

  void compute(Bytes moved) override {
    now_[static_cast<std::size_t>(Stream::compute)] += fabric_.clock_.compute(moved);
  }
  std::string compute_description() const override { return "fake copy, by formula"; }
  void compute_follows() override { now_[1] = std::max(now_[1], now_[0]); }
  void mark(Stream stream, int moment) override {
    if (moments_.size() <= idx(moment)) moments_.resize(idx(moment) + 1);
    moments_[idx(moment)] = now_[static_cast<std::size_t>(stream)];
  }
  Seconds between(int first, int second) override {
    return moments_.at(idx(second)) - moments_.at(idx(first));
  }
  void wait() override { now_[0] = now_[1] = std::max(now_[0], now_[1]); }
  std::vector<std::pair<std::string, std::string>> facts() const override {
    return {
        {"transport", "fake: threads and memory copies, times by the formula of fake_clock.hpp"}};
  }

 private:
  void call(Group& group,
            const Call& own,
            const std::string& what,
            const std::function<void()>& together) {
    FakeGroupState& state = state_of(group);
    state.calls[idx(group.rank())] = own;
    state.meeting.meet(group.rank(), what, [&] {
      together();
      ++state.num_calls;
    });
  }

  static Seconds latest(const FakeGroupState& state) {
    Seconds start;
    for (const Call& own : state.calls) start = std::max(start, at(own, Stream::communication));
    return start;
  }

  // Moves the clocks of all members, and slows down the compute that is under way.
  void advance(FakeGroupState& state, Seconds start, const std::vector<Seconds>& durations) {
    const double left = 1 - fabric_.clock_.taken(state.max_ctas);
    for (std::size_t r = 0; r < durations.size(); ++r) {
      if (durations[r] == Seconds()) continue;
      const Seconds took =
          fabric_.clock_.noisy(state.id, state.num_calls, static_cast<int>(r)) * durations[r];
      const Call& own = state.calls[r];
      at(own, Stream::communication) = start + took;
      Seconds& busy_until = at(own, Stream::compute);
      if (busy_until > start)
        busy_until = std::min(start + (busy_until - start) / left, busy_until + (1 - left) * took);
    }
  }

  FakeFabric& fabric_;
  int place_;
  int num_opened_ = 0;
  std::array<Seconds, 2> now_;
  std::vector<Seconds> moments_;
};

FakeFabric::FakeFabric(const RankMap& map,
                       const FakeRates& rates,
                       FakeFault fault,
                       std::shared_ptr<std::atomic<bool>> alarm,
                       Timeout timeout)
    : map_(map), clock_(rates, map), fault_(fault), alarm_(std::move(alarm)), timeout_(timeout) {}
FakeFabric::~FakeFabric() = default;

std::unique_ptr<Transport> FakeFabric::transport(int place) {
  return std::make_unique<FakeTransport>(*this, place);
}

std::shared_ptr<FakeGroupState> FakeFabric::group(int opening,
                                                  const std::vector<int>& places,
                                                  int max_ctas) {
  const std::lock_guard lock(mutex_);
  auto& state = groups_[{opening, places}];
  // The id names the noise: it must not depend on which thread came first.
  const auto id =
      static_cast<std::uint64_t>(opening) << 32U | static_cast<std::uint32_t>(places.front());
  if (!state) state = std::make_shared<FakeGroupState>(id, places, max_ctas, alarm_, timeout_);
  return state;
}

}  // namespace moesim::comm
