// Reports against tests/golden, and the generated blocks of the README.
#include "tests/cli/shell.hpp"

namespace moesim::cli {

TEST_CASE("golden reports of the shipped scenarios and models", "[golden]") {
  const Shell shell;
  const Result chunk = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc");
  REQUIRE(chunk.code == 0);
  check_golden("deepseek-v3-chunk.md", chunk.out);
  const Result json = shell("build/moesim run scenarios/deepseek-v3-chunk.jsonc --json");
  REQUIRE(json.code == 0);
  check_golden("deepseek-v3-chunk.json", json.out);
  for (const char* name :
       {"deepseek-v3", "deepseek-v2", "deepseek-moe-16b", "mixtral-8x7b", "llama-3.1-405b"}) {
    const Result model =
        shell(std::string("build/moesim model scenarios/models/") + name + ".json");
    REQUIRE(model.code == 0);
    check_golden(std::string("model-") + name + ".md", model.out);
  }
}

TEST_CASE("golden report of DeepSeek-V3 pre-training, and the README's blocks", "[golden]") {
  const Shell shell;
  const Result run =
      shell("build/moesim run scenarios/deepseek-v3-pretrain.jsonc --variants -o out");
  REQUIRE(run.code == 0);
  CHECK(run.err.empty());
  // A file has more sections than what is printed (tests/cli/test_cli_reports.cpp).
  CHECK(section_of(read(shell.folder() / "out" / "report.md"), "Summary") ==
        section_of(run.out, "Summary"));
  check_golden("deepseek-v3-pretrain.md", run.out);
  check_block("README.md", "variants", section_of(run.out, "What a change does"));
  check_block("README.md",
              "gap",
              section_of(run.out, "What separates the prediction from the measurement"));
  check_block("README.md", "waterfall", section_of(run.out, "From the peak to the achieved MFU"));
  const Result validate = shell("build/moesim validate");
  REQUIRE(validate.code == 0);
  check_block("README.md", "validate", without_first_line(section_of(validate.out, "Figures")));
}

}  // namespace moesim::cli
