// The element types that an elementwise op takes, for whoever makes kernels of its formula.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"
#include "core/ops/elementwise_formula.h"

namespace trireme {

// visit(T()) for each type T.
template <Numbers numbers, typename Visit>
void for_each_type_of(Visit visit) {
  const auto visit_all = [&]<typename... Ts>(Ts... xs) { (visit(xs), ...); };
  if constexpr (numbers == Numbers::kReal) {
    visit_all(Half(), BFloat16(), float(), double());
  } else if constexpr (numbers == Numbers::kAny) {
    visit_all(Half(), BFloat16(), float(), double(), int32_t(), int64_t(), uint8_t());
  } else if constexpr (numbers == Numbers::kCompared) {
    visit_all(Half(), BFloat16(), float(), double(), int32_t(), int64_t(), uint8_t(), bool());
  } else {
    visit_all(bool());
  }
}

// As add_for(), for these types.
template <Numbers numbers, typename Make>
void add_for_numbers(KernelTable& table, const char* op, std::string_view device_kind, Make make) {
  for_each_type_of<numbers>([&]<typename T>(T) { add_for<T>(table, op, device_kind, make); });
}

}  // namespace trireme
