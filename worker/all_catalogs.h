// The catalogs of the program: the parts of core/nn, and the layers of file formats.
#pragma once

namespace trireme {
namespace nn {
struct Catalogs;
}

void register_all(nn::Catalogs& catalogs);

}  // namespace trireme
