#include "core/data/node.h"

#include <cstring>

#include "core/base/error.h"

namespace trireme::data {
namespace {

struct Scratch : NodeState {
  Element element;
};

}  // namespace

bool Node::read_rows(Context& context, Position at, std::span<const RowView> rows) const {
  Element& element = context.state<Scratch>(this).element;
  if (!read(context, at, element)) return false;
  for (size_t i = 0; i < rows.size(); ++i) copy_values(element[i], rows[i]);
  return true;
}

void Node::inherit(const Node& child) {
  spec_ = child.spec_;
  size_ = child.size_;
  threads_ = child.threads_;
  prefetch_ = child.prefetch_;
  stream_ = child.stream_;
  fingerprint_ = child.fingerprint_;
}

void Node::sign(std::string_view op, int64_t a, int64_t b) {
  fingerprint_ = hash_name(str_cat(fingerprint_, '/', op, '/', a, '/', b));
}

void prepare(Tensor& tensor, DType dtype, const Shape& shape) {
  if (tensor.defined() && tensor.dtype() == dtype && tensor.buffer().use_count() == 1 &&
      tensor.on_host()) {
    if (tensor.shape() == shape) return;
    // The last, smaller batch lives in the buffer of the others, and they again in it after that.
    const size_t bytes = size_of(dtype) * static_cast<size_t>(shape.elements());
    if (dtype != DType::kString && tensor.raw() == tensor.buffer()->data() &&
        bytes <= tensor.buffer()->bytes()) {
      tensor = Tensor(dtype, shape, tensor.buffer());
      return;
    }
  }
  tensor = Tensor(dtype, shape);
}

RowView view(Tensor& tensor) { return {tensor.dtype(), tensor.raw(), tensor.elements()}; }

void copy_values(const Tensor& from, const RowView& to) {
  TRIREME_CHECK(from.dtype() == to.dtype && from.elements() == to.elements);
  if (to.dtype == DType::kString) {
    const auto source = from.flat<std::string>();
    std::copy(source.begin(), source.end(), to.as<std::string>().begin());
  } else if (from.bytes() > 0) {
    std::memcpy(to.data, from.raw(), from.bytes());
  }
}

void copy_element(const Element& from, Element& out) {
  out.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    prepare(out[i], from[i].dtype(), from[i].shape());
    copy_values(from[i], view(out[i]));
  }
}

void check_element(const Element& element, const ElementSpec& spec, std::string_view what) {
  if (element.size() != spec.size()) {
    throw invalid_argument(what, ": expected an element of ", spec.size(), " components, found ",
                           element.size());
  }
  for (size_t i = 0; i < spec.size(); ++i) {
    const TensorType expected{spec[i].dtype, spec[i].shape};
    if (!element[i].defined()) {
      throw invalid_argument(what, ": component \"", spec[i].name, "\" was not set, expected ",
                             expected);
    }
    if (element[i].dtype() != expected.dtype || !compatible(element[i].shape(), expected.shape)) {
      throw invalid_argument(what, ": expected component \"", spec[i].name, "\" to be ", expected,
                             ", found ", element[i].type(),
                             "; say what it makes in its element spec");
    }
  }
}

bool has_known_shapes(const ElementSpec& spec) {
  for (const ComponentSpec& component : spec) {
    if (!component.shape.is_known()) return false;
  }
  return true;
}

int64_t scaled_position(int64_t a, int64_t b, int64_t c) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result) || __builtin_add_overflow(result, c, &result)) {
    throw invalid_argument("position ", a,
                           " of the data set is out of range: its examples would have numbers of "
                           "more than 63 bits");
  }
  return result;
}

}  // namespace trireme::data
