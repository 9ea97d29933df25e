// A training step allocates nothing once its batch size is known. This program counts operator new,
// and asks for each call who made it: what oneDNN allocates inside its own execute calls is not
// ours to avoid and is counted apart.
#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/data/digits.h"
#include "tests/core/nn/helpers.h"

namespace {

std::atomic<bool> counting = false;
std::atomic<int64_t> ours = 0, of_onednn = 0;
std::atomic<void*> first_caller = nullptr;
thread_local bool looking = false;

// The caller is the innermost frame outside of operator new, which returns to `frame`, and of
// libstdc++, which allocates for others. A sanitizer may have frames of its own further in.
void count_allocation(void* frame) {
  if (!counting || looking) return;
  looking = true;
  void* frames[16];
  const int depth = backtrace(frames, 16);
  const auto first = std::find(frames, frames + depth, frame) - frames;
  bool onednn = false;
  void* caller = nullptr;
  for (auto i = first; i < depth && caller == nullptr; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0 || info.dli_fname == nullptr) continue;
    if (std::strstr(info.dli_fname, "libstdc++") != nullptr) continue;
    caller = frames[i];
    onednn = std::strstr(info.dli_fname, "libdnnl") != nullptr;
  }
  ++(onednn ? of_onednn : ours);
  void* none = nullptr;
  if (!onednn) first_caller.compare_exchange_strong(none, caller);
  looking = false;
}

void* allocate(size_t bytes, size_t alignment, void* frame) {
  count_allocation(frame);
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(bytes == 0 ? 1 : bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// NOLINTBEGIN: every replaceable form that the standard library may call ends in these.
[[gnu::noinline]] void* operator new(size_t bytes) {
  return allocate(bytes, 0, __builtin_return_address(0));
}
// std::stable_sort asks with this one; a replaced delete must not meet a new that was not replaced.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 0, __builtin_return_address(0));
}
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<size_t>(alignment), __builtin_return_address(0));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}
// NOLINTEND

namespace trireme::nn {
namespace {

std::string describe(void* caller) {
  Dl_info info;
  if (caller == nullptr || dladdr(caller, &info) == 0) return "?";
  return str_cat(info.dli_fname, " ", info.dli_sname != nullptr ? info.dli_sname : "?", " +",
                 static_cast<char*>(caller) - static_cast<char*>(info.dli_fbase));
}

// Counts between two steps.
class CountSteps : public Callback {
 public:
  CountSteps(int64_t from, int64_t to) : from_(from), to_(to) {}
  void on_batch_end(Training& training, Logs) override {
    if (training.step() == from_) counting = true;
    if (training.step() == to_) counting = false;
  }

 private:
  int64_t from_, to_;
};

int64_t allocations_of_fit(Model& model, const data::Dataset& data, int64_t epochs, int64_t from,
                           int64_t to) {
  ours = of_onednn = 0;
  first_caller = nullptr;
  FitOptions options = quiet(epochs);
  std::ostringstream out;
  out.str(std::string(1 << 16, ' '));  // what the stream itself needs for text is not the point
  options.progress = ProgressOptions{.out = &out, .terminal = true};
  options.callbacks = {std::make_shared<CountSteps>(from, to)};
  model.fit(data, options);
  testing::Test::RecordProperty("onednn_allocations", static_cast<int>(of_onednn));
  return ours;
}

TEST(AllocationTest, CountsAllocations) {
  ours = 0;
  counting = true;
  { const Tensor tensor(DType::kFloat32, {4}); }
  counting = false;
  EXPECT_GT(ours, 0);
}

TEST(AllocationTest, AStepOfADenseModelAllocatesNothing) {
  Model model;
  model.add<Dense>({.units = 16, .activation = Activation::kRelu})
      .add<Dropout>({.rate = 0.5})
      .add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Adam>()));
  EXPECT_EQ(allocations_of_fit(model, clusters(640).shuffle(1).batch(16, true), 1, 5, 39), 0)
      << describe(first_caller);
}

TEST(AllocationTest, AStepOfAConvolutionalModelAllocatesNothing) {
  Model model;
  model.add<Conv2D>({.filters = 6, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
  model.add<MaxPool2D>().add<BatchNorm>().add<Flatten>().add<Dense>({.units = 10});
  model.compile(classifier(std::make_shared<Sgd>(constant_rate(0.01), rules::Sgd{.momentum = .9})));
  const auto digits = data::digits(data::Split::kTrain, 1, 640).dataset();
  EXPECT_EQ(allocations_of_fit(model, digits.shuffle(1).batch(16).prefetch(2), 1, 10, 39), 0)
      << describe(first_caller);
}

// The smaller batch at the end of an epoch changes plans, not memory, once both have run.
TEST(AllocationTest, ASmallerLastBatchAllocatesNothingTheSecondTime) {
  Model model;
  model.add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Adam>()));
  EXPECT_EQ(allocations_of_fit(model, clusters(100).shuffle(1).batch(16), 4, 9, 13), 0)
      << describe(first_caller);
}

}  // namespace
}  // namespace trireme::nn
