#include "core/nn/train_state.h"

#include "core/base/error.h"
#include "core/nn/optimizers.h"

namespace trireme::nn {
namespace {

constexpr int kListed = 5;

template <typename T>
const Tensor& find(const StateMap& state, const std::string& name) {
  auto it = state.find(name);
  if (it == state.end()) {
    throw data_loss("the checkpoint holds no \"", name,
                    "\": it has the weights of a model, not the state of a training");
  }
  if (it->second.dtype() != dtype_of<T> || it->second.shape().rank() > 1) {
    throw data_loss("the checkpoint's \"", name, "\": expected ", trireme::name(dtype_of<T>),
                    "[], found ", it->second.type());
  }
  return it->second;
}

int64_t load_count(const StateMap& state, const std::string& name) {
  const Tensor& tensor = find<int64_t>(state, name);
  if (tensor.elements() != 1 || tensor.flat<int64_t>()[0] < 0) {
    throw data_loss("the checkpoint's \"", name, "\": expected a count, found ",
                    tensor.to_string());
  }
  return tensor.flat<int64_t>()[0];
}

}  // namespace

void save_progress(const TrainProgress& progress, StateMap& state) {
  state["step"] = Tensor::scalar<int64_t>(progress.step);
  state["epoch"] = Tensor::scalar<int64_t>(progress.epoch);
  state["epoch_step"] = Tensor::scalar<int64_t>(progress.epoch_step);
  state["epoch_sums"] =
      Tensor::from<double>({static_cast<int64_t>(progress.epoch_sums.size())}, progress.epoch_sums);
  state["dataset_state"] = Tensor::scalar<std::string>(progress.dataset_state);
  state["random_seed"] = Tensor::scalar<int64_t>(static_cast<int64_t>(progress.random_seed));
}

TrainProgress load_progress(const StateMap& state) {
  TrainProgress progress;
  progress.step = load_count(state, "step");
  progress.epoch = load_count(state, "epoch");
  progress.epoch_step = load_count(state, "epoch_step");
  const auto sums = find<double>(state, "epoch_sums").flat<double>();
  progress.epoch_sums.assign(sums.begin(), sums.end());
  const auto dataset = find<std::string>(state, "dataset_state").flat<std::string>();
  if (dataset.size() != 1) throw data_loss("the checkpoint's \"dataset_state\" is no single text");
  progress.dataset_state = dataset[0];
  const auto seed = find<int64_t>(state, "random_seed").flat<int64_t>();
  if (seed.size() != 1) throw data_loss("the checkpoint's \"random_seed\" is no single number");
  progress.random_seed = static_cast<uint64_t>(seed[0]);
  return progress;
}

StateMap with_averages(StateMap state, const std::string& optimizer) {
  const std::string prefix = slot_name(optimizer, kAverageSlot, "");
  bool found = false;
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
       ++it) {
    state[it->first.substr(prefix.size())] = it->second;
    found = true;
  }
  if (found) return state;
  throw invalid_argument("use_ema: expected averages of the optimizer ", optimizer,
                         " in the checkpoint, found none: it was trained without them");
}

void check_state_matches(std::span<const VariableSpec> variables, const StateMap& state) {
  std::string differences;
  int count = 0;
  for (const VariableSpec& spec : variables) {
    if (!spec.copy_of.empty()) continue;
    auto it = state.find(spec.name);
    if (it == state.end() && spec.is_optional) continue;
    if (it != state.end() && it->second.type() == spec.value.type()) continue;
    if (++count > kListed) continue;
    differences += str_cat(differences.empty() ? "" : ", ", "\"", spec.name, "\" (expected ",
                           spec.value.type(), ", found ",
                           it == state.end() ? "nothing" : it->second.type().to_string(), ")");
  }
  if (count == 0) return;
  if (count > kListed) differences += str_cat(" and ", count - kListed, " more");
  throw invalid_argument("the checkpoint is of another model: ", differences,
                         "; use the job that wrote it, or start without it");
}

}  // namespace trireme::nn
