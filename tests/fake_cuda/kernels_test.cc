// How kernels run on the host: sums of a block, rounding, and what no GPU would tell of.
#include <cmath>
#include <numeric>

#include "core/tensor/dtype.h"
#include "tests/fake_cuda/fixture.h"

namespace trireme::fake_cuda {
namespace {

using testing::HasSubstr;

using FakeKernelTest = FakeCudaTest;

TEST_F(FakeKernelTest, ReducesOverABlock) {
  const CUstream stream = make_stream();
  for (const unsigned threads : {32u, 96u, 256u, 1024u}) {
    constexpr unsigned kBlocks = 3;
    std::vector<float> values(threads * kBlocks);
    std::iota(values.begin(), values.end(), 1.0f);
    const CUdeviceptr sums = allocate(kBlocks), maxima = allocate(kBlocks);
    ok(launch("test_block_reduce", kBlocks, threads, stream, upload(values, stream), sums, maxima));
    const std::vector<float> sum = download(sums, kBlocks, stream),
                             maximum = download(maxima, kBlocks, stream);
    for (unsigned b = 0; b < kBlocks; ++b) {
      const auto first = values.begin() + b * threads;
      EXPECT_FLOAT_EQ(sum[b], std::accumulate(first, first + threads, 0.0f));
      EXPECT_EQ(maximum[b], *(first + threads - 1));
    }
  }
}

TEST_F(FakeKernelTest, FindsBarrierDivergence) {
  const CUstream stream = make_stream();
  ok(launch("test_barrier_divergence", 1, 64, stream, int32_t{0}));
  ok(d().cuStreamSynchronize(stream));
  ok(launch("test_barrier_divergence", 1, 64, stream, int32_t{3}));
  const CUresult result = d().cuStreamSynchronize(stream);
  EXPECT_EQ(result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_THAT(text(result), HasSubstr("barrier divergence: 61 threads wait"));
}

TEST_F(FakeKernelTest, FindsAShuffleWithoutAllLanes) {
  const CUstream stream = make_stream();
  const CUdeviceptr to = allocate(64);
  ok(launch("test_shuffle_divergence", 1, 64, stream, to, int32_t{0}));
  ok(d().cuStreamSynchronize(stream));
  ok(launch("test_shuffle_divergence", 1, 64, stream, to, int32_t{33}));
  const CUresult result = d().cuStreamSynchronize(stream);
  EXPECT_EQ(result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_THAT(text(result), HasSubstr("warp divergence: 31 in a warp exchange"));
}

TEST_F(FakeKernelTest, FindsAMissingBarrier) {
  const CUstream stream = make_stream();
  const CUdeviceptr to = allocate<int32_t>(256);
  for (const int32_t wait : {1, 0}) {
    int wrong = 0;
    for (int i = 0; i < 2; ++i) {  // forwards and backwards
      ok(launch("test_neighbours", 1, 256, stream, to, wait));
      const std::vector<int32_t> all = download<int32_t>(to, 256, stream);
      for (int k = 0; k < 256; ++k) wrong += all[static_cast<size_t>(k)] != (k + 1) % 256;
    }
    EXPECT_EQ(wrong > 0, wait == 0);
  }
}

TEST_F(FakeKernelTest, RoundsTo16BitsAsTheHostDoes) {
  const CUstream stream = make_stream();
  std::vector<float> values = {0.0f,     -0.0f,     1.0f,    65504.0f, 65519.9f, 65520.0f, 1e10f,
                               INFINITY, -INFINITY, 6.1e-5f, 5.9e-8f,  2.9e-8f,  3.0e-8f,  -1e-7f};
  uint32_t bits = 1;
  while (values.size() < 4096) {
    bits = bits * 1664525 + 1013904223;
    const float value = std::bit_cast<float>(bits);
    if (!std::isnan(value)) values.push_back(value);
    values.push_back(std::ldexp(static_cast<float>(bits >> 8), -static_cast<int>(bits % 50)));
  }
  values.resize(4096);
  const CUdeviceptr half = allocate<uint16_t>(4096), bfloat = allocate<uint16_t>(4096),
                    back = allocate(8192);
  ok(launch("test_round", 16, 256, stream, upload(values, stream), half, bfloat, back));
  const auto halves = download<uint16_t>(half, 4096, stream),
             bfloats = download<uint16_t>(bfloat, 4096, stream);
  const auto backs = download(back, 8192, stream);
  for (size_t i = 0; i < values.size(); ++i) {
    const Half expected(values[i]);
    const BFloat16 expected_bfloat(values[i]);
    EXPECT_EQ(halves[i], expected.bits) << values[i];
    EXPECT_EQ(bfloats[i], expected_bfloat.bits) << values[i];
    EXPECT_EQ(backs[2 * i], static_cast<float>(expected)) << values[i];
    EXPECT_EQ(backs[2 * i + 1], static_cast<float>(expected_bfloat)) << values[i];
  }
}

TEST_F(FakeKernelTest, FindsAMisalignedVector) {
  const CUstream stream = make_stream();
  const CUdeviceptr from = allocate(8), to = allocate(1);
  ok(launch("test_load_vector", 1, 1, stream, from, to));
  ok(d().cuStreamSynchronize(stream));
  ok(launch("test_load_vector", 1, 1, stream, from + 4, to));
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_ERROR_MISALIGNED_ADDRESS);
}

TEST_F(FakeKernelTest, RefusesATooLargeBlock) {
  EXPECT_EQ(launch("test_barrier_divergence", 1, 1025, make_stream(), int32_t{0}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch("test_barrier_divergence", 0, 32, make_stream(), int32_t{0}),
            CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace trireme::fake_cuda
