// What this program adds to Trireme, a file each.
#pragma once

#include "core/catalog/catalog.h"

namespace trireme {
class KernelTable;
class OpTable;
namespace data {
class Source;
}
namespace nn {
class Callback;
class Layer;
class LossOptions;
class MetricOptions;
class Optimizer;
}  // namespace nn
}  // namespace trireme

namespace own {

void add_squared_relu(trireme::OpTable& ops);
void add_squared_relu(trireme::KernelTable& kernels);

void add_squared_dense(trireme::Catalog<trireme::nn::Layer>& layers);

void add_heavy_ball(trireme::OpTable& ops);
void add_heavy_ball(trireme::KernelTable& kernels);
void add_heavy_ball(trireme::Catalog<trireme::nn::Optimizer>& optimizers);

void add_log_cosh(trireme::Catalog<trireme::nn::LossOptions>& losses);
void add_within(trireme::Catalog<trireme::nn::MetricOptions>& metrics);
void add_points(trireme::Catalog<trireme::data::Source>& sources);
void add_loss_lines(trireme::Catalog<trireme::nn::Callback>& callbacks);

}  // namespace own
