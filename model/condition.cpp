#include "model/condition.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>

#include "model/json_message.hpp"

namespace moesim {

// A node of the parsed condition; `column` is where its operator or value stands.
struct Condition::Term {
  enum class Kind { literal, field, unary, binary };
  Kind kind = Kind::literal;
  std::size_t column = 1;
  std::string symbol;  // operator, or pointer of a field
  JsonNode literal;
  std::shared_ptr<const Term> left, right;
};

namespace {

using Term = Condition::Term;
using TermPointer = std::shared_ptr<const Term>;

constexpr int kMostDepth = 100;  // brackets in brackets; keeps the recursion off the stack limit

[[noreturn]] void fail_at(const std::string& text, std::size_t column, const std::string& problem) {
  throw InputError("--where " + in_quotes(text) + ": column " + std::to_string(column), problem);
}

class Parser {
 public:
  Parser(const std::string& text, std::vector<std::string>& fields)
      : text_(text), fields_(fields) {}

  TermPointer whole() {
    TermPointer term = binary(0, 0);
    skip_blanks();
    if (at_ < text_.size()) fail("expected an operator or the end");
    return term;
  }

 private:
  // Operators from the loosest to the tightest; longer ones first where one begins another.
  static const std::vector<std::vector<std::string>>& levels() {
    static const std::vector<std::vector<std::string>> kLevels = {
        {"||"}, {"&&"}, {"==", "!=", "<=", ">=", "<", ">"}, {"+", "-"}, {"*", "/", "%"}};
    return kLevels;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    fail_at(
        text_,
        at_ + 1,
        problem + ", found " + (at_ < text_.size() ? in_quotes(text_.substr(at_, 1)) : "the end"));
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  bool accept(const std::string& symbol) {
    if (text_.compare(at_, symbol.size(), symbol) != 0) return false;
    at_ += symbol.size();
    return true;
  }

  TermPointer binary(std::size_t level, int depth) {
    if (level == levels().size()) return unary(depth);
    TermPointer left = binary(level + 1, depth);
    for (int chained = 0;; ++chained) {
      skip_blanks();
      const std::size_t column = at_ + 1;
      const std::string* found = nullptr;
      for (const std::string& symbol : levels()[level])
        if (accept(symbol)) {
          found = &symbol;
          break;
        }
      if (found == nullptr) return left;
      if (level == 2 && chained > 0)
        fail_at(text_, column, "a comparison of a comparison; write a < b && b < c");
      auto term = std::make_shared<Term>();
      term->kind = Term::Kind::binary;
      term->column = column;
      term->symbol = *found;
      term->left = std::move(left);
      term->right = binary(level + 1, depth);
      left = std::move(term);
    }
  }

  TermPointer unary(int depth) {
    if (depth > kMostDepth) fail("nested too deep");
    skip_blanks();
    const std::size_t column = at_ + 1;
    for (const char* symbol : {"!", "-"}) {
      if (!accept(symbol)) continue;
      auto term = std::make_shared<Term>();
      term->kind = Term::Kind::unary;
      term->column = column;
      term->symbol = symbol;
      term->left = unary(depth + 1);
      return term;
    }
    if (accept("(")) {
      TermPointer inner = binary(0, depth + 1);
      skip_blanks();
      if (!accept(")")) fail("expected \")\"");
      return inner;
    }
    return value(column);
  }

  TermPointer value(std::size_t column) {
    auto term = std::make_shared<Term>();
    term->column = column;
    if (at_ == text_.size()) fail("expected a field such as /plan/pp, a number or a \"text\"");
    if (text_[at_] == '/') {
      const std::size_t end = std::min(text_.find_first_of(" \t()*+%<>=!&|", at_), text_.size());
      term->kind = Term::Kind::field;
      term->symbol = text_.substr(at_, end - at_);
      if (term->symbol.size() < 2) fail("expected a path such as /plan/pp");
      fields_.push_back(term->symbol);
      at_ = end;
      return term;
    }
    std::size_t end = at_;
    if (text_[at_] == '"') {
      for (end = at_ + 1; end < text_.size() && text_[end] != '"'; ++end)
        if (text_[end] == '\\') ++end;
      if (end >= text_.size()) fail("the text does not end");
      ++end;
    } else {
      double number = 0;
      const char* const begin = text_.data() + at_;
      const auto [rest, error] = std::from_chars(begin, text_.data() + text_.size(), number);
      if (error == std::errc{} && *begin >= '0' && *begin <= '9')
        end = static_cast<std::size_t>(rest - text_.data());
      for (const char* word : {"true", "false", "null"})
        if (text_.compare(at_, std::string(word).size(), word) == 0)
          end = at_ + std::string(word).size();
      if (end == at_) fail("expected a field such as /plan/pp, a number or a \"text\"");
    }
    try {
      term->literal = parse_json(text_.substr(at_, end - at_), "");
    } catch (const InputError&) {
      fail("expected a number or a \"text\" as JSON writes it");
    }
    at_ = end;
    return term;
  }

  const std::string& text_;
  std::vector<std::string>& fields_;
  std::size_t at_ = 0;
};

struct Value {
  enum class Kind { nothing, truth, number, text };
  Kind kind = Kind::nothing;
  bool truth = false;
  double number = 0;
  std::string text;       // as it was written
  std::string dimension;  // of a quantity: "bytes"; empty: a plain number
};

const char* kind_name(const Value& value) {
  switch (value.kind) {
    case Value::Kind::nothing: return "null";
    case Value::Kind::truth: return "true or false";
    case Value::Kind::number: return value.dimension.empty() ? "a number" : "a quantity";
    case Value::Kind::text: return "a text";
  }
  ENSURE(!"every kind of value has a name");
}

Value truth(bool value) {
  Value result;
  result.kind = Value::Kind::truth;
  result.truth = value;
  return result;
}

Value number(double value, const std::string& dimension = "") {
  Value result;
  result.kind = Value::Kind::number;
  result.number = value;
  result.dimension = dimension;
  return result;
}

template <class Parse>
std::optional<double> if_parsed(const Parse& parse) {
  try {
    return parse();
  } catch (const InputError&) {
    return std::nullopt;
  }
}

// A text that says how much of something is, is that quantity.
Value text_value(const std::string& text) {
  Value result;
  result.kind = Value::Kind::text;
  result.text = text;
  if (text.empty() || ((text[0] < '0' || text[0] > '9') && text[0] != '-')) return result;
  const auto is = [&](const char* dimension, std::optional<double> amount) {
    if (!amount) return false;
    result = number(*amount, dimension);
    result.text = text;
    return true;
  };
  const auto count = [&] {
    JsonNode node;
    node.kind = JsonNode::Kind::object;
    node.members.emplace_back("count", JsonNode{});
    node.members.front().second.kind = JsonNode::Kind::string;
    node.members.front().second.text = text;
    return static_cast<double>(ObjectReader(node).count("count"));
  };
  is("seconds", if_parsed([&] { return parse_seconds(text).in(s); })) ||
      is("bytes", if_parsed([&] { return parse_bytes(text).in(B); })) ||
      is("bandwidth", if_parsed([&] { return parse_bandwidth(text).in(B_per_s); })) ||
      is("FLOP rate", if_parsed([&] { return parse_flop_rate(text).in(FLOP_per_s); })) ||
      is("power", if_parsed([&] { return parse_power(text).in(W); })) ||
      is("dollars", if_parsed([&] { return parse_dollars(text).in(USD); })) ||
      is("dollar rate", if_parsed([&] { return parse_dollar_rate(text).in(USD_per_hour); })) ||
      is("", if_parsed(count));
  return result;
}

class Evaluator {
 public:
  Evaluator(const std::string& text, const Condition::FieldLookup& lookup)
      : text_(text), lookup_(lookup) {}

