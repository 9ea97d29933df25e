// Exported: capture of streams, and graphs.
#include <algorithm>

#include "tests/support/fake_cuda/driver.h"

using namespace trireme::fake_cuda;

namespace {

template <typename Handles>
auto& known(Handles& all, typename Handles::key_type handle, const char* what) {
  const auto at = all.find(handle);
  if (at == all.end()) refuse(CUDA_ERROR_INVALID_VALUE, std::string("no such ") + what);
  return *at->second;
}

CUgraphNodeType type_of(OperationKind kind) {
  switch (kind) {
    case OperationKind::kKernel:
      return CU_GRAPH_NODE_TYPE_KERNEL;
    case OperationKind::kMemset:
      return CU_GRAPH_NODE_TYPE_MEMSET;
    case OperationKind::kHostFunction:
      return CU_GRAPH_NODE_TYPE_HOST;
    case OperationKind::kMarker:
      return CU_GRAPH_NODE_TYPE_EMPTY;
    default:
      return CU_GRAPH_NODE_TYPE_MEMCPY;
  }
}

// Whether all that `tips` stand for is before, or among, what `of` stands for.
bool joined(const Capture& capture, const std::set<size_t>& of, const std::set<size_t>& tips) {
  std::vector<size_t> open(of.begin(), of.end());
  std::set<size_t> seen(of.begin(), of.end());
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    for (const size_t before : capture.nodes[node].after)
      if (seen.insert(before).second) open.push_back(before);
  }
  return std::all_of(tips.begin(), tips.end(), [&](size_t tip) { return seen.contains(tip); });
}

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  return call("cuStreamBeginCapture", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream(stream);
    if (s.capture) refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream captures already");
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->streams = {stream};
    s.capture = capture;
    s.tips.clear();
    d.captures.insert(capture);
  });
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  return call("cuStreamEndCapture", kInContext, [&](Driver& d, Lock&) {
    *graph = nullptr;
    CUstream_st& s = d.stream(stream);
    const std::shared_ptr<Capture> capture = s.capture;
    if (!capture) refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream does not capture");
    if (capture->origin != stream) {
      capture->invalid = "it was ended on another stream than it began on";
      refuse(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, capture->invalid);
    }
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
        capture->thread != std::this_thread::get_id())
      refuse(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "another thread began the capture");
    capture->ended = true;
    d.captures.erase(capture);
    const std::set<size_t> tips = s.tips;
    bool unjoined = false;
    for (const CUstream handle : capture->streams) {
      CUstream_st& other = d.stream(handle);
      unjoined = unjoined || !joined(*capture, tips, other.tips);
      other.capture = nullptr;
      other.tips.clear();
    }
    if (!capture->invalid.empty()) refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, capture->invalid);
    if (unjoined)
      refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
             "a stream took part whose work the stream that ends the capture has not waited for");
    auto made = std::make_unique<CUgraph_st>();
    for (GraphNode& node : capture->nodes) {
      made->nodes.push_back(std::make_unique<CUgraphNode_st>());
      made->nodes.back()->node = std::move(node);
    }
    *graph = made.get();
    d.graphs[*graph] = std::move(made);
  });
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  return call("cuStreamIsCapturing", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream(stream);
    *status = !s.capture                   ? CU_STREAM_CAPTURE_STATUS_NONE
              : s.capture->invalid.empty() ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                           : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
  });
}

CUresult cuGraphInstantiate(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
  return call("cuGraphInstantiate", kInContext, [&](Driver& d, Lock&) {
    if (flags & ~static_cast<unsigned long long>(CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY |
                                                 CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD))
      refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags");
    auto made = std::make_unique<CUgraphExec_st>();
    for (const auto& node : known(d.graphs, graph, "graph").nodes)
      made->nodes.push_back(node->node);
    ++d.scheduler.statistics.graphs_instantiated;
    *executable = made.get();
    d.executables[*executable] = std::move(made);
  });
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
  return call("cuGraphUpload", kInContext, [&](Driver& d, Lock&) {
    known(d.executables, executable, "executable graph");
    if (d.stream_of_current(stream).capture)
      refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream captures");
  });
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  return call("cuGraphLaunch", kInContext, [&](Driver& d, Lock&) {
    CUgraphExec_st& graph = known(d.executables, executable, "executable graph");
    CUstream_st& s = d.stream_of_current(stream);
    if (s.capture) {
      s.capture->invalid = "a graph was launched on the stream";
      refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the fake does not capture graph launches");
    }
    const int card = s.context->card;
    // Behind what is on the stream, and behind its own last launch. Its nodes are ordered by their
    // edges only.
    const OperationPtr begin =
        d.scheduler.enqueue(make_marker("begin of a graph"), card, &s, false, {s.last, graph.last});
    std::vector<OperationPtr> made, all = {begin};
    for (const GraphNode& node : graph.nodes) {
      std::vector<OperationPtr> after;
      for (const size_t before : node.after) after.push_back(made[before]);
      if (after.empty()) after.push_back(begin);
      made.push_back(d.scheduler.enqueue(node.work, node.card, &s, true, after));
      all.push_back(made.back());
    }
    s.last = graph.last = d.scheduler.enqueue(make_marker("end of a graph"), card, &s, false, all);
    ++d.scheduler.statistics.graph_launches;
  });
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  return call("cuGraphGetNodes", kInitialized, [&](Driver& d, Lock&) {
    const auto& all = known(d.graphs, graph, "graph").nodes;
    if (nodes) {
      for (size_t i = 0; i < *count; ++i) nodes[i] = i < all.size() ? all[i].get() : nullptr;
      *count = std::min(*count, all.size());
    } else {
      *count = all.size();
    }
  });
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return call("cuGraphNodeGetType", kInitialized,
              [&](Driver&, Lock&) { *type = type_of(node->node.work->kind); });
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
  return call("cuGraphExecDestroy", kInitialized, [&](Driver& d, Lock&) {
    known(d.executables, executable, "executable graph");
    d.executables.erase(executable);
  });
}

CUresult cuGraphDestroy(CUgraph graph) {
  return call("cuGraphDestroy", kInitialized, [&](Driver& d, Lock&) {
    known(d.graphs, graph, "graph");
    d.graphs.erase(graph);
  });
}

#pragma GCC visibility pop
}  // extern "C"
