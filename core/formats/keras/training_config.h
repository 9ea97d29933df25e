// How a model is trained, as Keras's files say it: the optimizer, losses and metrics of its
// configuration, and the optimizer's variables.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/formats/keras/component_config.h"
#include "core/formats/keras/layer_variables.h"
#include "core/formats/model_file.h"

namespace trireme::formats {

// Of each output of the model: what Keras calls it, and our layer.
using OutputNames = std::vector<std::pair<std::string, std::string>>;

// From a compile_config of Keras 3, or a training_config of the older `.h5`. What there is nothing
// for is left out, with a note in `context.notes`; nothing: there is no optimizer.
std::optional<TrainingPart> read_training(const Json& config, const OutputNames& outputs,
                                          const ConfigContext& context);
// A compile_config. What Keras has nothing for is left out, with a note; null: it cannot be said.
Json write_training(const TrainingPart& training, const OutputNames& outputs,
                    const ConfigContext& context);

// The variables of an optimizer, in Keras's order: iteration, learning rate, then slots.
class OptimizerVariables {
 public:
  // `bindings`: of the model. Throws Error{kInvalidArgument} for an optimizer whose variables are
  // others in Keras.
  OptimizerVariables(const nn::Optimizer& optimizer, const std::vector<VariableBinding>& bindings,
                     const KerasObject& model);
  OptimizerVariables(const OptimizerVariables&) = delete;

  // Without values; `with_slots` false: of an optimizer that has not taken a step.
  KerasObject object(bool with_slots) const;
  // Fills the values of object(true) from `training`, whose slots may be missing: they begin as
  // the optimizer begins them.
  KerasObject filled(const TrainingPart& training, const ConfigContext& context) const;
  // The step and the slots from such an object.
  void take(const KerasObject& object, const std::string& place, TrainingPart& training) const;
  // As Keras 2 has them: the learning rate is none.
  void leave_out_rate() { has_rate_ = false; }
  // Of object(true).
  size_t count() const;

 private:
  struct Slot {
    std::string name;   // slot_name()
    std::string keras;  // "dense_kernel_momentum"
    const VariableBinding* binding;
    double initial = 0;
    bool is_average = false;
  };

  const nn::Optimizer& optimizer_;
  std::vector<VariableBinding> bindings_;
  std::vector<Slot> slots_;
  bool has_rate_ = false;     // a variable for the learning rate
  bool has_product_ = false;  // Nadam's
};

}  // namespace trireme::formats
