// -o: the files that a report leaves in a folder.
#include "tests/cli/shell.hpp"

using namespace moesim::cli;

namespace {
const std::string kChunk = "build/moesim run scenarios/deepseek-v3-chunk.jsonc";
}

TEST_CASE("option -o leaves the report as a page, as text, as JSON, and its tables", "[output]") {
  const Shell shell;
  const Result run = shell(kChunk + " -o out/deep");
  REQUIRE(run.code == 0);
  const fs::path out = shell.folder() / "out" / "deep";
  // The file has all sections that are printed, and some that are only for files.
  const std::string text = read(out / "report.md");
  CHECK(text.size() > run.out.size());
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("## ", 0) == 0)
      CHECK(section_of(text, line.substr(3)) == section_of(run.out, line.substr(3)));
  CHECK(read(out / "report.json") == shell(kChunk + " --json").out);
  const std::string page = read(out / "report.html"), tables = read(out / "tables.json");
  CHECK(page.rfind("<!DOCTYPE html>", 0) == 0);
  CHECK(page.find("<h1>deepseek-v3-chunk</h1>") != std::string::npos);
  CHECK(page.find("2ce9e6931493448c") != std::string::npos);
  CHECK(page.size() < 1500000);
  std::size_t files = 0;
  for (const auto& file : fs::directory_iterator(out / "tables")) {
    ++files;
    CHECK(file.path().extension() == ".csv");
    CHECK(tables.find("\"name\": \"" + file.path().stem().string() + "\"") != std::string::npos);
    CHECK(read(file.path()).find('\n') != std::string::npos);
  }
  CHECK(files > 5);
  // The same bytes again, for any number of threads.
  REQUIRE(shell(kChunk + " -o out/again --threads 1").code == 0);
  CHECK(read(shell.folder() / "out" / "again" / "report.html") == page);
}

TEST_CASE("other commands take -o too", "[output]") {
  const Shell shell;
  REQUIRE(shell("build/moesim capacity scenarios/azure-conversation-h200.jsonc --slo "
                "'p99_ttft<2s,p99_tpot<60ms' --sweep 0 --quiet -o cap")
              .code == 0);
  CHECK(read(shell.folder() / "cap" / "report.html").find("fewest GPUs") != std::string::npos);
  REQUIRE(
      shell("build/moesim optimize scenarios/deepseek-v3-pretrain.jsonc --vary /plan/tp=1 --vary "
            "/plan/pp=16 --vary /plan/ep=64 --best 1 --quiet -o opt")
          .code == 0);
  CHECK(fs::exists(shell.folder() / "opt" / "report.html"));
}

TEST_CASE("option -o: a folder that cannot be written is one line, exit 1, before the work", "[output]") {
  const Shell shell;
  write(shell.folder() / "file", "");
  const Result run = shell(kChunk + " -o file/out");
  CHECK(run.code == 1);
  CHECK(run.out.empty());
  CHECK(run.err.find("file/out/tables: cannot be created: Not a directory") != std::string::npos);
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
}
