#include "core/device/small_floats.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/kernel.h"
#include "core/graph/op_def.h"
#include "core/tensor/buffer.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TRIREME_HAS_F16C_BUILD 1
#else
#define TRIREME_HAS_F16C_BUILD 0
#endif

namespace trireme {
namespace {

constexpr int64_t kGrain = 32768;

template <typename From, typename To>
void convert_each(const From* from, To* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = convert<To>(from[i]);
}

#if TRIREME_HAS_F16C_BUILD
#define TRIREME_AVX2 __attribute__((target("avx2,f16c")))

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  return has;
}

// Each returns how many numbers it converted: all but the last few.
TRIREME_AVX2 int64_t convert_eights(const Half* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(x));
  }
  return i;
}

TRIREME_AVX2 int64_t convert_eights(const float* from, Half* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  return i;
}

TRIREME_AVX2 int64_t convert_eights(const BFloat16* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  return i;
}

// As BFloat16's constructor.
TRIREME_AVX2 int64_t convert_eights(const float* from, BFloat16* to, int64_t count) {
  const __m256i half = _mm256_set1_epi32(0x7fff), one = _mm256_set1_epi32(1);
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 x = _mm256_loadu_ps(from + i);
    const __m256i word = _mm256_castps_si256(x);
    const __m256i high = _mm256_srli_epi32(word, 16);
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(word, _mm256_add_epi32(half, _mm256_and_si256(high, one))), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i words =
        _mm256_blendv_epi8(rounded, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_castsi256_si128(packed));
  }
  return i;
}
#else
bool has_avx2() { return false; }
template <typename From, typename To>
int64_t convert_eights(const From*, To*, int64_t) {
  return 0;
}
#endif

template <typename From, typename To>
void convert_all(const From* from, To* to, int64_t count) {
  const int64_t done = has_avx2() ? convert_eights(from, to, count) : 0;
  convert_each(from + done, to + done, count - done);
}

// A small input or output, and where its wide twin is in the scratch memory.
struct Twin {
  size_t index, at;
  int64_t count;
  DType dtype;
};

template <typename Small>
void widen_in_parallel(const void* from, float* to, int64_t count) {
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    widen(static_cast<const Small*>(from) + begin, to + begin, end - begin);
  });
}

template <typename Small>
void narrow_in_parallel(const float* from, void* to, int64_t count) {
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    narrow(from + begin, static_cast<Small*>(to) + begin, end - begin);
  });
}

// Kept by the kernel, so that a run does not allocate.
struct Wide {
  PreparedKernel kernel;
  std::vector<Twin> inputs, outputs;
  std::vector<void*> input_addresses, output_addresses;

  void run(const KernelArgs& args) {
    char* const scratch = static_cast<char*>(args.scratch);
    std::copy_n(args.inputs, input_addresses.size(), input_addresses.begin());
    std::copy_n(args.outputs, output_addresses.size(), output_addresses.begin());
    for (const Twin& twin : inputs) {
      float* const wide = reinterpret_cast<float*>(scratch + twin.at);
      twin.dtype == DType::kFloat16
          ? widen_in_parallel<Half>(args.inputs[twin.index], wide, twin.count)
          : widen_in_parallel<BFloat16>(args.inputs[twin.index], wide, twin.count);
      input_addresses[twin.index] = wide;
    }
    for (const Twin& twin : outputs) output_addresses[twin.index] = scratch + twin.at;
    kernel.run({input_addresses.data(), output_addresses.data(), args.scratch, args.input_count,
                args.output_count});
    for (const Twin& twin : outputs) {
      const float* const wide = reinterpret_cast<const float*>(scratch + twin.at);
      twin.dtype == DType::kFloat16
          ? narrow_in_parallel<Half>(wide, args.outputs[twin.index], twin.count)
          : narrow_in_parallel<BFloat16>(wide, args.outputs[twin.index], twin.count);
    }
  }
};

// Turns small types into f32 and hands out scratch memory from `bytes` on.
std::vector<Twin> widen_types(std::vector<TensorType>& types, size_t& bytes) {
  std::vector<Twin> twins;
  for (size_t i = 0; i < types.size(); ++i) {
    if (!is_small(types[i].dtype)) continue;
    twins.push_back({i, bytes, types[i].shape.elements(), types[i].dtype});
    types[i].dtype = DType::kFloat32;
    bytes += align_up(types[i].bytes());
  }
  return twins;
}

}  // namespace

void widen(const Half* from, float* to, int64_t count) { convert_all(from, to, count); }
void widen(const BFloat16* from, float* to, int64_t count) { convert_all(from, to, count); }
void narrow(const float* from, Half* to, int64_t count) { convert_all(from, to, count); }
void narrow(const float* from, BFloat16* to, int64_t count) { convert_all(from, to, count); }

PreparedKernel through_f32(const KernelSpec& spec, const KernelFactory& f32) {
  for (int input : spec.op.traits.mutated_inputs) {
    TRIREME_CHECK(!is_small(spec.inputs.at(static_cast<size_t>(input)).dtype), spec.op.name,
                  " would update a copy");
  }
  auto wide = std::make_shared<Wide>();
  KernelSpec wide_spec = spec;
  // First to learn how much the kernel needs for itself, which lies in front.
  size_t unused = 0;
  wide->inputs = widen_types(wide_spec.inputs, unused);
  wide->outputs = widen_types(wide_spec.outputs, unused);
  wide->kernel = f32(wide_spec);
  const size_t own = align_up(wide->kernel.scratch_bytes);
  for (Twin& twin : wide->inputs) twin.at += own;
  for (Twin& twin : wide->outputs) twin.at += own;
  wide->input_addresses.resize(spec.inputs.size());
  wide->output_addresses.resize(spec.outputs.size());
  return {[wide](const KernelArgs& args) { wide->run(args); }, own + unused};
}

void add_kernels_through_f32(KernelTable& table, const OpTable& ops, std::string_view kind) {
  const auto add = [&](const std::string& op, const KernelFactory& f32) {
    for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
      if (table.find(op, kind, dtype) != nullptr) continue;
      table.add(op, kind, dtype, [f32](const KernelSpec& spec) { return through_f32(spec, f32); });
    }
  };
  for (const std::string& op : ops.names()) {
    const OpTraits& traits = ops.find(op).traits;
    if (!traits.has_small_by_f32) continue;
    const KernelFactory* const f32 = table.find(op, kind, DType::kFloat32);
    TRIREME_CHECK(f32 != nullptr, "no ", kind, " kernel of ", op, " for f32");
    add(op, *f32);
    if (!traits.wide_form.empty()) add(traits.wide_form, *f32);
  }
}

}  // namespace trireme
