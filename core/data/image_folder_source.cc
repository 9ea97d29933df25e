// data { image_folder }
#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/data/image_options.h"
#include "core/data/permutation.h"
#include "core/data/source.h"
#include "core/data/threaded_examples.h"
#include "core/io/crc32c.h"
#include "core/io/input_file.h"

namespace trireme::data {
namespace {

namespace fs = std::filesystem;

enum class LabelMode { kAuto, kInt, kBinary, kCategorical };
constexpr EnumName<LabelMode> kLabelModes[] = {{LabelMode::kAuto, "AUTO"},
                                               {LabelMode::kInt, "INT"},
                                               {LabelMode::kBinary, "BINARY"},
                                               {LabelMode::kCategorical, "CATEGORICAL"}};
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

struct LabeledFile {
  std::string path;
  int64_t label;
};

// The pictures below a folder, those of each class together, in the order of their names.
struct Listing {
  std::vector<std::string> classes;
  std::vector<LabeledFile> files;
  int64_t others = 0;  // files that are no pictures by their names
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Names in the order of their bytes, so that every worker has the same.
std::vector<std::string> sorted_names(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (!name.starts_with('.') && it->is_directory(ignored) == folders) names.push_back(name);
  }
  if (error) {
    throw invalid_argument(folder.string(), ": cannot list the folder: ", error.message());
  }
  std::ranges::sort(names);
  return names;
}

void list_class(const fs::path& folder, int64_t label, Listing& listing) {
  for (const std::string& name : sorted_names(folder, /*folders=*/false)) {
    const std::string kind = lower(fs::path(name).extension().string());
    if (kind == ".png" || kind == ".jpg" || kind == ".jpeg") {
      listing.files.push_back({(folder / name).string(), label});
    } else if (kind == ".gif" || kind == ".bmp" || kind == ".webp" || kind == ".tif" ||
               kind == ".tiff") {
      throw invalid_argument(
          (folder / name).string(),
          ": expected a picture in PNG or JPEG; convert it, or move it elsewhere");
    } else {
      ++listing.others;
    }
  }
  // Folders within a class belong to it, as in Keras.
  for (const std::string& name : sorted_names(folder, /*folders=*/true)) {
    list_class(folder / name, label, listing);
  }
}

Listing list_pictures(const std::string& directory, const std::vector<std::string>& classes) {
  if (!fs::is_directory(directory)) {
    throw invalid_argument(directory, ": expected a folder with one of each class");
  }
  Listing listing{classes.empty() ? sorted_names(directory, /*folders=*/true) : classes, {}, 0};
  if (listing.classes.empty()) {
    throw invalid_argument(directory, ": expected a folder of each class, found none");
  }
  for (size_t i = 0; i < listing.classes.size(); ++i) {
    const fs::path folder = fs::path(directory) / listing.classes[i];
    if (!fs::is_directory(folder)) {
      throw not_found(folder.string(), ": there is no such folder of a class");
    }
    const size_t before = listing.files.size();
    list_class(folder, static_cast<int64_t>(i), listing);
    if (listing.files.size() == before) {
      throw invalid_argument(folder.string(), ": expected pictures in PNG or JPEG, found none");
    }
  }
  return listing;
}

void read_picture(const std::string& path, const ImageOptions& options, std::span<float> out) {
  thread_local std::vector<uint8_t> bytes;
  const io::InputFile file(path);
  if (file.size() > kMaxFileBytes) {
    throw data_loss(path, ": expected a picture of at most ", kMaxFileBytes, " bytes, found ",
                    file.size());
  }
  bytes.resize(static_cast<size_t>(file.size()));
  file.read(0, bytes.data(), bytes.size());
  try {
    options.read(bytes, out);
  } catch (const Error& error) {
    throw error.with_context(path);
  }
}

// Drops the pictures that cannot be decoded; returns what to say of them.
std::string drop_broken(const ImageOptions& options, std::vector<LabeledFile>& files) {
  const auto places = static_cast<size_t>(options.shape().elements());
  std::vector<uint8_t> broken(files.size());
  parallel_for(static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> pixels(places);
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      try {
        read_picture(files[i].path, options, pixels);
      } catch (const Error&) {
        broken[i] = 1;
      }
    }
  });
  std::vector<LabeledFile> whole;
  std::string names;
  int64_t count = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (broken[i] == 0) {
      whole.push_back(std::move(files[i]));
    } else if (++count <= 3) {
      names += (names.empty() ? "" : ", ") + files[i].path;
    }
  }
  files = std::move(whole);
  if (count == 0) return "";
  return str_cat("; ", count, " broken pictures left out: ", names,
                 count > 3 ? str_cat(" and ", count - 3, " more") : "");
}

