// Fields of a job that the command line sets, by path and value.
//
//   optimizer.learning_rate=0.1         a number; also true and false, and an enum's name
//   name=x" epochs: 7                   a string is taken as it stands, quotes and backslashes too
//   model.layers[2].dense.units=10      an element of a list, from 0
//   metrics=[ACCURACY, AUC]             a list; [] empties it, metrics=AUC has one element
//   metrics+=AUC                        adds to a list
//   data.criteo.train_files=["a,b", c]  in a list, quotes keep commas and blanks; \" and \\ in them
//   optimizer={adam {beta1: 0.8}}       a message as the job file has it, in the place of what is
//   checkpoint+={keep: 9}               there; += changes only the fields that are named
//   loss=MEAN_SQUARED_ERROR             a component with its defaults
//
// A value is parsed by its field's type: no text can reach another field.
#pragma once

#include <string>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace trireme {

class JobSchema;

// An option of its own for a field: {"--output-dir", "output_dir", "my runs"}.
struct JobOption {
  std::string option, path, value;
};

// One step of a path: "layers[2]" is {"layers", 2}.
struct JobPathStep {
  std::string field;
  int index = -1;
};

class JobOverride {
 public:
  // "PATH=VALUE" or "PATH+=VALUE", of --set. Throws Error{kInvalidArgument}.
  explicit JobOverride(const std::string& text);
  explicit JobOverride(const JobOption& option);

  // Sets the field, making messages on the way to it. Throws Error{kInvalidArgument} that names the
  // option, what is expected and, for a name that is not known, the nearest one that is.
  void apply(const JobSchema& schema, google::protobuf::Message& job) const;

  // For messages: "--set epochs=7".
  const std::string& shown() const { return shown_; }
  const std::string& path() const { return path_; }  // as it was given
  bool adds() const { return add_; }                 // += to what is there

 private:
  void parse_path();

  std::string shown_, path_, value_;
  bool add_ = false;
  std::vector<JobPathStep> steps_;
};

}  // namespace trireme
