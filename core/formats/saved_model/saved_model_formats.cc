#include "core/formats/saved_model/saved_model_formats.h"

#include "core/formats/saved_model/saved_model_file.h"
#include "core/formats/saved_model/saved_model_reader.h"
#include "core/formats/saved_model/saved_model_writer.h"

namespace trireme::formats {

std::vector<Format> saved_model_formats() {
  Format format;
  format.name = "saved-model";
  format.help = "TensorFlow's SavedModel: a folder with the graph and its variables";
  format.detect = is_saved_model;
  format.read = read_saved_model;
  format.write = write_saved_model;
  return {format};
}

}  // namespace trireme::formats
