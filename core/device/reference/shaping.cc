#include <cstring>

#include "core/device/reference/index.h"

namespace trireme {
namespace {

// All of these copy single elements of `Word`'s size, whatever they mean.
template <typename Word>
PreparedKernel transpose(const KernelSpec& spec) {
  return {[x = spec.input_shape(0), y = spec.output_shape(),
           permutation = spec.attribute<Ints>("permutation")](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      Index from{};
      for (size_t axis = 0; axis < permutation.size(); ++axis) {
        from[static_cast<size_t>(permutation[axis])] = index[axis];
      }
      int64_t position = 0;
      for (int axis = 0; axis < x.rank(); ++axis)
        position = position * x[axis] + from[static_cast<size_t>(axis)];
      args.out<Word>()[i] = args.in<Word>(0)[position];
    });
  }};
}

// Moves the box of shape `box` between offset `from_begin` in a tensor of shape `from` and
// `to_begin` in one of shape `to`.
template <typename Word>
void copy_box(const Shape& box, const Word* source, const Shape& from, const Ints& from_begin,
              Word* target, const Shape& to, const Ints& to_begin) {
  for_each_index(box, [&](const Index& index, int64_t) {
    int64_t read = 0, write = 0;
    for (int axis = 0; axis < box.rank(); ++axis) {
      const size_t a = static_cast<size_t>(axis);
      read = read * from[axis] + index[a] + from_begin[a];
      write = write * to[axis] + index[a] + to_begin[a];
    }
    target[write] = source[read];
  });
}

Ints origin(const Shape& shape) { return Ints(static_cast<size_t>(shape.rank()), 0); }

template <typename Word>
PreparedKernel slice(const KernelSpec& spec, const Ints& begin) {
  return {[x = spec.input_shape(0), y = spec.output_shape(), begin,
           zero = origin(spec.output_shape())](const KernelArgs& args) {
    copy_box(y, args.in<Word>(0), x, begin, args.out<Word>(), y, zero);
  }};
}

template <typename Word>
PreparedKernel pad(const KernelSpec& spec) {
  return {[x = spec.input_shape(0), y = spec.output_shape(),
           before = spec.attribute<Ints>("before"),
           zero = origin(spec.output_shape())](const KernelArgs& args) {
    std::memset(args.outputs[0], 0, static_cast<size_t>(y.elements()) * sizeof(Word));
    copy_box(x, args.in<Word>(0), x, zero, args.out<Word>(), y, before);
  }};
}

template <typename Word>
PreparedKernel concat(const KernelSpec& spec) {
  const size_t axis = static_cast<size_t>(spec.attribute<int64_t>("axis"));
  return {[axis, inputs = spec.inputs, y = spec.output_shape()](const KernelArgs& args) {
    Ints begin = origin(y);
    for (size_t part = 0; part < inputs.size(); ++part) {
      const Shape& x = inputs[part].shape;
      copy_box(x, args.in<Word>(static_cast<int>(part)), x, origin(x), args.out<Word>(), y, begin);
      begin[axis] += x[static_cast<int>(axis)];
    }
  }};
}

template <typename Word>
PreparedKernel concat_part(const KernelSpec& spec) {
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  Ints begin = origin(spec.output_shape());
  for (int part = 0; part < spec.attribute<int64_t>("part"); ++part) {
    begin[static_cast<size_t>(axis)] += spec.input_shape(part + 1)[axis];
  }
  return slice<Word>(spec, begin);
}

// An op that only moves bytes serves all dtypes of one size.
template <typename Make>
void add_for_all(KernelTable& table, const char* op, Make make) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, op, kReferenceKind, [make]<typename T>(const KernelSpec& spec) {
        using Word = std::conditional_t<
            sizeof(T) == 1, uint8_t,
            std::conditional_t<sizeof(T) == 2, uint16_t,
                               std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
        return make.template operator()<Word>(spec);
      });
}

}  // namespace

void register_reference_shaping(KernelTable& table) {
  add_for_all(table, "Transpose",
              []<typename W>(const KernelSpec& spec) { return transpose<W>(spec); });
  add_for_all(table, "Concat", []<typename W>(const KernelSpec& spec) { return concat<W>(spec); });
  add_for_all(table, "ConcatPart",
              []<typename W>(const KernelSpec& spec) { return concat_part<W>(spec); });
  add_for_all(table, "Slice", []<typename W>(const KernelSpec& spec) {
    return slice<W>(spec, spec.attribute<Ints>("begin"));
  });
  add_for_all(table, "SliceLike", []<typename W>(const KernelSpec& spec) {
    return slice<W>(spec, spec.attribute<Ints>("begin"));
  });
  add_for_all(table, "Pad", []<typename W>(const KernelSpec& spec) { return pad<W>(spec); });
  add_for_all(table, "PadLike", []<typename W>(const KernelSpec& spec) { return pad<W>(spec); });
}

}  // namespace trireme
