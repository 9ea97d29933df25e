#include "core/data/element_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "core/data/chain_reader.h"
#include "core/io/atomic_file.h"
#include "core/io/crc32c.h"

namespace trireme::data {
namespace {

constexpr std::string_view kMagic = "trireme elements 1\n";
constexpr uint64_t kByteOrder = 0x0102030405060708ull;
constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kFooterBytes = 3 * kWord;  // the table's begin, elements, byte order
constexpr uint64_t kMostHeaderBytes = 1 << 20;

void put(std::string& text, uint64_t value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put(std::string& text, std::string_view bytes) {
  put(text, bytes.size());
  text += bytes;
}
void put(std::string& text, const Shape& shape) {
  put(text, static_cast<uint64_t>(shape.rank()));
  for (const int64_t dim : shape) put(text, static_cast<uint64_t>(dim));
}

// Takes values off the front of bytes that may be damaged.
class Bytes {
 public:
  Bytes(std::string_view rest, const std::string& path) : rest_(rest), path_(path) {}
  uint64_t number() {
    uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) throw damaged();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  std::string_view text() { return take(number()); }
  Shape shape(bool known) {
    const uint64_t rank = number();
    if (rank > Shape::kMaxRank) throw damaged();
    Shape shape;
    uint64_t elements = 1;
    for (uint64_t d = 0; d < rank; ++d) {
      const auto dim = static_cast<int64_t>(number());
      if (dim < (known ? 0 : -1) || dim > int64_t{1} << 40) throw damaged();
      if (__builtin_mul_overflow(elements, static_cast<uint64_t>(std::max<int64_t>(dim, 1)),
                                 &elements) ||
          elements > uint64_t{1} << 48) {
        throw damaged();
      }
      shape.push_back(dim);
    }
    return shape;
  }
  bool empty() const { return rest_.empty(); }
  size_t left() const { return rest_.size(); }
  Error damaged() const {
    return data_loss(path_,
                     ": expected a file of elements that save(), snapshot() or cache() "
                     "wrote, found a damaged one; remove it to have it made again");
  }

 private:
  std::string_view rest_;
  std::string path_;
};

void put_element(std::string& text, const Element& element, int64_t origin) {
  put(text, static_cast<uint64_t>(origin));
  for (const Tensor& tensor : element) {
    put(text, tensor.shape());
    if (tensor.dtype() == DType::kString) {
      for (const std::string& value : tensor.flat<std::string>())
        put(text, std::string_view(value));
    } else {
      text.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
    }
  }
}

void take_element(Bytes bytes, const ElementSpec& spec, Element& out, int64_t& origin) {
  origin = static_cast<int64_t>(bytes.number());
  out.resize(spec.size());
  for (size_t i = 0; i < spec.size(); ++i) {
    const Shape shape = bytes.shape(true);
    if (!compatible(shape, spec[i].shape)) throw bytes.damaged();
    const bool strings = spec[i].dtype == DType::kString;
    // Before memory is asked for: each element takes bytes of the file.
    const auto elements = static_cast<uint64_t>(shape.elements());
    if (elements > bytes.left() / (strings ? sizeof(uint64_t) : size_of(spec[i].dtype))) {
      throw bytes.damaged();
    }
    prepare(out[i], spec[i].dtype, shape);
    if (strings) {
      for (std::string& value : out[i].flat<std::string>()) value = bytes.text();
    } else if (out[i].bytes() > 0) {
      std::memcpy(out[i].raw(), bytes.take(out[i].bytes()).data(), out[i].bytes());
    }
  }
  if (!bytes.empty()) throw bytes.damaged();
}

}  // namespace

void write_elements(const NodePtr& node, const std::string& path) {
  if (node->size() == kInfinite) {
    throw invalid_argument(path, ": an endless data set cannot be written; call take(count) on it");
  }
  io::AtomicFile file(path);
  std::string text(kMagic);
  put(text, kByteOrder);
  put(text, node->fingerprint());
  put(text, node->spec().size());
  for (const ComponentSpec& component : node->spec()) {
    put(text, std::string_view(component.name));
    put(text, static_cast<uint64_t>(component.dtype));
    put(text, component.shape);
  }
  file.append(text);
  std::string table;
  ChainReader reader(node);
  for (Element element; reader.next(element);) {
    put(table, file.size());
    text.clear();
    put_element(text, element, reader.origin().index);
    put(text, io::crc32c(text));
    file.append(text);
  }
  const uint64_t begin = file.size();
  const uint64_t elements = table.size() / sizeof(uint64_t);
  put(table, begin);  // where the last element ends, and of the footer
  put(table, elements);
  put(table, kByteOrder);
  file.append(table);
  file.commit();
}

ElementFile::ElementFile(const std::string& path) : file_(path) {
  const uint64_t bytes = file_.size();
  std::string footer_bytes(kFooterBytes, '\0');
  Bytes footer(footer_bytes, path);
  if (bytes < kMagic.size() + kFooterBytes) throw footer.damaged();
  file_.read(bytes - kFooterBytes, footer_bytes.data(), kFooterBytes);
  table_ = footer.number();
  const uint64_t elements = footer.number();
  if (footer.number() != kByteOrder || elements > bytes / kWord ||
      table_ != bytes - kFooterBytes - elements * kWord) {
    throw footer.damaged();
  }
  std::string header_bytes(std::min(table_, kMostHeaderBytes), '\0');
  file_.read(0, header_bytes.data(), header_bytes.size());
  Bytes header(header_bytes, path);
  if (header.take(kMagic.size()) != kMagic || header.number() != kByteOrder) {
    throw header.damaged();
  }
  fingerprint_ = header.number();
  for (uint64_t left = header.number(); left > 0; --left) {
    ComponentSpec component;
    component.name = header.text();
    const uint64_t dtype = header.number();
    if (dtype > static_cast<uint64_t>(DType::kString)) throw header.damaged();
    component.dtype = static_cast<DType>(dtype);
    component.shape = header.shape(false);
    spec_.push_back(std::move(component));
  }
  check_spec(spec_, path);
  size_ = static_cast<int64_t>(elements);
}

// Where an element begins and ends: where the next begins, or the table, whose begin the footer
// has.
std::pair<uint64_t, uint64_t> ElementFile::place(int64_t index) const {
  uint64_t ends[2];
  file_.read(table_ + static_cast<uint64_t>(index) * kWord, ends, sizeof ends);
  if (ends[0] > ends[1] || ends[1] > table_ || ends[1] - ends[0] < 2 * kWord) {
    throw Bytes("", path()).damaged();
  }
  return {ends[0], ends[1]};
}

int64_t ElementFile::origin(int64_t index) const {
  int64_t origin = 0;
  file_.read(place(index).first, &origin, sizeof origin);
  return origin;
}

bool ElementFile::read(int64_t index, Element& out, int64_t& origin, std::string& bytes) const {
  if (index >= size_) return false;
  const auto [begin, end] = place(index);
  bytes.resize(end - begin);
  file_.read(begin, bytes.data(), bytes.size());
  const std::string_view element = std::string_view(bytes).substr(0, bytes.size() - kWord);
  uint64_t check = 0;
  std::memcpy(&check, bytes.data() + element.size(), kWord);
  if (io::crc32c(element) != check) {
    throw data_loss(path(), ": the check sum of element ", index,
                    " is wrong: the file is damaged; remove it to have it made again");
  }
  take_element(Bytes(element, path()), spec_, out, origin);
  return true;
}

namespace {

struct FileState : NodeState {
  std::string bytes;
  int64_t index = -1, origin = 0;  // of the element that was read last
};

bool read_from(const ElementFile& file, FileState& state, int64_t index, Element& out) {
  state.index = -1;
  if (!file.read(index, out, state.origin, state.bytes)) return false;
  state.index = index;
  return true;
}
Position origin_in(const ElementFile& file, const FileState& state, Position at) {
  return {state.index == at.index ? state.origin : file.origin(at.index), at.epoch};
}

class FileNode final : public Node {
 public:
  explicit FileNode(std::shared_ptr<const ElementFile> file) : file_(std::move(file)) {
    spec_ = file_->spec();
    size_ = file_->size();
    fingerprint_ = file_->fingerprint();
    sign("file", size_);
  }
  bool read(Context& context, Position at, Element& out) const override {
    return read_from(*file_, context.state<FileState>(this), at.index, out);
  }
  Position origin(Context& context, Position at) const override {
    return origin_in(*file_, context.state<FileState>(this), at);
  }

