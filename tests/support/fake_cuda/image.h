// What the fake NVRTC gives as machine code, for the fake driver: this, then the path of a library
// compiled for the host, then a zero.
#pragma once

namespace trireme::fake_cuda {

inline constexpr char kImageMagic[] = "TRIREME-FAKE-CUBIN";

}  // namespace trireme::fake_cuda
