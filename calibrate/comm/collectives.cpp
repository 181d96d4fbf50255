// The five collectives as nccl-tests measures them (its doc/PERFORMANCE.md): "bytes" is the whole
// vector of all-reduce and broadcast, the sum over ranks of all-gather and reduce-scatter, and what
// a rank sends in all-to-all. Groups: the world; every node at once; every rail at once, which is
// where rails that share a switch or a NIC slow each other down.
//
// All-to-all is a group of sends and receives: ncclAlltoAll exists from NCCL 2.28 only. Data are
// 64-bit integers and their wrapping sum, which NCCL reduces in the switch (NVLS) as it does
// floats. Left out: user buffers registered with NCCL, in-place operation, groups of other sizes.
#include <array>

#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/payload.hpp"

namespace moesim::comm {
namespace {

struct GroupKind {
  const char* name;
  std::vector<int> places;  // of this rank's group
  int ranks_per_node;
};

std::vector<GroupKind> group_kinds(const Session& session) {
  const RankMap& map = session.map();
  const int place = session.place();
  std::vector<GroupKind> kinds = {{"world", map.all(), map.ranks_per_node()}};
  if (map.num_nodes() > 1 && map.ranks_per_node() > 1)
    kinds.push_back({"node", map.same_node(place), map.ranks_per_node()});
  if (map.num_nodes() > 1 && map.ranks_per_node() > 1)
    kinds.push_back({"rail", map.same_rail(place), 1});
  return kinds;
}

enum class Kind { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast };
struct Operation {
  const char* op;
  Kind kind;
};
constexpr std::array kOperations = {Operation{"all_reduce", Kind::all_reduce},
                                    Operation{"reduce_scatter", Kind::reduce_scatter},
                                    Operation{"all_gather", Kind::all_gather},
                                    Operation{"all_to_all", Kind::all_to_all},
                                    Operation{"broadcast", Kind::broadcast}};

// nccl-tests, doc/PERFORMANCE.md.
double bus_factor(Kind kind, std::size_t ranks) {
  const auto n = static_cast<double>(ranks);
  if (kind == Kind::broadcast) return 1;
  return (kind == Kind::all_reduce ? 2 : 1) * (n - 1) / n;
}

// One operation at one size.
class Run {
 public:
  Run(Session& session, Kind kind, Group& group, const std::vector<int>& places, std::size_t words)
      : session_(session),
        transport_(session.transport()),
        kind_(kind),
        group_(group),
        places_(places),
        words_(words),
        part_(words / places.size()),
        from_(transport_.allocate(kind == Kind::all_gather ? part_ : words)),
        to_(transport_.allocate(kind == Kind::reduce_scatter ? part_ : words)) {
    for (std::size_t i = 0; i < places.size(); ++i)
      each_.push_back({static_cast<int>(i), i * part_, part_});
  }

  void prepare(std::int64_t iteration) {
    poison(transport_, *to_);
    const int own = session_.place();
    switch (kind_) {
      case Kind::all_reduce:
      case Kind::reduce_scatter:
        write_payload(transport_, *from_, 0, words_, summand(own, iteration));
        break;
      case Kind::all_gather:
        write_payload(transport_, *from_, 0, part_, {own, kEveryone, iteration});
        break;
      case Kind::broadcast:
        write_payload(transport_, *from_, 0, words_, {own, kEveryone, iteration});
        break;
      case Kind::all_to_all:
        for (std::size_t i = 0; i < places_.size(); ++i)
          write_payload(transport_, *from_, i * part_, part_, {own, places_[i], iteration});
        break;
    }
  }

  void run() {
    switch (kind_) {
      case Kind::all_reduce: collective(Collective::all_reduce, words_); break;
      case Kind::reduce_scatter: collective(Collective::reduce_scatter, part_); break;
      case Kind::all_gather: collective(Collective::all_gather, part_); break;
      case Kind::broadcast: collective(Collective::broadcast, words_); break;
      case Kind::all_to_all: transport_.exchange(group_, *from_, each_, *to_, each_); break;
    }
  }

