// The data of HDF5 datasets: where it lies, and how chunks are unpacked.
#include <zlib.h>

#include <algorithm>
#include <numeric>

#include "core/io/hdf5_metadata.h"
#include "core/io/input_file.h"

namespace trireme::io::hdf5 {
namespace {

constexpr int kMaxTreeLevels = 16;
// Deflate makes at most 1032 bytes of one. A dataset of which nothing is in the file is no larger
// than this.
constexpr uint64_t kMaxExpansion = 1032, kMaxUnwritten = uint64_t{16} << 20;

std::string place_of(const Metadata& metadata, const Hdf5Dataset& dataset) {
  return str_cat(metadata.bytes().name(), ": the HDF5 dataset ", quote_name(dataset.path));
}

uint64_t bytes_of(const Hdf5Dataset& dataset) {
  return static_cast<uint64_t>(dataset.type.shape.elements()) * dataset.element.bytes;
}

class ChunkIndex {
 public:
  ChunkIndex(Metadata& metadata, const Hdf5Dataset& dataset)
      : metadata_(metadata), dataset_(dataset), place_(place_of(metadata, dataset)) {}

  std::vector<Chunk> read() {
    if (dataset_.address != kUndefined) add(dataset_.address, kMaxTreeLevels);
    return std::move(chunks_);
  }

 private:
  void add(uint64_t address, int max_level) {
    const std::string what = "dataset " + quote_name(dataset_.path);
    if (!nodes_.insert(address).second) {
      throw data_loss(place_, ": the B-tree of its chunks has a cycle");
    }
    std::vector<uint8_t> block = metadata_.read(address, 8, what);
    Cursor in(block, metadata_.place(what, address));
    const auto signature = in.take(4);
    const auto type = in.get<uint8_t>(), level = in.get<uint8_t>();
    const auto count = in.get<uint16_t>();
    if (std::memcmp(signature.data(), "TREE", 4) != 0 || type != 1 || level >= max_level) {
      throw in.damaged("expected a node of the B-tree of chunks");
    }
    const size_t rank = dataset_.chunk.size();
    block = metadata_.read(address + 24, (24 + 8 * rank) * count, what);
    Cursor entries(block, in.place());
    for (int i = 0; i < count; ++i) {
      Chunk chunk{.stored = entries.get<uint32_t>(), .filter_mask = entries.get<uint32_t>()};
      for (size_t axis = 0; axis < rank; ++axis) {
        const auto offset = entries.get<uint64_t>();
        const auto dim = static_cast<uint64_t>(dataset_.type.shape[static_cast<int>(axis)]);
        if (level == 0 && (offset >= dim || offset % dataset_.chunk[axis] != 0)) {
          throw in.damaged("a chunk that is not within the dataset");
        }
        chunk.offset.push_back(offset);
      }
      entries.skip(8);
      chunk.address = entries.get<uint64_t>();
      if (level > 0) {
        add(chunk.address, level);
        continue;
      }
      if (!offsets_.insert(chunk.offset).second) throw in.damaged("a chunk that is there twice");
      chunks_.push_back(std::move(chunk));
    }
  }

  Metadata& metadata_;
  const Hdf5Dataset& dataset_;
  std::string place_;
  std::set<uint64_t> nodes_;
  std::set<std::vector<uint64_t>> offsets_;
  std::vector<Chunk> chunks_;
};

// Undoes the filters of one chunk.
class ChunkReader {
 public:
  ChunkReader(const Metadata& metadata, const Hdf5Dataset& dataset)
      : metadata_(metadata), dataset_(dataset), place_(place_of(metadata, dataset)) {
    bytes_ = dataset.element.bytes;
    for (uint64_t dim : dataset.chunk) {
      if (bytes_ > (uint64_t{1} << 40) / dim) throw damaged("a chunk of more than a TiB");
      bytes_ *= dim;
    }
  }

  std::vector<uint8_t> read(const Chunk& chunk) const {
    if (bytes_ / kMaxExpansion > chunk.stored) {
      throw damaged(str_cat("expected a chunk of ", bytes_, " bytes, found ", chunk.stored));
    }
    std::vector<uint8_t> data(chunk.stored);
    metadata_.bytes().read(chunk.address, data.data(), data.size());
    for (size_t i = dataset_.filters.size(); i-- > 0;) {
      if (i < 32 && (chunk.filter_mask >> i & 1) != 0) continue;
      switch (dataset_.filters[i]) {
        case kDeflate:
          data = inflated(data);
          break;
        case kShuffle:
          data = unshuffled(data);
          break;
        default:
          check_fletcher(data);
          data.resize(data.size() - 4);
      }
    }
    if (data.size() != bytes_) {
      throw damaged(str_cat("expected a chunk of ", bytes_, " bytes, found ", data.size()));
    }
    return data;
  }

 private:
  Error damaged(const std::string& what) const {
    return data_loss(place_, ": ", what, "; the file is damaged");
  }

  std::vector<uint8_t> inflated(const std::vector<uint8_t>& packed) const {
    // Behind it only a checksum of 4 bytes may come.
    std::vector<uint8_t> data(bytes_ + 4);
    uLongf size = data.size();
    if (uncompress(data.data(), &size, packed.data(), packed.size()) != Z_OK) {
      throw damaged("its deflated data is damaged");
    }
    data.resize(size);
    return data;
  }

  // First all first bytes of elements, then all second ones; what makes no element stays.
  std::vector<uint8_t> unshuffled(const std::vector<uint8_t>& data) const {
    const size_t width = dataset_.element.bytes, count = data.size() / width;
    std::vector<uint8_t> out(data);
    for (size_t byte = 0; byte < width; ++byte) {
      for (size_t i = 0; i < count; ++i) out[i * width + byte] = data[byte * count + i];
    }
    return out;
  }