  bool truth_of(const Term& term) const {
    const Value value = value_of(term);
    if (value.kind != Value::Kind::truth)
      fail(term,
           std::string("expected a condition, which is true or false; found ") + kind_name(value));
    return value.truth;
  }

 private:
  [[noreturn]] void fail(const Term& term, const std::string& problem) const {
    fail_at(text_, term.column, problem);
  }

  Value value_of(const Term& term) const {
    switch (term.kind) {
      case Term::Kind::literal: return node_value(term, term.literal);
      case Term::Kind::field: {
        const JsonNode* node = lookup_(term.symbol);
        if (node == nullptr)
          fail(term,
               "the scenario has no " + one_line(term.symbol) +
                   "; conditions see what files and settings give, not defaults");
        return node_value(term, *node);
      }
      case Term::Kind::unary:
        if (term.symbol == "!") return truth(!truth_of(*term.left));
        return negated(term, value_of(*term.left));
      case Term::Kind::binary: return combined(term);
    }
    ENSURE(!"every kind of term is handled");
  }

  Value node_value(const Term& term, const JsonNode& node) const {
    switch (node.kind) {
      case JsonNode::Kind::null: return {};
      case JsonNode::Kind::boolean: return truth(node.boolean);
      case JsonNode::Kind::integer:
      case JsonNode::Kind::real: return number(node.real);
      case JsonNode::Kind::string: return text_value(node.text);
      case JsonNode::Kind::array:
      case JsonNode::Kind::object: break;
    }
    fail(term, one_line(term.symbol) + " is " + node.describe() + "; expected a single value");
  }

