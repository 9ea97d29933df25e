#include "core/nn/catalogs.h"

#include "core/nn/layers.h"

namespace trireme::nn {

std::vector<const CatalogBase*> Catalogs::all() const {
  return {&data,      &layers, &initializers, &regularizers, &constraints, &optimizers,
          &schedules, &losses, &metrics,      &callbacks,    &features};
}

const CatalogBase* Catalogs::find(std::string_view family) const {
  for (const CatalogBase* const catalog : all()) {
    if (catalog->family() == family) return catalog;
  }
  return nullptr;
}

void register_core(Catalogs& catalogs) {
  data::register_core_sources(catalogs.data);
  register_core_layers(catalogs.layers);
  register_core_initializers(catalogs.initializers);
  register_core_regularizers(catalogs.regularizers);
  register_core_constraints(catalogs.constraints);
  register_core_optimizers(catalogs.optimizers);
  register_core_schedules(catalogs.schedules);
  register_core_losses(catalogs.losses);
  register_core_metrics(catalogs.metrics);
  register_core_callbacks(catalogs.callbacks);
  data::register_core_features(catalogs.features);
}

}  // namespace trireme::nn
