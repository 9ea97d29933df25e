// Where elements come from: tensors in memory, IndexedExamples, a function, a generator.
#include <cstring>

#include "core/base/error.h"
#include "core/data/node.h"
#include "core/data/stream_node.h"
#include "core/data/threaded_examples.h"

namespace trireme::data {
namespace {

uint64_t fingerprint_of(const ElementSpec& spec, int64_t size) {
  std::string text = std::to_string(size);
  for (const ComponentSpec& c : spec)
    text += str_cat(' ', c.name, '=', TensorType{c.dtype, c.shape});
  return hash_name(text);
}

class SourceNode final : public Node {
 public:
  explicit SourceNode(std::shared_ptr<const IndexedExamples> source) : source_(std::move(source)) {
    spec_ = source_->spec();
    size_ = source_->size();
    check_spec(spec_, "data source");
    TRIREME_CHECK(size_ >= 0 && has_known_shapes(spec_),
                  "indexed examples have a size and known shapes");
    fingerprint_ = fingerprint_of(spec_, size_);
    const auto* const threaded = dynamic_cast<const ThreadedExamples*>(source_.get());
    if (threaded != nullptr) threads_ = threaded->threads();
    name_ = "examples";
  }

  bool read(Context& context, Position at, Element& out) const override {
    if (at.index >= size_) return false;
    auto& rows = context.state<Rows>(this).rows;
    out.resize(spec_.size());
    rows.resize(spec_.size());
    for (size_t i = 0; i < spec_.size(); ++i) {
      prepare(out[i], spec_[i].dtype, spec_[i].shape);
      rows[i] = view(out[i]);
    }
    source_->read(at.index, rows);
    return true;
  }
  bool read_rows(Context&, Position at, std::span<const RowView> rows) const override {
    if (at.index >= size_) return false;
    source_->read(at.index, rows);
    return true;
  }
  Position origin(Context&, Position at) const override { return at; }

 private:
  struct Rows : NodeState {
    std::vector<RowView> rows;
  };
  std::shared_ptr<const IndexedExamples> source_;
};

template <typename From, typename To>
void convert(const void* from, void* to, int64_t n, float scale, float shift) {
  const From* __restrict in = static_cast<const From*>(from);
  To* __restrict out = static_cast<To*>(to);
  if (scale == 1 && shift == 0) {
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<To>(in[i]);
  } else {
    for (int64_t i = 0; i < n; ++i)
      out[i] = static_cast<To>(static_cast<float>(in[i]) * scale + shift);
  }
}
using Convert = void (*)(const void*, void*, int64_t, float, float);

template <typename From>
Convert converter_to(DType to) {
  switch (to) {
    case DType::kFloat32:
      return convert<From, float>;
    case DType::kFloat64:
      return convert<From, double>;
    case DType::kInt32:
      return convert<From, int32_t>;
    case DType::kInt64:
      return convert<From, int64_t>;
    default:
      return nullptr;
  }
}
Convert converter(DType from, DType to) {
  switch (from) {
    case DType::kUInt8:
      return converter_to<uint8_t>(to);
    case DType::kInt32:
      return converter_to<int32_t>(to);
    case DType::kInt64:
      return converter_to<int64_t>(to);
    case DType::kFloat32:
      return converter_to<float>(to);
    default:
      return nullptr;
  }
}

class ColumnSource final : public IndexedExamples {
 public:
  explicit ColumnSource(std::vector<Column> columns) : columns_(std::move(columns)) {
    if (columns_.empty())
      throw invalid_argument("from_columns: expected at least one column, found none");
    for (const Column& c : columns_) {
      if (!c.values.defined() || !c.values.on_host() || c.values.shape().rank() < 1) {
        throw invalid_argument("from_columns: column \"", c.name,
                               "\" must be a host tensor with a row an example");
      }
      if (c.values.shape()[0] != columns_[0].values.shape()[0]) {
        throw invalid_argument("from_columns: column \"", c.name, "\" has ", c.values.shape()[0],
                               " rows, \"", columns_[0].name, "\" has ",
                               columns_[0].values.shape()[0]);
      }
      const DType as = c.as.value_or(c.values.dtype());
      const bool scaled = c.scale != 1 || c.shift != 0;
      Convert convert = nullptr;
      if (as != c.values.dtype() || scaled) {
        convert = converter(c.values.dtype(), as);
        if (convert == nullptr || (scaled && !is_floating(as))) {
          throw invalid_argument(
              "from_columns: column \"", c.name, "\": cannot turn ", name(c.values.dtype()),
              " into ", name(as), scaled ? " with a scale" : "",
              "; it takes u8, i32, i64 and f32 to f32, f64, i32 or i64, and scales to f32 or f64");
        }
      }
      converters_.push_back(convert);
      row_bytes_.push_back(size() == 0 ? 0 : c.values.bytes() / static_cast<size_t>(size()));
    }
  }

  ElementSpec spec() const override {
    ElementSpec spec;
    for (const Column& c : columns_) {
      spec.push_back({c.name, c.as.value_or(c.values.dtype()),
                      c.values.shape().last(c.values.shape().rank() - 1)});
    }
    return spec;
  }
  int64_t size() const override { return columns_[0].values.shape()[0]; }

