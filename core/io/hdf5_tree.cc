// The groups of an HDF5 file, and what hangs on them.
#include <algorithm>
#include <utility>

#include "core/io/hdf5_metadata.h"
#include "core/io/input_file.h"

namespace trireme::io::hdf5 {
namespace {

constexpr int kMaxDepth = 64, kMaxTreeLevels = 16;
constexpr size_t kMaxObjects = 1 << 20;

class TreeReader {
 public:
  explicit TreeReader(Metadata& metadata) : metadata_(metadata) {}

  Hdf5Group read_root() {
    const uint64_t address = metadata_.root_address();
    visit(address, "/");
    return read_group(metadata_.header(address, "/"), "", address, 0);
  }

 private:
  using Links = std::vector<std::pair<std::string, uint64_t>>;

  Error damaged(const std::string& path, uint64_t address, const std::string& what) const {
    return data_loss(metadata_.place("object " + quote_name(path), address), ": ", what);
  }

  // An object with two names makes a tree of any size out of a small file, a group within itself
  // one without an end.
  void visit(uint64_t address, const std::string& path) {
    if (!visited_.insert(address).second) {
      throw damaged(path, address, "it is in the file's tree twice, under two names or in itself");
    }
    if (visited_.size() > kMaxObjects)
      throw damaged(path, address, "the file has too many objects");
  }

  Hdf5Group read_group(const std::vector<HeaderMessage>& messages, const std::string& path,
                       uint64_t address, int depth) {
    if (depth > kMaxDepth) {
      throw damaged(path, address,
                    str_cat("expected at most ", kMaxDepth, " groups in each other"));
    }
    Hdf5Group group{.path = path};
    group.attributes = read_attributes(messages, path, address);
    for (const auto& [name, child] : read_links(messages, path, address)) {
      const std::string child_path = path.empty() ? name : path + "/" + name;
      metadata_.spend(child_path.size(), "group " + quote_name(path), address);
      if (name.empty() || name == "." || name.find('/') != std::string::npos) {
        throw damaged(child_path, address, "its name is empty or has a slash");
      }
      if (group.groups.contains(name) || group.datasets.contains(name)) {
        throw damaged(child_path, address, "two objects have this name");
      }
      visit(child, child_path);
      const auto header = metadata_.header(child, child_path);
      const bool is_dataset =
          std::ranges::any_of(header, [](const auto& m) { return m.kind == kLayout; });
      if (is_dataset) {
        group.datasets.emplace(name, read_dataset(header, child_path, child));
      } else {
        group.groups.emplace(name, read_group(header, child_path, child, depth + 1));
      }
    }
    return group;
  }

  Links read_links(const std::vector<HeaderMessage>& messages, const std::string& path,
                   uint64_t address) {
    Links links;
    bool is_group = false;
    for (const HeaderMessage& message : messages) {
      Cursor in(message.body, metadata_.place("group " + quote_name(path), address));
      if (message.kind == kSymbolTable) {
        is_group = true;
        const auto tree = in.get<uint64_t>(), heap = in.get<uint64_t>();
        const std::vector<uint8_t> names = read_names(heap, path);
        std::set<uint64_t> nodes;
        add_symbols(tree, names, path, kMaxTreeLevels, nodes, links);
      } else if (message.kind == kLinkInfo) {
        is_group = true;
        in.skip(1);
        if ((in.get<uint8_t>() & 1) != 0) in.skip(8);
        if (in.get<uint64_t>() != kUndefined) {
          throw damaged(path, address,
                        "its links are in a fractal heap, which is not read; write the file with "
                        "h5py's default options");
        }
      } else if (message.kind == kLink) {
        links.push_back(read_link(in, path, address));
      }
    }
    if (!is_group) {
      throw damaged(path, address, "expected a group or a dataset, found neither");
    }
    return links;
  }

  std::pair<std::string, uint64_t> read_link(Cursor& in, const std::string& path,
                                             uint64_t address) {
    if (in.get<uint8_t>() != 1) throw in.damaged("a link of an unknown version");
    const auto flags = in.get<uint8_t>();
    const uint8_t type = (flags & 8) != 0 ? in.get<uint8_t>() : 0;
    if ((flags & 4) != 0) in.skip(8);
    if ((flags & 16) != 0) in.skip(1);
    const auto name = in.take(in.get_sized(size_t{1} << (flags & 3)));
    if (type != 0) throw refused_link(std::string(name.begin(), name.end()), path, address);
    return {std::string(name.begin(), name.end()), in.get<uint64_t>()};
  }

