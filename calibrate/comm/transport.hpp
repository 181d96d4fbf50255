// What a benchmark needs of the machine, for one rank: memory, two streams of work, groups of ranks
// that exchange data, and a clock. Two machines: GPUs with NCCL (nccl_transport.hpp) and a fake in
// memory with a clock of its own (fake_transport.hpp). Ranks are called by their place
// (rank_map.hpp).
//
// A stream does its work in order and later than it is called; wait() is where a rank waits for it,
// and where errors of the machine surface (std::runtime_error).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/units.hpp"

namespace moesim::comm {

using Word = std::uint64_t;
inline constexpr std::size_t kWordBytes = sizeof(Word);

// Ranks that work together; `rank` counts within it, in the order in which it was opened.
class Group {
 public:
  Group(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Group() = default;
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  int rank_, size_;
};

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t words) : words_(words) {}
  virtual ~DeviceMemory() = default;
  std::size_t words() const { return words_; }

 private:
  std::size_t words_;
};

// A part of a rank's memory that goes to, or comes from, a rank of the group.
struct Message {
  int peer = 0;
  std::size_t first_word = 0, words = 0;
};

enum class Collective { all_reduce, all_gather, reduce_scatter, broadcast };
enum class Stream { communication, compute };

class Transport {
 public:
  virtual ~Transport() = default;

  // Every rank calls it at the same time, each with the places of its own group; groups do not
  // overlap. max_ctas: blocks a communication kernel may use, 0 for as many as it likes.
  virtual std::unique_ptr<Group> open(const std::vector<int>& places, int max_ctas = 0) = 0;

  virtual std::unique_ptr<DeviceMemory> allocate(std::size_t words) = 0;
  // These two wait for all work of the rank.
  virtual void write(DeviceMemory& to, std::size_t first_word, std::span<const Word> words) = 0;
  virtual void read(const DeviceMemory& from, std::size_t first_word, std::span<Word> words) = 0;

  // Sends and receives at the same time, on the communication stream. Every rank of the group calls
  // it, if need be with nothing. Several messages between two ranks arrive in the order in which
  // both sides list them.
  virtual void exchange(Group& group,
                        const DeviceMemory& from,
                        std::span<const Message> sends,
                        DeviceMemory& to,
                        std::span<const Message> receives) = 0;

  // `words` is what one rank contributes to all_gather, gets from reduce_scatter, and the whole
  // vector for the others; sums wrap around; broadcast is from rank 0 of the group.
  virtual void collective(Collective what,
                          Group& group,
                          const DeviceMemory& from,
                          DeviceMemory& to,
                          std::size_t words) = 0;

  // Nothing later on the communication stream of any rank of the group begins before all came here:
  // an all-reduce of 4 bytes.
  virtual void align(Group& group) = 0;

  // Work on the compute stream that stands for a kernel of the model.
  virtual void compute(Bytes moved) = 0;
  virtual std::string compute_description() const = 0;
  // The compute stream waits for what the communication stream was given until now.
  virtual void compute_follows() = 0;

  // Moments on a stream, by number; a number may be used again after wait().
  virtual void mark(Stream stream, int moment) = 0;
  virtual Seconds between(int first, int second) = 0;  // after wait()
  virtual void wait() = 0;                             // for both streams

  // What is worth keeping with results: versions, names.
  virtual std::vector<std::pair<std::string, std::string>> facts() const = 0;
};

}  // namespace moesim::comm
