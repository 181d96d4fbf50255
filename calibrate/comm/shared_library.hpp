// A library that is looked for when the program runs, so that it builds and starts without it.
#pragma once

#include <string>
#include <vector>

namespace moesim::comm {

class SharedLibrary {
 public:
  // Takes the first of `names` that can be loaded. std::runtime_error on one line, with `what` it
  // is and the system's reason, when none can.
  SharedLibrary(const std::string& what, const std::vector<std::string>& names);
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  // Sets the function pointer; std::runtime_error where the library has no such function.
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(address(name));
  }
  const std::string& name() const { return name_; }

 private:
  void* address(const char* name) const;

  std::string what_, name_;
  void* handle_ = nullptr;  // never closed: CUDA and NCCL leave threads behind that run in it
};

}  // namespace moesim::comm
