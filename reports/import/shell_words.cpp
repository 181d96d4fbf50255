#include "reports/import/shell_words.hpp"

#include <cctype>
#include <map>
#include <optional>
#include <set>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

class Reader {
 public:
  Reader(const std::string& text, const std::string& place) : text_(text), place_(place) {}

  std::vector<std::string> words() {
    std::vector<std::string> result;
    while (skip_blanks()) {
      if (text_[at_] == ')' && in_array_) {
        in_array_ = false;
        ++at_;
      } else if (ends_command()) {
        skip_line();
      } else if (const std::optional<std::string> name = assignment()) {
        if (at_ < text_.size() && text_[at_] == '(') {
          arrays_.insert(*name);
          in_array_ = true;
          ++at_;
        } else {
          variables_[*name] = word().value_or("");
        }
      } else if (const std::optional<std::string> next = word()) {
        result.push_back(*next);
      }
    }
    return result;
  }

 private:
  // Stops at the next word, if there is one.
  bool skip_blanks() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '#') {
        skip_line();
      } else if (text_.compare(at_, 2, "\\\n") == 0) {
        ++at_;
        continue;
      } else if (text_.compare(at_, 3, "\\\r\n") == 0) {
        at_ += 2;
        continue;
      }
      if (at_ >= text_.size() || std::isspace(static_cast<unsigned char>(text_[at_])) == 0) break;
    }
    return at_ < text_.size();
  }

  void skip_line() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  bool ends_command() const {
    for (const char* mark : {"|", ">", "2>", "1>", "&", ";"})
      if (text_.compare(at_, std::string(mark).size(), mark) == 0) return true;
    return false;
  }

  // The name of NAME= or NAME+= here, behind which the value starts.
  std::optional<std::string> assignment() {
    std::size_t end = at_;
    while (end < text_.size() && is_name(text_[end])) ++end;
    const std::size_t equals = text_.compare(end, 1, "+") == 0 ? end + 1 : end;
    if (end == at_ || text_.compare(equals, 1, "=") != 0 ||
        std::isdigit(static_cast<unsigned char>(text_[at_])) != 0)
      return std::nullopt;
    const std::string name = text_.substr(at_, end - at_);
    at_ = equals + 1;
    return name;
  }

  // The word that starts here; nothing when it was only the name of an array.
  std::optional<std::string> word() {
    std::string result;
    bool quoted = false, array_only = false;
    char quote = '\0';
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (quote == '\0' &&
          (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || (c == ')' && in_array_)))
        break;
      if (c == quote) {
        quote = '\0';
      } else if (quote == '\0' && (c == '"' || c == '\'')) {
        quote = c;
        quoted = true;
      } else if (c == '\\' && quote != '\'') {
        if (++at_ < text_.size() && text_[at_] != '\n') result += text_[at_];
      } else if (c == '$' && quote != '\'') {
        array_only = expand(result) || array_only;
      } else {
        result += c;
      }
    }
    if (quote != '\0')
      throw InputError(place_, std::string("a quotation mark ") + quote + " is never closed");
    if (result.empty() && (array_only || !quoted)) return std::nullopt;
    return result;
  }

  // Appends the value of the variable at $; true for an array, whose words stand elsewhere.
  bool expand(std::string& result) {
    std::size_t from = at_ + 1;
    const bool braces = text_.compare(from, 1, "{") == 0;
    if (braces) ++from;
    std::size_t end = from;
    while (end < text_.size() && is_name(text_[end])) ++end;
    const std::string name = text_.substr(from, end - from);
    const std::size_t close = braces ? text_.find('}', end) : end - 1;
    if (arrays_.count(name) != 0 && close != std::string::npos) {
      at_ = close;
      return true;
    }
    if (variables_.count(name) == 0 || close == std::string::npos || (braces && close != end))
      throw InputError(place_,
                       "the shell variable " +
                           in_quotes(text_.substr(at_, end - at_ + (braces ? 1 : 0))) +
                           " has no value here; expected the arguments as the program gets them "
                           "(put echo before the command)");
    result += variables_[name];
    at_ = close;
    return false;
  }

  const std::string& text_;
  const std::string& place_;
  std::size_t at_ = 0;
  bool in_array_ = false;
  std::map<std::string, std::string> variables_;
  std::set<std::string> arrays_;
};

}  // namespace

std::vector<std::string> shell_words(const std::string& text, const std::string& place) {
  return Reader(text, place).words();
}

}  // namespace moesim
