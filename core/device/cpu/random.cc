#include "core/device/cpu/broadcast.h"
#include "core/device/cpu/philox_words.h"
#include "core/device/element.h"
#include "core/device/random_rows.h"
#include "core/device/small_floats.h"

namespace trireme::cpu {
namespace {

// Blocks that are drawn at a time: enough to hide what a call costs, few enough for their words to
// stay in the first-level cache.
constexpr int64_t kBlocks = 128;
static_assert(kBlocks % philox_words::kGroup == 0);

// body(words, first element, count): the words of `count` elements from the first on, in parallel.
//
// The blocks of one row follow those of the row before it, so they are drawn as one line whatever
// the rows' size; only a last block that is not full separates the words of two rows.
template <typename Body>
void draw(const RandomRows& rows, uint64_t seed, const int64_t* key, const Body& body) {
  const bool full = rows.row_elements % 4 == 0;
  const int64_t row_elements = full ? rows.rows * rows.row_elements : rows.row_elements;
  const int64_t row_blocks = full ? rows.rows * rows.blocks_per_row : rows.blocks_per_row;
  const int64_t blocks = rows.rows * rows.blocks_per_row;
  parallel_for(
      (blocks + kBlocks - 1) / kBlocks, std::max<int64_t>(1, kGrain / 4 / (4 * kBlocks)),
      [&](int64_t begin, int64_t end) {
        alignas(kAlignment) uint32_t words[4 * kBlocks];
        for (int64_t block = begin * kBlocks; block < std::min(end * kBlocks, blocks);) {
          const int64_t last = std::min(block + kBlocks, blocks);
          const int64_t groups = (last - block + philox_words::kGroup - 1) / philox_words::kGroup;
          philox_words::draw(seed, static_cast<uint64_t>(key[0]), rows.counter(key, 0, block),
                             groups * philox_words::kGroup, words);
          for (const uint32_t* next = words; block < last;) {
            const int64_t row = block / row_blocks, at = block % row_blocks;
            const int64_t taken = std::min(last - block, row_blocks - at);
            body(next, row * row_elements + 4 * at, std::min(4 * taken, row_elements - 4 * at));
            next += 4 * taken;
            block += taken;
          }
        }
      });
}

uint64_t seed_of(const KernelSpec& spec) {
  return static_cast<uint64_t>(spec.attribute<int64_t>("seed"));
}

template <typename T>
PreparedKernel uniform(const KernelSpec& spec) {
  return {[rows = RandomRows(spec.output_shape()), seed = seed_of(spec)](const KernelArgs& args) {
    draw(rows, seed, args.in<int64_t>(0), [&](const uint32_t* words, int64_t first, int64_t count) {
      T* y = args.out<T>() + first;
      for (int64_t i = 0; i < count; ++i) y[i] = convert<T>(uniform_float(words[i]));
    });
  }};
}

template <typename T>
PreparedKernel normal(const KernelSpec& spec) {
  return {[rows = RandomRows(spec.output_shape()), seed = seed_of(spec)](const KernelArgs& args) {
    draw(rows, seed, args.in<int64_t>(0), [&](const uint32_t* words, int64_t first, int64_t count) {
      T* y = args.out<T>() + first;
      for (int64_t i = 0; i < count; i += 2) {
        const NormalPair pair = normal_pair(words[i], words[i + 1]);
        y[i] = convert<T>(pair.first);
        if (i + 1 < count) y[i + 1] = convert<T>(pair.second);
      }
    });
  }};
}

template <typename T>
PreparedKernel truncated(const KernelSpec& spec) {
  return {[rows = RandomRows(spec.output_shape()), seed = seed_of(spec)](const KernelArgs& args) {
    draw(rows, seed, args.in<int64_t>(0), [&](const uint32_t* words, int64_t first, int64_t count) {
      T* y = args.out<T>() + first;
      for (int64_t i = 0; i < count; ++i) y[i] = convert<T>(truncated_normal(words[i]));
    });
  }};
}

// A function of its own, lest the compiler branch on what is random.
[[gnu::noinline]] void drop(const uint32_t* __restrict words, uint32_t threshold, float scale,
                            int64_t count, float* __restrict x) {
  for (int64_t i = 0; i < count; ++i) {
    const float kept = x[i] * scale;
    x[i] = words[i] < threshold ? 0.0f : kept;
  }
}

template <typename T>
PreparedKernel dropout(const KernelSpec& spec) {
  using C = ComputeType<T>;
  const double rate = spec.attribute<double>("rate");
  // rate < 1 keeps the threshold within 32 bits.
  return {[rows = RandomRows(spec.output_shape()), seed = seed_of(spec),
           threshold = static_cast<uint32_t>(dropout_threshold(rate)),
           scale = static_cast<C>(1 / (1 - rate))](const KernelArgs& args) {
    draw(rows, seed, args.in<int64_t>(1), [&](const uint32_t* words, int64_t first, int64_t count) {
      const T* x = args.in<T>(0) + first;
      T* y = args.out<T>() + first;
      if constexpr (is_small_float<T>) {
        // Converted as a whole, which is quicker than one by one.
        alignas(kAlignment) float wide[4 * kBlocks];
        widen(x, wide, count);
        drop(words, threshold, scale, count, wide);
        narrow(wide, y, count);
      } else {
#pragma GCC ivdep
        for (int64_t i = 0; i < count; ++i) {
          const C kept = convert<C>(x[i]) * scale;
          y[i] = convert<T>(words[i] < threshold ? C{0} : kept);
        }
      }
    });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_random(KernelTable& table) {
  using namespace cpu;
  const auto add_floating = [&](const char* op, auto make) {
    add_for<Half, BFloat16, float, double>(table, op, kCpuKind, make);
  };
  add_floating("RandomUniform",
               []<typename T>(const KernelSpec& spec) { return uniform<T>(spec); });
  add_floating("RandomNormal", []<typename T>(const KernelSpec& spec) { return normal<T>(spec); });
  add_floating("RandomTruncatedNormal",
               []<typename T>(const KernelSpec& spec) { return truncated<T>(spec); });
  add_floating("Dropout", []<typename T>(const KernelSpec& spec) { return dropout<T>(spec); });
}

}  // namespace trireme
