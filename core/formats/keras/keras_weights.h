// The weights of a Keras model as its files hold them, and the layouts of those files in HDF5:
// `.weights.h5` of Keras 3 (which a `.keras` archive has inside) and the older `.h5` of Keras 2 and
// 3.
//
// Whoever knows the model describes its objects as KerasObjects, in Keras's order; the functions
// here put their variables into a file, or fill them from one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/io/hdf5_file.h"
#include "core/io/hdf5_writer.h"
#include "core/nn/train_state.h"

namespace trireme::formats {

// The version of Keras that our files say they are of.
inline constexpr std::string_view kKerasVersion = "3.15.1";

struct KerasVariable {
  std::string name;  // "kernel"
  // Variable.path of Keras 3, "sequential/dense/kernel" or "adam/dense_kernel_momentum": the older
  // layout names datasets so. Readers do not look at it.
  std::string path;
  Tensor value;           // readers fill it, in the file's type
  bool trainable = true;  // as the older layout sorts them: the trainable ones of a layer first
};

// A layer, a model, a cell of a layer, an optimizer.
struct KerasObject {
  std::string class_name;  // "BatchNormalization"
  std::string name;        // "batch_normalization_1"
  // Where its owner keeps it: "layers" for the layers of a model (and "cells" of StackedRNNCells),
  // which are numbered within their class; else the attribute: "cell", "forward_layer",
  // "query_dense".
  std::string attribute = "layers";
  bool in_list = true;
  // Its own, in the order of `_trainable_variables + _non_trainable_variables` (of layers that save
  // themselves, such as Dense and Conv2D: kernel, bias).
  std::vector<KerasVariable> variables;
  std::vector<KerasObject> children;  // in the order in which Keras makes them
};

struct KerasModelWeights {
  KerasObject model;  // a Sequential or Functional, whose children are its layers
  // variables: iteration, learning_rate (where it is no schedule), then slots as Keras 3 orders
  // them. Absent: the file has none. A LossScaleOptimizer has the child "inner_optimizer".
  std::optional<KerasObject> optimizer;
};

// `.weights.h5` of Keras 3.
io::Hdf5Contents weights_contents(const KerasModelWeights& weights);
// Fills every value of `weights`, but for the learning rate of files of Keras 2, which lack it;
// resets `optimizer` where the file has none. Throws
// Error{kInvalidArgument} naming file and group when the file has more or fewer variables for an
// object, or objects with variables that `weights` lacks.
void read_weights(const io::Hdf5File& file, KerasModelWeights& weights);

// The same from all files of a model whose weights Keras spread over several; `name` is for
// messages.
void read_shards(const std::vector<std::unique_ptr<io::Hdf5File>>& files, const std::string& name,
                 KerasModelWeights& weights);
// The files that the map "x.weights.json" names, which are beside it.
std::vector<std::unique_ptr<io::Hdf5File>> open_shards(const std::string& path);
// Whether the file is such a map. Does not throw.
bool is_shard_map(const std::string& path);

// The older `.h5`: as the whole file of `model.save_weights("x.h5")`, which has no optimizer's
// weights; or, where `whole_model` is true, with "model_weights" and "optimizer_weights" beside
// the attributes "model_config" and "training_config", which the caller adds.
io::Hdf5Contents legacy_contents(const KerasModelWeights& weights, bool whole_model);
// By the order of layers that have weights, as Keras does. Otherwise like read_weights().
void read_legacy_weights(const io::Hdf5File& file, KerasModelWeights& weights);

// The optimizer's variables of an older file by their names, in its order; empty: it has none. For
// files of Keras 2, whose optimizers order them in another way: "Adam/dense/kernel/m:0".
std::vector<std::pair<std::string, Tensor>> legacy_optimizer(const io::Hdf5File& file);

// What is in the file, by its contents; nothing: no file of Keras.
enum class KerasLayout { kWeights, kLegacyWeights, kLegacyModel };
std::optional<KerasLayout> layout_of(const io::Hdf5File& file);

// Every dataset by its path, "layers/dense/vars/0" or "dense/dense/kernel": for files that are read
// without a model.
nn::StateMap read_all(const io::Hdf5File& file);

// "BatchNormalization" -> "batch_normalization", as Keras names groups.
std::string snake_case(const std::string& class_name);

}  // namespace trireme::formats
