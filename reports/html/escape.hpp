// Text from scenarios and file names on its way into a page: whatever it holds, it stays text.
#pragma once

#include <string>
#include <string_view>

namespace moesim {

// For element content and for attribute values in double quotes. Bytes that are not UTF-8 and
// control characters become U+FFFD.
std::string html_escaped(std::string_view text);
// Escaped, and `code` and **strong** of the reports' sentences as elements.
std::string html_inline(std::string_view text);
// JSON for a <script type="application/json">: nothing in it can end the element or open a comment.
std::string script_json(std::string_view json);
// "sha256-..." of a Content-Security-Policy.
std::string csp_hash(std::string_view sha256_hex);

}  // namespace moesim