  Error refused_link(const std::string& name, const std::string& path, uint64_t address) const {
    return damaged(path, address,
                   str_cat("its member ", quote_name(name),
                           " is a link to a path or to another file, which is not followed"));
  }

  // The names of an old group.
  std::vector<uint8_t> read_names(uint64_t address, const std::string& path) {
    const std::string what = "heap of names of " + quote_name(path);
    const std::vector<uint8_t> head = metadata_.read(address, 32, what);
    Cursor in(head, metadata_.place(what, address));
    if (std::memcmp(in.take(4).data(), "HEAP", 4) != 0)
      throw in.damaged("expected a heap of names");
    in.skip(4);
    const auto size = in.get<uint64_t>();
    in.skip(8);
    return metadata_.read(in.get<uint64_t>(), size, what);
  }

  void add_symbols(uint64_t address, std::span<const uint8_t> names, const std::string& path,
                   int max_level, std::set<uint64_t>& nodes, Links& links) {
    const std::string what = "group " + quote_name(path);
    if (!nodes.insert(address).second) throw damaged(path, address, "its B-tree has a cycle");
    std::vector<uint8_t> block = metadata_.read(address, 8, what);
    Cursor in(block, metadata_.place(what, address));
    const auto signature = in.take(4);
    if (std::memcmp(signature.data(), "SNOD", 4) == 0) {
      in.skip(2);
      const auto count = in.get<uint16_t>();
      block = metadata_.read(address + 8, uint64_t{40} * count, what);
      Cursor entries(block, in.place());
      for (int i = 0; i < count; ++i) {
        const auto name_at = entries.get<uint64_t>(), object = entries.get<uint64_t>();
        const auto cache = entries.get<uint32_t>();
        entries.skip(20);
        if (name_at > names.size()) throw in.damaged("a name is not in the heap of names");
        const std::string name = Cursor(names.subspan(name_at), in.place()).text();
        metadata_.spend(name.size(), what, address);
        if (cache == 2) throw refused_link(name, path, address);
        links.emplace_back(name, object);
      }
      return;
    }
    const auto type = in.get<uint8_t>(), level = in.get<uint8_t>();
    const auto count = in.get<uint16_t>();
    if (std::memcmp(signature.data(), "TREE", 4) != 0 || type != 0 || level >= max_level) {
      throw in.damaged("expected a node of a group's B-tree");
    }
    block = metadata_.read(address + 24, uint64_t{16} * count, what);
    Cursor entries(block, in.place());
    for (int i = 0; i < count; ++i) {
      entries.skip(8);  // a key
      add_symbols(entries.get<uint64_t>(), names, path, level, nodes, links);
    }
  }

  Hdf5Attributes read_attributes(const std::vector<HeaderMessage>& messages,
                                 const std::string& path, uint64_t address) {
    Hdf5Attributes attributes;
    for (const HeaderMessage& message : messages) {
      Cursor in(message.body, metadata_.place("object " + quote_name(path), address));
      if (message.kind == kAttributeInfo) {
        in.skip(1);
        if ((in.get<uint8_t>() & 1) != 0) in.skip(2);
        if (in.get<uint64_t>() != kUndefined) {
          throw damaged(path, address,
                        "its attributes are in a fractal heap, which is not read; write the file "
                        "with h5py's default options");
        }
      }
      if (message.kind != kAttribute) continue;
      const auto version = in.get<uint8_t>();
      const auto flags = in.get<uint8_t>();
      const auto name_bytes = in.get<uint16_t>(), type_bytes = in.get<uint16_t>(),
                 space_bytes = in.get<uint16_t>();
      if (version == 3) in.skip(1);
      if (version < 1 || version > 3) throw in.damaged("an attribute of an unknown version");
      const size_t padding = version == 1 ? 8 : 1;
      const auto part = [&](uint16_t size) {
        const auto bytes = in.take(size);
        in.skip((padding - size % padding) % padding);
        return Cursor(bytes, in.place());
      };
      const std::string name = part(name_bytes).text();
      Cursor type = part(type_bytes), space = part(space_bytes);
      if (version > 1 && (flags & 3) != 0) continue;  // a type of a name: not of h5py's strings
      add_attribute(attributes, name, type, space, in);
    }
    return attributes;
  }

