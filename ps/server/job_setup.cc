#include "ps/server/job_setup.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "proto/ps.pb.h"
#include "ps/protocol/setup.h"

namespace trireme::ps {
namespace {

constexpr int kMostWorkers = 1 << 16;
constexpr double kDefaultTimeout = 60, kMostTimeout = 7 * 24 * 3600;

proto::Setup parse(std::string_view bytes) {
  proto::Setup setup;
  if (!setup.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw invalid_argument("a setup of ", bytes.size(), " bytes: it is no message of that kind");
  }
  return setup;
}

int shards_of(const proto::Setup& setup) {
  const int shards = setup.shards() == 0 ? kVirtualShards : setup.shards();
  if (shards >= kVirtualShards && shards <= kMostVirtualShards &&
      virtual_shards(shards) == shards) {
    return shards;
  }
  throw invalid_argument("a setup: expected a power of two from ", kVirtualShards, " to ",
                         kMostVirtualShards, " virtual shards, found ", shards);
}

Mode mode_of(proto::Setup::Consistency consistency) {
  switch (consistency) {
    case proto::Setup::SYNC:
      return Mode::kSync;
    case proto::Setup::BOUNDED:
      return Mode::kBounded;
    case proto::Setup::ASYNC:
      return Mode::kAsync;
    default:
      throw invalid_argument("a setup: expected a consistency from 0 to 2, found ",
                             static_cast<int>(consistency));
  }
}

}  // namespace

JobSetup::JobSetup(std::string_view serialized_setup, const std::shared_ptr<const OpTable>& ops)
    : bytes(serialized_setup),
      tables(tables_of(parse(bytes), ops)),
      shards(tables, shards_of(parse(bytes))) {
  const proto::Setup setup = parse(bytes);
  workers = setup.workers();
  staleness = setup.staleness();
  backup_workers = setup.backup_workers();
  if (workers < 1 || workers > kMostWorkers) {
    throw invalid_argument("a setup: expected from 1 to ", kMostWorkers, " workers, found ",
                           workers);
  }
  if (backup_workers < 0 || backup_workers >= workers) {
    throw invalid_argument("a setup: expected fewer backup workers than the ", workers,
                           " workers, found ", backup_workers);
  }
  if (staleness < 0) {
    throw invalid_argument("a setup: expected a staleness from 0 on, found ", staleness);
  }
  save_every_steps = setup.save_every_steps();
  steps_per_epoch = setup.steps_per_epoch();
  dense = mode_of(setup.dense());
  sparse = mode_of(setup.sparse());
  const double seconds = setup.timeout_s() == 0 ? kDefaultTimeout : setup.timeout_s();
  if (!(seconds > 0 && seconds <= kMostTimeout)) {
    throw invalid_argument("a setup: expected a timeout of more than 0 and at most ", kMostTimeout,
                           " s, found ", seconds);
  }
  timeout = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000)));
  any_sync = std::ranges::any_of(tables, [&](const TableSpec& table) {
    return (table.is_dense() ? dense : sparse) == Mode::kSync;
  });
}

void JobSetup::require_same(std::string_view serialized_setup) const {
  const std::string found = difference(parse(bytes), parse(serialized_setup));
  if (found.empty()) return;
  throw invalid_argument("the parameter servers were set up for this job otherwise: ", found,
                         "; start all workers with the same job on the same data");
}

}  // namespace trireme::ps
