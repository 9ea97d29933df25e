#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/cluster/security.h"
#include "launcher/commands.h"
#include "launcher/job_address.h"
#include "ps/client/shard_balance.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

struct Options {
  std::string where;
  bool dry_run = false;
  std::vector<std::string> moves;
  double over_s = 5, timeout_s = 60;
};

// "17=1"
ps::PlannedMove parse_move(const std::string& text) {
  ps::PlannedMove move;
  const char* const end = text.data() + text.size();
  const auto shard = std::from_chars(text.data(), end, move.shard);
  const bool has_slot = shard.ec == std::errc() && shard.ptr != end && *shard.ptr == '=';
  if (has_slot) {
    const auto slot = std::from_chars(shard.ptr + 1, end, move.to);
    if (slot.ec == std::errc() && slot.ptr == end) return move;
  }
  throw invalid_argument("--move ", text, ": expected SHARD=SLOT, as in --move 17=1");
}

void rebalance(const Options& options) {
  std::vector<ps::PlannedMove> moves;
  for (const std::string& text : options.moves) moves.push_back(parse_move(text));
  const JobAddress job = find_job(options.where);
  ClusterSpec spec;
  spec.secret = job.secret;
  spec.tls = job.tls;
  ps::ShardBalancer balancer(
      {.coordinator = job.coordinator,
       .secret = job.secret,
       .encryption = make_security(spec).encryption,
       .job_id = job.job_id,
       .timeout = milliseconds(static_cast<int64_t>(options.timeout_s * 1000))});
  if (moves.empty()) {
    const auto use = balancer.use(milliseconds(static_cast<int64_t>(options.over_s * 1000)));
    const ps::BalancePlan plan = ps::plan_balance(use, balancer.slots());
    std::cout << ps::describe(plan, use) << std::flush;
    moves = plan.moves;
  }
  if (options.dry_run) return;
  for (const ps::PlannedMove& move : moves) {
    const auto begun = std::chrono::steady_clock::now();
    balancer.move(move.shard, move.to);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::cout << "virtual shard " << move.shard << " is in slot " << move.to << " (" << std::fixed
              << std::setprecision(3) << took.count() << " s)" << std::endl;
  }
}

}  // namespace

void add_rebalance_command(CLI::App& ps) {
  CLI::App* command = ps.add_subcommand(
      "rebalance",
      "Even out how busy the parameter servers of a running job are, without stopping it");
  command->footer(
      "Rows are in virtual shards: 64, or more with more servers. This asks the servers how many "
      "rows of each were pulled and "
      "pushed, and moves shards from the busiest slot to the idlest, one after the other, until "
      "they are even. Workers go on meanwhile: pushes to its slot wait while a shard goes over. "
      "What moves is moved whole or not at all, whoever dies.\n"
      "\n"
      "Examples:\n"
      "  trireme ps rebalance runs/criteo_dlrm/logs --dry-run\n"
      "  trireme ps rebalance runs/criteo_dlrm/logs\n"
      "  trireme ps rebalance runs/criteo_dlrm/logs --move 17=1 --move 18=1\n"
      "  TRIREME_SECRET=… TRIREME_JOB_ID=… trireme ps rebalance n1:2222");
  auto options = std::make_shared<Options>();
  command
      ->add_option("JOB", options->where,
                   "Folder of the job's logs (`trireme launch --ps N`), or HOST:PORT of its "
                   "coordinator")
      ->required();
  command->add_flag("--dry-run", options->dry_run, "Only say what is uneven, and what would move");
  command->add_option("--move", options->moves, "Move this shard; no plan is made. Repeatable")
      ->type_name("SHARD=SLOT");
  command
      ->add_option("--over", options->over_s,
                   "Seconds over which rows are counted; 0: since each shard came to its slot")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_option("--timeout", options->timeout_s, "Seconds for each shard to move")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str();
  command->callback([options] { rebalance(*options); });
}

}  // namespace trireme
