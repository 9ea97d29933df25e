// The variables that torchrun sets, and that its users set by hand
// (https://pytorch.org/docs/stable/elastic/run.html, "Environment Variables").
#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {

Reading read_torchrun(const Variables& variables) {
  if (!variables.has("RANK") && !variables.has("WORLD_SIZE")) {
    // Scripts often export an address for other programs of theirs.
    if (!variables.has("MASTER_ADDR")) return {};
    return {std::nullopt, str_cat("not used: ", variables.quote("MASTER_ADDR"),
                                  " is set, but neither RANK nor WORLD_SIZE")};
  }
  if (!variables.has("RANK")) {
    throw invalid_argument("RANK is not set, but ", variables.quote("WORLD_SIZE"),
                           " is: set both, or neither");
  }
  if (!variables.has("WORLD_SIZE")) {
    throw invalid_argument("WORLD_SIZE is not set, but ", variables.quote("RANK"),
                           " is: set both, or neither");
  }
  // PyTorchJob sets these for the torchrun that it expects in the pod.
  if (!variables.has("LOCAL_RANK") && variables.has("PET_NPROC_PER_NODE")) {
    const Reading pod = read_kubeflow(variables);  // throws when it is to run several processes
  }
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "torchrun";
  spec.rank = *variables.index("RANK");
  spec.world_size = *variables.count("WORLD_SIZE");
  spec.local_rank = variables.index("LOCAL_RANK").value_or(-1);
  spec.local_size = variables.count("LOCAL_WORLD_SIZE").value_or(-1);
  claim.rank_text = variables.quote("RANK");
  claim.size_text = variables.quote("WORLD_SIZE");
  if (spec.world_size > 1 || variables.has("MASTER_ADDR")) {
    for (const char* name : {"MASTER_ADDR", "MASTER_PORT"}) {
      if (variables.has(name)) continue;
      throw invalid_argument(name, " is not set, but ", claim.rank_text, " and ", claim.size_text,
                             " are: set it to where rank 0 can be reached");
    }
    HostPort address{parse_host(variables.text("MASTER_ADDR"), "MASTER_ADDR"),
                     static_cast<int>(*variables.number("MASTER_PORT", 1, 65535))};
    spec.job_id = to_string(address);
    // Then torchrun's agent has the port, and its neighbour is ours.
    if (variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True") {
      address.port += address.port < 65535 ? 1 : -1;
    }
    spec.coordinator = to_string(address);
  }
  return {claim, ""};
}

}  // namespace trireme::cluster
