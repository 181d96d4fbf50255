#include "calibrate/comm/payload.hpp"

#include <algorithm>
#include <cstdio>

namespace moesim::comm {
namespace {

constexpr std::size_t kPieceWords = std::size_t{1} << 20;  // 8 MiB at a time on the host

// SplitMix64's finaliser (Steele, Lea, Flood 2014).
Word mix(Word x) {
  x ^= x >> 30U;
  x *= 0xbf58476d1ce4e5b9U;
  x ^= x >> 27U;
  x *= 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}
constexpr Word kStep = 0x9e3779b97f4a7c15U;  // 2^64 over the golden ratio, SplitMix64's increment

Word start_of(const PayloadKey& key) {
  Word state = mix(static_cast<Word>(key.from) + kStep);
  state = mix(state ^ (static_cast<Word>(key.to) + 2 * kStep));
  return mix(state ^ (static_cast<Word>(key.iteration) + 3 * kStep));
}

// Calls body(first word of the piece, its words).
template <class Body>
void in_pieces(std::size_t words, const Body& body) {
  for (std::size_t at = 0; at < words; at += kPieceWords)
    body(at, std::min(kPieceWords, words - at));
}

}  // namespace

PayloadKey summand(std::int64_t place, std::int64_t iteration) {
  return {kSummand, kEveryone, iteration, static_cast<Word>(place) + 1};
}

PayloadKey sum_of(std::span<const int> places, std::int64_t iteration) {
  PayloadKey key{kSummand, kEveryone, iteration, 0};
  for (const int place : places) key.factor += static_cast<Word>(place) + 1;
  return key;
}

Word payload_word(const PayloadKey& key, std::size_t offset) {
  return key.factor * mix(start_of(key) + kStep * static_cast<Word>(offset));
}

void fill_payload(std::span<Word> words, const PayloadKey& key, std::size_t first) {
  const Word start = start_of(key);
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = key.factor * mix(start + kStep * static_cast<Word>(first + i));
}

std::string mismatch_text(
    int rank, const std::string& from, std::size_t word, Word found, Word expected) {
  char values[96];
  std::snprintf(values,
                sizeof values,
                "found 0x%016llx, expected 0x%016llx",
                static_cast<unsigned long long>(found),
                static_cast<unsigned long long>(expected));
  return "rank " + std::to_string(rank) + ": from " + from + " at byte " +
         std::to_string(word * kWordBytes) + ": " + values +
         (found == kPoison ? " (nothing had arrived there)" : "");
}

std::optional<std::string> find_mismatch(std::span<const Word> words,
                                         const PayloadKey& key,
                                         int rank,
                                         const std::string& from,
                                         std::size_t first) {
  const Word start = start_of(key);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Word expected = key.factor * mix(start + kStep * static_cast<Word>(first + i));
    if (words[i] != expected) return mismatch_text(rank, from, first + i, words[i], expected);
  }
  return std::nullopt;
}

void write_payload(Transport& transport,
                   DeviceMemory& to,
                   std::size_t first_word,
                   std::size_t words,
                   const PayloadKey& key) {
  std::vector<Word> piece;
  in_pieces(words, [&](std::size_t at, std::size_t count) {
    piece.resize(count);
    fill_payload(piece, key, at);
    transport.write(to, first_word + at, piece);
  });
}

void poison(Transport& transport, DeviceMemory& memory) {
  const std::vector<Word> piece(std::min(kPieceWords, memory.words()), kPoison);
  in_pieces(memory.words(), [&](std::size_t at, std::size_t count) {
    transport.write(memory, at, std::span<const Word>(piece).first(count));
  });
}

std::optional<std::string> check_payload(Transport& transport,
                                         const DeviceMemory& from,
                                         std::size_t first_word,
                                         std::size_t words,
                                         const PayloadKey& key,
                                         int rank,
                                         const std::string& sender) {
  std::optional<std::string> found;
  std::vector<Word> piece;
  in_pieces(words, [&](std::size_t at, std::size_t count) {
    if (found) return;
    piece.resize(count);
    transport.read(from, first_word + at, piece);
    found = find_mismatch(piece, key, rank, sender, at);
  });
  return found;
}

}  // namespace moesim::comm
