// Where somebody who knows Keras and tf.data finds what they are used to: each public name of Keras
// 3.15, and of tf.data.Dataset of TensorFlow 2.21, with Trireme's name for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trireme {

class JobSchema;

struct KerasName {
  enum class State {
    kCatalog,    // a catalog has an entry with this name of Keras
    kElsewhere,  // `note` says what does it
    kMissing,    // `note` says why
  };
  std::string_view family;  // "layer", …, or "dataset"
  std::string_view name;    // "Dense"
  State state = State::kCatalog;
  std::string ours;  // "dense"; kElsewhere: empty
  std::string_view note;
};

// All of them. Throws Error{kInternal} for a name that no catalog has and that has no note, and
// for one with a note that a catalog does have.
std::vector<KerasName> keras_names(const JobSchema& schema);

// docs/coming-from-keras.md.
std::string coming_from_keras_page(const JobSchema& schema);

}  // namespace trireme
