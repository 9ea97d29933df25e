// The whole `trireme` command line with parts of this program's own: see docs/extending.md.
#include "core/nn/catalogs.h"
#include "launcher/command_line.h"
#include "own_parts.h"

int main(int argc, char** argv) {
  return trireme::run_command_line(argc, argv,
                                   {.ops =
                                        [](trireme::OpTable& ops) {
                                          own::add_squared_relu(ops);
                                          own::add_heavy_ball(ops);
                                        },
                                    .kernels =
                                        [](trireme::KernelTable& kernels) {
                                          own::add_squared_relu(kernels);
                                          own::add_heavy_ball(kernels);
                                        },
                                    .components =
                                        [](trireme::nn::Catalogs& catalogs) {
                                          own::add_squared_dense(catalogs.layers);
                                          own::add_heavy_ball(catalogs.optimizers);
                                          own::add_log_cosh(catalogs.losses);
                                          own::add_within(catalogs.metrics);
                                          own::add_points(catalogs.data);
                                          own::add_loss_lines(catalogs.callbacks);
                                        }});
}
