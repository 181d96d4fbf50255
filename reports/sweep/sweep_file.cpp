#include "reports/sweep/sweep_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "model/json_message.hpp"
#include "model/json_writer.hpp"

namespace moesim {

SweepFile::SweepFile(std::filesystem::path path, const std::string& header)
    : path_(std::move(path)) {
  struct ::stat existing {};
  if (::stat(path_.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode))
    refuse("it is no regular file");
  try {
    lock();
    load(header);
  } catch (...) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
}

SweepFile::~SweepFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void SweepFile::refuse(const std::string& why) const {
  throw std::runtime_error(path_.string() + ": cannot be written: " + why);
}

// Whoever locked a file that was replaced in between (a finished sweep) has one without a name.
void SweepFile::lock() {
  for (;;) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) refuse(std::generic_category().message(errno));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) refuse("another process is working on this sweep");
      if (errno != ENOLCK && errno != EOPNOTSUPP) refuse(std::generic_category().message(errno));
    }
    struct ::stat opened {
    }, named{};
    if (::fstat(descriptor_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 &&
        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
      return;
    ::close(descriptor_);
  }
}

void SweepFile::load(const std::string& header) {
  const std::string text = read_sweep_text(path_), name = path_.string();
  const SweepLines found = split_sweep_lines(text);
  // Nothing, or a header that was cut off.
  if (found.lines.empty() && (header + "\n").compare(0, text.size(), text) == 0) {
    if (::ftruncate(descriptor_, 0) != 0) refuse(std::generic_category().message(errno));
    write(header + "\n");
    return;
  }
  if (found.lines.empty()) throw InputError(one_line(name), "is no result file of a sweep");
  const SweepHeader theirs = read_sweep_header(found.lines.front(), name);
  const SweepHeader ours = read_sweep_header(header, "");
  const std::string difference = sweep_difference(theirs, ours);
  if (!difference.empty())
    throw InputError(one_line(name),
                     "holds the results of another sweep: it differs in " + difference +
                         "; choose another file, or delete this one");
  if (theirs.shard.text() != ours.shard.text())
    throw InputError(one_line(name),
                     "holds shard " + theirs.shard.text() + ", and this is " + ours.shard.text());
  if (found.torn && ::ftruncate(descriptor_, static_cast<::off_t>(found.whole_bytes)) != 0)
    refuse(std::generic_category().message(errno));
  size_ = found.whole_bytes;
  num_lines_ = found.lines.size();
  SweepRowReader reader(name);
  std::map<std::size_t, std::size_t> line_of;
  for (std::size_t i = 1; i < found.lines.size(); ++i) {
    SweepRow row = reader.read(found.lines[i], i + 1);
    const std::string place = one_line(name) + ": line " + std::to_string(i + 1);
    if (row.point >= ours.num_points || !ours.shard.has(row.point))
      throw InputError(place,
                       "point " + std::to_string(row.point) + " is none of shard " +
                           ours.shard.text() + " of " + std::to_string(ours.num_points) +
                           " points");
    const auto [known, is_new] = line_of.emplace(row.point, i + 1);
    if (!is_new)
      throw InputError(place,
                       "point " + std::to_string(row.point) + " is on line " +
                           std::to_string(known->second) + " already");
    in_order_ = in_order_ && (rows_.empty() || rows_.back().point < row.point);
    last_point_ = row.point;
    rows_.push_back(std::move(row));
  }
}

void SweepFile::write(const std::string& text) {
  ssize_t written = 0;
  do written = ::write(descriptor_, text.data(), text.size());
  while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) {
    size_ += text.size();
    ++num_lines_;
    return;
  }
  // A part of a line says that there is no room for the rest. It is taken back, or cut off by
  // whoever goes on.
  const int reason = written < 0 ? errno : ENOSPC;
  const bool is_whole = written <= 0 || ::ftruncate(descriptor_, static_cast<::off_t>(size_)) == 0;
  const std::size_t kept = num_lines_ == 0 ? 0 : num_lines_ - 1;
  refuse(std::generic_category().message(reason) + "; " + std::to_string(kept) +
         " finished points are kept" + (is_whole ? "" : " before a torn line") +
         ", and the same command goes on from there");
}

void SweepFile::append(std::size_t point, const std::string& line) {
  write(line + "\n");
  in_order_ = in_order_ && (num_lines_ == 2 || last_point_ < point);
  last_point_ = point;
}

void SweepFile::finish() {
  if (!in_order_) {
    const std::string text = read_sweep_text(path_);
    const SweepLines found = split_sweep_lines(text);
    SweepRowReader reader(path_.string());
    std::map<std::size_t, std::string> lines;
    for (std::size_t i = 1; i < found.lines.size(); ++i)
      lines.emplace(reader.read(found.lines[i], i + 1).point, found.lines[i]);
    write_file(path_, sweep_text(found.lines.front(), lines));
    in_order_ = true;
    return;
  }
  if (::fsync(descriptor_) != 0) refuse(std::generic_category().message(errno));
}

std::string read_sweep_text(const std::filesystem::path& path) {
  const auto refuse = [&] {
    throw InputError(
        one_line(path.string()),
        "cannot be read: " + (errno == ENOENT ? std::string("no such file")
                                              : std::generic_category().message(errno)));
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) refuse();
  std::string text;
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    const ssize_t num_read = ::read(descriptor, buffer.data(), buffer.size());
    if (num_read < 0 && errno == EINTR) continue;
    if (num_read < 0) {
      const int reason = errno;
      ::close(descriptor);
      errno = reason;
      refuse();
    }
    if (num_read == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(num_read));
  }
  ::close(descriptor);
  return text;
}

}  // namespace moesim