  // Those that are neither texts nor a number are left out.
  void add_attribute(Hdf5Attributes& attributes, const std::string& name, Cursor& type,
                     Cursor& space, Cursor& data) {
    const std::optional<Hdf5Element> element = parse_datatype(type);
    const Dataspace shape = parse_dataspace(space);
    const uint64_t count = shape.elements(space);
    if (count == 0 && !shape.is_null) {
      // An empty list of names is written as one of numbers.
      attributes[name] = std::vector<std::string>{};
      return;
    }
    if (!element || shape.is_null) return;
    if (count > data.left() / element->bytes) throw data.damaged("an attribute that is cut off");
    const auto bytes = data.take(count * element->bytes);
    using Kind = Hdf5Element::Kind;
    if (element->kind == Kind::kString || element->kind == Kind::kVariableString) {
      auto texts = parse_strings(metadata_, *element, bytes, count);
      if (shape.dims.empty()) {
        attributes[name] = std::move(texts[0]);
      } else {
        attributes[name] = std::move(texts);
      }
      return;
    }
    if (count != 1 || element->big_endian) return;
    Cursor number(bytes, data.place());
    if (element->kind == Kind::kFloat && element->bytes == 8) {
      attributes[name] = number.get<double>();
    } else if (element->kind == Kind::kFloat && element->bytes == 4) {
      attributes[name] = static_cast<double>(number.get<float>());
    } else if (element->kind == Kind::kInteger || element->kind == Kind::kBool) {
      const uint64_t value = number.get_sized(element->bytes);
      const unsigned unused = 64 - 8 * element->bytes;
      attributes[name] = element->is_signed ? static_cast<int64_t>(value << unused) >> unused
                                            : static_cast<int64_t>(value);
    }
  }

  Hdf5Dataset read_dataset(const std::vector<HeaderMessage>& messages, const std::string& path,
                           uint64_t address) {
    Hdf5Dataset dataset{.path = path};
    dataset.attributes = read_attributes(messages, path, address);
    std::optional<Dataspace> space;
    bool has_type = false, has_layout = false;
    for (const HeaderMessage& message : messages) {
      Cursor in(message.body, metadata_.place("dataset " + quote_name(path), address));
      const bool is_shared = (message.flags & 2) != 0;
      switch (message.kind) {
        case kDataspace:
          if (is_shared) throw in.damaged("its shape is kept elsewhere, which is not read");
          space = parse_dataspace(in);
          break;
        case kDatatype: {
          const auto element = is_shared ? std::optional<Hdf5Element>() : parse_datatype(in);
          if (!element) throw in.damaged("expected numbers, bool or strings, found another type");
          dataset.element = *element;
          has_type = true;
          break;
        }
        case kOldFillValue:
        case kFillValue:
          if (!is_shared) read_fill_value(in, message.kind == kOldFillValue, dataset);
          break;
        case kExternalFiles:
          throw damaged(path, address, "its data is in other files, which are not read");
        case kFilters:
          if (is_shared) throw in.damaged("its filters are kept elsewhere, which is not read");
          read_filters(in, dataset);
          break;
        case kLayout:
          read_layout(in, dataset);
          has_layout = true;
          break;
        default:
          break;
      }
    }
    Cursor where({}, metadata_.place("dataset " + quote_name(path), address));
    if (!space || !has_type || !has_layout) {
      throw where.damaged("expected a shape, a type and a place, found not all of them");
    }
    (void)space->elements(where);
    if (space->is_null) space->dims = {0};
    if (space->dims.size() > Shape::kMaxRank) {
      throw where.damaged(
          str_cat("expected at most ", Shape::kMaxRank, " axes, found ", space->dims.size()));
    }
    for (uint64_t dim : space->dims) dataset.type.shape.push_back(static_cast<int64_t>(dim));
    dataset.type.dtype = dtype_of_element(dataset, where);
    const size_t element_bytes = dataset.element.bytes;
    if (dataset.layout == Hdf5Dataset::Layout::kChunked) {
      // The last dimension of a chunk is an element's size.
      if (dataset.chunk.size() != space->dims.size() + 1 || dataset.chunk.back() != element_bytes) {
        throw where.damaged("its chunks are of another shape");
      }
      dataset.chunk.pop_back();
    }
    if (!dataset.fill_value.empty() && dataset.fill_value.size() != element_bytes) {
      throw where.damaged("its fill value is of another type");
    }
    return dataset;
  }

