#include "worker/model_formats.h"

#include "core/formats/keras/keras_formats.h"
#include "core/formats/onnx/onnx_formats.h"
#include "core/formats/safetensors_format.h"
#include "core/formats/saved_model/saved_model_formats.h"
#include "worker/trireme_format.h"

namespace trireme {

std::vector<formats::Format> model_formats(std::shared_ptr<const JobSchema> schema) {
  std::vector<formats::Format> all;
  for (const auto& some :
       {formats::keras_formats(), formats::saved_model_formats(), formats::onnx_formats()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  all.push_back(formats::safetensors_format());
  all.push_back(trireme_format(std::move(schema)));
  return all;
}

}  // namespace trireme
