// The guides: every block of shell commands runs, every link leads somewhere, every file that the
// table of limits names is there.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

// Unlike the README's, blocks of a guide may write a file first; they share the guide's folder.
void run_blocks(const char* file, std::size_t least) {
  const Shell shell;
  std::size_t blocks = 0;
  std::istringstream lines(read(kSource / file));
  std::string block;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "```sh") {
      inside = true;
      block = "set -e\n";
    } else if (inside && line.rfind("```", 0) == 0) {
      inside = false;
      ++blocks;
      CHECK(block.find("build/moesim") != std::string::npos);
      const Result result = shell("\n" + block + "\n");
      INFO(block << "\n" << result.err);
      CHECK(result.code == 0);
      CHECK((!result.out.empty() || block.find(" > ") != std::string::npos));
    } else if (inside) {
      block += line + "\n";
    }
  }
  CHECK(blocks >= least);
}

// What stands between each `open` and the next `close`.
std::vector<std::string> between(const std::string& text,
                                 const std::string& open,
                                 const std::string& close) {
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = text.find(open, at)) != std::string::npos;) {
    at += open.size();
    const std::size_t end = text.find(close, at);
    if (end == std::string::npos) break;
    found.push_back(text.substr(at, end - at));
    at = end + close.size();
  }
  return found;
}

// As GitHub makes a heading's anchor.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_')
      anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (c == ' ')
      anchor += '-';
  }
  return anchor;
}

bool has_anchor(const std::string& text, const std::string& anchor) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind('#', 0) == 0 && anchor_of(line.substr(line.find(' ') + 1)) == anchor)
      return true;
  return false;
}

}  // namespace

TEST_CASE("the guide to evaluating a cluster runs") { run_blocks("docs/evaluate-a-cluster.md", 5); }

TEST_CASE("the guide to reproducing a published cost runs") {
  run_blocks("docs/reproduce-a-published-cost.md", 5);
}

TEST_CASE("the guide to planning capacity runs") { run_blocks("docs/plan-capacity.md", 3); }

TEST_CASE("the guides to adding a model and a GPU run") {
  run_blocks("docs/add-a-model.md", 2);
  run_blocks("docs/add-a-gpu.md", 2);
}

TEST_CASE("the guide to calibrating runs") { run_blocks("docs/calibrate-your-own.md", 1); }

TEST_CASE("every link between the pages leads to a page and a heading") {
  std::size_t links = 0;
  for (const auto& file : fs::directory_iterator(kSource / "docs")) {
    if (file.path().extension() != ".md") continue;
    for (const std::string& link : between(read(file.path()), "](", ")")) {
      if (link.rfind("http", 0) == 0 || link.find(' ') != std::string::npos) continue;
      ++links;
      INFO(file.path() << ": " << link);
      const std::size_t hash = link.find('#');
      const fs::path target =
          hash == 0 ? file.path() : file.path().parent_path() / link.substr(0, hash);
      CHECK(fs::exists(target));
      if (hash != std::string::npos && fs::exists(target))
        CHECK(has_anchor(read(target), link.substr(hash + 1)));
    }
  }
  CHECK(links > 50);
}

TEST_CASE("the index has every page once") {
  const std::string index = read(kSource / "docs" / "README.md");
  for (const auto& file : fs::directory_iterator(kSource / "docs")) {
    const std::string name = file.path().filename().string();
    if (name == "README.md" || file.path().extension() != ".md") continue;
    INFO(name);
    CHECK(index.find("[" + name + "](" + name + ")") != std::string::npos);
  }
}

TEST_CASE("the table of limits names headers that say what they leave out") {
  const std::string text = read(kSource / "docs" / "physics.md");
  const std::string table = text.substr(text.find("## Limits in one table"));
  std::size_t files = 0;
  for (const std::string& name : between(table, "`", "`")) {
    if (name.rfind("model/", 0) != 0 && name.rfind("sim/", 0) != 0) continue;
    ++files;
    INFO(name);
    CHECK((fs::exists(kSource / (name + ".hpp")) || fs::is_directory(kSource / name)));
  }
  CHECK(files >= 20);
}

}  // namespace moesim::cli
