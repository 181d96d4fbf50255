// Points without a device: the fake's hidden time, times a factor where a test wants it wrong.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fake_time.hpp"
#include "calibrate/point.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {

inline GpuSpec gpu_named(const std::string& name) {
  return read_gpu_spec(read_json_file(scenario_folder() / "gpus" / (name + ".json")));
}

inline Point hidden_point(const std::string& op, const Call& call, double factor = 1) {
  static const GpuSpec h100 = gpu_named("h100");
  Point p;
  p.of = find_case(op);
  p.shape = call.shape;
  p.counts = call.counts;
  p.sms = call.sms;
  p.beside_communication = call.beside_communication;
  Timing timing;
  timing.median = factor * hidden_time(*p.of, call, h100, Cache::cold);
  p.cold = timing;
  p.place = "a test";
  return p;
}

// A case without a hidden time, such as one between GPUs.
inline Point timed_point(const std::string& op, Shape shape, Seconds time) {
  Point p;
  p.of = find_case(op);
  p.shape = std::move(shape);
  Timing timing;
  timing.median = time;
  p.warm = timing;
  p.place = "a test";
  return p;
}

inline std::vector<const Point*> addresses(const std::vector<Point>& points) {
  std::vector<const Point*> list;
  for (const Point& p : points) list.push_back(&p);
  return list;
}

inline PointRun hidden_run(const std::string& gpu = "h100",
                           const std::string& plan = "fewest_waves") {
  PointRun run;
  run.kind = ProfileKind::synthetic;
  run.gpu = gpu;
  run.source = "A fake.";
  run.plan = plan;
  run.plan_version = kPlanVersion;
  return run;
}

// As they come back from a file, with lines as places. `folder` outlives nothing.
inline PointFile points_file(const std::string& text, const std::string& name = "p.jsonl") {
  const TemporaryFolder folder;
  PointFile file = read_points(folder.add_file(name, text), scenario_folder() / "gpus");
  for (Point& p : file.points) p.place.erase(0, folder.path().string().size() + 1);
  return file;
}

}  // namespace moesim
