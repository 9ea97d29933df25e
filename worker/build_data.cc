#include "worker/build_data.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/data/cifar10.h"
#include "core/data/clicks.h"
#include "core/data/criteo.h"
#include "core/data/digits.h"
#include "core/data/idx.h"
#include "core/data/synthetic.h"
#include "core/data/text.h"
#include "proto/job.pb.h"
#include "worker/build_csv.h"
#include "worker/preprocessing.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> search_path(const std::string& data_dir) {
  if (!data_dir.empty()) return {data_dir};
  if (const char* from_environment = std::getenv("TRIREME_DATA_DIR")) return {from_environment};
  return {".", "data", "../shared/data"};
}

JobData images(std::string_view what, const data::Dataset& train, const data::Dataset& test) {
  auto preprocessing = std::make_shared<job::Preprocessing>();
  job::Images& images = *preprocessing->mutable_images();
  const Shape& shape = train.element_spec()[0].shape;
  images.set_height(shape[0]);
  images.set_width(shape[1]);
  images.set_channels(shape[2]);
  return {.train = train,
          .validation = test,
          .description = str_cat(what, ": ", train.cardinality(), " + ", test.cardinality(),
                                 " images, labels are the numbers of their classes"),
          .preprocessing = std::move(preprocessing)};
}
JobData images(std::string_view what, const data::LabeledImages& train,
               const data::LabeledImages& test) {
  return images(what, train.dataset(), test.dataset());
}

// Only those that the job takes are drawn; and of those, when there are several workers, the ones
// that this one reads.
JobData build_digits(const job::Data& data, int workers) {
  const uint64_t seed = data.digits().seed() == 0 ? 1 : data.digits().seed();
  const auto taken = [](int64_t take) { return take > 0 ? take : int64_t{-1}; };
  const int64_t train = taken(data.take()), test = taken(data.validation_take());
  constexpr std::string_view kWhat = "digits, drawn by the program";
  if (workers == 1) {
    return images(kWhat, data::digits(data::Split::kTrain, seed, train),
                  data::digits(data::Split::kTest, seed, test));
  }
  return images(kWhat, data::digits_as_they_are_read(data::Split::kTrain, seed, train),
                data::digits_as_they_are_read(data::Split::kTest, seed, test));
}

std::vector<std::string> below(const std::string& directory, const auto& names) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back((fs::path(directory) / name).string());
  return paths;
}

std::vector<std::string> cifar10_train_files(const job::Cifar10& cifar,
                                             const std::string& data_dir) {
  const std::string directory =
      find_data(cifar.directory().empty() ? "cifar10" : cifar.directory(), data_dir);
  return cifar.train_files().empty() ? data::cifar10_files(directory, data::Split::kTrain)
                                     : below(directory, cifar.train_files());
}

JobData build_cifar10(const job::Cifar10& cifar, const std::string& data_dir,
                      const std::vector<std::string>& train_files) {
  const std::string directory =
      find_data(cifar.directory().empty() ? "cifar10" : cifar.directory(), data_dir);
  auto train = data::read_cifar10(train_files);
  auto test = cifar.test_files().empty() ? data::cifar10(directory, data::Split::kTest)
                                         : data::read_cifar10(below(directory, cifar.test_files()));
  JobData built = images("cifar10 in " + directory, train, test);
  // Files of other names may have other classes.
  if (!cifar.train_files().empty() || !cifar.test_files().empty()) return built;
  auto named = std::make_shared<job::Preprocessing>(*built.preprocessing);
  for (const char* name :
       {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}) {
    named->mutable_images()->add_classes(name);
  }
  built.preprocessing = std::move(named);
  return built;
}

JobData build_reviews(const job::Reviews& reviews, const std::string& data_dir) {
  const int64_t vocabulary = reviews_vocabulary(reviews);
  if (reviews.train_file().empty() != reviews.test_file().empty()) {
    throw invalid_argument("data.reviews: expected both train_file and test_file, or neither");
  }
  const bool made_up = reviews.train_file().empty();
  auto train = made_up ? data::synthetic_reviews(20000, 1)
                       : data::read_labeled_text(find_data(reviews.train_file(), data_dir), 2);
  auto test = made_up ? data::synthetic_reviews(5000, 2)
                      : data::read_labeled_text(find_data(reviews.test_file(), data_dir), 2);
  const std::string sizes = str_cat(train.size(), " + ", test.size());
  auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_reviews()->set_vocabulary(vocabulary);
  return {.train = data::multi_hot_dataset(std::move(train), vocabulary),
          .validation = data::multi_hot_dataset(std::move(test), vocabulary),
          .description = str_cat(made_up ? "made-up reviews: " : "reviews: ", sizes, " texts, ",
                                 vocabulary, " words, labels 0 and 1 as they stand there"),
          .preprocessing = std::move(preprocessing)};
}