// A picture, or all of a folder, for predictions.
class PictureExamples final : public ExampleReader {
 public:
  PictureExamples(const std::string& path, const ImageOptions& options) : options_(options) {
    if (fs::is_directory(path)) {
      list_class(path, 0, listing_);
      if (listing_.files.empty()) {
        throw invalid_argument(path, ": expected pictures in PNG or JPEG, found none");
      }
    } else {
      listing_.files.push_back({path, 0});
    }
  }
  std::vector<TensorType> features() const override { return {{DType::kFloat32, batch_shape(-1)}}; }
  std::string description() const override {
    return str_cat(listing_.files.size(), " pictures, in the order of their names");
  }
  bool read(int64_t count, ExampleBatch& batch) override {
    batch = {};
    batch.size = std::min(count, static_cast<int64_t>(listing_.files.size()) - next_);
    batch.features = {Tensor(DType::kFloat32, batch_shape(batch.size))};
    const auto places = static_cast<size_t>(options_.shape().elements());
    const std::span<float> pixels = batch.features[0].flat<float>();
    parallel_for(batch.size, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        read_picture(listing_.files[static_cast<size_t>(next_ + i)].path, options_,
                     pixels.subspan(static_cast<size_t>(i) * places, places));
      }
    });
    next_ += batch.size;
    return batch.size > 0;
  }

 private:
  Shape batch_shape(int64_t rows) const {
    Shape shape{rows};
    for (const int64_t size : options_.shape()) shape.push_back(size);
    return shape;
  }

  ImageOptions options_;
  Listing listing_;
  int64_t next_ = 0;
};

