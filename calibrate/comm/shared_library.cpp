#include "calibrate/comm/shared_library.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>

namespace moesim::comm {
namespace {

std::string last_error() {
  const char* text = ::dlerror();
  std::string line = text == nullptr ? "no reason given" : text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

SharedLibrary::SharedLibrary(const std::string& what, const std::vector<std::string>& names)
    : what_(what) {
  std::string reason;
  for (const std::string& name : names) {
    handle_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) {
      name_ = name;
      return;
    }
    // Of several names the first is the one to look for.
    const std::string error = last_error();
    if (reason.empty()) reason = error;
  }
  throw std::runtime_error(what + " is not here: " + reason +
                           "; install it, or put its folder into LD_LIBRARY_PATH, or measure with "
                           "--device=fake");
}

void* SharedLibrary::address(const char* name) const {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr)
    throw std::runtime_error(what_ + " (" + name_ + ") has no function " + name +
                             "; a newer version is needed");
  return found;
}

}  // namespace moesim::comm
