// What a program knows by name: all catalogs.
#pragma once

#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/data/feature.h"
#include "core/data/source.h"
#include "core/nn/callbacks.h"
#include "core/nn/constraints.h"
#include "core/nn/initializers.h"
#include "core/nn/layer.h"
#include "core/nn/losses.h"
#include "core/nn/metrics.h"
#include "core/nn/optimizers.h"
#include "core/nn/regularizers.h"
#include "core/nn/schedules.h"

namespace trireme::nn {

struct Catalogs {
  Catalog<data::Source> data;
  Catalog<Layer> layers;
  Catalog<InitializerOptions> initializers;
  Catalog<Regularizer> regularizers;
  Catalog<Constraint> constraints;
  Catalog<Optimizer> optimizers;
  Catalog<ScheduleOptions> schedules;
  Catalog<LossOptions> losses;
  Catalog<MetricOptions> metrics;
  Catalog<Callback> callbacks;
  Catalog<data::Feature> features;

  std::vector<const CatalogBase*> all() const;  // in the order above
  // "layer", "optimizer", …. Null: there is no such family.
  const CatalogBase* find(std::string_view family) const;
};

// Those that Trireme has.
void register_core(Catalogs& catalogs);

}  // namespace trireme::nn
