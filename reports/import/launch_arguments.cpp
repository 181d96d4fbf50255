#include "reports/import/launch_arguments.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

// A row of either table, by one of its spellings.
struct Known {
  std::string name;  // as it is printed
  FlagValue value = FlagValue::none;
  const LaunchFlag* flag = nullptr;
  const char* ignored_because = "";
};

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> parts;
  for (std::string part; in >> part;) parts.push_back(part);
  return parts;
}

// vLLM and torchrun take --max_num_seqs for --max-num-seqs, TensorRT-LLM's own have underscores.
std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// The programs in front of the flags, and what torchrun takes for itself.
constexpr IgnoredFlags kStarter = {
    "starts the ranks",
    "-m= -u --node-rank= --master-addr= --master-port= --rdzv-id= --rdzv-backend= "
    "--rdzv-endpoint= --rdzv-conf= --max-restarts= --monitor-interval= --standalone --log-dir= "
    "--redirects= --tee= --local-ranks-filter= --role= --start-method="};

std::map<std::string, Known> index_of(std::span<const LaunchFlag> flags,
                                      std::span<const IgnoredFlags> ignored) {
  std::map<std::string, Known> known;
  auto add = [&known](const std::string& spelling, const Known& row) {
    ENSURE(known.emplace(with_dashes(spelling), row).second);
  };
  for (const LaunchFlag& flag : flags) {
    const std::vector<std::string> names = split(flag.names);
    for (const std::string& name : names) add(name, {names.front(), flag.value, &flag, ""});
  }
  auto add_group = [&](const IgnoredFlags& group) {
    for (std::string name : split(group.names)) {
      FlagValue value = FlagValue::none;
      if (const std::size_t mark = name.find('='); mark != std::string::npos) {
        value = name.substr(mark) == "=*" ? FlagValue::words : FlagValue::word;
        name.resize(mark);
      }
      add(name, {name, value, nullptr, group.reason});
    }
  };
  for (const IgnoredFlags& group : ignored) add_group(group);
  add_group(kStarter);
  return known;
}

bool is_flag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' &&
         std::isdigit(static_cast<unsigned char>(word[1])) == 0;
}

std::set<std::string> words_of(std::string name) {
  std::replace(name.begin(), name.end(), '-', ' ');
  const std::vector<std::string> words = split(name);
  return {words.begin(), words.end()};
}

// The flag that `name` was most likely meant to be: one with all of its words and the fewest
// others, or the other way round (launchers' names for one thing differ by a word), else the fewest
// typing errors away.
const std::string* nearest_flag(const std::string& name, const std::vector<std::string>& known) {
  const std::set<std::string> words = words_of(name);
  // The fewer other words the better, then the longer the beginning they share.
  using Likeness = std::pair<std::ptrdiff_t, std::ptrdiff_t>;
  const std::string* nearest = nullptr;
  Likeness most{};
  for (const std::string& candidate : known) {
    const std::set<std::string> all = words_of(candidate);
    const bool more = std::includes(all.begin(), all.end(), words.begin(), words.end());
    const bool less = std::includes(words.begin(), words.end(), all.begin(), all.end());
    if (words.size() < 2 || (!more && !less)) continue;
    const auto count = [](const std::set<std::string>& set) {
      return static_cast<std::ptrdiff_t>(set.size());
    };
    const auto shared =
        std::mismatch(name.begin(), name.end(), candidate.begin(), candidate.end()).first;
    const Likeness likeness{-std::abs(count(all) - count(words)), shared - name.begin()};
    if (nearest != nullptr && likeness <= most) continue;
    nearest = &candidate;
    most = likeness;
  }
  if (nearest != nullptr) return nearest;
  return nearest_word(name, known, std::max<std::size_t>(2, name.size() / 3));
}

[[noreturn]] void unknown_flag(const std::string& launcher,
                               const std::string& name,
                               const std::map<std::string, Known>& known) {
  std::vector<std::string> names;
  for (const auto& [spelling, row] : known) names.push_back(spelling);
  const std::string* nearest = nearest_flag(with_dashes(name), names);
  throw InputError(
      one_line(name),
      "is not a flag of " + launcher + " that is known here" +
          (nearest != nullptr ? "; the nearest is " + known.at(*nearest).name : std::string()));
}

std::string joined_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