  std::optional<std::string> check(std::int64_t iteration) {
    const int own = session_.place();
    const PayloadKey sum = sum_of(places_, iteration);
    switch (kind_) {
      case Kind::all_reduce: return compare(0, words_, sum, "all ranks");
      case Kind::reduce_scatter: return check_scattered(sum);
      case Kind::broadcast:
        return compare(0, words_, {places_[0], kEveryone, iteration}, sender(0));
      case Kind::all_gather:
      case Kind::all_to_all: break;
    }
    const bool to_all = kind_ == Kind::all_gather;
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (auto wrong = compare(
              i * part_, part_, {places_[i], to_all ? kEveryone : own, iteration}, sender(i)))
        return wrong;
    return std::nullopt;
  }

 private:
  void collective(Collective what, std::size_t words) {
    transport_.collective(what, group_, *from_, *to_, words);
  }
  std::string sender(std::size_t member) const { return session_.sender_text(places_[member]); }
  std::optional<std::string> compare(std::size_t first,
                                     std::size_t words,
                                     const PayloadKey& key,
                                     const std::string& from) {
    const int rank = session_.rank_at(session_.place());
    return check_payload(transport_, *to_, first, words, key, rank, from);
  }
  // This rank's part of the sum begins in the middle of the vector.
  std::optional<std::string> check_scattered(const PayloadKey& sum) {
    std::vector<Word> got(part_);
    transport_.read(*to_, 0, got);
    const std::size_t first = part_ * static_cast<std::size_t>(group_.rank());
    return find_mismatch(got, sum, session_.rank_at(session_.place()), "all ranks", first);
  }

  Session& session_;
  Transport& transport_;
  Kind kind_;
  Group& group_;
  const std::vector<int>& places_;
  std::size_t words_, part_;  // of the whole, of one rank
  std::unique_ptr<DeviceMemory> from_, to_;
  std::vector<Message> each_;  // all-to-all: a part for each
};

void measure_one(Session& session,
                 const Operation& operation,
                 const GroupKind& kind,
                 Group& group,
                 std::size_t words) {
  const std::size_t n = kind.places.size();
  const auto bytes = static_cast<std::int64_t>(words * kWordBytes);
  Run one(session, operation.kind, group, kind.places, words);
  Trial trial;
  trial.op = operation.op;
  trial.shape = {static_cast<std::int64_t>(n), kind.ranks_per_node, bytes};
  trial.prepare = [&](std::int64_t i) { one.prepare(i); };
  trial.run = [&] { one.run(); };
  trial.check = [&](std::int64_t i) { return one.check(i); };
  trial.note = {{"group", kind.name}};
  trial.cells = {operation.op,
                 kind.name,
                 std::to_string(n),
                 std::to_string(kind.ranks_per_node),
                 std::to_string(bytes)};
  trial.more_cells = [&](const Measured& m) {
    const double algorithm_gb_s = (static_cast<double>(bytes) * B / m.timing.median).in(GB_per_s);
    return std::vector{digits(algorithm_gb_s),
                       digits(algorithm_gb_s * bus_factor(operation.kind, n))};
  };
  session.run(trial);
}

}  // namespace

void measure_collectives(Session& session) {
  constexpr std::int64_t kSmallest = 512;
  for (const GroupKind& kind : group_kinds(session)) {
    const auto group = session.transport().open(kind.places);
    for (const Operation& operation : kOperations) {
      std::size_t last = 0;
      for (const std::int64_t bytes : session.sizes(kSmallest)) {
        // As nccl-tests: a whole number of words for each rank.
        const std::size_t words =
            static_cast<std::size_t>(bytes) / kWordBytes / kind.places.size() * kind.places.size();
        if (words == 0 || words == last) continue;
        last = words;
        measure_one(session, operation, kind, *group, words);
        if (session.stopped()) return;
      }
    }
  }
}

}  // namespace moesim::comm
