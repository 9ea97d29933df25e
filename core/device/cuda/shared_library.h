// A library that is opened at run time. For the CUDA libraries: those of this folder, and NCCL.
//
// Looked for by soname: first in the folder lib/ beside the program's (a bundle), then where the
// loader looks (LD_LIBRARY_PATH, the system), then in the toolkit that Trireme was built with.
#pragma once

#include <string>

namespace trireme::cuda {

// Never closed: its functions are used until the process ends.
class SharedLibrary {
 public:
  struct Names {
    std::string file;     // its soname
    std::string what;     // "cuDNN 9"
    std::string install;  // what to do where it is missing
  };
  // Throws Error{kInvalidArgument}: the library, where it was looked for, what the loader said,
  // what to do.
  explicit SharedLibrary(Names names);

  // Sets `function` to the library's `symbol`. Throws when it has none of that name.
  template <typename Function>
  void load(Function*& function, const char* symbol) const {
    function = reinterpret_cast<Function*>(find(symbol));
  }

 private:
  void* find(const char* symbol) const;

  Names names_;
  void* handle_ = nullptr;
};

}  // namespace trireme::cuda
