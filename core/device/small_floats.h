// 16-bit floats beside f32: conversion of whole arrays, and kernels for them made of those for f32.
//
// Functions, safe to call from any thread. Conversion rounds to nearest even and uses what the
// processor has for it.
#pragma once

#include <string_view>

#include "core/device/element.h"
#include "core/device/kernel_spec.h"

namespace trireme {

inline bool is_small(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

// One thread, `count` numbers; `from` and `to` do not overlap.
void widen(const Half* from, float* to, int64_t count);
void widen(const BFloat16* from, float* to, int64_t count);
void narrow(const float* from, Half* to, int64_t count);
void narrow(const float* from, BFloat16* to, int64_t count);

// A kernel for `spec` that runs the one for f32: what is small is widened into scratch memory
// before and rounded once after. Other inputs, those that are updated among them, are used where
// they are. REQUIRES: no small input is updated.
PreparedKernel through_f32(const KernelSpec& spec, const KernelFactory& f32);

// Gives the ops of OpTraits::has_small_by_f32, and their wide forms, the kernels for 16-bit floats
// that `table` has not yet under `kind`, through their kernels for f32. REQUIRES: those are there.
void add_kernels_through_f32(KernelTable& table, const OpTable& ops, std::string_view kind);

}  // namespace trireme
