// A form of model/kernel_model, as a fit needs it: which coefficients it has, between which bounds
// they make sense, what it says about points, over which axes a residual may correct it, and what
// leaving points out should be by.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/fit/least_squares.hpp"
#include "calibrate/point.hpp"
#include "model/kernel_model.hpp"
#include "model/profile.hpp"

namespace moesim {

// One way to leave points out: points with equal keys go together.
struct Grouping {
  std::string what;               // "m", "n and k", ...
  std::vector<std::size_t> axes;  // of the case's shape
};

class KernelForm {
 public:
  virtual ~KernelForm() = default;
  virtual std::vector<Parameter> parameters() const = 0;
  // Seconds of every point for the coefficients, in the parameters' order.
  virtual std::vector<double> seconds(const std::vector<double>& values,
                                      const std::vector<const Point*>& points) const = 0;
  // Base-2 logarithms over which the residual runs; empty: none is fitted.
  virtual std::vector<double> residual_axes(const Point& point) const = 0;
  virtual std::vector<Grouping> groupings() const = 0;
  // Writes the coefficients and the residual into a profile.
  virtual void store(const std::vector<double>& values,
                     const Residual& residual,
                     const std::vector<const Point*>& points,
                     Profile& profile) const = 0;
};

// The profile's entry of a case's operation.
std::size_t kernel_index(const Case& of);

// The form of a case on a GPU, for a fit to `points`: rates are those on the SMs that most of
// them used. `rule`: of GEMM kernels.
std::unique_ptr<KernelForm> kernel_form(const Case& of,
                                        const GpuSpec& gpu,
                                        TileRule rule,
                                        const std::vector<const Point*>& points);

}  // namespace moesim
