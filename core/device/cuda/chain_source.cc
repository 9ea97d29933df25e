#include "core/device/cuda/chain_source.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/device/cuda/generated_types.h"

namespace trireme::cuda {
namespace {

constexpr std::string_view kPrelude = R"(#ifdef __CUDACC__
#define TRIREME_DEVICE __device__ __forceinline__
#define TRIREME_KERNEL(name, parameters) extern "C" __global__ void name parameters
struct Half { unsigned short bits; };
struct BFloat16 { unsigned short bits; };
TRIREME_DEVICE float to_value(BFloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }
TRIREME_DEVICE float to_value(Half x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
template <typename T> struct Round { static TRIREME_DEVICE T from(T x) { return x; } };
template <> struct Round<BFloat16> {
  static TRIREME_DEVICE BFloat16 from(float x) {
    BFloat16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
  }
};
template <> struct Round<Half> {
  static TRIREME_DEVICE Half from(float x) {
    Half y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
  }
};
#else
using trireme::cuda::Half;
using trireme::cuda::BFloat16;
inline float to_value(BFloat16 x) { return trireme::cuda::to_compute(x); }
inline float to_value(Half x) { return trireme::cuda::to_compute(x); }
template <typename T> struct Round {
  template <typename V>
  static T from(V x) { return trireme::cuda::FromCompute<T>::convert(x); }
};
#endif
template <typename T> TRIREME_DEVICE T to_value(T x) { return x; }
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack { T at[N]; };
template <int N, typename T> TRIREME_DEVICE Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, typename T> TRIREME_DEVICE void store(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}
)";

// Their types differ among themselves or they have attributes, so that each step is written out.
bool is_written_out(std::string_view op) {
  return op == "Select" || op == "Cast" || op == "FillLike" || op == "BroadcastLike" ||
         op == "BroadcastTo";
}

// The elements of a chain's outputs as few axes, and how far apart the elements of each input are
// along them.
struct Layout {
  std::vector<int64_t> sizes;
  std::vector<std::vector<int64_t>> strides;  // by input, then axis; 0 where it is broadcast
};

// An input, and the axis of the outputs that each of its axes goes along (chain_axes()).
struct Operand {
  const Shape& shape;
  const std::vector<int>& axes;

  // 0: the same element all along `axis`.
  int64_t stride(int axis) const {
    for (int own = 0; own < shape.rank(); ++own) {
      if (axes[static_cast<size_t>(own)] == axis)
        return shape[own] == 1 ? 0 : shape.last(shape.rank() - own - 1).elements();
    }
    return 0;
  }
};

Layout merge_axes(std::span<const Operand> inputs, const Shape& output) {
  Layout layout;
  layout.strides.resize(inputs.size());
  for (int axis = 0; axis < output.rank(); ++axis) {
    if (output[axis] == 1) continue;
    bool merges = !layout.sizes.empty();
    for (size_t k = 0; k < inputs.size() && merges; ++k)
      merges = layout.strides[k].back() == inputs[k].stride(axis) * output[axis];
    if (merges) {
      layout.sizes.back() *= output[axis];
    } else {
      layout.sizes.push_back(output[axis]);
    }
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (merges) layout.strides[k].pop_back();
      layout.strides[k].push_back(inputs[k].stride(axis));
    }
  }
  if (layout.sizes.empty()) {  // one element
    layout.sizes.push_back(1);
    for (auto& strides : layout.strides) strides.push_back(1);
  }
  return layout;
}

class Generator {
 public:
  Generator(const Chain& chain, std::span<const TensorType> types, const OpTable& ops)
      : chain_(chain), types_(types), ops_(ops), output_(type(chain.outputs.at(0)).shape) {
    for (int output : chain.outputs) {
      TRIREME_CHECK(type(output).shape == output_, "outputs of one shape, not ", output_, " and ",
                    type(output).shape);
    }
    for (const Chain::Step& step : chain.steps) {
      for (int input : inputs_read(step, ops)) {
        if (input < chain.input_count) loaded_.insert(input);
      }
    }
    const std::vector<std::vector<int>> axes = chain_axes(chain, types, ops);
    std::vector<Operand> operands;
    for (int input : loaded_)
      operands.push_back({type(input).shape, axes[static_cast<size_t>(input)]});
    layout_ = merge_axes(operands, output_);
    choose_width();
  }

  ChainSource generate() {
    ChainSource source{
        .name = name(), .text = {}, .count = output_.elements(), .per_thread = width_};
    const bool is_long = source.count > (int64_t{1} << 30);
    unsigned_suffix_ = is_long ? "ull" : "u";
    source.text = std::string(kPrelude);
    source.text += str_cat("typedef unsigned ", is_long ? "long long" : "int", " Index;\n");
    source.text += functions();
    source.text += body();
    source.text += kernel(source.name);
    return source;
  }

 private:
  const TensorType& type(int value) const { return types_[static_cast<size_t>(value)]; }
  bool is_flat() const { return layout_.sizes.size() == 1; }

