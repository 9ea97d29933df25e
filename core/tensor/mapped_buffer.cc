#include "core/tensor/mapped_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

namespace trireme {

std::shared_ptr<MappedBuffer> MappedBuffer::map(int fd, uint64_t offset, size_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const size_t lead = offset % page;
  void* const pages = mmap(nullptr, bytes + lead, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
                           static_cast<off_t>(offset - lead));
  if (pages == MAP_FAILED) return nullptr;
  return std::shared_ptr<MappedBuffer>(new MappedBuffer(pages, bytes + lead, lead, bytes));
}

MappedBuffer::MappedBuffer(void* pages, size_t mapped, size_t lead, size_t bytes)
    : Buffer(static_cast<char*>(pages) + lead, bytes, true), pages_(pages), mapped_(mapped) {}

void MappedBuffer::drop(size_t offset, size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t lead = mapped_ - this->bytes();
  // Whole pages only: the last one may still be read.
  const size_t begin = (lead + offset) / page * page;
  const size_t end = (lead + offset + bytes) / page * page;
  if (end > begin) (void)madvise(static_cast<char*>(pages_) + begin, end - begin, MADV_DONTNEED);
}

MappedBuffer::~MappedBuffer() { munmap(pages_, mapped_); }

}  // namespace trireme
