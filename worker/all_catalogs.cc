#include "worker/all_catalogs.h"

#include "core/formats/onnx/onnx_layer.h"
#include "core/formats/saved_model/saved_model_layer.h"
#include "core/nn/catalogs.h"

namespace trireme {

void register_all(nn::Catalogs& catalogs) {
  nn::register_core(catalogs);
  formats::register_saved_model_layer(catalogs.layers);
  formats::register_onnx_layer(catalogs.layers);
}

}  // namespace trireme