  // Fletcher's checksum of big-endian words of 16 bits, modulo 65535.
  void check_fletcher(const std::vector<uint8_t>& data) const {
    if (data.size() < 4) throw damaged("a chunk without its checksum");
    const size_t size = data.size() - 4;
    uint64_t first = 0, second = 0;
    for (size_t i = 0; i < size; i += 2) {
      const uint32_t low = i + 1 < size ? data[i + 1] : 0;
      first = (first + (uint32_t{data[i]} << 8 | low)) % 65535;
      second = (second + first) % 65535;
    }
    uint32_t stored;
    std::memcpy(&stored, &data[size], sizeof stored);
    // 65535 is another name of 0.
    if ((stored & 0xffff) % 65535 != first || (stored >> 16) % 65535 != second) {
      throw damaged("a chunk's checksum is another");
    }
  }

  const Metadata& metadata_;
  const Hdf5Dataset& dataset_;
  std::string place_;
  uint64_t bytes_ = 0;
};

// The part of the chunk that is in the dataset, row by row.
void place_chunk(const Hdf5Dataset& dataset, const Chunk& chunk, std::span<const uint8_t> data,
                 std::span<uint8_t> out) {
  const size_t rank = dataset.chunk.size(), width = dataset.element.bytes;
  std::vector<uint64_t> extent(rank), at(rank, 0);
  for (size_t axis = 0; axis < rank; ++axis) {
    const auto dim = static_cast<uint64_t>(dataset.type.shape[static_cast<int>(axis)]);
    extent[axis] = std::min(dataset.chunk[axis], dim - chunk.offset[axis]);
  }
  const size_t row = extent[rank - 1] * width;
  for (bool done = false; !done;) {
    uint64_t from = 0, to = 0;
    for (size_t axis = 0; axis < rank; ++axis) {
      from = from * dataset.chunk[axis] + at[axis];
      to = to * static_cast<uint64_t>(dataset.type.shape[static_cast<int>(axis)]) +
           chunk.offset[axis] + at[axis];
    }
    std::memcpy(&out[to * width], &data[from * width], row);
    done = true;
    for (size_t axis = rank - 1; axis-- > 0 && done;) {
      done = ++at[axis] == extent[axis];
      if (done) at[axis] = 0;
    }
  }
}

void fill(const Hdf5Dataset& dataset, std::span<uint8_t> out) {
  const auto& value = dataset.fill_value;
  if (std::ranges::all_of(value, [](uint8_t byte) { return byte == 0; })) {
    std::ranges::fill(out, uint8_t{0});
    return;
  }
  for (size_t i = 0; i < out.size(); i += value.size()) std::ranges::copy(value, &out[i]);
}

}  // namespace

std::vector<Chunk> read_chunks(Metadata& metadata, const Hdf5Dataset& dataset) {
  auto chunks = ChunkIndex(metadata, dataset).read();
  const uint64_t bytes = bytes_of(dataset);
  uint64_t stored = 0;
  for (const Chunk& chunk : chunks) {
    if (chunk.address > metadata.bytes().size() ||
        chunk.stored > metadata.bytes().size() - chunk.address) {
      throw data_loss(place_of(metadata, dataset), ": expected a chunk of ", chunk.stored,
                      " bytes at byte ", chunk.address, ", the file has ", metadata.bytes().size());
    }
    stored += chunk.stored;
  }
  if (stored > metadata.bytes().size()) {
    throw data_loss(place_of(metadata, dataset), ": its chunks have more bytes than the file");
  }
  if (bytes > kMaxUnwritten && bytes / kMaxExpansion > stored) {
    throw data_loss(place_of(metadata, dataset), ": declares ", bytes, " bytes, of which only ",
                    stored, " are in the file");
  }
  return chunks;
}

void check_stored(const ByteSource& file, const Hdf5Dataset& dataset) {
  const uint64_t bytes = bytes_of(dataset);
  const std::string place = str_cat(file.name(), ": the HDF5 dataset ", quote_name(dataset.path));
  if (dataset.layout == Hdf5Dataset::Layout::kCompact && dataset.compact.size() != bytes) {
    throw data_loss(place, ": expected ", bytes, " bytes, found ", dataset.compact.size());
  }
  if (dataset.layout != Hdf5Dataset::Layout::kContiguous || bytes == 0) return;
  if (dataset.address == kUndefined) {
    if (bytes > kMaxUnwritten) {
      throw data_loss(place, ": declares ", bytes, " bytes, of which none are in the file");
    }
    return;
  }
  if (dataset.stored != bytes || dataset.address > file.size() ||
      bytes > file.size() - dataset.address) {
    throw data_loss(place, ": expected ", bytes, " bytes, found ", dataset.stored, " at byte ",
                    dataset.address, " of a file of ", file.size(), "; it is damaged or cut off");
  }
}

void read_elements(Metadata& metadata, const Hdf5Dataset& dataset, std::span<uint8_t> out) {
  if (out.empty()) return;
  switch (dataset.layout) {
    case Hdf5Dataset::Layout::kCompact:
      std::ranges::copy(dataset.compact, out.begin());
      return;
    case Hdf5Dataset::Layout::kContiguous:
      if (dataset.address == kUndefined) return fill(dataset, out);
      metadata.bytes().read(dataset.address, out.data(), out.size());
      return;
    case Hdf5Dataset::Layout::kChunked:
      break;
  }
  const auto chunks = read_chunks(metadata, dataset);
  const ChunkReader reader(metadata, dataset);
  fill(dataset, out);
  for (const Chunk& chunk : chunks) place_chunk(dataset, chunk, reader.read(chunk), out);
}

}  // namespace trireme::io::hdf5
