// A format of model files: how its files are told from others, read and written.
//
// Readers believe nothing that a file says before it is checked. An Error is one sentence: the file
// and the place in it, what was expected, what was found. Writers leave a whole file or none.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/formats/model_file.h"
#include "core/nn/catalogs.h"

namespace trireme::formats {

struct ReadOptions {
  const nn::Catalogs* catalogs = nullptr;  // which layers, losses … there are; never null
  // The model whose weights the file has, for formats that have no layers; null: not known.
  const ModelFile* model = nullptr;
};

struct WriteOptions {
  const nn::Catalogs* catalogs = nullptr;  // never null
  // What of the model the file does not say, a sentence each; null: nobody asks. What would change
  // predictions is an Error instead.
  std::vector<std::string>* notes = nullptr;
};

struct Format {
  std::string name;  // as an option of the command line: "keras", "saved-model"
  std::string help;  // one sentence, with what TensorFlow or Keras call it
  // Whether the file or folder at `path` is one: by its contents, cheaply. Does not throw.
  std::function<bool(const std::string& path)> detect;
  // Whether the name of a file to be written says this format: "model.keras". Null: none does.
  std::function<bool(const std::string& path)> suits;
  std::function<ModelFile(const std::string& path, const ReadOptions& options)> read;
  // Null: this format is only read.
  std::function<void(const ModelFile& model, const std::string& path, const WriteOptions& options)>
      write;
};

}  // namespace trireme::formats
