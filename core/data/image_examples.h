// What sources of images share: the data set, and files of images of bytes for predictions.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/byte_stream.h"
#include "core/data/labeled_images.h"
#include "core/data/source.h"

namespace trireme::data {

// `what`: "mnist in /data/mnist". `classes`: their names, where they are known.
SourceData image_data(std::string_view what, const Dataset& train, const Dataset& validation,
                      const std::vector<std::string>& classes = {});

// Throws Error{kInvalidArgument} when context.saved is that of other data than images.
void require_images(const SourceContext& context);

// Images of bytes; how they lie in the file is a matter of the format.
class ImageExamples : public ExampleReader {
 public:
  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, height_, width_, channels_}}};
  }
  bool read(int64_t count, ExampleBatch& batch) override;

 protected:
  ImageExamples(const std::string& path, int64_t height, int64_t width, int64_t channels)
      : stream_(path, {.pipes = true}), height_(height), width_(width), channels_(channels) {}
  // False at the end of the file.
  virtual bool read_image(std::span<uint8_t> pixels) = 0;

  // Fills `bytes`; false at the end of the file. `number`: of the image that they belong to.
  bool read_bytes(std::span<uint8_t> bytes, int64_t number);

  ByteStream stream_;
  int64_t height_, width_, channels_;
};

// An IDX file of images, as MNIST's are.
std::unique_ptr<ExampleReader> open_idx_images(const std::string& path);

}  // namespace trireme::data
