// A card of the fake driver for a test, with short names for what tests do again and again.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "core/device/cuda/libraries.h"
#include "tests/support/fake_cuda/fake_cuda.h"

namespace trireme::fake_cuda {

class FakeCudaTest : public testing::Test {
 protected:
  // Two cards; the driver reads it once, at the process's first call.
  static void SetUpTestSuite() {
    setenv("TRIREME_FAKE_GPUS", "2", 1);
    setenv("TRIREME_FAKE_GPU_MIB", "256", 1);
  }

  void SetUp() override {
    fake_ = fake_cuda();
    if (!fake_) GTEST_SKIP() << "the driver that is found is not the fake one";
    ok(d().cuInit(0));
    for (int card = 0; card < 2; ++card) ok(d().cuDevicePrimaryCtxRetain(&contexts_[card], card));
    ok(d().cuCtxSetCurrent(contexts_[0]));
    // Any fat binary: the fake knows kernels by their names.
    const uint32_t image[4] = {0xba55ed50, 0, 0, 0};
    ok(d().cuLibraryLoadData(&library_, image, nullptr, nullptr, 0, nullptr, nullptr, 0));
    fake_->revive();
    fake_->take_complaints();
    fake_->reset_statistics();
    fake_->seed(0);
  }
  void TearDown() override {
    if (!fake_) return;
    fake_->revive();
    ok(d().cuCtxSetCurrent(contexts_[0]));
    for (CUstream stream : streams_) ok(d().cuStreamDestroy(stream));
    for (CUdeviceptr address : memory_) d().cuMemFree(address);
    ok(d().cuLibraryUnload(library_));
    for (int card = 0; card < 2; ++card) ok(d().cuDevicePrimaryCtxRelease(card));
  }

  static const cuda::Driver& d() { return cuda::driver(); }
  static void ok(CUresult result) { ASSERT_EQ(result, CUDA_SUCCESS) << text(result); }
  static std::string text(CUresult result) {
    const char* text = nullptr;
    d().cuGetErrorString(result, &text);
    return text ? text : "";
  }

  CUstream make_stream() {
    CUstream stream = nullptr;
    ok(d().cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, 0));
    streams_.push_back(stream);
    return stream;
  }
  CUevent make_event() {
    CUevent event = nullptr;
    ok(d().cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    return event;
  }
  template <typename T = float>
  CUdeviceptr allocate(size_t count) {
    CUdeviceptr address = 0;
    ok(d().cuMemAlloc(&address, count * sizeof(T)));
    memory_.push_back(address);
    return address;
  }
  CUdeviceptr upload(const std::vector<float>& values, CUstream stream) {
    const CUdeviceptr address = allocate(values.size());
    ok(d().cuMemcpyHtoDAsync(address, values.data(), values.size() * 4, stream));
    return address;
  }
  // Waits for the stream.
  template <typename T = float>
  std::vector<T> download(CUdeviceptr from, size_t count, CUstream stream) {
    std::vector<T> values(count);
    ok(d().cuMemcpyDtoHAsync(values.data(), from, count * sizeof(T), stream));
    return values;
  }

  template <typename... Args>
  CUresult launch(const char* name, unsigned blocks, unsigned threads, CUstream stream,
                  const Args&... args) {
    CUkernel kernel = nullptr;
    ok(d().cuLibraryGetKernel(&kernel, library_, name));
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&args))..., nullptr};
    return d().cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), blocks, 1, 1, threads, 1, 1, 0,
                              stream, addresses, nullptr);
  }

  FakeCuda* fake_ = nullptr;
  CUcontext contexts_[2] = {};
  CUlibrary library_ = nullptr;

 private:
  std::vector<CUstream> streams_;
  std::vector<CUdeviceptr> memory_;
};

}  // namespace trireme::fake_cuda