  static DType dtype_of_element(const Hdf5Dataset& dataset, const Cursor& where) {
    const Hdf5Element& element = dataset.element;
    using Kind = Hdf5Element::Kind;
    switch (element.kind) {
      case Kind::kFloat:
        return element.bytes == 2   ? DType::kFloat16
               : element.bytes == 4 ? DType::kFloat32
                                    : DType::kFloat64;
      case Kind::kInteger:
        if (element.bytes == 1 && !element.is_signed) return DType::kUInt8;
        return element.bytes < 4 || (element.bytes == 4 && element.is_signed) ? DType::kInt32
                                                                              : DType::kInt64;
      case Kind::kString:
      case Kind::kVariableString:
        return DType::kString;
      case Kind::kBool:
        return DType::kBool;
      case Kind::kOpaque:
        break;
    }
    const auto dtype = dataset.attributes.find("dtype");
    const auto* name =
        dtype == dataset.attributes.end() ? nullptr : std::get_if<std::string>(&dtype->second);
    if (element.bytes == 2 && name != nullptr && *name == "bfloat16") return DType::kBFloat16;
    throw where.damaged("expected numbers, bool or strings, found opaque bytes");
  }

  static void read_fill_value(Cursor& in, bool is_old, Hdf5Dataset& dataset) {
    bool has_value = true;
    if (!is_old) {
      const auto version = in.get<uint8_t>();
      if (version == 3) {
        has_value = (in.get<uint8_t>() & 0x20) != 0;
      } else {
        in.skip(2);
        has_value = in.get<uint8_t>() != 0 || version == 1;
      }
    }
    if (!has_value) return;
    const auto size = in.get<uint32_t>();
    if (size == 0 || size == UINT32_MAX) return;
    const auto value = in.take(size);
    dataset.fill_value.assign(value.begin(), value.end());
  }

  static void read_filters(Cursor& in, Hdf5Dataset& dataset) {
    const auto version = in.get<uint8_t>();
    const auto count = in.get<uint8_t>();
    if (version == 1) in.skip(6);
    if (version < 1 || version > 2) throw in.damaged("filters of an unknown version");
    for (int i = 0; i < count; ++i) {
      const auto id = in.get<uint16_t>();
      const uint16_t name_bytes = version == 1 || id >= 256 ? in.get<uint16_t>() : 0;
      in.skip(2);  // flags
      const auto values = in.get<uint16_t>();
      in.skip(version == 1 ? (name_bytes + 7) / 8 * 8 : name_bytes);
      in.skip(uint64_t{4} * values);
      if (version == 1 && values % 2 == 1) in.skip(4);
      if (id != kDeflate && id != kShuffle && id != kFletcher32) {
        throw data_loss(in.place(), ": expected deflate, shuffle or fletcher32, found filter ", id,
                        "; write it with compression=\"gzip\" or none");
      }
      dataset.filters.push_back(id);
    }
  }

  static void read_layout(Cursor& in, Hdf5Dataset& dataset) {
    const auto version = in.get<uint8_t>();
    if (version < 3 || version > 4) {
      throw in.damaged(
          str_cat("expected a layout of version 3 or 4, found ", static_cast<int>(version)));
    }
    switch (in.get<uint8_t>()) {
      case 0: {
        dataset.layout = Hdf5Dataset::Layout::kCompact;
        const auto bytes = in.take(in.get<uint16_t>());
        dataset.compact.assign(bytes.begin(), bytes.end());
        return;
      }
      case 1:
        dataset.layout = Hdf5Dataset::Layout::kContiguous;
        dataset.address = in.get<uint64_t>();
        dataset.stored = in.get<uint64_t>();
        return;
      case 2: {
        if (version != 3) break;
        dataset.layout = Hdf5Dataset::Layout::kChunked;
        const auto rank = in.get<uint8_t>();
        dataset.address = in.get<uint64_t>();
        for (int i = 0; i < rank; ++i) {
          dataset.chunk.push_back(in.get<uint32_t>());
          if (dataset.chunk.back() == 0) throw in.damaged("a chunk of no elements");
        }
        return;
      }
      default:
        break;
    }
    throw data_loss(in.place(),
                    ": expected a contiguous, compact or chunked dataset, found one that is "
                    "virtual or indexed as by libver=\"latest\", which is not read");
  }

  Metadata& metadata_;
  std::set<uint64_t> visited_;
};

}  // namespace

Hdf5Group read_tree(Metadata& metadata) { return TreeReader(metadata).read_root(); }

}  // namespace trireme::io::hdf5
