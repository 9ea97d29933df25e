#include "distributed/coordination/view_digest.h"

#include <string_view>

namespace trireme {
namespace {

// FNV-1a over what an entry says, then the finaliser of splitmix64, whose results can be added up.
class Digest {
 public:
  explicit Digest(char kind) { add(static_cast<uint64_t>(kind)); }
  Digest& add(uint64_t value) {
    for (int i = 0; i < 8; ++i) byte(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
  }
  Digest& add(std::string_view text) {
    add(text.size());
    for (const char c : text) byte(static_cast<uint8_t>(c));
    return *this;
  }
  uint64_t value() const {
    uint64_t x = hash_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  }

 private:
  void byte(uint8_t value) { hash_ = (hash_ ^ value) * 0x100000001b3ull; }
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }

}  // namespace

uint64_t digest_of(const ServerEntry& server) {
  return Digest('s')
      .add(bits(server.index))
      .add(server.incarnation)
      .add(server.alive ? 1u : 0u)
      .add(server.address)
      .add(server.host)
      .add(server.shared_memory_host)
      .value();
}

uint64_t digest_of(const SlotEntry& slot, int index) {
  return Digest('l')
      .add(bits(index))
      .add(bits(slot.primary))
      .add(bits(slot.backup))
      .add((slot.backup_in_sync ? 1u : 0u) + (slot.restore ? 2u : 0u))
      .add(bits(slot.epoch))
      .value();
}

uint64_t digest_of_place(int shard, int slot) {
  return Digest('p').add(bits(shard)).add(bits(slot)).value();
}

uint64_t digest_of_rest(const ServerView& view) {
  Digest digest('v');
  digest.add(bits(view.number))
      .add(view.session)
      .add(view.servers.size())
      .add(view.slots.size())
      .add(view.slot_of_shard.size());
  if (view.move) {
    digest.add(bits(view.move->shard))
        .add(bits(view.move->from))
        .add(bits(view.move->to))
        .add(bits(view.move->id));
  }
  return digest.value();
}

uint64_t digest_of_entries(const ServerView& view) {
  uint64_t sum = 0;
  for (const ServerEntry& server : view.servers) sum += digest_of(server);
  for (size_t i = 0; i < view.slots.size(); ++i) {
    sum += digest_of(view.slots[i], static_cast<int>(i));
  }
  for (size_t i = 0; i < view.slot_of_shard.size(); ++i) {
    sum += digest_of_place(static_cast<int>(i), view.slot_of_shard[i]);
  }
  return sum;
}

}  // namespace trireme
