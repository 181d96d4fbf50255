// Recorded tokens and tables of loads: what is read, and one clear line for all that is not.
#include <algorithm>
#include <string>
#include <vector>

#include "model/random.hpp"
#include "model/routing_record.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

// Layers 3 and 4, two tokens, two of five experts.
const char* const kLines = R"({"token": 0, "layer": 3, "experts": [4, 0]})"
                           "\n"
                           R"({"token": 1, "layer": 3, "experts": [1, 2]})"
                           "\n"
                           R"({"token": 0, "layer": 4, "experts": [3, 1]})"
                           "\n"
                           R"({"token": 1, "layer": 4, "experts": [0, 3]})"
                           "\n";

class Recording {
 public:
  explicit Recording(const std::string& text, const std::string& name = "tokens.jsonl")
      : path_(folder_.add_file(name, text)) {}

  TokenRecords read() const { return read_token_records(path_, 5, 2); }
  // The message without the folder's name.
  std::string refused() const {
    const std::string message = refusal([&] { read(); });
    const std::string prefix = folder_.path().string() + "/";
    return message.rfind(prefix, 0) == 0 ? message.substr(prefix.size()) : message;
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_;
};

void check_is_four_lines(const TokenRecords& records) {
  CHECK(records.first_layer == 3);
  REQUIRE(records.layers.size() == 2);
  CHECK(records.layers[0].experts == std::vector<std::int32_t>{4, 0, 1, 2});
  CHECK(records.layers[1].experts == std::vector<std::int32_t>{3, 1, 0, 3});
  for (const RoutedTokens& layer : records.layers) {
    CHECK(layer.num_tokens == 2);
    CHECK(layer.top_k == 2);
    CHECK(layer.weights.empty());
  }
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string table_refused(const std::string& rows,
                          const std::string& domain = "",
                          const std::string& method = "") {
  const TemporaryFolder folder;
  const auto path = folder.add_file("t.json", "{\"source\": \"a test\", \"rows\": " + rows + "}");
  const std::string message = refusal([&] { read_load_table(path, domain, method, 2); });
  const std::string prefix = folder.path().string() + "/";
  return message.rfind(prefix, 0) == 0 ? message.substr(prefix.size()) : message;
}

LoadTable table(const std::string& rows,
                const std::string& domain = "",
                const std::string& method = "") {
  const TemporaryFolder folder;
  const auto path = folder.add_file("t.json", "{\"rows\": " + rows + "}");
  return read_load_table(path, domain, method, 2);
}

}  // namespace

TEST_CASE("Recorded tokens are read in any order, spacing and form") {
  check_is_four_lines(Recording(kLines).read());
  check_is_four_lines(
      Recording("{\"experts\":[0,3],\"layer\":4,\"token\":1}\r\n"
                "  {  \"layer\" : 3 , \"experts\" : [ 1 , 2 ] , \"token\" : 1 }  \r\n"
                "{\"token\":0,\"experts\":[3,1],\"layer\":4}\n"
                "{\"token\":0,\t\"layer\":3,\t\"experts\":[4,0]}")
          .read());
  check_is_four_lines(Recording("token,layer,expert_0,expert_1\n"
                                "1,4,0,3\n0,3,4,0\n1,3,1,2\n0, 4, 3, 1\n",
                                "tokens.csv")
                          .read());
}

TEST_CASE("Every wrong line of recorded tokens is named") {
  const auto refused = [](const std::string& from, const std::string& to) {
    return Recording(with(kLines, from, to)).refused();
  };
  CHECK(refused("[3, 1]", "[3, 5]") == "tokens.jsonl: line 3: expert 5; expected at most 4");
  CHECK(refused("[3, 1]", "[3, 3]") == "tokens.jsonl: line 3: expert 3 twice in one token");
  CHECK(refused("[3, 1]", "[3]") == "tokens.jsonl: line 3: expected 2 experts, found 1");
  CHECK(refused("[3, 1]", "[3, 1, 0]") == "tokens.jsonl: line 3: expected 2 experts, found 3");
  CHECK(refused("[3, 1]", "[]") ==
        "tokens.jsonl: line 3: expected a whole number of at least 0, found \"]}\"");
  CHECK(refused("[3, 1]", "[3, -1]") ==
        "tokens.jsonl: line 3: expected a whole number of at least 0, found \"-1]}\"");
  CHECK(refused("[3, 1]", "[3, 1.5]") == "tokens.jsonl: line 3: expected \"]\", found \".5]}\"");
  CHECK(refused("[3, 1]", "[3, 99999999999999999999]") ==
        "tokens.jsonl: line 3: expected a whole number of at least 0, found "
        "\"99999999999999999999]}\"");
  CHECK(refused("[3, 1]}", "[3, 1]} x") ==
        "tokens.jsonl: line 3: expected the end of the line, found \"x\"");
  CHECK(refused("\"layer\": 3", "\"layer\": 10000") ==
        "tokens.jsonl: line 1: layer 10000; expected at most 9999");
  CHECK(refused("\"layer\": 3, ", "") == "tokens.jsonl: line 1: key \"layer\" is missing");
  CHECK(refused("\"layer\": 3, ", "\"token\": 0, ") ==
        "tokens.jsonl: line 1: key \"token\" appears twice");
  CHECK(refused("\"layer\"", "\"lyer\"") ==
        "tokens.jsonl: line 1: expected \"token\", \"layer\" or \"experts\", found "
        "\"\\\"lyer\\\": 3, \\\"experts\\\": [4, 0]}\"");
  CHECK(refused("{\"token\": 1, \"layer\": 3", "\n{\"token\": 1, \"layer\": 3") ==
        "tokens.jsonl: line 2: expected \"{\", found the end of the line");
  CHECK(Recording("").refused() == "tokens.jsonl: is empty");
  CHECK(Recording(kLines, "tokens.txt").refused() ==
        "tokens.txt: expected recorded tokens in a .jsonl or .csv file, found the extension "
        "\".txt\"");
  CHECK(refusal([] { read_token_records("none.jsonl", 5, 2); }) ==
        "none.jsonl: cannot be read: no such file");
}

TEST_CASE("Tokens that are missing or recorded twice are named") {
  const std::string text = kLines;
  CHECK(
      Recording(with(text, "\"token\": 1, \"layer\": 4", "\"token\": 0, \"layer\": 4")).refused() ==
      "tokens.jsonl: line 4: token 0 of layer 4 again; first in line 3");
  CHECK(
      Recording(with(text, "\"token\": 1, \"layer\": 4", "\"token\": 2, \"layer\": 4")).refused() ==
      "tokens.jsonl: line 4: token 2 of layer 4, which has 2 tokens; expected tokens numbered from "
      "0 without gaps");
  CHECK(
      Recording(with(text, "\"token\": 1, \"layer\": 4", "\"token\": 0, \"layer\": 6")).refused() ==
      "tokens.jsonl: layer 5 has no tokens; layers before and after it have");
  CHECK(Recording(text + "{\"token\": 2, \"layer\": 4, \"experts\": [0, 1]}\n").refused() ==
        "tokens.jsonl: layer 4 has 3 tokens, layer 3 has 2");
  // A number far beyond the lines of the file must not ask for memory.
  CHECK(Recording(with(text, "\"token\": 1", "\"token\": 9000000000000000000")).refused() ==
        "tokens.jsonl: line 2: token 9000000000000000000 of layer 3, which has 2 tokens; expected "
        "tokens numbered from 0 without gaps");
}

TEST_CASE("A CSV of tokens needs its header and whole lines") {
  const auto refused = [](const std::string& text) { return Recording(text, "t.csv").refused(); };
  const std::string header = "token,layer,expert_0,expert_1\n";
  CHECK(refused(header) == "t.csv: line 1: no tokens after the header");
  CHECK(refused("token,layer,expert_0\n0,0,1\n") ==
        "t.csv: line 1: expected \",expert_1\", found the end of the line");
  CHECK(refused("token,layer,expert_0,expert_1,expert_2\n0,0,1,2,3\n") ==
        "t.csv: line 1: expected the end of the line, found \",expert_2\"");
  CHECK(refused(header + "0,0,1\n") == "t.csv: line 2: expected 2 experts, found 1");
  CHECK(refused(header + "0,0,1,x\n") ==
        "t.csv: line 2: expected a whole number of at least 0, found \"x\"");
  // 1 could be the beginning of 17.
  CHECK(refused(header + "0,0,2,3\n1,0,2,1") ==
        "t.csv: line 3: the last line is incomplete; without a newline, the file may be cut off");
}

TEST_CASE("A recording cut off inside a line is refused") {
  const std::string text = kLines;
  for (std::size_t size = 1; size < text.size(); ++size) {
    const bool is_whole = text[size - 1] == '\n' || text[size] == '\n';
    if (is_whole) continue;
    INFO(size << " bytes");
    CHECK(Recording(text.substr(0, size))
              .refused()
              .find("without a newline, the file may be cut off") != std::string::npos);
  }
  // Between lines only the missing tokens tell.
  CHECK(Recording(text.substr(0, text.rfind("{"))).refused() ==
        "tokens.jsonl: layer 4 has 1 tokens, layer 3 has 2");
}

TEST_CASE("Garbage is refused or read, never a crash") {
  Random random(23);
  std::size_t num_refused = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::string text = kLines;
    for (int change = 0; change < 3; ++change) {
      text[random.bits() % text.size()] = static_cast<char>(random.bits());
    }
    const std::string message = Recording(text).refused();
    CHECK(message.find('\n') == std::string::npos);
    if (message != "nothing was refused") ++num_refused;
  }
  CHECK(num_refused > 200);
}

