// A calibration profile: how fast kernels and links really are on one GPU. It is the file in which
// measuring and simulating meet, so that neither needs the other.
//
// For every kernel it holds the form's coefficients (model/kernel_model), its error on points the
// fit had not seen, the points themselves where they are cited one by one, and the source in words.
// Nothing here is a datasheet figure: those are in the GPU file the profile names, and efficiencies
// are fractions of them, so a profile can be carried to another GPU (the result is then marked
// derived).
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/kernel_model.hpp"
#include "model/op.hpp"

namespace moesim {

struct GemmPoint {
  Kernel kernel;
  GemmShape shape;  // m is the rows of all groups together
  std::int64_t sms = 0;
  FlopRate rate;
};

// Quantiles of |predicted / measured - 1|, as fractions.
struct ErrorQuantiles {
  std::string what;  // left out: "m", "n and k", ...; or "in sample", "repeat noise"
  double median = 0, p95 = 0, max = 0;
};

// How far predictions are from measurements: half-widths of 90 % intervals, as fractions of the
// prediction.
struct ModelError {
  double inside = 0;   // where points were measured
  double outside = 0;  // beyond them; by d octaves, sqrt(1 + d) times as much (model/cost_model)
  std::string basis;   // held_out: on points a fit had not seen; in_sample: on those it had;
                       // stated: nobody measured it, the source says why this is believed
  std::int64_t num_points = 0;        // of the fit; 0: not known
  std::vector<ErrorQuantiles> tests;  // what `inside` and `outside` were taken from, for readers
};

// Expert-parallel and plain transfers. Efficiencies are of the datasheet link rates.
struct CommModel {
  double nvlink_efficiency = 0;  // of the GPU's NVLink rate, one direction
  double nic_efficiency = 0;     // of the NIC's line rate
  // Rates of the two-hop kernels while compute kernels run beside them, as a fraction of their
  // stand-alone rate.
  double dispatch_overlap = 1, cached_dispatch_overlap = 1, combine_overlap = 1;
  // Rows that a two-hop kernel hands out, per SM it runs on.
  Bandwidth dispatch_per_sm, combine_per_sm;
  Seconds layout;         // get_dispatch_layout, before the first dispatch of a layer
  Bandwidth cast_per_sm;  // BF16 to FP8 cast of the gradient on the communication SMs, per SM
  Seconds low_latency_overhead;  // per low-latency dispatch or combine
  // Errors of the link rates, of the overlap factors, of what SMs copy and cast, and of both
  // overheads.
  ModelError links, overlap, copies, overheads;
};

// What a message of a collective costs beside the link's latency and sustained rate depends on how
// large it is: libraries change their protocol with it (NCCL: LL, LL128, Simple). Which regime a
// message has is in model/collective/rounds (regime_of). In a file:
//   "collectives": {"nvlink": [{"up_to": "64 KB", "overhead": "4 us", "efficiency": 0.3}, ...],
//                   "nic": [...], "source": "..."}
struct SizeRegime {
  Bytes up_to;
  Seconds overhead;       // on top of the link's latency, once a message
  double efficiency = 1;  // of the link's sustained rate, in (0, 1]
};
struct CollectiveRegimes {
  std::vector<SizeRegime> nvlink, nic;  // neither empty, up_to ascending
  std::string source;
};

// A collective as it was measured on one geometry: `ranks` of them, `ranks_per_node` on each node.
// The size is that of nccl-tests, or for an expert exchange the tokens of a rank.
struct GroupFit {
  std::string op;  // as in the points (calibrate/cases)
  std::int64_t ranks = 0, ranks_per_node = 0;
  std::int64_t hidden = 0, topk = 0, sms = 0;  // of an expert exchange, else 0
  std::vector<Segment> segments;
  std::array<double, 2> sizes{};  // bytes or tokens: lowest and highest measured
  ModelError error;
  std::string source;
};
Seconds group_time(const GroupFit& fit, double size);
// That of a collective on this geometry, when its size was measured; else nullptr.
const GroupFit* find_group(const std::vector<GroupFit>& groups,
                           std::string_view op,
                           std::int64_t ranks,
                           std::int64_t ranks_per_node,
                           double size);

// Slowdown of tensor-core kernels by the SMs that communicate beside them: straight lines between
// what was measured, 1 at none, constant beyond the last.
struct CommSlowdown {
  std::vector<std::int64_t> comm_sms;  // ascending
  std::vector<double> factor;          // at least 1
  std::string source;
  double at(std::int64_t sms) const;
};

// derived: another GPU's profile, its rates carried over by the ratios of the datasheets
// (model/profile_transfer).
enum class ProfileKind { measured, published, synthetic, derived };
inline constexpr std::array<const char*, 4> kProfileKinds = {
    "measured", "published", "synthetic", "derived"};
inline constexpr const char* kProfileSchema = "moesim-profile/2";

struct Profile {
  std::string id;
  ProfileKind kind = ProfileKind::published;
  std::string about;         // in words
  std::string derived_from;  // id of the other profile; empty unless derived
  GpuSpec gpu;               // measured on, or derived for
  std::array<std::optional<GemmModel>, kNumKernels> gemm;
  std::array<std::optional<AttentionModel>, kNumKernels> attention;
  std::optional<DecodeModel> decode;
  std::array<std::optional<MemoryModel>, kNumKernels> memory;
  std::array<std::string, kNumKernels> source;  // in words, per kernel
  std::array<ModelError, kNumKernels> error;
  // In units of the 90 % half-width, 0 as read: what a prediction would be if the model of the
  // kernel were off by as much (sim/uncertainty).
  std::array<double, kNumKernels> shift{};
  std::vector<GemmPoint> points;
  CommModel comm;
  std::optional<CollectiveRegimes> collectives;  // absent: nothing was measured
  std::string comm_source, launch_source;
  Seconds launch_gap;     // between two kernels of a stream
  Seconds chunk_startup;  // GPU idle at the head of a chunk while the host launches
  CommSlowdown gemm_slowdown;
  ModelError launch_error;
  std::vector<GroupFit> groups;
};

// `node` has its `gpu` reference already replaced by the GPU file's object.
Profile read_profile(const JsonNode& node);
// A profile's file alone, with the GPU file it names.
Profile read_profile_file(const std::filesystem::path& path);
// The file of a profile; `gpu_file` is what its "gpu" names. Reading it back gives the profile
// again.
std::string profile_text(const Profile& profile, const std::string& gpu_file);

}  // namespace moesim
