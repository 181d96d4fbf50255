#include "sim/serving/time_compression.hpp"

namespace moesim {

ServingScenario compressed(ServingScenario scenario) {
  const auto f = static_cast<double>(scenario.measure.compress_time);
  ENSURE(scenario.requests);
  RequestSpec& requests = *scenario.requests;
  if (requests.arrivals) requests.arrivals->compression *= f;
  if (requests.duration) requests.duration = *requests.duration / f;
  if (scenario.measure.stop_after) scenario.measure.stop_after = *scenario.measure.stop_after / f;
  scenario.measure.warm_up = scenario.measure.warm_up / f;
  for (PoolSpec& pool : scenario.serving.pools) {
    ScalerSpec& scaler = pool.scaler;
    for (Seconds* time : {&scaler.start_up, &scaler.interval, &scaler.horizon}) *time = *time / f;
    for (ScalerSpec::Change& change : scaler.schedule) change.at = change.at / f;
    UnitFailures& failures = pool.failures;
    failures.mean_between = failures.mean_between / f;
    if (failures.repair) failures.repair = *failures.repair / f;
    for (UnitFailures::Outage& outage : failures.stated) outage.at = outage.at / f;
  }
  return scenario;
}

void scale_up(ServingResult& result, std::int64_t factor) {
  const auto f = static_cast<double>(factor);
  result.end *= factor;
  for (std::int64_t* count : {&result.taken,
                              &result.served,
                              &result.lost,
                              &result.inside,
                              &result.rejected_context,
                              &result.rejected_memory,
                              &result.rejected_queue,
                              &result.requeued,
                              &result.transfers.count})
    *count *= factor;
  TransferResult& t = result.transfers;
  t.bytes *= f;
  for (double* ticks : {&t.place_ticks, &t.port_ticks, &t.wire_ticks}) *ticks *= f;
  for (PoolResult& pool : result.pools) {
    UnitCounters& c = pool.total;
    for (std::int64_t* count : {&c.steps,
                                &c.preemptions,
                                &c.swapped_pages,
                                &c.prompt_tokens,
                                &c.recomputed_tokens,
                                &c.cached_tokens,
                                &c.output_tokens,
                                &c.drafted_tokens,
                                &c.accepted_tokens})
      *count *= factor;
    c.busy *= factor;
    for (double* ticks : {&c.kv_page_ticks,
                          &c.running_ticks,
                          &c.waiting_ticks,
                          &pool.up_ticks,
                          &pool.provisioned_ticks})
      *ticks *= f;
    for (ScalerDecision& decision : pool.decisions) decision.when *= factor;
    pool.gpu_time *= f;
  }
  for (SeriesPoint& point : result.series) {
    point.start *= factor;
    point.length *= factor;
    for (std::int64_t* count : {&point.arrivals, &point.served, &point.refused}) *count *= factor;
    for (PoolPoint& pool : point.pools) {
      for (std::int64_t* count : {&pool.prompt_tokens, &pool.cached_tokens, &pool.output_tokens})
        *count *= factor;
    }
  }
}

void scale_up(ServingMetrics& m, std::int64_t factor) {
  m.begin_s *= static_cast<double>(factor);
  m.end_s *= static_cast<double>(factor);
  for (std::int64_t* count : {&m.requests,
                              &m.input_tokens,
                              &m.output_tokens,
                              &m.cached_tokens,
                              &m.preemptions,
                              &m.good_requests,
                              &m.good_output_tokens,
                              &m.all_arrived,
                              &m.all_finished,
                              &m.all_input_arrived})
    *count *= factor;
  for (std::int64_t& count : m.outcomes) count *= factor;
  for (std::int64_t& count : m.all_input_tokens) count *= factor;
  for (ClassMetrics& c : m.classes)
    for (std::int64_t* count :
         {&c.requests, &c.served, &c.good, &c.output_tokens, &c.good_output_tokens})
      *count *= factor;
}

}  // namespace moesim
