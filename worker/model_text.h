// A model as the text of a job file, and back.
#pragma once

#include <optional>
#include <string>

#include "core/formats/model_file.h"
#include "worker/job_components.h"

namespace trireme {

class JobFile;
namespace job {
class ModelWeights;  // proto/job.pb.h
}

// What a job says of its model: the name, inputs where it has model { inputs }, layers, which all
// have names then, outputs, losses, metrics and the optimizer; no weights. Throws
// Error{kInvalidArgument} with WHERE for what is wrong with it.
formats::ModelFile model_of(const JobSchema& schema, const google::protobuf::Message& job,
                            const std::string& place, const JobWhere& where);
formats::ModelFile model_of(const JobFile& file);

// The same of a text, which need have no data. `place`: for messages. Throws
// Error{kInvalidArgument} also for a field that is not known: it may change what the model gives.
formats::ModelFile parse_model(const JobSchema& schema, const std::string& text,
                               const std::string& place);

// The job that people would write for the model: only what is not the default; without data, and
// without the loss where the file does not say it. Throws Error{kInvalidArgument} for a layer that
// is in no catalog.
std::string print_model(const JobSchema& schema, const formats::ModelFile& file);
// The same with what `job_text` of the file says beside the model: the data, the epochs, the
// callbacks.
std::string print_job(const JobSchema& schema, const formats::ModelFile& file);

// What a job says of its features; empty: nothing.
std::vector<formats::ModelInput> inputs_of(const JobFile& file);
// Says in a job what its features are; with the batch in front.
void set_inputs(const std::vector<TensorType>& features, google::protobuf::Message& job);
// Throws Error{kInvalidArgument} that names the field when the data's features are others than the
// job says.
void check_inputs(const JobFile& file, const std::vector<TensorType>& features);

// The weights that a job's training starts with; nothing: those of initializers.
std::optional<job::ModelWeights> initial_weights_of(const JobFile& file);

// "float32", as model { inputs { type } } has it.
std::string_view input_type_name(DType type);
DType input_type_of(std::string_view name);  // throws Error{kInvalidArgument} for another name

}  // namespace trireme
