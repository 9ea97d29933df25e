// data { cifar10 }
#include <filesystem>

#include "core/data/cifar10.h"
#include "core/data/image_examples.h"

namespace trireme::data {
namespace {

class CifarExamples final : public ImageExamples {
 public:
  explicit CifarExamples(const std::string& path)
      : ImageExamples(path, 32, 32, 3), record_(kCifarRecordBytes) {
    const auto size = stream_.size();
    // Only the size of a plain file tells images without labels.
    if (size && *size % record_.size() != 0 && *size % (record_.size() - 1) == 0) {
      record_.pop_back();
    }
  }
  std::string description() const override {
    return record_.size() == kCifarRecordBytes ? "the labels are there and not looked at"
                                               : "without labels";
  }

 private:
  bool read_image(std::span<uint8_t> pixels) override {
    if (!read_bytes(record_, next_)) return false;
    ++next_;
    interleave_cifar10(std::span<const uint8_t>(record_).last(pixels.size()), pixels);
    return true;
  }

  std::vector<uint8_t> record_;
  int64_t next_ = 0;
};

class Cifar10Source final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "directory", .help = "relative: looked for below the data folder"},
                  directory_);
    visitor.field({.name = "train_files",
                   .help = "names below the directory",
                   .default_text = "data_batch_1 to data_batch_5, those that are there"},
                  train_files_);
    visitor.field(
        {.name = "test_files", .help = "names below the directory", .default_text = "test_batch"},
        test_files_);
  }

  SourceData build(const SourceContext& context) const override {
    const LabeledImages train =
        read_cifar10(context.train_files.empty() ? train_files(context) : context.train_files);
    const LabeledImages test = read_cifar10(test_files(context));
    std::vector<std::string> classes;
    // Files of other names may have other classes.
    if (train_files_.empty() && test_files_.empty()) {
      classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                 "dog",      "frog",       "horse", "ship", "truck"};
    }
    return image_data("cifar10 in " + context.find(directory_), train.dataset(), test.dataset(),
                      classes);
  }
  std::vector<std::string> train_files(const SourceContext& context) const override {
    return paths(context, train_files_, Split::kTrain);
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (const std::string& path : train_files(context)) {
      files.push_back({"data.cifar10.train_files", path});
    }
    for (const std::string& path : test_files(context)) {
      files.push_back({"data.cifar10.test_files", path});
    }
    return files;
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    auto reader = std::make_unique<CifarExamples>(path);
    require_images(context);
    return reader;
  }

 private:
  std::vector<std::string> test_files(const SourceContext& context) const {
    return paths(context, test_files_, Split::kTest);
  }
  std::vector<std::string> paths(const SourceContext& context,
                                 const std::vector<std::string>& names, Split split) const {
    const std::string folder = context.find(directory_);
    if (names.empty()) return cifar10_files(folder, split);
    std::vector<std::string> paths;
    for (const std::string& name : names) {
      paths.push_back((std::filesystem::path(folder) / name).string());
    }
    return paths;
  }

  std::string directory_ = "cifar10";
  std::vector<std::string> train_files_, test_files_;
};

}  // namespace

void add_cifar10(Catalog<Source>& catalog) {
  catalog.add<Cifar10Source>("cifar10", "", "CIFAR-10 in its binary format, .gz or not.");
}

}  // namespace trireme::data
