// Values between a ModelFile and the objects of Keras's files. For the sources of this folder only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/formats/format.h"
#include "core/formats/keras/graph_reader.h"
#include "core/formats/keras/keras_graph.h"
#include "core/formats/keras/training_config.h"
#include "core/io/hdf5_file.h"

namespace trireme::formats {

// How a file of HDF5 holds weights.
enum class WeightLayout { kKeras3, kLegacy };

// The weights and the optimizer's state of a file into `network.file`. `config`: how it was
// trained, as the file says it; null: it does not.
void read_values(const io::Hdf5File& hdf5, WeightLayout layout, const Json& config,
                 const ConfigContext& context, ReadNetwork& network);

// How many variables of an optimizer the file has.
size_t optimizer_variables(const io::Hdf5File& hdf5, WeightLayout layout);

// The weights of a file that has no layers into those of `model`, and the state of its optimizer,
// of which the file has so many variables; 0: it has none that could be taken. `fill` reads them.
ModelFile read_into_model(const ModelFile& model, const std::string& path,
                          size_t optimizer_variables, const nn::Catalogs& catalogs,
                          const std::function<void(KerasModelWeights&)>& fill);

// A model as Keras's files have it.
struct WrittenModel {
  KerasGraph graph;
  Json config;    // of the model
  Json training;  // a compile_config; null: none
  KerasModelWeights weights;
};
WrittenModel written_model(const ModelFile& file, const WriteOptions& options);

// Fills `object` with the weights of `file`. Throws Error{kInvalidArgument} naming one that is
// missing.
void fill_weights(const ModelFile& file, const std::vector<VariableBinding>& bindings,
                  KerasObject& object);
// The other way.
void take_weights(KerasObject& object, const std::vector<VariableBinding>& bindings,
                  const std::string& place, nn::StateMap& weights);

}  // namespace trireme::formats
