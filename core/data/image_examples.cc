#include "core/data/image_examples.h"

#include <array>

#include "core/base/error.h"
#include "core/data/idx.h"

namespace trireme::data {

SourceData image_data(std::string_view what, const Dataset& train, const Dataset& validation,
                      const std::vector<std::string>& classes) {
  return {.train = train,
          .validation = validation,
          .description = str_cat(what, ": ", train.cardinality(), " + ", validation.cardinality(),
                                 " images, labels are the numbers of their classes"),
          .preprocessing = images_preprocessing(train.element_spec()[0].shape, classes)};
}

void require_images(const SourceContext& context) {
  if (context.saved) {
    require_same_preprocessing(*context.saved, images_preprocessing({1, 1, 1}));
  }
}

bool ImageExamples::read(int64_t count, ExampleBatch& batch) {
  const auto pixels = static_cast<size_t>(height_ * width_ * channels_);
  std::vector<uint8_t> image(pixels);
  std::vector<float> values;
  batch = {};
  for (; batch.size < count && read_image(image); ++batch.size) {
    for (const uint8_t pixel : image) values.push_back(static_cast<float>(pixel) * (1 / 255.f));
  }
  batch.features = {Tensor::from<float>({batch.size, height_, width_, channels_}, values)};
  return batch.size > 0;
}

bool ImageExamples::read_bytes(std::span<uint8_t> bytes, int64_t number) {
  const size_t found = stream_.read(bytes);
  if (found == 0) return false;
  if (found == bytes.size()) return true;
  throw data_loss(stream_.name(), ": expected ", bytes.size(), " bytes of image ", number,
                  ", the file ends after ", found, " of them");
}

namespace {

class IdxExamples final : public ImageExamples {
 public:
  explicit IdxExamples(const std::string& path) : ImageExamples(path, 0, 0, 1) {
    std::array<uint8_t, 16> header{};
    const size_t found = stream_.read(header);
    const auto number = [&](size_t i) {
      return static_cast<int64_t>(header[i]) << 24 | header[i + 1] << 16 | header[i + 2] << 8 |
             header[i + 3];
    };
    if (found < header.size() || number(0) != 0x803) {
      throw data_loss(path, ": expected an IDX file of images (magic 00000803 and three sizes)",
                      found < header.size() ? str_cat(", the file ends after ", found, " bytes")
                                            : ", found other bytes");
    }
    count_ = number(4);
    height_ = number(8);
    width_ = number(12);
    constexpr int64_t kMaxSide = 1 << 15;
    if (height_ < 1 || width_ < 1 || height_ > kMaxSide || width_ > kMaxSide) {
      throw data_loss(path, ": expected images of 1×1 to ", kMaxSide, "×", kMaxSide, ", found ",
                      height_, "×", width_);
    }
  }
  std::string description() const override {
    return str_cat(count_, " images of ", height_, "×", width_);
  }

 private:
  bool read_image(std::span<uint8_t> pixels) override {
    if (next_ == count_) {
      uint8_t more = 0;
      if (stream_.read({&more, 1}) == 0) return false;
      throw data_loss(stream_.name(), ": expected ", count_,
                      " images as the header says, found more bytes behind them");
    }
    if (!read_bytes(pixels, next_)) {
      throw data_loss(stream_.name(), ": expected ", count_,
                      " images as the header says, the file ends after ", next_);
    }
    ++next_;
    return true;
  }

  int64_t count_ = 0, next_ = 0;
};

}  // namespace

std::unique_ptr<ExampleReader> open_idx_images(const std::string& path) {
  return std::make_unique<IdxExamples>(path);
}

}  // namespace trireme::data