TEST_CASE("A table of loads is chosen by domain and method") {
  const std::string rows = R"([
    {"layer": 2, "relative_load": [0.5, 1.5], "domain": "code", "method": "loss"},
    {"layer": 1, "relative_load": [1.2, 0.8], "domain": "code", "method": "loss", "mean": 1.0},
    {"layer": 1, "relative_load": [0.9, 1.1], "domain": "code", "method": "free"},
    {"layer": 1, "relative_load": [0.2, 1.8], "domain": "text", "method": "loss"}])";
  CHECK(table(rows, "code", "loss").layers ==
        std::vector<std::vector<double>>{{1.2, 0.8}, {0.5, 1.5}});
  CHECK(table(rows, "text", "loss").layers == std::vector<std::vector<double>>{{0.2, 1.8}});
  CHECK(table_refused(rows) ==
        "t.json: /rows: several values of domain; name one of \"code\", \"text\"");
  CHECK(table_refused(rows, "code") ==
        "t.json: /rows: several values of method; name one of \"free\", \"loss\"");
  CHECK(table_refused(rows, "news", "loss") ==
        "t.json: /rows: no row with domain \"news\"; known: \"code\", \"text\"");
  CHECK(table_refused(rows, "text", "free") ==
        "t.json: /rows: no row with domain \"text\" and method \"free\"");
  // Without any names nothing has to be chosen; a mean beside 1 is rounding, and is scaled away.
  const LoadTable plain = table(R"([{"layer": 7, "relative_load": [0.48, 1.44]}])");
  REQUIRE(plain.layers.size() == 1);
  CHECK(plain.layers[0][0] == Approx(0.5));
  CHECK(plain.layers[0][1] == Approx(1.5));
}

