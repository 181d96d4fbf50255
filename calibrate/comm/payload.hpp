// What is sent, so that what arrives can be told from all else: every word is a hash of who sent
// it, to whom, in which iteration and where in the message it stands. Where nothing has arrived
// there is poison.
//
// Summands of a reduction are made so that their sum over any set of ranks takes no longer to check
// than one message: rank p gives (p + 1) x h(iteration, word), h a hash, and sums wrap around.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "calibrate/comm/transport.hpp"

namespace moesim::comm {

inline constexpr Word kPoison = 0xdeadc0dedeadc0de;
inline constexpr std::int64_t kEveryone = -1;  // `to` of what all get

struct PayloadKey {
  std::int64_t from = 0, to = 0, iteration = 0;
  Word factor = 1;  // of a summand or a sum; `from` is then kSummand
};
inline constexpr std::int64_t kSummand = -2;
PayloadKey summand(std::int64_t place, std::int64_t iteration);
PayloadKey sum_of(std::span<const int> places, std::int64_t iteration);

Word payload_word(const PayloadKey& key, std::size_t offset);
// Words `first` and on of the message.
void fill_payload(std::span<Word> words, const PayloadKey& key, std::size_t first = 0);

// "rank 3: from rank 0 at byte 64: found 0x..., expected 0x..."
std::string mismatch_text(
    int rank, const std::string& from, std::size_t word, Word found, Word expected);
// About the first word that differs, or nothing. `from` is how the message names the sender.
std::optional<std::string> find_mismatch(std::span<const Word> words,
                                         const PayloadKey& key,
                                         int rank,
                                         const std::string& from,
                                         std::size_t first = 0);

// The same in the memory of a rank, piece by piece.
void write_payload(Transport& transport,
                   DeviceMemory& to,
                   std::size_t first_word,
                   std::size_t words,
                   const PayloadKey& key);
void poison(Transport& transport, DeviceMemory& memory);
std::optional<std::string> check_payload(Transport& transport,
                                         const DeviceMemory& from,
                                         std::size_t first_word,
                                         std::size_t words,
                                         const PayloadKey& key,
                                         int rank,
                                         const std::string& sender);

}  // namespace moesim::comm
