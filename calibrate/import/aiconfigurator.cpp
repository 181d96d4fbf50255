// Tables of AIConfigurator (github.com/ai-dynamo/aiconfigurator) as CSV, under the column names of
// its own data files (latency in ms, message_size in elements) and under shorter ones with their
// unit in the name (us, bytes). Its collectors rotate buffers and flush nothing on purpose: nobody
// knows what was in L2, so Point::warm.
//
// Left out: tables that no operation of ours stands for, which are refused by name, and rows of
// other precisions than ours, which have to be chosen away with --only.
#include <cmath>

#include "calibrate/import/csv_table.hpp"
#include "calibrate/import/formats.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTables =
    "gemm (m, n, k), MLA decode (kv_len), MLA prefill (isl), FP8 quantisation (m, k), NCCL (bytes "
    "or message_size), DeepEP low-latency (dispatch_us or dispatch_avg_t_us), DeepEP normal "
    "(dispatch_transmit_us)";

class AiconfiguratorTable {
 public:
  AiconfiguratorTable(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu)
      : table_(file), options_(options), gpu_(gpu) {
    refuse_foreign_tables();
    table_.keep(options.only);
  }
  Imported read();

 private:
  void refuse_foreign_tables() const;
  void read_gemm();
  void read_decode();
  void read_prefill();
  void read_cast();
  void read_nccl();
  void read_low_latency();
  void read_normal();

  TimeColumn latency() const;  // "latency" is in ms, "us" and "latency_us" say it
  bool is_prefill() const;
  Seconds time(std::size_t row, const TimeColumn& column) const;
  std::int64_t kv_len(std::size_t row) const;
  void require_bf16(std::size_t row) const;
  std::int64_t hidden(std::size_t row) const { return value(row, {"hidden", "hidden_size"}); }
  std::int64_t topk(std::size_t row) const { return value(row, {"topk", "num_topk"}); }
  // Of the column with one of these names, else of the setting with the first.
  std::int64_t value(std::size_t row, std::initializer_list<std::string_view> names) const;
  std::pair<std::int64_t, std::int64_t> ranks(std::size_t row) const;  // all, per node
  void add(std::size_t row, std::string_view op, Shape shape, Seconds median, std::int64_t sms = 0);
  void note_columns();

  CsvTable table_;
  const ImportOptions& options_;
  const GpuSpec& gpu_;
  Imported imported_;
};

void AiconfiguratorTable::refuse_foreign_tables() const {
  const std::pair<const char*, const char*> foreign[] = {
      {"bmm_dtype", "batched products of absorbed MLA"},
      {"moe_dtype", "whole MoE layers"},
      {"dist", "whole MoE layers"},
      {"tokens_total", "whole MoE layers"},
      {"attn_dtype", "attention without MLA"},
      {"gemm_type", "whole MLA modules"}};
  for (const auto& [column, what] : foreign)
    if (table_.has(column))
      table_.fail("is a table of " + std::string(what) + " (column " + in_quotes(column) +
                  "), for which there is no operation; tables with one: " + kTables);
}

Imported AiconfiguratorTable::read() {
  std::string kind;
  if (table_.has("dispatch_transmit_us")) {
    kind = "deepep_normal", read_normal();
  } else if (table_.has("dispatch_us") || table_.has("dispatch_avg_t_us")) {
    kind = "deepep_low_latency", read_low_latency();
  } else if (table_.has("bytes") || table_.has("message_size")) {
    kind = "nccl", read_nccl();
  } else if (table_.has("n") || table_.has("dtype") || table_.has("gemm_dtype")) {
    kind = "gemm", read_gemm();
  } else if (table_.has("kv_len") || table_.has("isl")) {
    const bool prefill = is_prefill();
    kind = prefill ? "mla_prefill" : "mla_decode";
    prefill ? read_prefill() : read_decode();
  } else if (table_.has("m") && table_.has("k")) {
    kind = "quant_fp8", read_cast();
  } else {
    table_.fail("is no AIConfigurator table that is known; expected " + std::string(kTables) +
                "; found: " + joined(table_.columns()));
  }
  imported_.details.emplace_back("table", kind);
  imported_.details.emplace_back("flush", "none stated");
  imported_.details.emplace_back("statistic", "as printed: one time a row");
  note_columns();
  return std::move(imported_);
}

