#include "tests/support/fake_cuda/driver.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

namespace trireme::fake_cuda {
namespace {

int64_t number_from_environment(const char* name, int64_t otherwise) {
  const char* text = getenv(name);
  return text && *text ? strtoll(text, nullptr, 10) : otherwise;
}

// Not the program's fault: it asks and goes on.
bool is_plain_answer(CUresult result) {
  return result == CUDA_ERROR_NOT_READY || result == CUDA_ERROR_OUT_OF_MEMORY ||
         result == CUDA_ERROR_NO_DEVICE || result == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

class TestInterface : public FakeCuda {
 public:
  Statistics statistics() override {
    Lock lock(driver().mutex);
    return driver().scheduler.statistics;
  }
  void reset_statistics() override {
    Lock lock(driver().mutex);
    driver().scheduler.statistics = Statistics();
  }
  void start_log() override {
    Lock lock(driver().mutex);
    driver().scheduler.log.clear();
    driver().scheduler.logging = true;
  }
  std::vector<LoggedOperation> stop_log() override {
    Lock lock(driver().mutex);
    driver().scheduler.logging = false;
    return std::move(driver().scheduler.log);
  }
  std::vector<std::string> take_complaints() override {
    Lock lock(driver().mutex);
    return std::exchange(driver().complaints, {});
  }
  void revive() override {
    Lock lock(driver().mutex);
    for (Card& card : driver().cards) {
      card.error = CUDA_SUCCESS;
      card.error_text.clear();
    }
  }
  void seed(uint64_t seed) override {
    Lock lock(driver().mutex);
    driver().scheduler.seed(seed);
  }
};

}  // namespace

Driver& driver() {
  static Driver& driver = *new Driver();
  return driver;
}

LastError& last_error() {
  thread_local LastError error;
  return error;
}

Driver::Driver()
    : memory_bytes(static_cast<size_t>(number_from_environment("TRIREME_FAKE_GPU_MIB", 2048))
                   << 20),
      cards(static_cast<size_t>(number_from_environment("TRIREME_FAKE_GPUS", 1))),
      runner([this](uintptr_t address) { return memory.describe(address); }),
      scheduler(*this, memory, mutex,
                static_cast<uint64_t>(number_from_environment("TRIREME_FAKE_SEED", 0))) {
  for (size_t i = 0; i < cards.size(); ++i) {
    contexts.push_back(std::make_unique<CUctx_st>());
    contexts.back()->card = static_cast<int>(i);
  }
}

bool Driver::failed(int card) const {
  return cards[static_cast<size_t>(card)].error != CUDA_SUCCESS;
}

void Driver::fail(int index, const DeviceFault& fault) {
  Card& card = cards[static_cast<size_t>(index)];
  if (card.error != CUDA_SUCCESS) return;
  card.error = fault.kind == DeviceFault::kIllegalAddress      ? CUDA_ERROR_ILLEGAL_ADDRESS
               : fault.kind == DeviceFault::kMisalignedAddress ? CUDA_ERROR_MISALIGNED_ADDRESS
                                                               : CUDA_ERROR_LAUNCH_FAILED;
  card.error_text = fault.what;
  complain("card " + std::to_string(index) + ": " + fault.what);
}

void Driver::complain(const std::string& text) {
  fprintf(stderr, "fake CUDA: %s\n", text.c_str());
  complaints.push_back(text);
}

void Driver::require_sound(int card) const {
  const Card& c = cards[static_cast<size_t>(card)];
  if (c.error != CUDA_SUCCESS) refuse(c.error, c.error_text);
}

CUctx_st& require_context() {
  if (!current_context)
    refuse(CUDA_ERROR_INVALID_CONTEXT, "no context is current on the calling thread");
  return *current_context;
}

CUstream_st& Driver::stream(CUstream handle) {
  if (handle == nullptr || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD)
    refuse(CUDA_ERROR_INVALID_HANDLE, "a default stream, which waits for all others: make one");
  const auto at = streams.find(handle);
  if (at == streams.end()) refuse(CUDA_ERROR_INVALID_HANDLE, "no such stream");
  return *at->second;
}

CUevent_st& Driver::event(CUevent handle) {
  const auto at = events.find(handle);
  if (at == events.end()) refuse(CUDA_ERROR_INVALID_HANDLE, "no such event");
  return *at->second;
}

CUstream_st& Driver::stream_of_current(CUstream handle) {
  CUstream_st& found = stream(handle);
  if (found.context != &require_context())
    refuse(CUDA_ERROR_INVALID_HANDLE,
           "the stream is of card " + std::to_string(found.context->card) +
               ", the calling thread's context of card " + std::to_string(current_context->card));
  return found;
}

void Driver::require_device_memory(uintptr_t address, size_t bytes, int card,
                                   const std::string& what) {
  if (bytes == 0) return;
  const Allocation* found = memory.find(address);
  if (!found || address + bytes > found->end())
    refuse(CUDA_ERROR_INVALID_VALUE,
           what + ": " + std::to_string(bytes) + " bytes at " + memory.describe(address));
  if (!found->pinned && found->card != card &&
      !cards[static_cast<size_t>(card)].peers.contains(found->card))
    refuse(CUDA_ERROR_INVALID_VALUE, what + ": " + memory.describe(address) + ", to which card " +
                                         std::to_string(card) + " has no peer access");
}

void Driver::enqueue(CUstream_st& stream, std::shared_ptr<const Work> work) {
  if (!stream.capture) {
    stream.last =
        scheduler.enqueue(std::move(work), stream.context->card, &stream, false, {stream.last});
    return;
  }
  Capture& capture = *stream.capture;
  if (!capture.invalid.empty())
    refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture is invalid: " + capture.invalid);
  if (work->kind == OperationKind::kMarker) return;
  capture.nodes.push_back({.work = std::move(work),
                           .card = stream.context->card,
                           .after = {stream.tips.begin(), stream.tips.end()}});
  stream.tips = {capture.nodes.size() - 1};
}

void Driver::forbid_in_capture() {
  for (const auto& capture : captures) {
    if (capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
    if (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
        capture->thread != std::this_thread::get_id())
      continue;
    capture->invalid = "a call that waits or allocates came meanwhile";
    refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
           "not while a stream captures: it waits, allocates or frees");
  }
}

void Driver::forbid_on_captured(CUstream_st& stream) {
  if (!stream.capture) return;
  stream.capture->invalid = "somebody waited for a stream that captures";
  refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream captures: nothing runs on it");
}

CUresult call(const char* function, CallRule rule,
              const std::function<void(Driver& driver, Lock& lock)>& body) {
  Driver& d = driver();
  Lock lock(d.mutex);
  if (in_host_function) {
    d.complain(std::string(function) + ": called in a function of cuLaunchHostFunc");
    return CUDA_ERROR_NOT_PERMITTED;
  }
  LastError& last = last_error();
  try {
    if (rule != kAnyTime && !d.initialized)
      refuse(CUDA_ERROR_NOT_INITIALIZED, "cuInit() was not called, or failed");
    if (rule == kInContext || rule == kNotCapturing) d.require_sound(require_context().card);
    if (rule == kNotCapturing) d.forbid_in_capture();
    body(d, lock);
    d.scheduler.run_overdue(lock);
    return CUDA_SUCCESS;
  } catch (const Refusal& refusal) {
    last.result = refusal.result;
    last.why = refusal.why;
    const bool of_card =
        current_context &&
        refusal.result == d.cards[static_cast<size_t>(current_context->card)].error;
    if (!of_card && !is_plain_answer(refusal.result))
      d.complain(std::string(function) + ": " + refusal.why);
    return refusal.result;
  } catch (const std::exception& error) {
    last.result = CUDA_ERROR_UNKNOWN;
    last.why = error.what();
    d.complain(std::string(function) + ": " + error.what());
    return CUDA_ERROR_UNKNOWN;
  }
}

}  // namespace trireme::fake_cuda

extern "C" __attribute__((visibility("default"))) trireme::fake_cuda::FakeCuda*
trireme_fake_cuda() {
  static auto& interface = *new trireme::fake_cuda::TestInterface();
  return &interface;
}