  void read(int64_t index, std::span<const RowView> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      const Column& c = columns_[i];
      const size_t offset = static_cast<size_t>(index) * row_bytes_[i];
      const char* row = static_cast<const char*>(c.values.raw()) + offset;
      if (converters_[i] != nullptr) {
        converters_[i](row, out[i].data, out[i].elements, c.scale, c.shift);
      } else if (out[i].dtype == DType::kString) {
        const auto* strings = reinterpret_cast<const std::string*>(row);
        std::copy(strings, strings + out[i].elements, out[i].as<std::string>().begin());
      } else if (row_bytes_[i] > 0) {
        std::memcpy(out[i].data, row, row_bytes_[i]);
      }
    }
  }

 private:
  std::vector<Column> columns_;
  std::vector<Convert> converters_;  // null: copied as it is
  std::vector<size_t> row_bytes_;
};

class FunctionNode final : public Node {
 public:
  FunctionNode(ElementSpec spec, int64_t size, std::function<void(int64_t, Element&)> function)
      : function_(std::move(function)) {
    check_spec(spec, "from_function");
    if (size < kInfinite) {
      throw invalid_argument("from_function: expected a size of at least 0 or kInfinite, found ",
                             size);
    }
    spec_ = std::move(spec);
    size_ = size;
    fingerprint_ = fingerprint_of(spec_, size_);
    name_ = "from_function";
  }
  bool read(Context&, Position at, Element& out) const override {
    if (size_ >= 0 && at.index >= size_) return false;
    function_(at.index, out);
    check_element(out, spec_, "from_function");
    return true;
  }
  Position origin(Context&, Position at) const override { return at; }

 private:
  std::function<void(int64_t, Element&)> function_;
};

// A stream that its source reads again from the start when it is to go on from the middle.
class GeneratorStream final : public Stream {
 public:
  explicit GeneratorStream(Generator generator) : generator_(std::move(generator)) {}
  bool next(Element& out) override {
    for (; skip_ > 0; --skip_, ++count_) {
      if (!generator_(skipped_)) return false;
    }
    if (!generator_(out)) return false;
    ++count_;
    return true;
  }
  void save(Cursor& cursor) const override { cursor.push_back(count_ + skip_); }
  void load(CursorInput& cursor) override { skip_ = cursor.take_count(); }

 private:
  Generator generator_;
  int64_t count_ = 0, skip_ = 0;
  Element skipped_;
};

// One that tells where it is.
class ExampleStreamAdapter final : public Stream {
 public:
  explicit ExampleStreamAdapter(std::unique_ptr<ExampleStream> stream)
      : stream_(std::move(stream)) {}
  bool next(Element& out) override { return stream_->next(out); }
  void save(Cursor& cursor) const override {
    const std::vector<int64_t> place = stream_->place();
    cursor.push_back(static_cast<int64_t>(place.size()));
    cursor.insert(cursor.end(), place.begin(), place.end());
  }
  void load(CursorInput& cursor) override {
    const auto place = cursor.take_all(cursor.take_count());
    stream_->go_to(place);
  }

 private:
  std::unique_ptr<ExampleStream> stream_;
};

}  // namespace

Dataset from_examples(std::shared_ptr<const IndexedExamples> source) {
  return Dataset(std::make_shared<SourceNode>(std::move(source)));
}

Dataset from_columns(std::vector<Column> columns) {
  return from_examples(std::make_shared<ColumnSource>(std::move(columns)));
}

Dataset from_tensors(const std::vector<Tensor>& tensors, const std::vector<std::string>& names) {
  if (tensors.size() != names.size()) {
    throw invalid_argument("from_tensors: expected a name a tensor, found ", tensors.size(),
                           " tensors and ", names.size(), " names");
  }
  std::vector<Column> columns;
  for (size_t i = 0; i < tensors.size(); ++i) columns.push_back({names[i], tensors[i]});
  return from_columns(std::move(columns));
}

Dataset from_function(ElementSpec spec, int64_t size,
                      std::function<void(int64_t, Element&)> function) {
  return Dataset(std::make_shared<FunctionNode>(std::move(spec), size, std::move(function)));
}

Dataset from_generator(ElementSpec spec, std::function<Generator(uint64_t)> start) {
  return Dataset(std::make_shared<StreamNode>(
      StreamNode::Options{.spec = std::move(spec),
                          .name = "from_generator",
                          .source = true,
                          .start = [start = std::move(start)](uint64_t pass) {
                            return std::make_unique<GeneratorStream>(start(pass));
                          }}));
}

Dataset from_stream(ElementSpec spec,
                    std::function<std::unique_ptr<ExampleStream>(uint64_t)> start) {
  return Dataset(std::make_shared<StreamNode>(
      StreamNode::Options{.spec = std::move(spec),
                          .name = "from_stream",
                          .source = true,
                          .start = [start = std::move(start)](uint64_t pass) {
                            return std::make_unique<ExampleStreamAdapter>(start(pass));
                          }}));
}

}  // namespace trireme::data
