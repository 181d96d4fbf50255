#include "calibrate/cuda/gpu_call.hpp"

#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/reference_fp8.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

template <class T>
std::vector<T> downloaded(const void* memory, std::size_t size) {
  std::vector<T> values(size);
  gpu_download(values.data(), memory, size * sizeof(T));
  return values;
}

template <class T>
std::vector<float> floats(const std::vector<T>& stored) {
  std::vector<float> values;
  values.reserve(stored.size());
  for (const T& v : stored) values.push_back(to_float(v));
  return values;
}

std::vector<float> read_floats(Element element, const void* memory, std::size_t size) {
  switch (element) {
    case Element::bf16: return floats(downloaded<Bf16>(memory, size));
    case Element::e4m3: return floats(downloaded<E4m3>(memory, size));
    case Element::fp32: return downloaded<float>(memory, size);
    case Element::index: break;
  }
  const std::vector<std::int32_t> indices = downloaded<std::int32_t>(memory, size);
  return {indices.begin(), indices.end()};
}

Array read_output(const GpuOutput& output) {
  Array array = output.as;
  if (output.blocks == 0) {
    array.values = read_floats(array.element, output.memory, output.size);
    return array;
  }
  const auto blocks = static_cast<std::size_t>(output.blocks),
             ld = static_cast<std::size_t>(output.ld), rows = output.size / blocks;
  const std::vector<float> stored = read_floats(array.element, output.memory, blocks * ld);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t block = 0; block < blocks; ++block)
      array.values.push_back(stored[block * ld + row]);
  return array;
}

std::size_t bytes_of(Element element) {
  switch (element) {
    case Element::e4m3: return sizeof(E4m3);
    case Element::bf16: return sizeof(Bf16);
    case Element::fp32: return sizeof(float);
    case Element::index: break;
  }
  return sizeof(std::int32_t);
}

void read_piece(const GpuOutput& output, Piece& piece) {
  const auto first = static_cast<std::size_t>(piece.first), size = piece.values.size();
  ENSURE(first + size <= output.size);
  const auto at = [&](std::size_t element) {
    return static_cast<const std::byte*>(output.memory) + element * bytes_of(output.as.element);
  };
  if (output.blocks == 0) {
    piece.values = read_floats(output.as.element, at(first), size);
    return;
  }
  const auto blocks = static_cast<std::size_t>(output.blocks),
             ld = static_cast<std::size_t>(output.ld);
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t row = (first + i) / blocks, block = (first + i) % blocks;
    piece.values[i] = read_floats(output.as.element, at(block * ld + row), 1)[0];
  }
}

}  // namespace

Bf16* GpuCall::bf16(std::int64_t size, std::uint64_t operand) {
  Bf16* const memory = allocate<Bf16>(size);
  fill_normal(memory, size, {seed, operand}, stream);
  return memory;
}

float* GpuCall::fp32(std::int64_t size, std::uint64_t operand) {
  auto* const memory = allocate<float>(size);
  fill_normal(memory, size, {seed, operand}, stream);
  return memory;
}

GpuCall::Scaled8 GpuCall::scaled_rows(std::int64_t rows,
                                      std::int64_t columns,
                                      std::uint64_t operand) {
  const std::int64_t ld = scale_rows(rows);
  const Scaled8 made{
      allocate<E4m3>(rows * columns), allocate<float>(scale_columns(columns) * ld), ld};
  fill_scaled_rows({made.codes, made.scales, rows, columns, ld, {seed, operand}}, stream);
  return made;
}

GpuCall::Scaled8 GpuCall::scaled_blocks(std::int64_t rows,
                                        std::int64_t columns,
                                        std::uint64_t first_operand,
                                        std::int64_t matrices) {
  const std::int64_t scales = scale_columns(rows) * scale_columns(columns);
  const Scaled8 made{
      allocate<E4m3>(matrices * rows * columns), allocate<float>(matrices * scales), 0};
  for (std::int64_t i = 0; i < matrices; ++i)
    fill_scaled_blocks({made.codes + i * rows * columns,
                        made.scales + i * scales,
                        rows,
                        columns,
                        {seed, first_operand + static_cast<std::uint64_t>(i)}},
                       stream);
  return made;
}

float* GpuCall::scale_output(std::string_view name, std::int64_t rows, std::int64_t columns) {
  const std::int64_t blocks = scale_columns(columns), ld = scale_rows(rows);
  auto* const memory = output<float>(name, Element::fp32, blocks * ld);
  outputs_.back().size = static_cast<std::size_t>(rows * blocks);
  outputs_.back().blocks = blocks;
  outputs_.back().ld = ld;
  return memory;
}

void GpuCall::changed_in_place(const void* memory,
                               std::string_view name,
                               Element element,
                               std::int64_t size,
                               std::function<void()> refill) {
  refills_.push_back(std::move(refill));
  outputs_.push_back({{name, element, {}}, memory, static_cast<std::size_t>(size), 0, 0});
}

void GpuCall::run_poisoned() {
  constexpr int kPoison = 0xff;
  for (const Poisoned& p : poisoned_) gpu_set_bytes(p.memory, kPoison, p.bytes, stream);
  for (const auto& refill : refills_) refill();
  launch(stream);
}

Pieces GpuCall::checked_pieces(Pieces wanted) {
  run_poisoned();
  for (Piece& piece : wanted) read_piece(outputs_.at(piece.output), piece);
  return wanted;
}

Arrays GpuCall::checked_outputs() {
  run_poisoned();
  Arrays all;
  for (const GpuOutput& output : outputs_) all.push_back(read_output(output));
  return all;
}

const GpuRoute* find_gpu_route(std::string_view op, Routes routes) {
  for (const GpuRoute& route : gpu_routes(routes))
    if (route.op == op) return routes == Routes::naive && route.naive.empty() ? nullptr : &route;
  return nullptr;
}

std::unique_ptr<GpuCall> prepare_gpu_call(const GpuRoute& route,
                                          const Call& call,
                                          std::uint64_t seed,
                                          std::int64_t num_sms,
                                          Stream stream,
                                          bool naive) {
  auto gpu = std::make_unique<GpuCall>();
  gpu->seed = seed;
  gpu->sms = call.sms > 0 ? call.sms : num_sms;
  gpu->stream = stream;
  gpu->naive = naive;
  route.prepare(call, *gpu);
  ENSURE(gpu->launch != nullptr);
  return gpu;
}

}  // namespace moesim