void AiconfiguratorTable::read_gemm() {
  table_.require({"m", "n", "k"});
  const std::string dtype = table_.one_of({"dtype", "gemm_dtype"});
  const TimeColumn column = latency();
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const std::string& found = table_.text(i, dtype);
    const bool is_fp8 = found == "fp8_block";
    if (!is_fp8 && found != "bfloat16")
      table_.fail(i,
                  dtype,
                  "there is no operation for " + in_quotes(found) +
                      "; expected fp8_block or bfloat16 (--only chooses the rows to import)");
    add(i,
        is_fp8 ? "gemm_fp8" : "gemm_bf16",
        {table_.integer(i, "m"), table_.integer(i, "n"), table_.integer(i, "k")},
        time(i, column));
  }
}

TimeColumn AiconfiguratorTable::latency() const {
  const auto theirs = find_time_column(table_, "latency", ms),
             short_name = find_time_column(table_, "");
  if (theirs && short_name)
    table_.fail("has columns " + in_quotes(theirs->name) + " and " + in_quotes(short_name->name) +
                ", two units for one time; expected one of them");
  if (!theirs && !short_name)
    table_.fail("missing column \"us\" or \"latency\"; found: " + joined(table_.columns()));
  return theirs ? *theirs : *short_name;
}

// Their files of both have the same columns; op_name tells, where it is.
bool AiconfiguratorTable::is_prefill() const {
  if (table_.has("kv_len")) return false;
  if (table_.has("prefix")) return true;
  if (options_.op == "attention_forward" || options_.op == "attention_decode")
    return options_.op == "attention_forward";
  std::string found;
  if (table_.has("op_name")) found = table_.text(0, "op_name");
  const bool context = found.find("context") != std::string::npos,
             generation = found.find("generation") != std::string::npos;
  if (context == generation)
    table_.fail(
        "may be MLA prefill or decode: its columns fit both; expected an op_name with "
        "\"context\" or \"generation\", or --op attention_forward or attention_decode");
  return context;
}

std::int64_t AiconfiguratorTable::kv_len(std::size_t row) const {
  if (table_.has("kv_len")) return table_.integer(row, "kv_len");
  return table_.integer(row, "isl") + table_.integer(row, "step", 0);  // what is cached afterwards
}

void AiconfiguratorTable::require_bf16(std::size_t row) const {
  for (const char* column : {"kv", "kv_cache_dtype", "mla_dtype"}) {
    if (!table_.has(column) || table_.text(row, column) == "bfloat16") continue;
    table_.fail(row,
                column,
                "the operation is in BF16, found " + in_quotes(table_.text(row, column)) +
                    "; --only chooses the rows to import, as in --only " + column + "=bfloat16");
  }
}

void AiconfiguratorTable::read_decode() {
  if (!table_.has("kv_len")) table_.require({"isl", "step"});
  const std::string heads = table_.one_of({"heads", "num_heads"}),
                    batch = table_.one_of({"batch", "batch_size"});
  const TimeColumn column = latency();
  for (std::size_t i = 0; i < table_.size(); ++i) {
    require_bf16(i);
    add(i,
        "attention_decode",
        {table_.integer(i, batch), kv_len(i), 1, table_.integer(i, heads)},
        time(i, column));
  }
}

void AiconfiguratorTable::read_prefill() {
  table_.require({"isl"});
  const std::string heads = table_.one_of({"heads", "num_heads"}),
                    batch = table_.one_of({"batch", "batch_size"}),
                    prefix = table_.one_of({"prefix", "step"});
  const TimeColumn column = latency();
  const std::int64_t qk = options_.setting("qk_head_dim").value_or(192),
                     v = options_.setting("v_head_dim").value_or(128);
  imported_.details.emplace_back("qk_head_dim", qk);
  imported_.details.emplace_back("v_head_dim", v);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    require_bf16(i);
    add(i,
        "attention_forward",
        {table_.integer(i, batch),
         table_.integer(i, "isl"),
         table_.integer(i, prefix, 0),
         table_.integer(i, heads),
         qk,
         v},
        time(i, column));
  }
}