  // How many elements a thread takes together: 16 bytes of the smallest that are read or written in
  // a row, where rows are whole numbers of them.
  void choose_width() {
    size_t smallest = 8, operands = 0;
    const auto count = [&](int value) {
      smallest = std::min(smallest, size_of(type(value).dtype));
      ++operands;
    };
    for (int output : chain_.outputs) count(output);
    size_t k = 0;
    for (int input : loaded_) {
      if (layout_.strides[k++].back() != 0) count(input);
    }
    width_ = static_cast<int>(std::min<size_t>(16 / smallest, operands > 6 ? 4 : 8));
    while (!is_flat() && layout_.sizes.back() % width_ != 0) width_ /= 2;
  }

  std::string name() const {
    std::string text = "chain";
    for (size_t i = 0; i < chain_.steps.size() && text.size() < 64; ++i) {
      const std::string& op = chain_.steps[i].op;
      if (op != "Constant" && !is_chain_view(op, ops_)) text += "_" + op;
    }
    return text;
  }

  // Each formula that the chain has as a function of its types.
  std::string functions() const {
    std::set<std::string> made;
    std::string text;
    for (const Chain::Step& step : chain_.steps) {
      if (step.op == "Constant" || is_chain_view(step.op, ops_) || is_written_out(step.op))
        continue;
      const ElementwiseFormula& formula = ops_.find(step.op).formula;
      const DType dtype = type(step.inputs[0]).dtype;
      const FormulaType t = formula_type(dtype);
      if (!made.insert(str_cat(step.op, "_", t.suffix)).second) continue;
      if (!formula.functions.empty() && made.insert(formula.functions).second)
        text += formula.functions;
      text += str_cat("TRIREME_DEVICE ", formula.gives_bool ? "bool" : t.type, " ", step.op, "_",
                      t.suffix, "(");
      for (size_t i = 0; i < step.inputs.size(); ++i) {
        text += str_cat(i == 0 ? "" : ", ", t.type, " ", "abc"[i]);
      }
      text += str_cat(") {\n  typedef ", t.type, " T;\n");
      const std::string& expression = formula.text(dtype);
      if (expression.find('U') != std::string::npos)
        text += str_cat("  typedef ", t.no_sign, " U;\n");
      text += str_cat("  return ", expression, ";\n}\n");
    }
    return text;
  }

  std::string parameters() const {
    std::string text;
    for (int i = 0; i < chain_.input_count; ++i) {
      text += str_cat("const ", storage_type(type(i).dtype), "* x", i, ", ");
    }
    for (size_t i = 0; i < chain_.outputs.size(); ++i) {
      text += str_cat(storage_type(type(chain_.outputs[i]).dtype), "* y", i, ", ");
    }
    return text;
  }

  std::string number(int64_t value) const { return str_cat(value, unsigned_suffix_); }

  // Where the element of loaded input `k` is that belongs to element i of the outputs.
  std::string offset(size_t k) const {
    const std::vector<int64_t>& strides = layout_.strides[k];
    if (is_flat()) return strides[0] == 0 ? "0" : "i";
    std::string text;
    int64_t dense = 1;
    bool is_dense = true;
    for (size_t axis = strides.size(); axis-- > 0;) {
      is_dense = is_dense && strides[axis] == dense;
      dense *= layout_.sizes[axis];
      if (strides[axis] == 0) continue;
      text += str_cat(text.empty() ? "" : " + ", "c", axis);
      if (strides[axis] != 1) text += " * " + number(strides[axis]);
    }
    return is_dense ? "i" : text.empty() ? "0" : text;
  }

  // The index along each axis, as far as some input needs it.
  std::string coordinates() const {
    size_t outermost = layout_.sizes.size();
    for (size_t k = 0; k < layout_.strides.size(); ++k) {
      const std::string where = offset(k);
      for (size_t axis = 0; axis < layout_.sizes.size(); ++axis) {
        if (where.find(str_cat("c", axis)) != std::string::npos)
          outermost = std::min(outermost, axis);
      }
    }
    std::string text, rest = "i";
    for (size_t axis = layout_.sizes.size(); axis-- > outermost;) {
      if (axis == 0) {
        text += str_cat("  const Index c0 = ", rest, ";\n");
        break;
      }
      text +=
          str_cat("  const Index c", axis, " = ", rest, " % ", number(layout_.sizes[axis]), ";\n");
      if (axis > outermost) {
        text += str_cat("  const Index r", axis, " = ", rest, " / ", number(layout_.sizes[axis]),
                        ";\n");
      }
      rest = str_cat("r", axis);
    }
    return text;
  }