  Value negated(const Term& term, Value value) const {
    expect_number(term, value);
    value.number = -value.number;
    return value;
  }

  void expect_number(const Term& term, const Value& value) const {
    if (value.kind != Value::Kind::number)
      fail(term,
           in_quotes(term.symbol) + " needs numbers, found " + kind_name(value) +
               (value.kind == Value::Kind::text ? " " + in_quotes(value.text) : ""));
  }

  Value combined(const Term& term) const {
    const std::string& symbol = term.symbol;
    if (symbol == "&&") return truth(truth_of(*term.left) && truth_of(*term.right));
    if (symbol == "||") return truth(truth_of(*term.left) || truth_of(*term.right));
    const Value left = value_of(*term.left), right = value_of(*term.right);
    if (symbol == "==" || symbol == "!=")
      return truth(is_equal(term, left, right) == (symbol == "=="));
    expect_number(term, left);
    expect_number(term, right);
    return symbol.find_first_of("<>") != std::string::npos ? ordered(term, left, right)
                                                           : calculated(term, left, right);
  }

  bool is_equal(const Term& term, const Value& left, const Value& right) const {
    if (left.kind == Value::Kind::nothing || right.kind == Value::Kind::nothing)
      return left.kind == right.kind;
    if (left.kind != right.kind)
      fail(term, std::string("compares ") + kind_name(left) + " with " + kind_name(right));
    if (left.kind == Value::Kind::truth) return left.truth == right.truth;
    if (left.kind == Value::Kind::text) return left.text == right.text;
    expect_same_dimension(term, left, right);
    return left.number == right.number;
  }

  static std::string dimension_name(const Value& value) {
    return value.dimension.empty() ? "a plain number" : value.dimension;
  }

  void expect_same_dimension(const Term& term, const Value& left, const Value& right) const {
    if (left.dimension != right.dimension)
      fail(term,
           in_quotes(term.symbol) + " between " + dimension_name(left) + " and " +
               dimension_name(right));
  }

  Value ordered(const Term& term, const Value& left, const Value& right) const {
    expect_same_dimension(term, left, right);
    const std::string& symbol = term.symbol;
    return truth(symbol == "<"    ? left.number < right.number
                 : symbol == "<=" ? left.number <= right.number
                 : symbol == ">"  ? left.number > right.number
                                  : left.number >= right.number);
  }

  Value calculated(const Term& term, const Value& left, const Value& right) const {
    const char symbol = term.symbol[0];
    const bool scales = (symbol == '*' && (left.dimension.empty() || right.dimension.empty())) ||
                        (symbol == '/' && right.dimension.empty());
    if (!scales) expect_same_dimension(term, left, right);
    if (symbol == '*' && !scales)
      fail(term, "a product of " + left.dimension + " has no meaning here");
    if ((symbol == '/' || symbol == '%') && right.number == 0) fail(term, "a division by zero");
    switch (symbol) {
      case '+': return number(left.number + right.number, left.dimension);
      case '-': return number(left.number - right.number, left.dimension);
      case '%': return number(std::fmod(left.number, right.number), left.dimension);
      case '/': return number(left.number / right.number, scales ? left.dimension : std::string());
      default: return number(left.number * right.number, left.dimension + right.dimension);
    }
  }

  const std::string& text_;
  const Condition::FieldLookup& lookup_;
};

}  // namespace

Condition::Condition(const std::string& text) : text_(text) {
  root_ = Parser(text_, fields_).whole();
}

bool Condition::holds(const FieldLookup& lookup) const {
  return Evaluator(text_, lookup).truth_of(*root_);
}

}  // namespace moesim
