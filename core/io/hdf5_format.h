// Numbers of the HDF5 file format that its reader and its writer share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme::io::hdf5 {

inline constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
inline constexpr uint64_t kUndefined = UINT64_MAX;  // an address of nothing

// The kinds of messages in an object's header.
enum Message : uint16_t {
  kNil = 0,
  kDataspace = 1,
  kLinkInfo = 2,
  kDatatype = 3,
  kOldFillValue = 4,
  kFillValue = 5,
  kLink = 6,
  kExternalFiles = 7,
  kLayout = 8,
  kGroupInfo = 10,
  kFilters = 11,
  kAttribute = 12,
  kContinuation = 16,
  kSymbolTable = 17,
  kAttributeInfo = 21,
};

enum TypeClass : uint8_t {
  kFixedPoint = 0,
  kFloatingPoint = 1,
  kFixedString = 3,
  kOpaqueBytes = 5,
  kEnumeration = 8,
  kVariableLength = 9,
};

enum Filter : uint16_t { kDeflate = 1, kShuffle = 2, kFletcher32 = 3 };

// The checksum of metadata: Bob Jenkins's lookup3 (2006), little-endian, from 0.
uint32_t checksum(const void* data, size_t size);

}  // namespace trireme::io::hdf5
