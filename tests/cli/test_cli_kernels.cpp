// `moesim-calibrate check` at large shapes and `check-step` of both halves, as their user meets
// them on the fake device.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kCheck = "build/moesim-calibrate check --device=fake --quiet --only cast ";
const std::string kStep =
    "build/moesim-calibrate check-step --device=fake --profile scenarios/profiles/synthetic.json ";

}  // namespace

TEST_CASE("check: samples of large shapes") {
  const Shell shell;
  const Result right = shell(kCheck + "--shapes core");
  CHECK(right.code == 0);
  CHECK(says(right.out, "| cast, samples of 7 shapes | 0 | 0 | right |"));
  CHECK(says(right.out, "\n9 checks, 0 wrong\n"));
  const Result all = shell(kCheck + "--shapes all");
  CHECK(says(all.out, "| cast, samples of 15 shapes | 0 | 0 | right |"));
  const Result wrong = shell(kCheck + "--shapes core --fake-fault unwritten=cast");
  CHECK(wrong.code == 1);
  CHECK(says(wrong.err,
             "output 2, from 2767296 on, of cast bytes=1073732576 has 56 of 56 values not "
             "written"));
  const Result unknown = shell(kCheck + "--shapes big");
  CHECK(unknown.code == 2);
  CHECK(says(unknown.err, "--shapes: big not in {small,core,all}"));
  const Result naive = shell(kCheck + "--routes naive");
  CHECK(naive.code == 2);
  CHECK(naive.err ==
        "moesim-calibrate: --routes: is \"naive\", which the fake device has none of; expected "
        "own\n");
}

TEST_CASE("check-step: the halves of a layer") {
  const Shell shell;
  const Result both = shell(kStep);
  CHECK(both.code == 0);
  CHECK(both.out.starts_with("## Forward\n\n| operation | "));
  CHECK(says(both.out, " us\n\n## Backward\n\n| operation | "));
  const Result backward = shell(kStep + "--half backward");
  CHECK(backward.out.starts_with("## Backward\n"));
  CHECK(says(backward.out,
             "| expert_gate_up_wgrad(x4,2 streams) | gemm_fp8_wgrad | m=4096 n=7168 k=8128, 4 "
             "times | "));
  CHECK(says(backward.out, "| castback_attn_out_E5M6 | cast_back_e5m6 |  | - | "));
  CHECK(both.out.ends_with(backward.out));
  CHECK(shell(kStep + "--half sideways").code == 2);
}

}  // namespace moesim::cli
