// The document of `moesim model --json`: arithmetic on a model alone.
#pragma once

#include "model/json_writer.hpp"
#include "model/model_spec.hpp"

namespace moesim {

JsonValue model_json(const ModelSpec& model, std::int64_t seq_len);

}  // namespace moesim