TEST_CASE("Wrong tables of loads are refused") {
  CHECK(table_refused("[]") == "t.json: /rows: expected at least one row");
  CHECK(table_refused(R"([{"layer": 1, "relative_load": [1, 1, 1]}])") ==
        "t.json: /rows/0/relative_load: expected an array of 2 loads, found 3");
  CHECK(table_refused(R"([{"layer": 1, "relative_load": 1}])") ==
        "t.json: /rows/0/relative_load: expected an array of 2 loads, found the number 1");
  CHECK(table_refused(R"([{"layer": 1, "relative_load": [3, -1]}])") ==
        "t.json: /rows/0/relative_load/0: expected a number from 0 to 2, found 3");
  CHECK(table_refused(R"([{"layer": 1, "relative_load": [0.5, 0.5]}])") ==
        "t.json: /rows/0/relative_load: expected loads of mean 1, found mean 0.5");
  CHECK(table_refused(R"([{"layer": 1, "relative_load": [1, 1], "note": ""}])")
            .rfind("t.json: /rows/0: unknown key \"note\"", 0) == 0);
  const std::string row = R"({"layer": 1, "relative_load": [1, 1]})";
  CHECK(table_refused("[" + row + "," + row + "]") == "t.json: /rows/1: layer 1 again");
  CHECK(table_refused("[" + row + R"(, {"layer": 3, "relative_load": [1, 1]}])") ==
        "t.json: /rows: layer 2 is missing; layers 1 to 3 are expected");
}

TEST_CASE("The digitised heat maps of the DeepSeek-V3 report are read") {
  const auto folder = reference_folder();
  if (!folder) return;
  const auto path = *folder / "expert_load_v3_fig10.json";
  const LoadTable with_loss = read_load_table(path, "wikipedia_en", "aux_loss", 64);
  REQUIRE(with_loss.layers.size() == 26);
  // Appendix C, Figure 10: the auxiliary loss evens loads out, and without it experts specialise.
  const LoadTable without = read_load_table(path, "dm_mathematics", "aux_loss_free", 64);
  const auto highest = [](const LoadTable& t) {
    double load = 0;
    for (const auto& row : t.layers)
      load = std::max(load, *std::max_element(row.begin(), row.end()));
    return load;
  };
  CHECK(highest(without) > 9.8);
  CHECK(highest(with_loss) < highest(without));
  CHECK(popularity_refusal(without.layers[0], 6).empty());
}
