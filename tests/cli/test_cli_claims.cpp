// moesim validate --claims as its user meets it.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

void write_claims(const Shell& shell, const std::string& expected) {
  fs::create_directories(shell.folder() / "mine" / "published");
  write(shell.folder() / "mine" / "published" / "claims.json",
        R"({"about": "a", "claims": [{"id": "sum", "claim": "2 x 3 is 7", "where": "jokes",
            "claimed": 7, "unit": "apples", "tolerance_pct": 0, "expected": ")" +
            expected + R"(", "from": {"formula": "product", "inputs": {"a": 2, "b": 3}},
            "source": "arithmetic", "because": "it is 6"}]})");
}

}  // namespace

TEST_CASE("the shipped claims are audited: exit 0, computed values, reasons") {
  const Shell shell;
  const Result result = shell("build/moesim validate --claims");
  CHECK(result.code == 0);
  for (const char* part : {"| v2.throughput ",
                           "3800 tokens/s",
                           "1608 tokens/s",
                           "| misleading |",
                           "| true ",
                           "| false ",
                           "## Not computed",
                           "0 with another verdict than expected",
                           "formula quotient("}) {
    INFO(part);
    CHECK(result.out.find(part) != std::string::npos);
  }
  const Result json = shell("build/moesim validate --claims --json --threads 1");
  CHECK(json.code == 0);
  CHECK(json.out.find("\"id\": \"v2.kv_64x\"") != std::string::npos);
  CHECK(json.out == shell("build/moesim validate --claims --json --threads 3").out);
}

TEST_CASE("a verdict that is not the expected one: exit 3, and the row says so") {
  const Shell shell;
  write_claims(shell, "false");
  const Result agreed = shell("build/moesim validate --claims --scenarios mine");
  CHECK(agreed.code == 0);
  CHECK(agreed.out.find("7 apples") != std::string::npos);
  CHECK(agreed.out.find("6 apples") != std::string::npos);
  write_claims(shell, "true");
  const Result result = shell("build/moesim validate --claims --scenarios mine");
  CHECK(result.code == 3);
  CHECK(result.out.find("false (expected true)") != std::string::npos);
  const Result json = shell("build/moesim validate --claims --scenarios mine --json");
  CHECK(json.code == 3);
  CHECK(json.out.find("\"verdict\": \"false\"") != std::string::npos);
  write_claims(shell, "perhaps");
  const Result refused = shell("build/moesim validate --claims --scenarios mine");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("claims.json: /claims/0/expected") != std::string::npos);
  CHECK(shell("build/moesim validate --claims --scenarios /nowhere").code == 2);
}

}  // namespace moesim::cli
