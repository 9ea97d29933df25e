#include "benchmarks/readers_bench.h"

#include <cstdio>
// After <cstdio>, which it needs and does not include.
#include <jpeglib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>

#include "benchmarks/made_jpeg.h"
#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/data/example_parser.h"
#include "core/data/example_writer.h"
#include "core/data/image_decoder.h"
#include "core/data/permutation.h"
#include "core/data/record_set.h"

namespace trireme {
namespace {

using data::RecordReader;
using data::RecordSet;
using data::RecordWriter;
using json = nlohmann::ordered_json;

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(const ReadersBenchOptions& options, std::ostream& out) : options_(options), out_(out) {
    std::string name = (options.folder.empty() ? std::filesystem::temp_directory_path().string()
                                               : options.folder) +
                       "/trireme-readers-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw failed("no folder can be made at ", name);
    folder_ = name;
  }
  ~Bench() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void records(const std::string& name, size_t bytes, int64_t count) {
    if (!wanted("tfrecord_read_" + name) && !wanted("tfrecord_by_number_" + name) &&
        !wanted("tfrecord_index_" + name)) {
      return;
    }
    const std::string path = folder_ + "/records";
    write_records(path, bytes, count);
    const double total = static_cast<double>(bytes) * static_cast<double>(count);
    measure("tfrecord_read_" + name, "gb_s", total / 1e9, [&] {
      RecordReader reader(path);
      uint64_t sum = 0;
      for (std::string_view record; reader.next(record);) sum += record.size();
      TRIREME_CHECK(sum == static_cast<uint64_t>(total));
    });
    measure("tfrecord_index_" + name, "records_s", static_cast<double>(count),
            [&] { TRIREME_CHECK(RecordSet({path}).size() == count); });
    const RecordSet set({path});
    const data::Permutation order(count, 1, 0);
    measure("tfrecord_by_number_" + name, "gb_s", total / 1e9, [&] {
      data::RecordBuffer buffer;
      uint64_t sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += set.read(order(i), buffer).size();
      TRIREME_CHECK(sum == static_cast<uint64_t>(total));
    });
  }

  // 40 features: 13 of one float, one of 16 floats, 26 of one integer, as a click has them.
  void examples() {
    if (!wanted("example_parse_40")) return;
    constexpr int64_t kExamples = 20'000;
    const std::string path = folder_ + "/examples";
    RecordWriter writer(path);
    std::vector<std::shared_ptr<const data::Feature>> features;
    const auto add = [&](const std::string& name, data::FeatureType type, int64_t size) {
      const auto feature = std::make_shared<data::FixedFeature>();
      feature->name = name;
      feature->dtype = type;
      if (size > 1) feature->shape = {size};
      features.push_back(feature);
    };
    for (int i = 0; i < 13; ++i) add(str_cat("number", i), data::FeatureType::kFloat32, 1);
    add("vector", data::FeatureType::kFloat32, 16);
    for (int i = 0; i < 26; ++i) add(str_cat("category", i), data::FeatureType::kInt64, 1);
    PhiloxGenerator random(1, 1);
    for (int64_t n = 0; n < kExamples; ++n) {
      data::ExampleWriter example;
      for (const auto& feature : features) {
        Tensor value(feature->type().dtype, {feature->type().shape.elements()});
        if (value.dtype() == DType::kFloat32) {
          for (float& v : value.flat<float>()) v = random.uniform(-1, 1);
        } else {
          value.flat<int64_t>()[0] = static_cast<int64_t>(random.below(1'000'000));
        }
        example.add(feature->name, value);
      }
      writer.write(example.finish());
    }
    writer.close();
    const data::Dataset batches = data::tfrecord_examples({path}, features).batch(256);
    measure("example_parse_40", "examples_s", static_cast<double>(kExamples), [&] {
      data::Iterator iterator = batches.iterator();
      for (data::Element batch; iterator.next(batch);) {
      }
    });
  }

  void pictures() {
    if (!wanted("jpeg_decode")) return;
    const int width = 500, height = 375;
    const std::vector<uint8_t> bytes = made_jpeg(width, height);
    constexpr int kPictures = 40;
    std::vector<double> ours, plain;
    data::Image image;
    std::vector<uint8_t> pixels;
    for (int i = 0; i < options_.repetitions; ++i) {
      ours.push_back(seconds_of([&] {
        for (int k = 0; k < kPictures; ++k) data::decode_image(bytes, 3, image);
      }));
      plain.push_back(seconds_of([&] {
        for (int k = 0; k < kPictures; ++k) decode_plainly(bytes, pixels);
      }));
    }
    TRIREME_CHECK(image.pixels == pixels, "the same library gives the same pixels");
    print({{"case", "jpeg_decode"},
           {"seconds", median(ours)},
           {"pictures_s", kPictures / median(ours)},
           {"libjpeg_pictures_s", kPictures / median(plain)},
           {"megabytes_s", width * height * 3 * kPictures / median(ours) / 1e6}});
    std::vector<float> resized(224 * 224 * 3);
    measure("image_resize_224", "pictures_s", kPictures, [&] {
      for (int k = 0; k < kPictures; ++k) {
        data::resize_image(image, {.height = 224, .width = 224, .scale = 1 / 255.f}, resized);
      }
    });
  }

 private:
  bool wanted(const std::string& name) const {
    return name.find(options_.filter) != std::string::npos;
  }

  void measure(const std::string& name, const char* unit, double amount,
               const std::function<void()>& body) {
    if (!wanted(name)) return;
    body();
    std::vector<double> times;
    for (int i = 0; i < options_.repetitions; ++i) times.push_back(seconds_of(body));
    print({{"case", name}, {"seconds", median(times)}, {unit, amount / median(times)}});
  }
  void print(const json& line) { out_ << line.dump() << std::endl; }

  static void write_records(const std::string& path, size_t bytes, int64_t count) {
    RecordWriter writer(path);
    std::string record(bytes, '\0');
    PhiloxGenerator random(1, 1);
    for (char& byte : record) byte = static_cast<char>(random.next());
    for (int64_t i = 0; i < count; ++i) {
      record[static_cast<size_t>(i) % bytes] ^= 1;
      writer.write(record);
    }
    writer.close();
  }

  // What djpeg does: a decompressor for each picture, a row at a time.
  static void decode_plainly(const std::vector<uint8_t>& bytes, std::vector<uint8_t>& pixels) {
    jpeg_decompress_struct info;
    jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes.data(), bytes.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    const size_t row_bytes = size_t{info.output_width} * 3;
    pixels.resize(row_bytes * info.output_height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels.data() + row_bytes * info.output_scanline;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
  }

  const ReadersBenchOptions& options_;
  std::ostream& out_;
  std::string folder_;
};

}  // namespace

void bench_readers(const ReadersBenchOptions& options, std::ostream& out) {
  Bench bench(options, out);
  bench.records("100k", 100'000, 2'000);
  bench.records("1k", 1'000, 200'000);
  bench.examples();
  bench.pictures();
}

}  // namespace trireme
