#include "model/json_reader.hpp"

using namespace moesim;

inline ObjectReader good(const JsonNode& node) { return ObjectReader(node); }
#ifdef MUST_NOT_COMPILE
inline ObjectReader bad() { return ObjectReader(parse_json("{}", "x.json")); }
#endif
