// The fake NVRTC: compiles for the host with the compiler that Trireme was built with, and with the
// real NVRTC as well where the toolkit has it, so that only what both take passes.
//
// What it makes is kept by source and options in a folder of the build tree (TRIREME_FAKE_CACHE),
// for this process and later ones: kernels that do not change are compiled once.
#include <dlfcn.h>
#include <fcntl.h>
#include <nvrtc.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/fake_cuda/image.h"

namespace fs = std::filesystem;

struct _nvrtcProgram {
  std::string source, name;
  std::vector<std::pair<std::string, std::string>> headers;  // name, text
  std::string log, image;
};

namespace trireme::fake_cuda {
namespace {

// What g++ is given; CMake gives the same to kernels/*.cu.
const std::vector<std::string> kFlags = {"-std=c++20",
                                         "-O1",
                                         "-shared",
                                         "-fPIC",
                                         "-fvisibility=hidden",
                                         "-ffp-contract=off",
                                         "-fsanitize=alignment,bounds-strict",
                                         "-fsanitize-undefined-trap-on-error",
                                         "-DTRIREME_FAKE_MODULE",
                                         "-I" TRIREME_SOURCE_DIR,
                                         "-include",
                                         "tests/support/fake_cuda/emulation.h"};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// FNV-1a, twice with different beginnings: enough to tell kernels apart.
std::string hash(const std::string& text) {
  uint64_t a = 0xcbf29ce484222325, b = 0x9e3779b97f4a7c15;
  for (const unsigned char c : text) {
    a = (a ^ c) * 0x100000001b3;
    b = (b ^ (c + 1u)) * 0x100000001b3;
  }
  char digits[33];
  snprintf(digits, sizeof digits, "%016zx%016zx", static_cast<size_t>(a), static_cast<size_t>(b));
  return digits;
}

// Where this library is.
std::string own_folder() {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(&own_folder), &info);
  const std::string own = info.dli_fname;
  return own.substr(0, own.rfind('/') + 1);
}

// What a child gets: the real libraries are not hidden by the fake ones.
std::vector<char*> environment_of_child() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable; ++variable)
    if (strncmp(*variable, "LD_LIBRARY_PATH=", 16) != 0) kept.push_back(*variable);
  kept.push_back(nullptr);
  return kept;
}

// The exit status; what the program says goes into `log`.
int run(const std::vector<std::string>& command, const fs::path& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(),
                                  environment_of_child().data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed) return -1;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// One process compiles, others that want the same wait.
class FileLock {
 public:
  explicit FileLock(const fs::path& path)
      : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (file_ >= 0) flock(file_, LOCK_EX);
  }
  ~FileLock() {
    if (file_ >= 0) close(file_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
};

// Both compilers; the log when one does not take the source.
bool compile_both(_nvrtcProgram& program, const std::vector<std::string>& options,
                  const fs::path& library, const fs::path& folder) {
  fs::create_directories(folder);
  const std::string source = (folder / "kernel.cc").string(), log = (folder / "log").string();
  write(source, program.source);
  std::vector<std::string> check = {own_folder() + "nvrtc_check", source, folder.string()};
  for (const auto& [name, text] : program.headers) {
    fs::create_directories((folder / name).parent_path());
    write(folder / name, text);
    check.push_back(name);
  }
  check.push_back("--");
  check.insert(check.end(), options.begin(), options.end());
  bool compiled = run(check, log) == 0;
  if (compiled) {
    const std::string made = library.string() + "." + std::to_string(getpid());
    std::vector<std::string> command = {TRIREME_HOST_COMPILER};
    command.insert(command.end(), kFlags.begin(), kFlags.end());
    command.insert(command.end(), {"-I" + folder.string(), source, "-o", made});
    compiled = run(command, log) == 0;
    if (compiled) fs::rename(made, library);
  }
  if (!compiled) program.log = read(log);
  fs::remove_all(folder);
  return compiled;
}

nvrtcResult compile(_nvrtcProgram& program, const std::vector<std::string>& given) {
  std::vector<std::string> options;
  bool known_target = false;
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] == "-arch" || given[i] == "--gpu-architecture") {
      known_target = true;
      ++i;
    } else if (given[i].starts_with("--gpu-architecture=") || given[i].starts_with("-arch=")) {
      known_target = true;
    } else {
      options.push_back(given[i]);
    }
  }
  if (!known_target) {
    program.log = "no --gpu-architecture: the machine code would be for NVRTC's default\n";
    return NVRTC_ERROR_INVALID_OPTION;
  }
  std::string key = TRIREME_HOST_COMPILER;
  for (const std::string& flag : kFlags) key += flag + '\0';
  for (const std::string& option : options) key += option + '\0';
  for (const char* file : {"emulation.h", "emulation_math.h", "module.h"})
    key += read(fs::path(TRIREME_SOURCE_DIR) / "tests/support/fake_cuda" / file) + '\0';
  for (const auto& [name, text] : program.headers) key += name + '\0' + text + '\0';
  key += program.source;

  const char* set = getenv("TRIREME_FAKE_CACHE");
  const fs::path cache = set && *set ? set : TRIREME_FAKE_CACHE;
  fs::create_directories(cache);
  const fs::path base = cache / hash(key);
  const fs::path library = base.string() + ".so";
  if (!fs::exists(library)) {
    FileLock lock(base.string() + ".lock");  // the file stays: others may wait for it
    if (!fs::exists(library)) {
      if (!compile_both(program, options, library, base.string() + ".d"))
        return NVRTC_ERROR_COMPILATION;
    }
  }
  program.image.assign(kImageMagic, sizeof kImageMagic);
  program.image += library.string() + '\0';
  return NVRTC_SUCCESS;
}

