#include "worker/example_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "core/base/error.h"
#include "core/data/byte_stream.h"
#include "core/data/cifar10.h"
#include "core/data/criteo.h"
#include "core/data/csv_table.h"
#include "core/data/idx.h"
#include "core/data/line_reader.h"
#include "core/data/text.h"
#include "proto/job.pb.h"
#include "worker/build_csv.h"

namespace trireme {
namespace {

class CsvExamples final : public ExampleReader {
 public:
  CsvExamples(const job::Job& job, const PreprocessingPtr& saved, const std::string& path)
      : transform_(csv_transform(job, saved)),
        rows_(data::csv_file(path, {.pipes = true}), path, transform_.schema,
              csv_options(job.data().csv()),
              /*needs_label=*/false) {}

  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, static_cast<int64_t>(transform_.features.size())}}};
  }
  std::string description() const override {
    return str_cat(rows_.has_label() ? "the label's column is there and not looked at"
                                     : "without the label's column",
                   rows_.note().empty() ? "" : "; " + rows_.note());
  }

  bool read(int64_t count, ExampleBatch& batch) override {
    const size_t width = transform_.features.size();
    std::vector<float> values;
    batch = {};
    for (data::CsvRow row; batch.size < count && rows_.next(row); ++batch.size) {
      values.resize(values.size() + width);
      batch.lines.push_back(row.place.line);
      const bool drops = row.missing >= 0 && transform_.missing == data::CsvMissing::kDrop;
      batch.missing.push_back(drops ? transform_.schema.features[static_cast<size_t>(row.missing)]
                                    : "");
      if (drops) continue;
      transform_.write_features(row.features, rows_.name(), row.place.line,
                                std::span(values).last(width));
    }
    batch.features = {Tensor::from<float>({batch.size, static_cast<int64_t>(width)}, values)};
    return batch.size > 0;
  }

 private:
  data::CsvTransform transform_;
  data::CsvRows rows_;
};

// Images of bytes; how they lie in the file is a matter of the format.
class ImageExamples : public ExampleReader {
 public:
  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, height_, width_, channels_}}};
  }
  bool read(int64_t count, ExampleBatch& batch) override {
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

 protected:
  ImageExamples(const std::string& path, int64_t height, int64_t width, int64_t channels)
      : stream_(path, {.pipes = true}), height_(height), width_(width), channels_(channels) {}
  virtual bool read_image(std::span<uint8_t> pixels) = 0;

  // Fills `bytes`; false at the end of the file. `number`: of the image that they belong to.
  bool read_bytes(std::span<uint8_t> bytes, int64_t number) {
    const size_t found = stream_.read(bytes);
    if (found == 0) return false;
    if (found == bytes.size()) return true;
    throw data_loss(stream_.name(), ": expected ", bytes.size(), " bytes of image ", number,
                    ", the file ends after ", found, " of them");
  }

  data::ByteStream stream_;
  int64_t height_, width_, channels_;
};

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

class CifarExamples final : public ImageExamples {
 public:
  explicit CifarExamples(const std::string& path)
      : ImageExamples(path, 32, 32, 3), record_(data::kCifarRecordBytes) {
    const auto size = stream_.size();
    // Only the size of a plain file tells images without labels.
    if (size && *size % record_.size() != 0 && *size % (record_.size() - 1) == 0) {
      record_.pop_back();
    }
  }
  std::string description() const override {
    return record_.size() == data::kCifarRecordBytes ? "the labels are there and not looked at"
                                                     : "without labels";
  }

 private:
  bool read_image(std::span<uint8_t> pixels) override {
    if (!read_bytes(record_, next_)) return false;
    ++next_;
    data::interleave_cifar10(std::span<const uint8_t>(record_).last(pixels.size()), pixels);
    return true;
  }

  std::vector<uint8_t> record_;
  int64_t next_ = 0;
};

// Whether a label and a tab stand before a text.
bool has_label(std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos || tab == 0) return false;
  return std::ranges::all_of(line.substr(0, tab), [](char c) { return c >= '0' && c <= '9'; });
}