// BF16 in, E4M3 and an FP32 scale per 128 out.
void AiconfiguratorTable::read_cast() {
  const TimeColumn column = latency();
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (table_.has("quant_dtype") && table_.text(i, "quant_dtype") != "fp8_block")
      table_.fail(i,
                  "quant_dtype",
                  "there is no operation for " + in_quotes(table_.text(i, "quant_dtype")) +
                      "; expected fp8_block, a scale per 128 elements");
    const double elements = static_cast<double>(table_.integer(i, "m", 1, 1 << 24)) *
                            static_cast<double>(table_.integer(i, "k", 1, 1 << 24));
    const auto bytes = static_cast<std::int64_t>(std::llround(elements * (2 + 1 + 4.0 / 128)));
    add(i, "cast", {bytes}, time(i, column));
  }
}

void AiconfiguratorTable::read_nccl() {
  const bool in_bytes = table_.has("bytes");
  const std::string op = table_.one_of({"op", "op_name"}),
                    count = table_.one_of({"ranks", "num_gpus"}),
                    dtype = table_.one_of({"dtype", "nccl_dtype"}),
                    size = table_.one_of({"bytes", "message_size"});
  const TimeColumn column = latency();
  const std::int64_t per_node = options_.required("ranks_per_node", table_.file());
  static const std::map<std::string, std::string_view> kOps = {{"all_reduce", "all_reduce"},
                                                               {"all_gather", "all_gather"},
                                                               {"reduce_scatter", "reduce_scatter"},
                                                               {"alltoall", "all_to_all"},
                                                               {"all_to_all", "all_to_all"},
                                                               {"broadcast", "broadcast"}};
  static const std::map<std::string, std::int64_t> kBytes = {
      {"half", 2}, {"bfloat16", 2}, {"float16", 2}, {"float", 4}, {"int8", 1}, {"fp8", 1}};
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const auto found = kOps.find(table_.text(i, op));
    if (found == kOps.end())
      table_.fail(i, op, "there is no operation for " + in_quotes(table_.text(i, op)));
    const auto width = kBytes.find(table_.text(i, dtype));
    if (width == kBytes.end())
      table_.fail(i, dtype, "unknown data type " + in_quotes(table_.text(i, dtype)));
    const std::int64_t n = table_.integer(i, count, 2, 1 << 20),
                       bytes = table_.integer(i, size) * (in_bytes ? 1 : width->second);
    add(i, found->second, {n, ranks_on_node(n, per_node, table_.place(i)), bytes}, time(i, column));
  }
}

std::pair<std::int64_t, std::int64_t> AiconfiguratorTable::ranks(std::size_t row) const {
  const std::int64_t nodes = table_.integer(row, table_.one_of({"nodes", "node_num"}), 1, 1 << 16);
  if (!table_.has("ranks")) {
    const std::int64_t per_node = options_.required("ranks_per_node", table_.file());
    return {nodes * per_node, per_node};
  }
  const std::int64_t all = table_.integer(row, "ranks", 2, 1 << 20);
  if (all % nodes != 0)
    table_.fail(row, "ranks", "do not fill " + std::to_string(nodes) + " nodes evenly");
  const auto per_node = options_.setting("ranks_per_node");
  if (per_node && *per_node != all / nodes)
    table_.fail(row,
                "ranks",
                "on " + std::to_string(nodes) + " nodes are " + std::to_string(all / nodes) +
                    " per node; --set ranks_per_node says " + std::to_string(*per_node));
  return {all, all / nodes};
}

std::int64_t AiconfiguratorTable::value(std::size_t row,
                                        std::initializer_list<std::string_view> names) const {
  for (const std::string_view name : names)
    if (table_.has(name)) return table_.integer(row, name, 1, 1 << 24);
  return options_.required(std::string(*names.begin()), table_.file());
}