nvrtcResult get_image(nvrtcProgram program, char* to) {
  if (program->image.empty()) return NVRTC_ERROR_INVALID_PROGRAM;
  memcpy(to, program->image.data(), program->image.size());
  return NVRTC_SUCCESS;
}

nvrtcResult get_image_size(nvrtcProgram program, size_t* bytes) {
  *bytes = program->image.size();
  return program->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}

}  // namespace
}  // namespace trireme::fake_cuda

using namespace trireme::fake_cuda;

extern "C" {
#pragma GCC visibility push(default)

nvrtcResult nvrtcVersion(int* major, int* minor) {
  *major = CUDA_VERSION_MAJOR;
  *minor = CUDA_VERSION_MINOR;
  return NVRTC_SUCCESS;
}

const char* nvrtcGetErrorString(nvrtcResult result) {
  switch (result) {
    case NVRTC_SUCCESS:
      return "NVRTC_SUCCESS";
    case NVRTC_ERROR_INVALID_INPUT:
      return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM:
      return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_INVALID_OPTION:
      return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION:
      return "NVRTC_ERROR_COMPILATION";
    default:
      return "NVRTC_ERROR_INTERNAL_ERROR";
  }
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram* program, const char* source, const char* name,
                               int header_count, const char* const* headers,
                               const char* const* include_names) {
  if (!program || !source || header_count < 0) return NVRTC_ERROR_INVALID_INPUT;
  *program = new _nvrtcProgram{.source = source, .name = name ? name : "default_program"};
  for (int i = 0; i < header_count; ++i)
    (*program)->headers.emplace_back(include_names[i], headers[i]);
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
  delete *program;
  *program = nullptr;
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int option_count,
                                const char* const* options) {
  try {
    return compile(*program, {options, options + option_count});
  } catch (const std::exception& error) {
    program->log = error.what();
    return NVRTC_ERROR_INTERNAL_ERROR;
  }
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, size_t* bytes) {
  *bytes = program->log.size() + 1;
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char* log) {
  memcpy(log, program->log.c_str(), program->log.size() + 1);
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, size_t* bytes) {
  return get_image_size(program, bytes);
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* image) { return get_image(program, image); }
nvrtcResult nvrtcGetPTXSize(nvrtcProgram program, size_t* bytes) {
  return get_image_size(program, bytes);
}
nvrtcResult nvrtcGetPTX(nvrtcProgram program, char* image) { return get_image(program, image); }

#pragma GCC visibility pop
}  // extern "C"
