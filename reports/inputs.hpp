// Every value that a scenario stands on, and which file it came from, so that a number of the
// report can be followed back to what was put in.
//
// A profile's kernel fits are summed up in a row each (its source and what its error rests on),
// because their coefficients mean nothing one by one; they are in the profile's file. Left out:
// what does not change the result (overrides, whose values stand where they were put, variants,
// assumptions, which have a section of their own).
#pragma once

#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "reports/report.hpp"

namespace moesim {

// `document` as compose_document makes it; files are named from `folder` on.
std::vector<InputRow> input_rows(const JsonNode& document, const std::filesystem::path& folder);

// The last line of "How to check a number".
inline constexpr const char* kWhereInputsAre =
    "`moesim run -o FOLDER` writes every input with its source at the end of the report; "
    "`--set` changes one and shows what it does.";

std::optional<Section> inputs_section(const std::vector<InputRow>& rows);
std::optional<Section> assumptions_section(const std::vector<std::string>& assumptions);

}  // namespace moesim
