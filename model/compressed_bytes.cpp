#include "model/compressed_bytes.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#ifdef MOE_ZLIB
#include <zlib.h>
#endif
#ifdef MOE_ZSTD
#include <zstd.h>
#endif

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 30U;
constexpr std::size_t kChunk = std::size_t{1} << 18U;
constexpr std::string_view kGzip = "\x1f\x8b", kZstd = "\x28\xb5\x2f\xfd";

struct Packed {
  std::string file, bytes;
  [[noreturn]] void refuse(const std::string& problem) const { throw InputError(file, problem); }
  void check_size(std::size_t size) const {
    if (size > kMostBytes) refuse("holds more than 4 GiB unpacked");
  }
};

#ifdef MOE_ZLIB
std::string gunzip(Packed packed) {
  std::string out;
  std::vector<char> chunk(kChunk);
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;  // zlib.h: the largest window, gzip only
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) throw std::bad_alloc();
  int state = Z_OK;
  std::size_t at = 0;
  for (;;) {
    if (stream.avail_in == 0 && at < packed.bytes.size()) {
      // avail_in is 32 bits wide.
      const std::size_t piece = std::min(packed.bytes.size() - at, kMostBytes / 4 - 1);
      stream.next_in = reinterpret_cast<Bytef*>(packed.bytes.data() + at);
      stream.avail_in = static_cast<uInt>(piece);
      at += piece;
    }
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    const uInt before = stream.avail_in;
    state = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - stream.avail_out);
    if (state == Z_STREAM_END) {
      if (stream.avail_in == 0 && at == packed.bytes.size()) break;
      inflateReset(&stream);  // gzip files may be joined
      continue;
    }
    const bool is_stuck = state == Z_BUF_ERROR ||
                          (state == Z_OK && before == 0 && at == packed.bytes.size() &&
                           stream.avail_out == chunk.size());
    if (is_stuck || (state != Z_OK) || out.size() > kMostBytes) break;
  }
  const std::string why = stream.msg == nullptr ? "" : std::string(": ") + stream.msg;
  inflateEnd(&stream);
  packed.check_size(out.size());
  if (state == Z_DATA_ERROR) packed.refuse("the gzip file is damaged" + why);
  if (state != Z_STREAM_END) packed.refuse("the gzip file is cut off");
  return out;
}
#else
std::string gunzip(const Packed& packed) {
  packed.refuse("is compressed with gzip, and this build is without zlib; unpack it first");
}
#endif

#ifdef MOE_ZSTD
std::string unzstd(const Packed& packed) {
  std::string out;
  std::vector<char> chunk(kChunk);
  ZSTD_DStream* const stream = ZSTD_createDStream();
  if (stream == nullptr) throw std::bad_alloc();
  ZSTD_inBuffer in{packed.bytes.data(), packed.bytes.size(), 0};
  std::size_t left = 1;  // 0 between frames
  std::string why;
  for (bool is_done = false; !is_done && out.size() <= kMostBytes;) {
    ZSTD_outBuffer piece{chunk.data(), chunk.size(), 0};
    left = ZSTD_decompressStream(stream, &piece, &in);
    if (ZSTD_isError(left) != 0) {
      why = ZSTD_getErrorName(left);
      break;
    }
    out.append(chunk.data(), piece.pos);
    is_done = in.pos == in.size && piece.pos < piece.size;
  }
  ZSTD_freeDStream(stream);
  packed.check_size(out.size());
  if (!why.empty()) packed.refuse("the zstd file is damaged: " + why);
  if (left != 0) packed.refuse("the zstd file is cut off");
  return out;
}
#else
std::string unzstd(const Packed& packed) {
  packed.refuse("is compressed with zstd, and this build is without libzstd; unpack it first");
}
#endif

}  // namespace

std::string read_unpacked(const std::filesystem::path& path) {
  Packed packed{one_line(path.string()), read_bytes(path)};
  if (std::string_view(packed.bytes).substr(0, kGzip.size()) == kGzip) {
    return gunzip(std::move(packed));
  }
  if (std::string_view(packed.bytes).substr(0, kZstd.size()) == kZstd) return unzstd(packed);
  return std::move(packed.bytes);
}

bool reads_gzip() {
#ifdef MOE_ZLIB
  return true;
#else
  return false;
#endif
}

bool reads_zstd() {
#ifdef MOE_ZSTD
  return true;
#else
  return false;
#endif
}

}  // namespace moesim
