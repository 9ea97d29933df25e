// Exported: streams and events.
#include "tests/support/fake_cuda/driver.h"

using namespace trireme::fake_cuda;

namespace {

bool is_done(const OperationPtr& operation) { return !operation || operation->done; }

void require_not_captured(CUevent_st& event) {
  if (event.capture)
    refuse(CUDA_ERROR_CAPTURED_EVENT, "the event was last recorded on a stream that captured");
}

// `stream` waits for an event that was recorded in a capture, and takes part in it from then on.
void join_capture(CUstream_st& stream, CUstream handle, const CUevent_st& event) {
  const auto& capture = event.capture;
  if (capture->ended)
    refuse(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a capture that has ended");
  if (stream.capture && stream.capture != capture) {
    stream.capture->invalid = capture->invalid = "it waited for an event of another capture";
    refuse(CUDA_ERROR_STREAM_CAPTURE_MERGE, "stream and event are of different captures");
  }
  if (!capture->invalid.empty())
    refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture is invalid: " + capture->invalid);
  stream.capture = capture;
  capture->streams.insert(handle);
  stream.tips.insert(event.tips.begin(), event.tips.end());
}

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int) {
  return call("cuStreamCreateWithPriority", kInContext, [&](Driver& d, Lock&) {
    if (flags != CU_STREAM_NON_BLOCKING)
      refuse(CUDA_ERROR_INVALID_VALUE,
             "flags must be CU_STREAM_NON_BLOCKING: the stream would wait for the default one");
    auto made = std::make_unique<CUstream_st>();
    made->context = &require_context();
    *stream = made.get();
    d.streams[*stream] = std::move(made);
  });
}

CUresult cuStreamDestroy(CUstream stream) {
  return call("cuStreamDestroy", kInitialized, [&](Driver& d, Lock& lock) {
    CUstream_st& s = d.stream(stream);
    d.forbid_on_captured(s);
    // Its work goes on; run here, so that nothing keeps what it uses for ever.
    if (!d.failed(s.context->card)) d.scheduler.run_until(s.last, lock);
    d.streams.erase(stream);
  });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return call("cuStreamSynchronize", kInContext, [&](Driver& d, Lock& lock) {
    CUstream_st& s = d.stream(stream);
    d.forbid_on_captured(s);
    d.forbid_in_capture();
    ++d.scheduler.statistics.synchronizations;
    const int card = s.context->card;
    d.scheduler.run_until(s.last, lock);
    d.require_sound(card);
  });
}

CUresult cuStreamQuery(CUstream stream) {
  return call("cuStreamQuery", kNotCapturing, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream(stream);
    d.forbid_on_captured(s);
    if (is_done(s.last)) return;
    d.scheduler.run_one();
    d.require_sound(s.context->card);
    refuse(CUDA_ERROR_NOT_READY, "");
  });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return call("cuStreamWaitEvent", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream(stream);
    CUevent_st& e = d.event(event);
    if (flags != 0) refuse(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    if (e.capture) return join_capture(s, stream, e);
    if (s.capture) {
      s.capture->invalid = "it waited for an event of outside";
      refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
             "the stream captures, and the event was recorded outside of the capture");
    }
    if (!e.record) return;  // never recorded: nothing to wait for
    s.last = d.scheduler.enqueue(make_marker("wait for an event"), s.context->card, &s, false,
                                 {s.last, e.record});
  });
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return call("cuEventCreate", kInContext, [&](Driver& d, Lock&) {
    if (flags & ~(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING))
      refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags");
    auto made = std::make_unique<CUevent_st>();
    made->context = &require_context();
    made->timed = !(flags & CU_EVENT_DISABLE_TIMING);
    *event = made.get();
    d.events[*event] = std::move(made);
  });
}

CUresult cuEventDestroy(CUevent event) {
  return call("cuEventDestroy", kInitialized, [&](Driver& d, Lock&) {
    d.event(event);
    d.events.erase(event);
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return call("cuEventRecord", kInContext, [&](Driver& d, Lock&) {
    CUevent_st& e = d.event(event);
    CUstream_st& s = d.stream(stream);
    if (e.context != s.context)
      refuse(CUDA_ERROR_INVALID_HANDLE, "event and stream are of different cards");
    d.enqueue(s, make_marker("event"));
    if (s.capture) {
      e.capture = s.capture;
      e.tips = s.tips;
      e.record = nullptr;
    } else {
      e.capture = nullptr;
      e.record = s.last;
    }
  });
}

CUresult cuEventQuery(CUevent event) {
  return call("cuEventQuery", kNotCapturing, [&](Driver& d, Lock&) {
    CUevent_st& e = d.event(event);
    require_not_captured(e);
    if (is_done(e.record)) return;
    d.scheduler.run_one();
    d.require_sound(e.context->card);
    refuse(CUDA_ERROR_NOT_READY, "");
  });
}

CUresult cuEventSynchronize(CUevent event) {
  return call("cuEventSynchronize", kInitialized, [&](Driver& d, Lock& lock) {
    CUevent_st& e = d.event(event);
    require_not_captured(e);
    d.forbid_in_capture();
    ++d.scheduler.statistics.synchronizations;
    const int card = e.context->card;
    d.require_sound(card);
    d.scheduler.run_until(OperationPtr(e.record), lock);
    d.require_sound(card);
  });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return call("cuEventElapsedTime", kInitialized, [&](Driver& d, Lock&) {
    CUevent_st &from = d.event(start), &to = d.event(end);
    if (!from.timed || !to.timed || !from.record || !to.record)
      refuse(CUDA_ERROR_INVALID_HANDLE, "an event was never recorded, or made without timing");
    if (!from.record->done || !to.record->done) refuse(CUDA_ERROR_NOT_READY, "");
    *milliseconds =
        std::chrono::duration<float, std::milli>(to.record->done_at - from.record->done_at).count();
  });
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* argument) {
  return call("cuLaunchHostFunc", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream_of_current(stream);
    if (!function) refuse(CUDA_ERROR_INVALID_VALUE, "there is no function");
    auto work = std::make_shared<Work>();
    work->kind = OperationKind::kHostFunction;
    work->name = "host function";
    work->on_host = [function, argument] {
      in_host_function = true;
      function(argument);
    };
    d.enqueue(s, std::move(work));
  });
}

#pragma GCC visibility pop
}  // extern "C"