 private:
  std::shared_ptr<const ElementFile> file_;
};

// The file that holds the elements of `child`, made where it is missing.
std::shared_ptr<const ElementFile> file_of(const NodePtr& child, const std::string& path) {
  if (!std::filesystem::exists(path)) write_elements(child, path);
  auto file = std::make_shared<const ElementFile>(path);
  if (file->fingerprint() != child->fingerprint() || file->spec() != child->spec()) {
    throw invalid_argument(path,
                           ": expected the elements of this data set, found those of another "
                           "(components, sizes, seeds and stages must be the same); remove the "
                           "file to have it made again, or name another");
  }
  return file;
}

class CacheFileNode final : public Node {
 public:
  CacheFileNode(NodePtr child, std::string path) : path_(std::move(path)) {
    inherit(std::move(child));
    if (size_ == kInfinite) {
      throw invalid_argument("cache: the data set repeats for ever; cache before repeat()");
    }
    // The child is read once, by whoever comes first.
    stream_ = false;
    threads_ = 0;
    tune_ = false;
    prefetch_ = 0;
    sign("cache in a file", 0);
  }
  bool read(Context& context, Position at, Element& out) const override {
    return read_from(file(), context.state<FileState>(this), at.index, out);
  }
  Position origin(Context& context, Position at) const override {
    return origin_in(file(), context.state<FileState>(this), at);
  }
  void save(Context&, Cursor&) const override {}
  void load(Context&, CursorInput&) const override {}

 private:
  const ElementFile& file() const {
    MutexLock lock(mutex_);
    if (!file_) file_ = file_of(children_[0], path_);
    return *file_;
  }

  std::string path_;
  mutable Mutex mutex_;
  mutable std::shared_ptr<const ElementFile> file_ GUARDED_BY(mutex_);
};

}  // namespace

NodePtr make_load(const std::string& path) {
  return std::make_shared<FileNode>(std::make_shared<const ElementFile>(path));
}

NodePtr make_snapshot(NodePtr child, const std::string& path) {
  return std::make_shared<FileNode>(file_of(child, path));
}

NodePtr make_cache_file(NodePtr child, const std::string& path) {
  return std::make_shared<CacheFileNode>(std::move(child), path);
}

}  // namespace trireme::data