// "image" and "label" of files.
class Pictures final : public ThreadedExamples {
 public:
  Pictures(std::vector<LabeledFile> files, const ImageOptions& options, LabelMode mode,
           int64_t classes, int threads)
      : files_(std::move(files)),
        options_(options),
        mode_(mode),
        classes_(classes),
        threads_(threads) {}
  ElementSpec spec() const override {
    const TensorType label = mode_ == LabelMode::kInt ? TensorType{DType::kInt64, {}}
                             : mode_ == LabelMode::kBinary
                                 ? TensorType{DType::kFloat32, {1}}
                                 : TensorType{DType::kFloat32, {classes_}};
    return {{"image", DType::kFloat32, options_.shape()}, {"label", label.dtype, label.shape}};
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int threads() const override { return threads_; }
  void read(int64_t index, std::span<const RowView> out) const override {
    const LabeledFile& file = files_[static_cast<size_t>(index)];
    read_picture(file.path, options_, out[0].as<float>());
    if (mode_ == LabelMode::kInt) {
      out[1].as<int64_t>()[0] = file.label;
      return;
    }
    const std::span<float> label = out[1].as<float>();
    if (mode_ == LabelMode::kCategorical) {
      std::ranges::fill(label, 0.f);
      label[static_cast<size_t>(file.label)] = 1;
    } else {
      label[0] = static_cast<float>(file.label);
    }
  }

 private:
  std::vector<LabeledFile> files_;
  ImageOptions options_;
  LabelMode mode_;  // not kAuto
  int64_t classes_;
  int threads_;
};

class ImageFolderSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "directory",
                   .help = "with a folder of each class; relative: looked for below the data "
                           "folder"},
                  directory_);
    visitor.field({.name = "validation_directory",
                   .help = "the same, to validate with",
                   .default_text = "some of the pictures in `directory`"},
                  validation_directory_);
    visitor.field({.name = "validation_fraction",
                   .help = "of the pictures, drawn by split_seed, when there is no "
                           "validation_directory; 0: no validation",
                   .range = from_below(0, 1),
                   .keras = "validation_split"},
                  validation_fraction_);
    visitor.field(
        {.name = "split_seed", .help = "of which pictures are to validate with", .keras = "seed"},
        split_seed_);
    visitor.field({.name = "class_names",
                   .help = "the folders to read, in the order of their labels",
                   .default_text = "all, in the order of their names"},
                  class_names_);
    visitor.field({.name = "label_mode",
                   .help = "INT: the number of the class; BINARY: 0 or 1 as a float; CATEGORICAL: "
                           "1 in the place of the class; AUTO: BINARY for losses of numbers from 0 "
                           "to 1, else INT"},
                  label_mode_, kLabelModes);
    options_.describe(visitor);
    visitor.field({.name = "skip_broken",
                   .help = "decodes every picture once before the training, and leaves out those "
                           "that cannot be decoded, else they end it"},
                  skip_broken_);
    visitor.field({.name = "decode_threads",
                   .help = "that decode ahead of the training",
                   .range = from_to(0, 1024),
                   .default_text = "0: as many as compute"},
                  decode_threads_);
  }
  void check() const override { options_.check(); }

  SourceData build(const SourceContext& context) const override {
    if (directory_.empty()) throw invalid_argument("data.image_folder: expected a directory");
    const std::string directory = context.find(directory_);
    Listing listing = list_pictures(directory, class_names_);
    const auto classes = static_cast<int64_t>(listing.classes.size());
    const LabelMode mode = label_mode(context, classes);
    std::string notes;
    if (skip_broken_) notes = drop_broken(options_, listing.files);
    std::vector<LabeledFile> train = std::move(listing.files), validation;
    if (!validation_directory_.empty()) {
      Listing other = list_pictures(context.find(validation_directory_), listing.classes);
      if (skip_broken_) notes += drop_broken(options_, other.files);
      validation = std::move(other.files);
    } else {
      split(train, validation);
    }
    if (listing.others > 0) notes += str_cat("; ", listing.others, " files are no pictures");
    const auto make = [&](std::vector<LabeledFile> files) {
      return from_examples(
          std::make_shared<Pictures>(std::move(files), options_, mode, classes, threads()));
    };
    const std::string description =
        str_cat("image_folder in ", directory, ": ", train.size(), " + ", validation.size(),
                " pictures of ", listing.classes.size(), " classes", notes);
    return {.train = make(std::move(train)),
            .validation = make(std::move(validation)),
            .description = description,
            .preprocessing = preprocessing(listing.classes)};
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    if (context.saved) {
      require_same_preprocessing(*context.saved,
                                 preprocessing(output_meaning(context.saved).classes));
    }
    return std::make_unique<PictureExamples>(path, options_);
  }
  SourceData labeled_examples(const SourceContext& context,
                              const std::string& path) const override {
    // The classes are those of the model, whichever folders there are.
    const auto saved = output_meaning(context.saved).classes;
    Listing listing = list_pictures(path, saved.empty() ? class_names_ : saved);
    if (context.saved) require_same_preprocessing(*context.saved, preprocessing(listing.classes));
    const auto classes = static_cast<int64_t>(listing.classes.size());
    const Dataset all = from_examples(std::make_shared<Pictures>(
        std::move(listing.files), options_, label_mode(context, classes), classes, threads()));
    return {.train = all,
            .validation = all,
            .description = str_cat(path, ": ", all.cardinality(), " pictures"),
            .preprocessing = preprocessing(listing.classes)};
  }
  // The names of all pictures and their sizes, as one: reading a million files twice would take
  // longer than what it is for.
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (const auto& [field, directory] :
         {std::pair("data.image_folder.directory", directory_),
          std::pair("data.image_folder.validation_directory", validation_directory_)}) {
      if (directory.empty()) continue;
      const Listing listing = list_pictures(context.find(directory), class_names_);
      uint32_t digest = 0;
      for (const LabeledFile& file : listing.files) {
        const fs::path path(file.path);
        std::error_code ignored;
        const std::string text =
            str_cat(path.parent_path().filename().string(), '/', path.filename().string(), ' ',
                    fs::file_size(path, ignored));
        digest = io::crc32c_extend(digest, text.data(), text.size());
      }
      files.push_back(
          {field, str_cat(listing.files.size(), " pictures, CRC-32C of names and sizes ", digest)});
    }
    return files;
  }

 private:
  LabelMode label_mode(const SourceContext& context, int64_t classes) const {
    const bool is_unit = context.labels == LabelUse::kUnitInterval;
    const LabelMode mode = label_mode_ != LabelMode::kAuto ? label_mode_
                           : is_unit                       ? LabelMode::kBinary
                                                           : LabelMode::kInt;
    if (mode != LabelMode::kBinary || classes == 2) return mode;
    throw invalid_argument("data.image_folder: a label of 0 or 1 (label_mode: BINARY",
                           label_mode_ == LabelMode::kAuto ? ", which the loss asks for" : "",
                           ") is of two classes, found ", classes,
                           "; use a loss of classes, or label_mode: CATEGORICAL");
  }

  // Takes those to validate with from `train`.
  void split(std::vector<LabeledFile>& train, std::vector<LabeledFile>& validation) const {
    const auto all = static_cast<int64_t>(train.size());
    const int64_t held_back =
        held_back_rows(validation_fraction_, all, "data.image_folder.validation_fraction");
    const Permutation order(all, split_seed_, 0);
    std::vector<LabeledFile> drawn;
    for (int64_t i = 0; i < all; ++i) drawn.push_back(train[static_cast<size_t>(order(i))]);
    const auto cut = drawn.end() - held_back;
    validation.assign(cut, drawn.end());
    train.assign(drawn.begin(), cut);
  }

  int threads() const {
    return decode_threads_ > 0 ? static_cast<int>(decode_threads_) : compute_threads();
  }

  PreprocessingPtr preprocessing(const std::vector<std::string>& classes) const {
    std::string text =
        str_cat(options_.shape(), " bilinear=", options_.interpolation == Interpolation::kBilinear,
                " crop=", options_.crop_to_aspect_ratio, " scale=", options_.scale);
    for (const std::string& name : classes) text += '\n' + name;
    return make_preprocessing("image_folder", text, classes);
  }

  std::string directory_, validation_directory_;
  double validation_fraction_ = 0.2;
  uint64_t split_seed_ = 1;
  std::vector<std::string> class_names_;
  LabelMode label_mode_ = LabelMode::kAuto;
  ImageOptions options_;
  bool skip_broken_ = false;
  int64_t decode_threads_ = 0;
};

}  // namespace

void add_image_folder(Catalog<Source>& catalog) {
  catalog.add<ImageFolderSource>("image_folder", "",
                                 "Pictures in PNG and JPEG, in a folder of each class.");
}

}  // namespace trireme::data
