// The page's own style and scripts, put into the program when it is built (reports/web). Their
// hashes are what the page's security policy lets run.
#pragma once

#include <string_view>

namespace moesim {

struct PageAsset {
  std::string_view text;
  std::string_view sha256_hex;
};

PageAsset page_style();
PageAsset theme_script();
PageAsset chart_script();  // empty when the program was built without npm: tables instead of charts

}  // namespace moesim