LaunchArguments::LaunchArguments(std::string launcher,
                                 std::span<const LaunchFlag> flags,
                                 std::span<const IgnoredFlags> ignored,
                                 const std::vector<std::string>& words)
    : launcher_(std::move(launcher)) {
  const std::map<std::string, Known> known = index_of(flags, ignored);
  std::map<std::string, std::string> seen;
  std::vector<std::string> command;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!is_flag(word)) {
      const bool is_script = word.size() > 3 && word.substr(word.size() - 3) == ".py";
      if (!seen.empty() && !is_script)
        throw InputError(one_line(word),
                         "expected a flag before it; it follows " + one_line(words[i - 1]) +
                             ", which takes no more");
      command.push_back(one_line(word));
      continue;
    }
    const std::size_t equals = word.rfind("--", 0) == 0 ? word.find('=') : std::string::npos;
    const std::string name = word.substr(0, equals);
    const auto row = known.find(with_dashes(name));
    if (row == known.end()) unknown_flag(launcher_, name, known);
    const Known& flag = row->second;
    std::vector<std::string> values;
    if (equals != std::string::npos) values.push_back(word.substr(equals + 1));
    if (flag.value == FlagValue::none && !values.empty())
      throw InputError(flag.name, "takes no value, found " + in_quotes(values.front()));
    const bool takes_many = flag.value == FlagValue::words;
    while (flag.value != FlagValue::none && i + 1 < words.size() && !is_flag(words[i + 1]) &&
           (values.empty() || (takes_many && equals == std::string::npos)))
      values.push_back(words[++i]);
    if (flag.value != FlagValue::none && values.empty())
      throw InputError(flag.name,
                       i + 1 < words.size()
                           ? "expected a value, found the flag " + one_line(words[i + 1])
                           : "expected a value, found the end of the arguments");
    const std::string value = joined_words(values);
    if (const auto [first, is_new] = seen.emplace(flag.name, value); !is_new)
      throw InputError(flag.name,
                       "is given twice" + (value.empty() ? std::string()
                                                         : ": first " + in_quotes(first->second) +
                                                               ", then " + in_quotes(value)));
    if (flag.flag != nullptr) {
      given_.push_back(
          {flag.name, std::move(values), flag.value, flag.flag->use, flag.flag->becomes});
      // Whether or not anybody asks for it later.
      if (flag.value == FlagValue::fraction) static_cast<void>(fraction(flag.name));
      if (flag.value == FlagValue::integer) static_cast<void>(integer(flag.name, -kMostNumber));
      read_.clear();
    } else {
      ignored_.push_back(
          {flag.name + (value.empty() ? "" : " " + one_line(value)), flag.ignored_because});
    }
  }
  if (!command.empty()) ignored_.push_back({joined_words(command), "the command itself"});
}

const LaunchArguments::Given* LaunchArguments::find(const std::string& flag) const {
  for (const Given& given : given_)
    if (given.flag == flag) {
      read_.insert(flag);
      return &given;
    }
  return nullptr;
}

std::vector<std::string> LaunchArguments::unread() const {
  std::vector<std::string> flags;
  for (const Given& given : given_)
    if ((given.use == FlagUse::plan || given.use == FlagUse::degree) &&
        read_.count(given.flag) == 0)
      flags.push_back(given.flag);
  return flags;
}

bool LaunchArguments::on(const std::string& flag) {
  if (has(flag)) return true;
  not_given(flag, "off");
  return false;
}

std::optional<std::int64_t> LaunchArguments::integer(const std::string& flag,
                                                     std::int64_t lowest,
                                                     std::int64_t highest) const {
  const Given* given = find(flag);
  if (given == nullptr) return std::nullopt;
  const std::string& text = given->values.front();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    fail(flag, "expected a whole number, found " + in_quotes(text));
  if (value < lowest || value > highest)
    fail(flag,
         "expected " + std::to_string(lowest) + " to " + std::to_string(highest) + ", found " +
             text);
  return value;
}

std::int64_t LaunchArguments::integer_or(const std::string& flag,
                                         std::int64_t lowest,
                                         std::int64_t highest,
                                         std::int64_t fallback) {
  if (const std::optional<std::int64_t> value = integer(flag, lowest, highest)) return *value;
  not_given(flag, std::to_string(fallback));
  return fallback;
}

std::optional<double> LaunchArguments::fraction(const std::string& flag) const {
  const Given* given = find(flag);
  if (given == nullptr) return std::nullopt;
  const std::string& text = given->values.front();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0) || value > 1)
    fail(flag, "expected a fraction above 0 and at most 1, found " + in_quotes(text));
  return value;
}

std::optional<std::string> LaunchArguments::word(const std::string& flag) const {
  const Given* given = find(flag);
  return given == nullptr ? std::nullopt : std::optional(given->values.front());
}

std::string LaunchArguments::choice_or(const std::string& flag,
                                       const std::vector<std::string>& choices,
                                       const std::string& fallback) {
  const std::optional<std::string> value = word(flag);
  if (!value) {
    not_given(flag, fallback);
    return fallback;
  }
  if (std::find(choices.begin(), choices.end(), *value) == choices.end())
    fail(flag, "expected one of " + joined(choices) + "; found " + in_quotes(*value));
  return *value;
}

std::vector<std::string> LaunchArguments::words_or(const std::string& flag,
                                                   const std::string& fallback) {
  if (const Given* given = find(flag)) return given->values;
  not_given(flag, fallback);
  return {fallback};
}

void LaunchArguments::not_given(const std::string& flag, const std::string& value) {
  for (const Default& taken : defaults_)
    if (taken.flag == flag) return;
  defaults_.push_back({flag, value});
}

void LaunchArguments::fail(const std::string& flag, const std::string& problem) const {
  throw InputError(flag, problem);
}

}  // namespace moesim