  // Computes N elements from i on.
  std::string body() const {
    std::string text =
        str_cat("template <int N>\nTRIREME_DEVICE void compute(", parameters(), "Index i) {\n");
    text += coordinates();
    std::string in_loop;
    size_t k = 0;
    for (int input : loaded_) {
      const std::string_view storage = storage_type(type(input).dtype);
      const std::string_view value = value_type(type(input).dtype);
      if (layout_.strides[k].back() != 0) {
        text += str_cat("  const Pack<", storage, ", N> p", input, " = load<N>(x", input, " + ",
                        offset(k), ");\n");
        in_loop += str_cat("    const ", value, " v", input, " = to_value(p", input, ".at[k]);\n");
      } else {
        text += str_cat("  const ", value, " v", input, " = to_value(x", input, "[", offset(k),
                        "]);\n");
      }
      ++k;
    }
    for (size_t i = 0; i < chain_.outputs.size(); ++i) {
      text += str_cat("  Pack<", storage_type(type(chain_.outputs[i]).dtype), ", N> q", i, ";\n");
    }
    text += "#pragma unroll\n  for (int k = 0; k < N; ++k) {\n" + in_loop;
    for (size_t i = 0; i < chain_.steps.size(); ++i) {
      const int value = chain_.input_count + static_cast<int>(i);
      text += str_cat("    const ", value_type(type(value).dtype), " v", value, " = ",
                      expression(chain_.steps[i], value), ";\n");
    }
    for (size_t i = 0; i < chain_.outputs.size(); ++i) {
      text += str_cat("    q", i, ".at[k] = Round<", storage_type(type(chain_.outputs[i]).dtype),
                      ">::from(v", chain_.outputs[i], ");\n");
    }
    text += "  }\n";
    for (size_t i = 0; i < chain_.outputs.size(); ++i) {
      text += str_cat("  store<N>(y", i, " + i, q", i, ");\n");
    }
    return text + "}\n";
  }

  std::string expression(const Chain::Step& step, int value) const {
    const DType to = type(value).dtype;
    const std::string_view result = value_type(to);
    const auto v = [&](size_t i) { return str_cat("v", step.inputs[i]); };
    if (step.op == "Constant") return literal(to, step.attributes.get<double>("value"));
    if (step.op == "FillLike") return literal(to, step.attributes.get<double>("value"));
    if (is_chain_view(step.op, ops_)) return v(0);
    if (step.op == "Select") return str_cat(v(0), " ? ", v(1), " : ", v(2));
    // Also to f16 and bf16: rounding waits until the value is stored.
    if (step.op == "Cast") {
      return to == DType::kBool ? str_cat(v(0), " != 0") : str_cat("(", result, ")", v(0));
    }
    if (step.op == "BroadcastTo") return v(0);
    if (step.op == "BroadcastLike") {
      if (!step.attributes.get<bool>("average")) return v(0);
      const int64_t from = type(step.inputs[0]).shape.elements();
      const double repeats =
          from == 0 ? 1
                    : static_cast<double>(type(value).shape.elements()) / static_cast<double>(from);
      const DType in = is_floating(to) ? to : DType::kFloat64;
      return str_cat("(", result, ")((", value_type(in), ")", v(0), " / ", literal(in, repeats),
                     ")");
    }
    const FormulaType t = formula_type(type(step.inputs[0]).dtype);
    std::string text = str_cat(step.op, "_", t.suffix, "(");
    for (size_t i = 0; i < step.inputs.size(); ++i) text += str_cat(i == 0 ? "" : ", ", v(i));
    return "(" + std::string(result) + ")" + text + ")";
  }

  std::string kernel(const std::string& name) const {
    std::string arguments;
    for (int i = 0; i < chain_.input_count; ++i) arguments += str_cat("x", i, ", ");
    for (size_t i = 0; i < chain_.outputs.size(); ++i) arguments += str_cat("y", i, ", ");
    std::string text =
        str_cat("TRIREME_KERNEL(", name, ", (", parameters(), "long long count)) {\n",
                "  const Index first = (Index)blockIdx.x * blockDim.x + threadIdx.x",
                ", step = (Index)gridDim.x * blockDim.x;\n",
                "  const Index packs = (Index)(count / ", width_, ");\n");
    text += str_cat("  for (Index p = first; p < packs; p += step) compute<", width_, ">(",
                    arguments, "p * ", number(width_), ");\n");
    if (is_flat() && width_ > 1) {
      text += str_cat("  const Index tail = packs * ", number(width_), " + first;\n",
                      "  if (tail < (Index)count) compute<1>(", arguments, "tail);\n");
    }
    return text + "}\n";
  }

  const Chain& chain_;
  std::span<const TensorType> types_;
  const OpTable& ops_;
  const Shape& output_;
  std::set<int> loaded_;  // inputs whose elements are read
  Layout layout_;         // of those
  int width_ = 1;
  std::string_view unsigned_suffix_;
};

}  // namespace

bool has_chain_op(const OpDef& op, DType dtype) {
  if (!op.traits.is_elementwise || dtype == DType::kString) return false;
  return is_written_out(op.name) || !op.formula.text(dtype).empty();
}

ChainSource generate_chain(const Chain& chain, std::span<const TensorType> types,
                           const OpTable& ops) {
  return Generator(chain, types, ops).generate();
}

}  // namespace trireme::cuda
