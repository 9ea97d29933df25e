// Compiles a CUDA source with the real NVRTC, for the architectures that Trireme is built for:
// nvrtc_check SOURCE HEADER_FOLDER HEADER… -- OPTION…. Exits with 1 and the log on standard output
// when it does not compile, with 0 when it does or there is no NVRTC.
//
// A program of its own: NVRTC opens the driver, and must not find the fake one.
#include <dlfcn.h>
#include <nvrtc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Function>
Function* find(void* library, const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) return 2;
  void* const library = dlopen(TRIREME_NVRTC_PATH, RTLD_NOW | RTLD_LOCAL);
  if (!library) return 0;
  const auto create = find(library, "nvrtcCreateProgram", &nvrtcCreateProgram);
  const auto compile = find(library, "nvrtcCompileProgram", &nvrtcCompileProgram);
  const auto log_size = find(library, "nvrtcGetProgramLogSize", &nvrtcGetProgramLogSize);
  const auto get_log = find(library, "nvrtcGetProgramLog", &nvrtcGetProgramLog);

  const std::string source = read(words[1]), folder = words[2];
  std::vector<std::string> texts;
  std::vector<const char*> names, bodies, options;
  int next = 3;
  for (; next < count && strcmp(words[next], "--") != 0; ++next) {
    names.push_back(words[next]);
    texts.push_back(read(folder + "/" + words[next]));
  }
  for (const std::string& text : texts) bodies.push_back(text.c_str());
  for (++next; next < count; ++next) options.push_back(words[next]);
  options.push_back("");
  bool failed = false;
  for (const char* target : {"--gpu-architecture=sm_80", "--gpu-architecture=sm_90"}) {
    options.back() = target;
    nvrtcProgram program = nullptr;
    nvrtcResult result = create(&program, source.c_str(), "kernel.cu",
                                static_cast<int>(names.size()), bodies.data(), names.data());
    if (result == NVRTC_SUCCESS)
      result = compile(program, static_cast<int>(options.size()), options.data());
    if (result == NVRTC_SUCCESS) continue;
    size_t bytes = 0;
    std::string log;
    if (program && log_size(program, &bytes) == NVRTC_SUCCESS && bytes > 0) {
      log.resize(bytes);
      get_log(program, log.data());
    }
    failed = true;
    printf("the real NVRTC, with %s: error %d\n%s\n", target, static_cast<int>(result),
           log.c_str());
    break;
  }
  fflush(stdout);
  // Not by return: what NVRTC leaves behind would be taken for leaks of ours.
  std::_Exit(failed ? 1 : 0);
}
