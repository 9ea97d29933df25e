#include "core/device/random_rows.h"
#include "core/device/reference/index.h"

namespace trireme {
namespace {

// value(block, word, element index) of every element, by the layout of random_rows.h. The key is
// input `key_input`.
template <typename T, typename Value>
PreparedKernel per_element(const KernelSpec& spec, int key_input, Value value) {
  return {[rows = RandomRows(spec.output_shape()),
           seed = static_cast<uint64_t>(spec.attribute<int64_t>("seed")), key_input,
           value](const KernelArgs& args) {
    const int64_t* key = args.in<int64_t>(key_input);
    for (int64_t row = 0; row < rows.rows; ++row) {
      for (int64_t p = 0; p < rows.row_elements; ++p) {
        const PhiloxBlock block =
            philox(seed, static_cast<uint64_t>(key[0]), rows.counter(key, row, p / 4));
        const int64_t i = row * rows.row_elements + p;
        args.out<T>()[i] = convert<T>(value(args, block, static_cast<size_t>(p % 4), i));
      }
    }
  }};
}

template <typename T>
PreparedKernel uniform(const KernelSpec& spec) {
  return per_element<T>(spec, 0,
                        [](const KernelArgs&, const PhiloxBlock& block, size_t word, int64_t) {
                          return uniform_float(block[word]);
                        });
}

template <typename T>
PreparedKernel normal(const KernelSpec& spec) {
  return per_element<T>(
      spec, 0, [](const KernelArgs&, const PhiloxBlock& block, size_t word, int64_t) {
        const NormalPair pair = normal_pair(block[word & 2], block[(word & 2) + 1]);
        return word % 2 == 0 ? pair.first : pair.second;
      });
}

template <typename T>
PreparedKernel truncated(const KernelSpec& spec) {
  return per_element<T>(spec, 0,
                        [](const KernelArgs&, const PhiloxBlock& block, size_t word, int64_t) {
                          return truncated_normal(block[word]);
                        });
}

template <typename T>
PreparedKernel dropout(const KernelSpec& spec) {
  const double rate = spec.attribute<double>("rate");
  return per_element<T>(
      spec, 1,
      [threshold = dropout_threshold(rate), scale = 1 / (1 - rate)](
          const KernelArgs& args, const PhiloxBlock& block, size_t word, int64_t i) {
        return block[word] < threshold ? 0.0 : convert<double>(args.in<T>(0)[i]) * scale;
      });
}

}  // namespace

void register_reference_random(KernelTable& table) {
  const auto add_floating = [&](const char* op, auto make) {
    add_for<Half, BFloat16, float, double>(table, op, kReferenceKind, make);
  };
  add_floating("RandomUniform",
               []<typename T>(const KernelSpec& spec) { return uniform<T>(spec); });
  add_floating("RandomNormal", []<typename T>(const KernelSpec& spec) { return normal<T>(spec); });
  add_floating("RandomTruncatedNormal",
               []<typename T>(const KernelSpec& spec) { return truncated<T>(spec); });
  add_floating("Dropout", []<typename T>(const KernelSpec& spec) { return dropout<T>(spec); });
}

}  // namespace trireme
