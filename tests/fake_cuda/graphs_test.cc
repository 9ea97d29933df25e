// Capture, graphs, and what a real driver refuses meanwhile.
#include "tests/fake_cuda/fixture.h"

namespace trireme::fake_cuda {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;

class FakeGraphTest : public FakeCudaTest {
 protected:
  void begin(CUstream stream) {
    ok(d().cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  }
};

TEST_F(FakeGraphTest, AReplayDoesWhatWasCaptured) {
  const CUstream stream = make_stream(), side = make_stream();
  const CUdeviceptr a = allocate(64), b = allocate(64), c = allocate(64);
  const CUevent fork = make_event(), join = make_event();
  begin(stream);
  ok(launch("test_add_one", 1, 64, stream, a, b, int64_t{64}));
  ok(d().cuEventRecord(fork, stream));
  ok(d().cuStreamWaitEvent(side, fork, 0));
  ok(launch("test_add_one", 1, 64, side, b, c, int64_t{64}));
  ok(d().cuMemcpyDtoDAsync(a, c, 256, side));
  ok(d().cuEventRecord(join, side));
  ok(d().cuStreamWaitEvent(stream, join, 0));
  CUgraph graph = nullptr;
  ok(d().cuStreamEndCapture(stream, &graph));
  EXPECT_THAT(fake_->statistics().operations, IsEmpty());

  size_t count = 0;
  ok(d().cuGraphGetNodes(graph, nullptr, &count));
  EXPECT_EQ(count, 3u);
  std::vector<CUgraphNode> nodes(count);
  ok(d().cuGraphGetNodes(graph, nodes.data(), &count));
  CUgraphNodeType type{};
  ok(d().cuGraphNodeGetType(nodes[2], &type));
  EXPECT_EQ(type, CU_GRAPH_NODE_TYPE_MEMCPY);

  CUgraphExec executable = nullptr;
  ok(d().cuGraphInstantiate(&executable, graph, 0));
  ok(d().cuGraphDestroy(graph));
  ok(d().cuMemsetD32Async(a, 0, 64, stream));
  for (int i = 0; i < 5; ++i) ok(d().cuGraphLaunch(executable, stream));
  EXPECT_THAT(download(a, 64, stream), Each(10));
  const Statistics statistics = fake_->statistics();
  EXPECT_EQ(statistics.graph_launches, 5);
  EXPECT_EQ(statistics.launches.at("test_add_one"), 10);
  EXPECT_EQ(statistics.graph_nodes.at(OperationKind::kKernel), 10);
  EXPECT_THAT(fake_->take_complaints(), IsEmpty());
  ok(d().cuGraphExecDestroy(executable));
  ok(d().cuEventDestroy(fork));
  ok(d().cuEventDestroy(join));
}

TEST_F(FakeGraphTest, RefusesUnjoinedWork) {
  const CUstream stream = make_stream(), side = make_stream();
  const CUdeviceptr a = allocate(64);
  const CUevent fork = make_event();
  begin(stream);
  ok(launch("test_fill", 1, 64, stream, a, int64_t{64}, 1.0f));
  ok(d().cuEventRecord(fork, stream));
  ok(d().cuStreamWaitEvent(side, fork, 0));
  ok(launch("test_fill", 1, 64, side, a, int64_t{64}, 1.0f));
  CUgraph graph = nullptr;
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  // Both are as before.
  ok(d().cuStreamSynchronize(stream));
  ok(d().cuStreamSynchronize(side));
  ok(d().cuEventDestroy(fork));
}

TEST_F(FakeGraphTest, RefusesToAllocateOrWaitWhileCapturing) {
  const CUstream stream = make_stream(), other = make_stream();
  const CUdeviceptr a = allocate(64);
  CUdeviceptr address = 0;
  CUgraph graph = nullptr;
  begin(stream);
  EXPECT_EQ(d().cuMemAlloc(&address, 64), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(launch("test_fill", 1, 64, stream, a, int64_t{64}, 1.0f),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  begin(stream);
  EXPECT_EQ(d().cuStreamSynchronize(other), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  begin(stream);
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  float pageable = 0;
  begin(stream);
  EXPECT_EQ(d().cuMemcpyHtoDAsync(a, &pageable, 4, stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST_F(FakeGraphTest, RefusesToWaitForWorkOutsideOfTheCapture) {
  const CUstream stream = make_stream(), other = make_stream();
  const CUevent outside = make_event();
  ok(d().cuEventRecord(outside, other));
  begin(stream);
  EXPECT_EQ(d().cuStreamWaitEvent(stream, outside, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  CUgraph graph = nullptr;
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  ok(d().cuEventDestroy(outside));
}

TEST_F(FakeGraphTest, RefusesMemoryThatWasFreedAfterTheCapture) {
  const CUstream stream = make_stream();
  CUdeviceptr freed = 0;
  ok(d().cuMemAlloc(&freed, 64));
  begin(stream);
  ok(launch("test_fill", 1, 32, stream, freed, int64_t{1}, 1.0f));
  CUgraph graph = nullptr;
  ok(d().cuStreamEndCapture(stream, &graph));
  CUgraphExec executable = nullptr;
  ok(d().cuGraphInstantiate(&executable, graph, 0));
  ok(d().cuMemFree(freed));
  ok(d().cuGraphLaunch(executable, stream));
  const CUresult result = d().cuStreamSynchronize(stream);
  EXPECT_EQ(result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_THAT(text(result), HasSubstr("that have been freed"));
  fake_->revive();
  ok(d().cuGraphExecDestroy(executable));
  ok(d().cuGraphDestroy(graph));
}

}  // namespace
}  // namespace trireme::fake_cuda
