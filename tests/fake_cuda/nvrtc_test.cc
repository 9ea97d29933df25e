// Generated kernels: compiled when the test runs, by the host's compiler and the real NVRTC.
#include <filesystem>

#include "tests/fake_cuda/fixture.h"

namespace trireme::fake_cuda {
namespace {

using testing::Each;
using testing::HasSubstr;

class FakeNvrtcTest : public FakeCudaTest {
 protected:
  static const cuda::Nvrtc& n() { return cuda::nvrtc(); }

  // The log when it cannot be compiled, else the machine code.
  static nvrtcResult compile(const std::string& source, std::string* result) {
    nvrtcProgram program = nullptr;
    EXPECT_EQ(n().nvrtcCreateProgram(&program, source.c_str(), "test.cu", 0, nullptr, nullptr),
              NVRTC_SUCCESS);
    const char* options[] = {"--gpu-architecture=sm_90", "--std=c++17"};
    const nvrtcResult compiled = n().nvrtcCompileProgram(program, 2, options);
    size_t bytes = 0;
    if (compiled == NVRTC_SUCCESS) {
      EXPECT_EQ(n().nvrtcGetCUBINSize(program, &bytes), NVRTC_SUCCESS);
      result->resize(bytes);
      EXPECT_EQ(n().nvrtcGetCUBIN(program, result->data()), NVRTC_SUCCESS);
    } else {
      EXPECT_EQ(n().nvrtcGetProgramLogSize(program, &bytes), NVRTC_SUCCESS);
      result->resize(bytes);
      EXPECT_EQ(n().nvrtcGetProgramLog(program, result->data()), NVRTC_SUCCESS);
    }
    n().nvrtcDestroyProgram(&program);
    return compiled;
  }
};

// What portable.cuh does for both compilers, in short.
constexpr char kPrelude[] = R"(
#ifdef __CUDACC__
#define TRIREME_KERNEL(name, parameters) extern "C" __global__ void name parameters
#endif
)";

TEST_F(FakeNvrtcTest, RunsAGeneratedKernel) {
  std::string image;
  ASSERT_EQ(compile(std::string(kPrelude) + R"(
TRIREME_KERNEL(twice, (const float* from, float* to, long long count)) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i < count) to[i] = 2.0f * from[i] + rsqrtf(4.0f);
})",
                    &image),
            NVRTC_SUCCESS)
      << image;
  CUlibrary library = nullptr;
  ok(d().cuLibraryLoadData(&library, image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUkernel kernel = nullptr;
  ok(d().cuLibraryGetKernel(&kernel, library, "twice"));
  const CUstream stream = make_stream();
  const CUdeviceptr from = upload(std::vector<float>(40, 3.0f), stream), to = allocate(40);
  const long long count = 40;
  void* arguments[] = {const_cast<CUdeviceptr*>(&from), const_cast<CUdeviceptr*>(&to),
                       const_cast<long long*>(&count)};
  ok(d().cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 2, 1, 1, 32, 1, 1, 0, stream,
                        arguments, nullptr));
  EXPECT_THAT(download(to, 40, stream), Each(6.5f));
  ok(d().cuLibraryUnload(library));
}

TEST_F(FakeNvrtcTest, SaysWhereASourceIsWrong) {
  std::string log;
  EXPECT_EQ(
      compile(std::string(kPrelude) + "TRIREME_KERNEL(wrong, (float* to)) { *to = what; }\n", &log),
      NVRTC_ERROR_COMPILATION);
  EXPECT_THAT(log, HasSubstr("what"));
}

// Host code may use the standard library, a kernel may not: NVRTC has none.
TEST_F(FakeNvrtcTest, RefusesWhatOnlyTheHostsCompilerTakes) {
  std::string log;
  const std::string source =
      "#include <vector>\n" + std::string(kPrelude) + "TRIREME_KERNEL(host_only, (float* to)) {}\n";
  if (!std::filesystem::exists(TRIREME_CUDA_LIBRARY_DIR "/libnvrtc.so"))
    GTEST_SKIP() << "no real NVRTC in " TRIREME_CUDA_LIBRARY_DIR;
  EXPECT_EQ(compile(source, &log), NVRTC_ERROR_COMPILATION);
  EXPECT_THAT(log, HasSubstr("the real NVRTC"));
}

}  // namespace
}  // namespace trireme::fake_cuda
