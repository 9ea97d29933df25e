#include "core/device/cpu/broadcast.h"
#include "core/device/element.h"
#include "core/device/random_rows.h"

namespace trireme::cpu {
namespace {

constexpr int64_t kLanes = 16;            // Philox blocks that are computed next to each other
constexpr int64_t kStretch = kLanes * 4;  // elements that they give

// The words of blocks counter, counter + 1, …, counter + kLanes − 1, in the order of the elements.
// What philox() computes, with the blocks in the lanes of vector registers.
void philox_words(uint64_t key, uint64_t counter_high, uint64_t counter, uint32_t* words) {
  // Lanes of 64 bits, half of each unused: the multiplication of 32 by 32 bits that processors have
  // works on those.
  uint64_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  constexpr uint64_t kLow = 0xffffffff;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const uint64_t low = counter + static_cast<uint64_t>(lane);
    c0[lane] = low & kLow;
    c1[lane] = low >> 32;
    c2[lane] = counter_high & kLow;
    c3[lane] = counter_high >> 32;
  }
  uint64_t k0 = key & kLow, k1 = key >> 32;
  for (int round = 0; round < 10; ++round) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const uint64_t p0 = uint64_t{0xD2511F53} * (c0[lane] & kLow),
                     p1 = uint64_t{0xCD9E8D57} * (c2[lane] & kLow);
      c0[lane] = (p1 >> 32) ^ c1[lane] ^ k0;
      c1[lane] = p1 & kLow;
      c2[lane] = (p0 >> 32) ^ c3[lane] ^ k1;
      c3[lane] = p0 & kLow;
    }
    k0 = (k0 + 0x9E3779B9) & kLow;
    k1 = (k1 + 0xBB67AE85) & kLow;
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    words[4 * lane] = static_cast<uint32_t>(c0[lane]);
    words[4 * lane + 1] = static_cast<uint32_t>(c1[lane]);
    words[4 * lane + 2] = static_cast<uint32_t>(c2[lane]);
    words[4 * lane + 3] = static_cast<uint32_t>(c3[lane]);
  }
}

// body(words, first element, count): kStretch words for the next `count` ≤ kStretch elements of a
// row, in parallel.
template <typename Body>
void for_each_stretch(const RandomRows& rows, uint64_t seed, const int64_t* key, const Body& body) {
  const int64_t stretches = (rows.row_elements + kStretch - 1) / kStretch;
  parallel_for(rows.rows * stretches, std::max<int64_t>(1, kGrain / 4 / kStretch),
               [&](int64_t begin, int64_t end) {
                 alignas(kAlignment) uint32_t words[kStretch];
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t row = task / stretches, stretch = task % stretches;
                   philox_words(seed, static_cast<uint64_t>(key[0]),
                                rows.counter(key, row, stretch * kLanes), words);
                   body(words, row * rows.row_elements + stretch * kStretch,
                        std::min(kStretch, rows.row_elements - stretch * kStretch));
                 }
               });
}

// Rows of a few elements waste most of a stretch; they are drawn block by block.
template <typename Body>
void for_each_short_row(const RandomRows& rows, uint64_t seed, const int64_t* key,
                        const Body& body) {
  parallel_for(rows.rows,
               std::max<int64_t>(1, kGrain / 16 / std::max<int64_t>(1, rows.row_elements)),
               [&](int64_t begin, int64_t end) {
                 uint32_t words[kStretch];
                 for (int64_t row = begin; row < end; ++row) {
                   for (int64_t block = 0; block < rows.blocks_per_row; ++block) {
                     const PhiloxBlock four =
                         philox(seed, static_cast<uint64_t>(key[0]), rows.counter(key, row, block));
                     std::copy(four.begin(), four.end(), words + 4 * block);
                   }
                   body(words, row * rows.row_elements, rows.row_elements);
                 }
               });
}

template <typename Body>
void draw(const RandomRows& rows, uint64_t seed, const int64_t* key, const Body& body) {
  if (rows.row_elements == 0) return;
  if (rows.blocks_per_row < kLanes / 4) {
    for_each_short_row(rows, seed, key, body);
  } else {
    for_each_stretch(rows, seed, key, body);
  }
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
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) {
        const C kept = convert<C>(x[i]) * scale;
        y[i] = convert<T>(words[i] < threshold ? C{0} : kept);
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
  add_floating("Dropout", []<typename T>(const KernelSpec& spec) { return dropout<T>(spec); });
}

}  // namespace trireme
