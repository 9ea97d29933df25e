// Model files of any format, as commands and jobs take them: read into a network of ours, and
// written.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/formats/format.h"
#include "core/nn/load_weights.h"
#include "worker/job_schema.h"

namespace trireme {

// Throws Error{kInvalidArgument} that lists the names when there is no such format.
const formats::Format& format_named(const std::string& name,
                                    const std::vector<formats::Format>& all);
// The format that the file at `path` has. Throws Error{kNotFound} when nothing is there, and
// Error{kInvalidArgument} that lists what is known.
const formats::Format& format_of(const std::string& path, const std::vector<formats::Format>& all);

struct ModelSource {
  std::string path;
  std::string format;                       // empty: by the file's contents
  std::string model;                        // a job file with the layers; empty: the file's own
  std::vector<formats::ModelInput> inputs;  // instead of what the file says; empty: that
  std::vector<nn::WeightMap> map;           // names of the model to names of the file
  bool partial = false;                     // weights that the file lacks keep first values
};

struct ModelReading {
  formats::ModelFile file;  // a network with all of its weights
  std::string format;       // that it was read by
  nn::LoadReport report;
};

// Reads a network with its weights. Throws Error: of the file; when it has no layers and no model
// is given; when a weight is missing or of another shape, unless `partial` is set.
ModelReading read_model(const ModelSource& source, std::shared_ptr<const JobSchema> schema);

// The weights of a file for a model that is built, by the names of that model as far as the format
// knows them, with what lies beside them in a checkpoint of ours. `model` names them in files that
// have no names of ours.
nn::StateMap read_weights(const std::string& path, const nn::Model& model,
                          std::shared_ptr<const JobSchema> schema);
// Whether some format of others knows the file.
bool is_model_file(const std::string& path);

// Throws as format_named().
void known_format(const std::string& name, const std::shared_ptr<const JobSchema>& schema);
// Lets `fill` write what is to lie at `path`, a file or a folder, beside it, and puts it in place
// when it is whole. Throws Error{kInvalidArgument} when something is there, unless `overwrite`.
void write_whole(const std::string& path, bool overwrite,
                 const std::function<void(const std::string& inside)>& fill);

// Writes the whole file or folder at `path`, or nothing. `format` empty: by the ending of the name.
// Throws Error{kInvalidArgument} when something is there and `overwrite` is not set, or when no
// format has that ending. Returns the format's name. What the format could not say is added to
// `notes`.
std::string write_model(const formats::ModelFile& file, const std::string& path,
                        const std::string& format, bool overwrite,
                        std::shared_ptr<const JobSchema> schema, std::vector<std::string>& notes);

}  // namespace trireme
