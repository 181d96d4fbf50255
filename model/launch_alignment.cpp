#include "model/launch_alignment.hpp"

#include <algorithm>

namespace moesim {
namespace {

// Kernels with a line count before lines in use.
struct Score {
  std::uint32_t kernels = 0, lines = 0;
  friend auto operator<=>(const Score&, const Score&) = default;
  Score plus_kernel(bool is_first_of_line) const {
    return {kernels + 1, lines + (is_first_of_line ? 1 : 0)};
  }
};

// The best score from a line and a kernel on, before the line took a kernel and after.
class Scores {
 public:
  Scores(std::size_t num_lines, std::size_t num_kernels)
      : width_(num_kernels + 1), fresh_((num_lines + 1) * width_), used_(fresh_.size()) {}
  Score& fresh(std::size_t line, std::size_t kernel) { return fresh_[line * width_ + kernel]; }
  Score& used(std::size_t line, std::size_t kernel) { return used_[line * width_ + kernel]; }
  // After the line took the kernel: a line that repeats may take more.
  Score after(std::size_t line, std::size_t kernel, bool repeats) {
    return repeats ? used(line, kernel + 1) : fresh(line + 1, kernel + 1);
  }

 private:
  std::size_t width_;
  std::vector<Score> fresh_, used_;  // [line, kernel], both one past the end
};

}  // namespace

std::vector<std::optional<std::size_t>> align_launches(
    const std::vector<bool>& repeats,
    std::size_t num_kernels,
    const std::function<bool(std::size_t line, std::size_t kernel)>& matches) {
  const std::size_t num_lines = repeats.size();
  Scores best(num_lines, num_kernels);
  for (std::size_t line = num_lines; line-- > 0;)
    for (std::size_t kernel = num_kernels; kernel-- > 0;) {
      Score& fresh = best.fresh(line, kernel);
      Score& used = best.used(line, kernel);
      fresh = std::max(best.fresh(line + 1, kernel), best.fresh(line, kernel + 1));
      used = std::max(best.fresh(line + 1, kernel), best.used(line, kernel + 1));
      if (!matches(line, kernel)) continue;
      const Score after = best.after(line, kernel, repeats[line]);
      fresh = std::max(fresh, after.plus_kernel(true));
      used = std::max(used, after.plus_kernel(false));
    }

  std::vector<std::optional<std::size_t>> line_of(num_kernels);
  std::size_t line = 0, kernel = 0;
  bool is_used = false;
  while (line < num_lines && kernel < num_kernels) {
    const Score here = is_used ? best.used(line, kernel) : best.fresh(line, kernel);
    if (matches(line, kernel) &&
        here == best.after(line, kernel, repeats[line]).plus_kernel(!is_used)) {
      line_of[kernel++] = line;
      is_used = repeats[line];
      if (!is_used) ++line;
    } else if (here == best.fresh(line + 1, kernel)) {
      ++line;
      is_used = false;
    } else {
      ++kernel;
    }
  }
  return line_of;
}

}  // namespace moesim
