#include "core/device/cuda/cuda.h"

#include <algorithm>
#include <array>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/memory.h"

namespace trireme {
namespace {

using cuda::check;
using cuda::driver;

// The oldest cards that kernels/CMakeLists.txt compiles for.
constexpr int kOldestCapability = 80;
// What cuBLASLt, cuDNN and the context take of a card beside the tensors.
constexpr int64_t kLibrariesBytes = int64_t{768} << 20;

// Initialises the driver; throws when that or a library fails. Cards are not looked at.
void open_everything() {
  const CUresult result = driver().cuInit(0);
  if (result == CUDA_ERROR_NO_DEVICE) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    throw invalid_argument(
        "the NVIDIA driver is there but sees no GPU",
        visible != nullptr ? str_cat(" (CUDA_VISIBLE_DEVICES is '", visible, "')") : "",
        "; nvidia-smi lists what it has; run with --device cpu otherwise");
  }
  check(result, "the NVIDIA driver does not start (cuInit)");
  cuda::cublas_lt();
  cuda::cudnn();
  cuda::nvrtc();
}

int attribute(CUdevice device, CUdevice_attribute which) {
  int value = 0;
  check(driver().cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

CudaCard card_at(int index) {
  CudaCard card{.index = index};
  CUdevice device = 0;
  check(driver().cuDeviceGet(&device, index), "cuDeviceGet");
  std::array<char, 256> name{};
  check(driver().cuDeviceGetName(name.data(), static_cast<int>(name.size()), device),
        "cuDeviceGetName");
  card.name = name.data();
  size_t bytes = 0;
  check(driver().cuDeviceTotalMem(&bytes, device), "cuDeviceTotalMem");
  card.memory_bytes = static_cast<int64_t>(bytes);
  card.compute_capability = 10 * attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                            attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  card.processors = attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  return card;
}

std::vector<CudaCard> list_cards() {
  open_everything();
  int count = 0;
  check(driver().cuDeviceGetCount(&count), "cuDeviceGetCount");
  std::vector<CudaCard> cards;
  for (int i = 0; i < count; ++i) cards.push_back(card_at(i));
  return cards;
}

std::string too_old(const CudaCard& card) {
  return str_cat("GPU ", card.index, " (", card.name, ") has compute capability ",
                 card.compute_capability / 10, ".", card.compute_capability % 10,
                 "; this trireme has kernels for ", kOldestCapability / 10, ".",
                 kOldestCapability % 10, " and later: run with --device cpu");
}

int64_t free_bytes(int card) {
  const cuda::PrimaryContext context(card);
  context.make_current();
  size_t free = 0, all = 0;
  check(driver().cuMemGetInfo(&free, &all), "cuMemGetInfo");
  return static_cast<int64_t>(free);
}

const cuda::CudaDevice& as_cuda(const Device& device) {
  return dynamic_cast<const cuda::CudaDevice&>(device);
}

}  // namespace

std::string cuda_problem() {
  try {
    const std::vector<CudaCard> cards = list_cards();
    if (cards.empty()) return "the NVIDIA driver lists no GPU; run with --device cpu";
    const bool usable = std::ranges::any_of(
        cards, [](const CudaCard& card) { return card.compute_capability >= kOldestCapability; });
    return usable ? "" : too_old(cards.front());
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::vector<CudaCard> cuda_cards() {
  if (const std::string problem = cuda_problem(); !problem.empty()) {
    throw invalid_argument(problem);
  }
  std::vector<CudaCard> cards = list_cards();
  for (CudaCard& card : cards) card.free_bytes = free_bytes(card.index);
  return cards;
}

std::vector<std::unique_ptr<Device>> make_cuda_devices(const CudaOptions& options) {
  if (const std::string problem = cuda_problem(); !problem.empty()) {
    throw invalid_argument(problem);
  }
  if (options.virtual_per_card < 1) {
    throw invalid_argument("virtual GPUs on a card: expected at least 1, found ",
                           options.virtual_per_card);
  }
  const std::vector<CudaCard> cards = list_cards();
  const int all = static_cast<int>(cards.size());
  const int first = options.first % all;
  const int count = options.count == 0 ? all - first : options.count;
  if (first < 0 || count < 1 || count > all - first) {
    throw invalid_argument(options.count, " GPUs from number ", first,
                           " on were asked for, this machine has ", all, " (", cards.front().name,
                           all > 1 ? ", …" : "", "); --virtual-gpus makes several of one");
  }
  std::vector<std::unique_ptr<Device>> devices;
  for (int card = first; card < first + count; ++card) {
    if (cards[static_cast<size_t>(card)].compute_capability < kOldestCapability) {
      throw invalid_argument(too_old(cards[static_cast<size_t>(card)]));
    }
    // Held until the first device retains it: to make a context takes a good part of a second.
    const cuda::PrimaryContext context(card);
    const int64_t free = free_bytes(card);
    const int64_t shared = std::max(free - kLibrariesBytes, free / 2);
    const int64_t limit =
        options.memory_limit_mib > 0
            ? checked_multiply(options.memory_limit_mib, 1 << 20, "gpu.memory_limit_mib")
            : shared / options.virtual_per_card;
    for (int i = 0; i < options.virtual_per_card; ++i) {
      devices.push_back(std::make_unique<cuda::CudaDevice>(str_cat("/device:GPU:", devices.size()),
                                                           card, limit, options.memory_growth));
    }
  }
  return devices;
}

int cuda_card_of(const Device& device) { return as_cuda(device).card(); }
void make_cuda_current(const Device& device) { as_cuda(device).make_current(); }

std::string cuda_card_identity(const Device& device) {
  CUuuid uuid{};
  check(driver().cuDeviceGetUuid(&uuid, as_cuda(device).card()), "cuDeviceGetUuid");
  return {std::begin(uuid.bytes), std::end(uuid.bytes)};
}

bool cuda_stream_idle(Stream& stream) {
  auto& cuda_stream = dynamic_cast<cuda::CudaStream&>(stream);
  cuda_stream.device().make_current();
  const CUresult result = driver().cuStreamQuery(cuda_stream.raw());
  if (result == CUDA_ERROR_NOT_READY) return false;
  check(result, "work on " + cuda_stream.device().name() + " failed");
  return true;
}

void cuda_call_host(Stream& stream, void (*function)(void*) noexcept, void* argument) {
  auto& cuda_stream = dynamic_cast<cuda::CudaStream&>(stream);
  cuda_stream.device().make_current();
  check(driver().cuLaunchHostFunc(cuda_stream.raw(), function, argument), "cuLaunchHostFunc");
}

}  // namespace trireme
