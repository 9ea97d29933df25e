// A checkpoint that several processes write: each its part, a tensor bundle beside the others, and
// one of them, last of all, the manifest that names the parts and what is in their files.
//
// The manifest is text, so that it can be read without a program: a line for each field and part,
// and a line with the CRC-32C of all lines before it. A checkpoint without a manifest is not
// complete; one whose files are not those that the manifest describes is damaged.
//
// Functions without state; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::io {

// A file of a part, as it was when it was written.
struct PartFile {
  uint64_t bytes = 0;
  uint32_t crc = 0;  // CRC-32C of all of it

  bool operator==(const PartFile&) const = default;
};

struct CheckpointPart {
  std::string name;  // of the bundle, without a folder: the part lies beside the manifest
  PartFile index, data;

  bool operator==(const CheckpointPart&) const = default;
};

struct PartsManifest {
  int64_t step = 0;            // of the training: that all parts are of
  std::string job;             // the id of the job that wrote it
  std::string save;            // the id of this one save: equal in all of its parts
  int64_t changed_since = -1;  // of an incremental one; −1: it has all rows
  int64_t rows = 0;            // in all parts together
  std::vector<CheckpointPart> parts;

  bool operator==(const PartsManifest&) const = default;
};

// Throws Error{kInvalidArgument} for a name or an id that does not fit on a line.
std::string format_manifest(const PartsManifest& manifest);
// Throws Error{kDataLoss} with path and line for text that is no manifest, that is not whole, or
// whose checksum differs; and, with a sentence of its own, for one of a version of Trireme that
// wrote no checksums: what cannot be verified is not used.
PartsManifest parse_manifest(const std::string& path, const std::string& text);
// Throws Error{kNotFound} when there is none, and what parse_manifest() throws.
PartsManifest read_manifest(const std::string& path);

// Reads all of a bundle that was just written and compares each tensor with its checksum; returns
// what a manifest says of it. Throws what BundleReader throws.
CheckpointPart verify_bundle(const std::string& prefix);
// Reads the part's files in `directory`. Throws Error{kNotFound} for one that is missing,
// Error{kDataLoss} for one that is not as the manifest says: which, and what was expected and
// found. `all`: false reads the index only, and compares the size of the data; the index has the
// checksum of each tensor, which whoever reads the tensor compares.
void verify_part(const std::string& directory, const CheckpointPart& part, bool all = true);

// A new id for a save: nothing else has it.
std::string make_save_id();

}  // namespace trireme::io
