// TensorFlow's object-based checkpoints of Keras models: a tensor bundle whose entry
// _CHECKPOINTABLE_OBJECT_GRAPH says which object has which value.
//
// Written is the graph of Keras 2, in which `model.load_weights(prefix)` and
// `tf.train.Checkpoint(model=model, optimizer=optimizer).restore(prefix)` find theirs. Read are
// those of Keras 2 and 3, of the model alone or with its optimizer.
#pragma once

#include <cstddef>
#include <string>

#include "core/formats/keras/keras_weights.h"

namespace trireme::formats {

// Whether `path`, a prefix or its ".index", is such a checkpoint. Does not throw.
bool is_tf_checkpoint(const std::string& path);
// "weights.index" -> "weights".
std::string checkpoint_prefix(const std::string& path);

// Replaces a checkpoint of that prefix, whole or not at all.
void write_tf_checkpoint(const KerasModelWeights& weights, const std::string& prefix);
// Fills every value of `weights`, by the names of variables and the order of layers that have some,
// but for a learning rate that the checkpoint lacks; resets `optimizer` where there is none. Throws
// Error{kInvalidArgument} naming the checkpoint and the object whose variables are others, and
// values of the model that `weights` lacks.
void read_tf_checkpoint(const std::string& prefix, KerasModelWeights& weights);

// How many variables of its optimizer the checkpoint has, the number of steps and the learning rate
// among them; 0: it has none.
size_t optimizer_variables_of(const std::string& prefix);

// Every value by its key without the suffix of variables, "layer_with_weights-0/kernel": for
// checkpoints that are read without a model.
nn::StateMap read_all_of_checkpoint(const std::string& prefix);

}  // namespace trireme::formats