JobData build_clicks(const job::Clicks& clicks) {
  const int64_t examples = clicks.examples() == 0 ? 100'000 : clicks.examples();
  const int64_t validation = clicks.validation_examples() == 0 ? std::max<int64_t>(1, examples / 10)
                                                               : clicks.validation_examples();
  if (examples < 1 || validation < 1) {
    throw invalid_argument(
        "data.clicks.examples and data.clicks.validation_examples must be positive");
  }
  (void)checked_add(examples, validation, "data.clicks: examples and validation_examples");
  data::ClicksOptions options;
  if (clicks.keys() != 0) options.keys = clicks.keys();
  if (clicks.zipf() != 0) options.zipf = clicks.zipf();
  if (clicks.seed() != 0) options.seed = clicks.seed();
  const data::Clicks log(options);
  const auto auc = log.bayes_auc(examples, std::min<int64_t>(validation, 200'000));
  auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_clicks()->set_keys_per_category(data::keys_per_category(options.keys));
  return {.train = log.dataset(0, examples),
          .validation = log.dataset(examples, validation),
          .description =
              str_cat("clicks, made up by the program: ", examples, " + ", validation,
                      " examples, ", options.keys, " possible keys, the label is 1 for a click",
                      auc ? str_cat("; the model that was planted has the AUC ",
                                    std::round(*auc * 1e4) / 1e4, " on the validation examples")
                          : ""),
          .preprocessing = std::move(preprocessing)};
}

JobData build_noise(const job::Noise& noise) {
  const auto or_default = [](int64_t value, int64_t fallback) {
    return value == 0 ? fallback : value;
  };
  const int64_t height = or_default(noise.height(), 224), width = or_default(noise.width(), height),
                channels = or_default(noise.channels(), 3),
                classes = or_default(noise.classes(), 1000),
                examples = or_default(noise.examples(), 1024);
  const int64_t validation = std::max<int64_t>(1, examples / 10);
  return images(str_cat("noise of ", height, "×", width, "×", channels),
                data::noise({examples, height, width, channels}, classes, 1),
                data::noise({validation, height, width, channels}, classes, 2));
}

JobData build_criteo(const job::Criteo& criteo, const std::string& data_dir) {
  const uint32_t each = criteo_keys_per_category(criteo);
  if (criteo.train_files().empty()) throw invalid_argument("data.criteo: expected train_files");
  const auto read = [&](const auto& files) {
    data::ClickLog log(each);
    for (const std::string& file : files) log.read(find_data(file, data_dir));
    return log;
  };
  auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_criteo()->set_keys_per_category(each);
  const data::ClickLog train = read(criteo.train_files());
  const int64_t examples = train.size();
  if (!criteo.validation_files().empty()) {
    const data::ClickLog validation = read(criteo.validation_files());
    return {.train = train.dataset(),
            .validation = validation.dataset(),
            .description = str_cat("criteo: ", examples, " + ", validation.size(),
                                   " examples, labels 0 and 1 as they stand there"),
            .preprocessing = std::move(preprocessing)};
  }
  const double fraction = criteo.validation_fraction() == 0 ? 0.1 : criteo.validation_fraction();
  const data::Dataset all = train.dataset();
  const int64_t held_back = held_back_rows(fraction, examples, "data.criteo");
  return {.train = all.take(examples - held_back),
          .validation = all.skip(examples - held_back),
          .description = str_cat("criteo: ", examples - held_back, " + ", held_back,
                                 " examples, labels 0 and 1 as they stand there"),
          .preprocessing = std::move(preprocessing)};
}

JobData build_source(const job::Job& job, const std::string& data_dir,
                     const PreprocessingPtr& saved, int workers) {
  const job::Data& data = job.data();
  switch (data.source_case()) {
    case job::Data::kDigits:
      return build_digits(data, workers);
    case job::Data::kMnist: {
      const std::string directory = find_data(
          data.mnist().directory().empty() ? "mnist" : data.mnist().directory(), data_dir);
      return images("mnist in " + directory, data::mnist(directory, data::Split::kTrain),
                    data::mnist(directory, data::Split::kTest));
    }
    case job::Data::kCifar10:
      return build_cifar10(data.cifar10(), data_dir, cifar10_train_files(data.cifar10(), data_dir));
    case job::Data::kCsv:
      return build_csv(job, data_dir, saved);
    case job::Data::kReviews:
      return build_reviews(data.reviews(), data_dir);
    case job::Data::kClicks:
      return build_clicks(data.clicks());
    case job::Data::kCriteo:
      return build_criteo(data.criteo(), data_dir);
    case job::Data::kNoise:
      return build_noise(data.noise());
    case job::Data::SOURCE_NOT_SET:
      break;
  }
  throw invalid_argument("the job has no data source");
}

}  // namespace

int64_t reviews_vocabulary(const job::Reviews& reviews) {
  const int64_t vocabulary = reviews.vocabulary() == 0 ? 10000 : reviews.vocabulary();
  if (vocabulary < 1) throw invalid_argument("data.reviews.vocabulary must be positive");
  return vocabulary;
}

uint32_t criteo_keys_per_category(const job::Criteo& criteo) {
  return data::keys_per_category(criteo.keys() == 0 ? 1'000'000 : criteo.keys());
}

int64_t held_back_rows(double fraction, int64_t rows, std::string_view source) {
  const auto held_back = static_cast<int64_t>(std::llround(static_cast<double>(rows) * fraction));
  if (fraction < 0 || held_back < 1 || held_back >= rows) {
    throw invalid_argument(source, ".validation_fraction ", fraction, " of ", rows,
                           " rows: expected at least one row to train with and one to validate "
                           "with");
  }
  return held_back;
}

std::string find_data(const std::string& name, const std::string& data_dir) {
  const fs::path path(name);
  std::string looked;
  for (const fs::path& folder :
       path.is_absolute() ? std::vector<fs::path>{""} : search_path(data_dir)) {
    const fs::path candidate = (folder / path).lexically_normal();
    const std::string_view kind = kind_of_file(candidate.string());
    if (kind == "a file" || kind == "a directory") return candidate.string();
    if (kind != "nothing") {
      throw invalid_argument(
          candidate.string(), ": expected a file of data, found ", kind,
          ": data are read again when a job is resumed or evaluated, and by each "
          "of its workers; write them to a file first");
    }
    looked += (looked.empty() ? "" : ", ") + candidate.string();
  }
  throw not_found(
      "there is no ", name, "; looked for ", looked,
      path.is_absolute() ? "" : ". Name the data folder with --data-dir or TRIREME_DATA_DIR");
}

namespace {

// By file pays when reading all of it on every worker does not; else one global shuffle is better.
constexpr uintmax_t kLargeBytes = uintmax_t{1} << 30;

// Why each worker cannot have files of its own; empty: it can.
std::string why_not_by_file(const job::Job& job, const std::vector<std::string>& files,
                            int workers) {
  if (files.empty()) return "the data are not in files that each hold examples";
  if (static_cast<int>(files.size()) % workers != 0) {
    return str_cat(files.size(), " file(s) cannot be shared evenly by ", workers, " workers");
  }
  for (const std::string& file : files) {
    if (fs::file_size(file) == fs::file_size(files[0])) continue;
    return str_cat(file, " has another size than ", files[0]);
  }
  if (job.batch_size() % workers != 0) {
    return str_cat("a batch of ", job.batch_size(), " cannot be shared evenly by ", workers,
                   " workers");
  }
  if (job.data().take() > 0) return "data.take counts over all files";
  if (job.distributed().min_workers() > 0) return "the number of workers may change";
  if (job.distributed().deterministic()) {
    return "in deterministic mode the order must not depend on the workers";
  }
  return "";
}

// For one of so many workers.
JobData build_whole(const job::Job& job, const std::string& data_dir, const PreprocessingPtr& saved,
                    int workers) {
  const job::Data& data = job.data();
  if (data.take() < 0 || data.validation_take() < 0) {
    throw invalid_argument("data.take and data.validation_take must not be negative");
  }
  JobData built = build_source(job, data_dir, saved, workers);
  if (saved) require_same_preprocessing(*saved, *built.preprocessing);
  if (data.take() > 0) built.train = built.train.take(data.take());
  if (data.validation_take() > 0) built.validation = built.validation.take(data.validation_take());
  return built;
}

}  // namespace

JobData build_data_share(const job::Job& job, const std::string& data_dir, int rank, int workers,
                         const PreprocessingPtr& saved) {
  if (workers == 1) return build_data(job, data_dir, saved);
  std::vector<std::string> files;
  if (job.data().has_cifar10()) files = cifar10_train_files(job.data().cifar10(), data_dir);
  const std::string why_not = why_not_by_file(job, files, workers);
  const job::DataSharding wanted = job.distributed().data_sharding();
  if (wanted == job::BY_FILE && !why_not.empty()) {
    throw invalid_argument("distributed.data_sharding BY_FILE: ", why_not, "; use BY_EXAMPLE");
  }
  uintmax_t bytes = 0;
  for (const std::string& file : files) bytes += fs::file_size(file);
  const bool by_file = wanted == job::BY_FILE ||
                       (wanted == job::SHARD_AUTO && why_not.empty() && bytes >= kLargeBytes);
  if (!by_file) {
    JobData built = build_whole(job, data_dir, saved, workers);
    built.description += job.data().has_digits()
                             ? "; shared by example: each worker draws its own"
                             : "; shared by example: every worker reads all of it";
    if (wanted == job::SHARD_AUTO) {
      built.description += why_not.empty() ? " (the files are small)" : " (" + why_not + ")";
    }
    return built;
  }
  std::vector<std::string> mine;
  for (size_t i = static_cast<size_t>(rank); i < files.size(); i += static_cast<size_t>(workers)) {
    mine.push_back(files[i]);
  }
  JobData built = build_cifar10(job.data().cifar10(), data_dir, mine);
  if (job.data().validation_take() > 0) {
    built.validation = built.validation.take(job.data().validation_take());
  }
  built.parts = workers;
  built.description +=
      str_cat("; shared by file: each worker reads ", mine.size(), " of ", files.size(), " files");
  return built;
}

JobData build_data(const job::Job& job, const std::string& data_dir,
                   const PreprocessingPtr& saved) {
  return build_whole(job, data_dir, saved, 1);
}

}  // namespace trireme
