#include "core/data/node.h"

#include <cstring>

#include "core/base/error.h"

namespace trireme::data {
namespace {

struct Scratch : NodeState {
  Element element;
};

}  // namespace

int64_t CursorInput::take(int64_t low, int64_t high) {
  if (rest_.empty()) throw data_loss("iterator state: it ends within the place of a stage");
  const int64_t value = rest_.front();
  if (value < low || value > high) {
    throw data_loss("iterator state: the place of a stage has a number ", value,
                    ", expected one from ", low, " to ", high);
  }
  rest_ = rest_.subspan(1);
  return value;
}

std::span<const int64_t> CursorInput::take_all(int64_t count) {
  if (count < 0 || static_cast<uint64_t>(count) > rest_.size()) {
    throw data_loss("iterator state: it ends within the place of a stage");
  }
  const auto taken = rest_.first(static_cast<size_t>(count));
  rest_ = rest_.subspan(static_cast<size_t>(count));
  return taken;
}

bool Node::read_rows(Context& context, Position at, std::span<const RowView> rows) const {
  Element& element = context.state<Scratch>(this).element;
  if (!read(context, at, element)) return false;
  for (size_t i = 0; i < rows.size(); ++i) copy_values(element[i], rows[i]);
  return true;
}

void Node::save(Context& context, Cursor& cursor) const {
  for (const NodePtr& child : children_) child->save(context, cursor);
}

void Node::load(Context& context, CursorInput& cursor) const {
  for (const NodePtr& child : children_) child->load(context, cursor);
}

void Node::inherit(NodePtr child) {
  spec_ = child->spec_;
  size_ = child->size_;
  threads_ = child->threads_;
  tune_ = child->tune_;
  prefetch_ = child->prefetch_;
  stream_ = child->stream_;
  fingerprint_ = child->fingerprint_;
  children_.push_back(std::move(child));
}

void Node::sign(std::string_view op, int64_t a, int64_t b) {
  name_ = op.substr(0, op.find(' '));
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

void check_spec(const ElementSpec& spec, std::string_view what) {
  if (spec.empty()) throw invalid_argument(what, ": expected at least one component, found none");
  for (size_t i = 0; i < spec.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (spec[i].name == spec[j].name) {
        throw invalid_argument(what, ": two components have the name \"", spec[i].name, "\"");
      }
    }
  }
}

bool has_known_shapes(const ElementSpec& spec) {
  for (const ComponentSpec& component : spec) {
    if (!component.shape.is_known()) return false;
  }
  return true;
}

Shape stacked(const Shape& shape, int64_t rows) {
  Shape result{rows};
  for (int64_t dim : shape) result.push_back(dim);
  return result;
}

void require_stackable(const ElementSpec& spec, std::string_view what) {
  for (const ComponentSpec& component : spec) {
    if (component.shape.rank() < Shape::kMaxRank) continue;
    throw invalid_argument(what, ": component \"", component.name, "\" has ", component.shape,
                           ", with the batch that is more than ", Shape::kMaxRank, " dimensions");
  }
}

double uniform_number(uint64_t seed, uint64_t epoch, int64_t index) {
  const PhiloxBlock block = philox(seed, epoch, static_cast<uint64_t>(index));
  return static_cast<double>(((uint64_t{block[1]} << 32) | block[0]) >> 11) * 0x1p-53;
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
