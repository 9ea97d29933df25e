#include "distributed/cluster/agreement.h"

#include "core/base/error.h"

namespace trireme::cluster {
namespace {

// Whether a task of `outer` may hold a launcher that started `inner`'s.
bool may_hold(const Claim& outer, const Claim& inner) {
  if (outer.spec.world_size == 1) return true;
  if (outer.spec.source == "Slurm" && inner.under_remote_daemon) return true;
  // Each host's launcher starts some of the tasks. One that started all of them is on its own, and
  // so are the launchers on the other hosts.
  const bool all_here = inner.spec.local_size >= inner.tasks();
  return outer.one_task_per_host && !all_here && inner.tasks() > outer.spec.world_size;
}

[[noreturn]] void throw_sizes(const Claim& winner, const Claim& other) {
  const bool apart = winner.tasks() < other.spec.world_size;
  throw invalid_argument(winner.spec.source, " and ", other.spec.source,
                         " disagree about the number of tasks: ", winner.size_text, ", but ",
                         other.size_text, "; ",
                         apart ? str_cat(other.spec.source, " started ", other.spec.world_size,
                                         " tasks, and each would ",
                                         winner.tasks() == 1 ? "be a world of its own"
                                                             : str_cat("look for ", winner.tasks()))
                               : "the tasks would wait for others that nobody started",
                         "; use one launcher, or unset the variables of the other");
}

[[noreturn]] void throw_ranks(const Claim& winner, const Claim& other) {
  throw invalid_argument(winner.spec.source, " and ", other.spec.source,
                         " disagree about which task this is: ", winner.rank_text, ", but ",
                         other.rank_text,
                         "; use one launcher, or unset the variables of the other");
}

}  // namespace

std::string check_agreement(const Claim& winner, const Claim& other) {
  const std::string said =
      str_cat(other.rank_text, other.size_text.empty() ? "" : ", ", other.size_text);
  // Where there are parameter servers too, each source may number and count them in its own way.
  const bool comparable = winner.spec.parameter_servers == 0 && other.spec.parameter_servers == 0;
  const int size = other.spec.world_size;
  const bool same_size = size == 0 || size == winner.spec.world_size ||
                         (!comparable && other.tasks() == winner.tasks()) ||
                         (!comparable && size == winner.tasks()) ||
                         (!comparable && size == winner.spec.parameter_servers);
  const bool same_rank = !comparable || other.spec.rank == winner.spec.rank;
  if (same_size && same_rank) return str_cat("agrees: ", said);
  if (other.is_pod) return str_cat("not used: ", said, " describe this task's pod");
  if (size != 0 && may_hold(other, winner)) {
    return str_cat("not used: ", said, " describe what started this task's launcher");
  }
  if (!same_size) throw_sizes(winner, other);
  throw_ranks(winner, other);
}

}  // namespace trireme::cluster