void AiconfiguratorTable::read_low_latency() {
  const bool short_names = table_.has("dispatch_us");
  const std::string tokens = table_.one_of({"tokens", "num_token"});
  const TimeColumn dispatch = time_column(table_, short_names ? "dispatch" : "dispatch_avg_t"),
                   combine = time_column(table_, short_names ? "combine" : "combine_avg_t");
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const auto [all, per_node] = ranks(i);
    const Shape shape = {all, per_node, table_.integer(i, tokens), hidden(i), topk(i)};
    add(i, "dispatch_low_latency", shape, time(i, dispatch));
    add(i, "combine_low_latency", shape, time(i, combine));
  }
}

// A kernel that announces counts runs before the one that moves rows (not within one node, where it
// is 0); the call takes both.
void AiconfiguratorTable::read_normal() {
  table_.require({"dispatch_notify_us", "combine_transmit_us", "combine_notify_us"});
  const std::string tokens = table_.one_of({"tokens", "num_token"});
  const bool one_sms = table_.has("sms");
  if (!one_sms) table_.require({"dispatch_sms", "combine_sms"});
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const auto [all, per_node] = ranks(i);
    const Shape shape = {all, per_node, table_.integer(i, tokens), hidden(i), topk(i)};
    for (const std::string name : {"dispatch", "combine"}) {
      const double notify_us = table_.number(i, name + "_notify_us");
      if (notify_us < 0) table_.fail(i, name + "_notify_us", "is negative");
      const Seconds transmit = checked_time(
          table_.number(i, name + "_transmit_us"), us, name + "_transmit_us", table_.place(i));
      add(i,
          name,
          shape,
          checked_time(transmit.in(us) + notify_us, us, name + "_notify_us", table_.place(i)),
          table_.integer(i, one_sms ? "sms" : name + "_sms", 1, gpu_.num_sms));
    }
  }
  imported_.details.emplace_back("time", "transmit + notify");
}

Seconds AiconfiguratorTable::time(std::size_t row, const TimeColumn& column) const {
  return checked_time(table_.number(row, column.name), column.unit, column.name, table_.place(row));
}

void AiconfiguratorTable::add(
    std::size_t row, std::string_view op, Shape shape, Seconds median, std::int64_t sms) {
  if (table_.has("device")) check_device(table_.text(row, "device"), gpu_, table_.place(row));
  if (!options_.op.empty() && options_.op != op)
    throw InputError(
        "--op " + options_.op,
        table_.place(row) + " is of " + std::string(op) + " (--only chooses the rows to import)");
  imported_.points.push_back(imported_point(op, std::move(shape), median, table_.place(row)));
  imported_.points.back().sms = sms;
}

// Who measured what, as far as the rows say so.
void AiconfiguratorTable::note_columns() {
  constexpr std::size_t kMost = 8;
  JsonValue said = JsonValue::object();
  bool any = false;
  for (const char* column : {"source",
                             "framework",
                             "version",
                             "device",
                             "op_name",
                             "kernel",
                             "kernel_source",
                             "dtype",
                             "gemm_dtype",
                             "quant_dtype",
                             "mla_dtype",
                             "kv",
                             "kv_cache_dtype",
                             "nccl",
                             "nccl_dtype",
                             "experts",
                             "num_experts"}) {
    if (!table_.has(column)) continue;
    any = true;
    JsonValue list = JsonValue::array();
    for (const std::string& text : table_.values(column, kMost)) list.push(text);
    said.set(column, std::move(list));
  }
  if (any) imported_.details.emplace_back("columns", std::move(said));
}

Imported read_aiconfigurator(const fs::path& file,
                             const ImportOptions& options,
                             const GpuSpec& gpu) {
  return AiconfiguratorTable(file, options, gpu).read();
}

}  // namespace

const ImportFormat kAiconfiguratorFormat = {
    "aiconfigurator",
    "AIConfigurator CSV: GEMM, MLA, FP8 quantisation, NCCL, DeepEP",
    {"ranks_per_node", "hidden", "topk", "qk_head_dim", "v_head_dim"},
    true,
    true,
    false,
    read_aiconfigurator};

}  // namespace moesim