// Lines of text. Whether labels stand before them is told by the first.
class TextExamples final : public ExampleReader {
 public:
  TextExamples(const std::string& path, int64_t vocabulary)
      : lines_(path), vocabulary_(vocabulary) {}
  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, vocabulary_}}};
  }
  std::string description() const override {
    return "lines of text, with or without \"label<TAB>\" before them as the first line has it";
  }
  bool read(int64_t count, ExampleBatch& batch) override {
    const auto width = static_cast<size_t>(vocabulary_);
    std::vector<float> values;
    batch = {};
    for (std::string_view line; batch.size < count && lines_.next(line);) {
      if (line.empty()) continue;
      if (!labeled_) labeled_ = has_label(line);
      if (*labeled_ != has_label(line)) {
        throw lines_.error(1, *labeled_ ? "expected \"label<TAB>text\" as in the first line"
                                        : "expected a text without a label as in the first line");
      }
      if (*labeled_) line.remove_prefix(line.find('\t') + 1);
      values.resize(values.size() + width);
      data::multi_hot(line, std::span(values).last(width));
      batch.lines.push_back(lines_.number());
      ++batch.size;
    }
    batch.features = {Tensor::from<float>({batch.size, vocabulary_}, values)};
    return batch.size > 0;
  }

 private:
  data::LineReader lines_;
  int64_t vocabulary_;
  std::optional<bool> labeled_;
};

// Whether the label is there is told by the number of fields in the first line.
class ClickExamples final : public ExampleReader {
 public:
  ClickExamples(const std::string& path, uint32_t keys_per_category)
      : lines_(path), keys_per_category_(keys_per_category) {}
  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, data::kClickNumbers}},
            {DType::kInt64, {-1, data::kClickCategories}}};
  }
  std::string description() const override {
    return "lines of a click log, with the label or without it as the first line has it";
  }
  bool read(int64_t count, ExampleBatch& batch) override {
    std::vector<data::Click> clicks;
    batch = {};
    for (std::string_view line; batch.size < count && lines_.next(line); ++batch.size) {
      if (!labeled_) {
        labeled_ = std::ranges::count(line, '\t') >= data::kClickNumbers + data::kClickCategories;
      }
      clicks.push_back(
          data::parse_click(line, keys_per_category_, lines_.name(), lines_.number(), *labeled_));
      batch.lines.push_back(lines_.number());
    }
    Tensor numbers(DType::kFloat32, {batch.size, data::kClickNumbers});
    Tensor keys(DType::kInt64, {batch.size, data::kClickCategories});
    for (size_t i = 0; i < clicks.size(); ++i) {
      float label = 0;
      const std::array<RowOf, 3> rows = {RowOf{numbers, i, data::kClickNumbers},
                                         RowOf{keys, i, data::kClickCategories}, RowOf{label}};
      const std::array<data::RowView, 3> views = {rows[0].view, rows[1].view, rows[2].view};
      data::write_click(clicks[i], keys_per_category_, views);
    }
    batch.features = {numbers, keys};
    return batch.size > 0;
  }

 private:
  struct RowOf {
    RowOf(Tensor& tensor, size_t row, int64_t width)
        : view{tensor.dtype(),
               static_cast<char*>(tensor.raw()) +
                   row * static_cast<size_t>(width) * size_of(tensor.dtype()),
               width} {}
    explicit RowOf(float& value) : view{DType::kFloat32, &value, 1} {}
    data::RowView view;
  };

  data::LineReader lines_;
  uint32_t keys_per_category_;
  std::optional<bool> labeled_;
};

}  // namespace

std::unique_ptr<ExampleReader> open_examples(const job::Job& job, const PreprocessingPtr& saved,
                                             const std::string& path) {
  const job::Data& data = job.data();
  job::Preprocessing wanted;  // where the job says it
  std::unique_ptr<ExampleReader> reader;
  switch (data.source_case()) {
    case job::Data::kCsv:
      return std::make_unique<CsvExamples>(job, saved, path);
    case job::Data::kDigits:
    case job::Data::kMnist:
      wanted.mutable_images();
      reader = std::make_unique<IdxExamples>(path);
      break;
    case job::Data::kCifar10:
      wanted.mutable_images();
      reader = std::make_unique<CifarExamples>(path);
      break;
    case job::Data::kReviews: {
      const int64_t vocabulary = reviews_vocabulary(data.reviews());
      wanted.mutable_reviews()->set_vocabulary(vocabulary);
      reader = std::make_unique<TextExamples>(path, vocabulary);
      break;
    }
    case job::Data::kCriteo: {
      const uint32_t each = criteo_keys_per_category(data.criteo());
      wanted.mutable_criteo()->set_keys_per_category(each);
      reader = std::make_unique<ClickExamples>(path, each);
      break;
    }
    case job::Data::kClicks:
    case job::Data::kNoise:
    case job::Data::SOURCE_NOT_SET:
      throw invalid_argument(
          "--input: the job's data are made up by the program, and no file has their format; "
          "use a job with data { csv }, mnist, digits, cifar10, reviews or criteo");
  }
  if (saved) require_same_preprocessing(*saved, wanted);
  return reader;
}

}  // namespace trireme
