// Quantiles of Student's t, for confidence intervals of a few runs.
#pragma once

namespace moesim {

// What Student's t with so many degrees of freedom (any positive number) stays below with
// `probability`, which lies in (0, 1).
double student_quantile(double probability, double degrees);

}  // namespace moesim
