// The command line of a launcher, read against the table of its flags.
//
// A table is data: every spelling of a flag, what follows it, and what becomes of it here. Nothing
// is dropped in silence: a flag that is not in the table, one that is given twice, one without its
// value or with a word where a number belongs is an InputError; flags without a bearing on cost are
// listed with the reason, and every default of the launcher that an import relied on is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace moesim {

enum class FlagValue : std::uint8_t {
  none,
  integer,
  fraction,  // above 0, at most 1
  word,
  words  // one or more
};
enum class FlagUse : std::uint8_t {
  plan,         // becomes a key of the plan or of the serving settings
  degree,       // serving: a degree, which means something else in each launcher
  model,        // belongs to the model's config.json
  unexpressed,  // has a bearing on cost that a plan cannot say
};

struct LaunchFlag {
  const char* names;  // every spelling, first the one that is printed: "--tp-size --tp"
  FlagValue value = FlagValue::none;
  FlagUse use = FlagUse::plan;
  const char* becomes = "";  // the key here (of a serving switch, "key=false" for its being off),
                             // the key of config.json, or what a plan cannot say
};

// Flags without a bearing on cost. "=" behind a name: a value follows; "=*": one or more do.
struct IgnoredFlags {
  const char* reason;
  const char* names;
};

// Bounds that keep products of degrees countable.
inline constexpr std::int64_t kMostDegree = 1 << 15;
inline constexpr std::int64_t kMostGpus = 1 << 17;
inline constexpr std::int64_t kMostLayers = 1 << 16;
inline constexpr std::int64_t kMostNumber = std::int64_t{1} << 32;

class LaunchArguments {
 public:
  struct Given {
    std::string flag;  // as the table prints it
    std::vector<std::string> values;
    FlagValue value = FlagValue::none;
    FlagUse use = FlagUse::plan;
    std::string becomes;
  };
  struct Default {
    std::string flag, value;
  };
  struct Ignored {
    std::string words, reason;
  };

  // `launcher` as in a sentence: "Megatron".
  LaunchArguments(std::string launcher,
                  std::span<const LaunchFlag> flags,
                  std::span<const IgnoredFlags> ignored,
                  const std::vector<std::string>& words);

  const std::string& launcher() const { return launcher_; }
  bool has(const std::string& flag) const { return find(flag) != nullptr; }
  // A switch. Its being off is a default that was relied on.
  bool on(const std::string& flag);
  std::optional<std::int64_t> integer(const std::string& flag,
                                      std::int64_t lowest,
                                      std::int64_t highest = kMostNumber) const;
  std::int64_t integer_or(const std::string& flag,
                          std::int64_t lowest,
                          std::int64_t highest,
                          std::int64_t fallback);
  std::int64_t degree(const std::string& flag) { return integer_or(flag, 1, kMostDegree, 1); }
  std::optional<double> fraction(const std::string& flag) const;
  std::optional<std::string> word(const std::string& flag) const;
  // One of `choices`, which hold the fallback.
  std::string choice_or(const std::string& flag,
                        const std::vector<std::string>& choices,
                        const std::string& fallback);
  std::vector<std::string> words_or(const std::string& flag, const std::string& fallback);
  // Says what stands for a flag that was not given.
  void not_given(const std::string& flag, const std::string& value);

  [[noreturn]] void fail(const std::string& flag, const std::string& problem) const;

  const std::vector<Given>& given() const { return given_; }
  // Of FlagUse::plan and degree: given, but nobody asked for them.
  std::vector<std::string> unread() const;
  const std::vector<Default>& defaults() const { return defaults_; }
  const std::vector<Ignored>& ignored() const { return ignored_; }

 private:
  const Given* find(const std::string& flag) const;

  std::string launcher_;
  std::vector<Given> given_;  // in the order they were given; not the ignored ones
  std::vector<Default> defaults_;
  std::vector<Ignored> ignored_;
  mutable std::set<std::string> read_;
};

}  // namespace moesim
