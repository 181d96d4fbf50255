// moesim model CONFIG: what a model is made of, before any hardware.
#include <CLI/CLI.hpp>
#include <memory>

#include "model/model_counts.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/format.hpp"
#include "reports/model_json.hpp"
#include "reports/report.hpp"

namespace moesim {
namespace {

struct Options {
  std::string config, output_folder;
  std::int64_t seq_len = 4096;
};

Report model_report(const ModelSpec& m, std::int64_t seq_len) {
  const ParameterCounts c = count_parameters(m);
  Report report;
  report.title = m.name;
  report.facts = {
      {"model type", m.model_type},
      {"layers",
       std::to_string(m.num_layers) + " (" + std::to_string(m.num_moe_layers()) + " with experts)"},
      {"hidden", std::to_string(m.hidden)}};
  if (m.moe)
    report.facts.emplace_back(
        "experts",
        std::to_string(m.moe->num_experts) + " routed, top-" + std::to_string(m.moe->top_k) +
            ", in " + std::to_string(m.moe->num_groups) +
            " group(s) of which a token visits at most " + std::to_string(m.moe->max_groups));
  Section parameters{"Parameters", {}, {}, {}};
  Table table{"", {"part", "parameters", "exact"}, {}};
  auto add = [&](const std::string& name, std::int64_t n) {
    if (n != 0)
      table.rows.push_back({name, format_count(static_cast<double>(n)), std::to_string(n)});
  };
  add("embedding", c.embedding);
  add("output head", c.head);
  add("attention", c.attention);
  add("dense feed-forward", c.dense_ffn);
  add("routed experts", c.routed_experts);
  add("shared experts", c.shared_experts);
  add("gate", c.gate);
  add("norms", c.norms);
  add("total", c.total());
  add("active per token", active_parameters(m));
  add("MTP modules (not in total)", c.mtp);
  parameters.tables.push_back(std::move(table));
  parameters.notes.push_back(
      "Total counts every weight of the main model, embedding and head included. Active counts "
      "what one token touches: everything but the routed experts it does not visit.");

  Section flops{"FLOPs per token", {}, {}, {}};
  Table f{"Sequence of " + std::to_string(seq_len) + " tokens",
          {"convention", "forward", "backward", "training"},
          {}};
  for (const auto& [name, convention] :
       {std::pair<const char*, AttentionConvention>{"causal attention",
                                                    AttentionConvention::causal},
        {"non-causal attention", AttentionConvention::non_causal}}) {
    const FlopsPerToken x = flops_per_token(m, seq_len, convention);
    auto g = [](Flop v) { return digits4(v.in(GFLOP)) + " G"; };
    f.rows.push_back({name, g(x.forward), g(x.backward), g(x.training())});
  }
  flops.tables.push_back(std::move(f));
  flops.notes.push_back(
      "Matrix products of the forward pass once and of the backward pass twice; output head "
      "counted, embedding and MTP modules not (ISCA'25, arXiv 2505.09343, Table 2).");
  if (m.num_mtp_modules > 0)
    flops.notes.push_back(
        "MTP modules add " +
        digits4(mtp_forward_flops_per_token(m, seq_len, AttentionConvention::causal).in(GFLOP)) +
        " G forward per token (causal).");
  if (m.latent)
    flops.notes.push_back("Recomputing the latent up-projections in the backward pass adds " +
                          digits4(recompute_flops_per_token(m).in(GFLOP)) + " G per token.");

  Section bytes{"Bytes", {}, {}, {}};
  Table b{"", {"precision", "KV cache per token", "weights"}, {}};
  const auto total = static_cast<double>(c.total());
  for (const auto& [name, size] :
       {std::pair<const char*, double>{"BF16", 2}, {"FP8", 1}, {"6 bit", 0.75}})
    b.rows.push_back({name,
                      std::to_string(std::llround(kv_bytes_per_token(m, size).in(B))) + " B",
                      format_bytes(size * total * B)});
  bytes.tables.push_back(std::move(b));
  if (m.latent)
    bytes.notes.push_back("The latent cache is as large as that of " +
                          digits4(equivalent_gqa_groups(m)) + " grouped-query groups.");
  report.sections = {std::move(parameters), std::move(flops), std::move(bytes)};
  return report;
}

}  // namespace

void add_model_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("model", "Parameters, FLOPs per token, KV and weight bytes of a model");
  command->footer("Example: moesim model scenarios/models/deepseek-v3.json --seq-len 4096");
  command->add_option("config", options->config, "A Hugging Face config.json")->required();
  command->add_option("--seq-len", options->seq_len, "Sequence length for attention FLOPs")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 32));
  add_output_option(*command, options->output_folder);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] {
      const ModelSpec model = read_model_spec(std::filesystem::path(options->config));
      deliver(model_report(model, options->seq_len),
              model_json(model, options->seq_len),
              options->output_folder,
              context);
      return kDone;
    };
  });
}

}  // namespace moesim
