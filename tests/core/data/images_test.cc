// Pictures: every kind of pixel comes out right, damage and bombs are refused, and folders of them
// are data sets.
#include <sys/resource.h>

#include <cmath>
#include <filesystem>

#include "core/data/image_decoder.h"
#include "core/data/image_feature.h"
#include "core/data/source.h"
#include "tests/core/data/helpers.h"
#include "tests/core/data/pictures.h"
#include "tests/support/option_texts.h"

namespace trireme::data {
namespace {

using test::OptionTexts;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Image decoded(const Bytes& bytes, int64_t channels = 0, ImageLimits limits = {}) {
  Image image;
  decode_image(bytes, channels, image, limits);
  return image;
}
std::vector<int> pixels(const Bytes& bytes, int64_t channels = 0) {
  const Image image = decoded(bytes, channels);
  return {image.pixels.begin(), image.pixels.end()};
}
std::string refusal(const Bytes& bytes, int64_t channels = 0, ImageLimits limits = {}) {
  return message_of([&] { decoded(bytes, channels, limits); });
}

TEST(PngTest, EveryKindOfPixelComesOut) {
  const Bytes grey = png(2, 1, 8, 0, {0, 7, 200});
  EXPECT_THAT(pixels(grey), ElementsAre(7, 200));
  EXPECT_THAT(pixels(grey, 3), ElementsAre(7, 7, 7, 200, 200, 200));
  EXPECT_THAT(pixels(grey, 4), ElementsAre(7, 7, 7, 255, 200, 200, 200, 255));
  const Bytes color = png(1, 2, 8, 2, {0, 10, 20, 30, 0, 255, 0, 0});
  EXPECT_THAT(pixels(color), ElementsAre(10, 20, 30, 255, 0, 0));
  EXPECT_THAT(pixels(color, 1), ElementsAre(18, 76));  // .299 R + .587 G + .114 B
  const Bytes opaque = png(1, 1, 8, 6, {0, 1, 2, 3, 4});
  EXPECT_THAT(pixels(opaque), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(pixels(opaque, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(pixels(png(1, 1, 8, 4, {0, 9, 100}), 3), ElementsAre(9, 9, 9));
  // Two bits a pixel; sixteen bits, of which the upper eight count.
  EXPECT_THAT(pixels(png(4, 1, 2, 0, {0, 0b00011011})), ElementsAre(0, 85, 170, 255));
  EXPECT_THAT(pixels(png(1, 1, 16, 2, {0, 1, 255, 2, 0, 3, 128})), ElementsAre(1, 2, 3));
  // A palette, with opacity.
  const Bytes palette = png_chunk("PLTE", {1, 2, 3, 4, 5, 6}) + png_chunk("tRNS", {9});
  const Bytes indexed = png(2, 1, 8, 3, {0, 1, 0}, palette);
  EXPECT_THAT(pixels(indexed, 3), ElementsAre(4, 5, 6, 1, 2, 3));
  EXPECT_THAT(pixels(indexed, 4), ElementsAre(4, 5, 6, 255, 1, 2, 3, 9));
}

TEST(PngTest, DamageIsRefused) {
  const Bytes good = png(2, 2, 8, 0, {0, 1, 2, 0, 3, 4});
  // Behind the pixels' chunk there is nothing to lose but the end mark.
  for (size_t size = 8; size < good.size(); ++size) {
    EXPECT_THAT(refusal({good.begin(), good.begin() + size}), StartsWith("the PNG is damaged: "))
        << size;
  }
  Bytes changed = good;
  changed[50] ^= 1;
  EXPECT_THAT(refusal(changed), StartsWith("the PNG is damaged: "));
  EXPECT_THAT(refusal(png(2, 2, 8, 0, {0, 1, 2})), StartsWith("the PNG is damaged: "));
}

// Neither a header nor packed bytes are believed.
TEST(PngTest, BombsAreRefusedInBoundedMemory) {
  const auto peak_kib = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const Bytes zeros(64 << 20);
  const Bytes large = png_end(zeros);
  Bytes bomb_text(compressBound(zeros.size()));
  uLongf size = bomb_text.size();
  ASSERT_EQ(compress2(bomb_text.data(), &size, zeros.data(), zeros.size(), 9), Z_OK);
  bomb_text.resize(size);
  const auto before = peak_kib();
  EXPECT_EQ(refusal(png_begin(50'000, 50'000, 8, 2) + large),
            "expected a picture of 1 to 67108864 pixels (max_pixels), its header says 50000×50000");
  EXPECT_THAT(refusal(png_begin(0x7fffffff, 0x7fffffff, 16, 6) + large),
              HasSubstr("2147483647×2147483647"));
  EXPECT_THAT(refusal(png_begin(1, 60'000'000, 8, 0) + large), HasSubstr("60000000×1"));
  // More pixels than the header says, and a text that unpacks to 64 MB.
  EXPECT_THAT(pixels(png_begin(2, 2, 8, 0) +
                     png_chunk("zTXt", bytes_of("a") + Bytes{0, 0} + bomb_text) + large),
              ElementsAre(0, 0, 0, 0));
  EXPECT_LT(peak_kib() - before, 16 << 10);
}

TEST(JpegTest, PixelsComeOut) {
  Bytes smooth;
  for (int y = 0; y < 24; ++y) {
    for (int x = 0; x < 40; ++x) {
      for (const int value : {4 * x, 5 * y, 100}) smooth.push_back(static_cast<uint8_t>(value));
    }
  }
  for (const bool progressive : {false, true}) {
    const Image image = decoded(jpeg(40, 24, 3, smooth, 100, progressive));
    ASSERT_EQ(image.height, 24);
    ASSERT_EQ(image.width, 40);
    ASSERT_EQ(image.channels, 3);
    for (size_t i = 0; i < smooth.size(); ++i) ASSERT_NEAR(image.pixels[i], smooth[i], 4) << i;
  }
  const Bytes grey = jpeg(8, 8, 1, Bytes(64, 77));
  EXPECT_THAT(pixels(grey), ElementsAreArray(std::vector<int>(64, 77)));
  EXPECT_THAT(pixels(grey, 3), ElementsAreArray(std::vector<int>(192, 77)));
  // The luma of (100, 150, 200) is 140.75.
  Bytes blue;
  for (int i = 0; i < 64; ++i) blue = blue + Bytes{100, 150, 200};
  EXPECT_THAT(pixels(jpeg(8, 8, 3, blue), 1), ::testing::Each(::testing::AnyOf(140, 141)));
}

TEST(JpegTest, DamageIsRefused) {
  Bytes noise(64 * 64 * 3);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<uint8_t>(i * i >> 3);
  const Bytes good = jpeg(64, 64, 3, noise);
  for (size_t size = 3; size < good.size() - 2; size += 97) {
    EXPECT_THAT(refusal({good.begin(), good.begin() + size}), StartsWith("the JPEG is damaged: "))
        << size;
  }
  EXPECT_EQ(refusal(good, 3, {.max_pixels = 4095}),
            "expected a picture of 1 to 4095 pixels (max_pixels), its header says 64×64");
  EXPECT_THAT(refusal(jpeg(8, 8, 4, Bytes(256))), HasSubstr("found one for printing (CMYK)"));
  EXPECT_THAT(refusal(bytes_of("GIF89a")), HasSubstr("expected a picture in PNG or JPEG, found a "
                                                     "GIF"));
  EXPECT_THAT(refusal({}), HasSubstr("found no bytes"));
}

// The values are those of tf.image.resize and keras.utils' smart_resize (TensorFlow 2.21).
TEST(ResizeTest, GivesTensorFlowsValues) {
  const Image image{4, 3, 1, {0, 10, 20, 30, 40, 50, 60, 70, 200, 90, 100, 255}};
  const auto resized = [&](ResizeOptions options) {
    std::vector<float> out(static_cast<size_t>(options.height * options.width));
    resize_image(image, options, out);
    for (float& value : out) value = std::round(value * 1000) / 1000;
    return out;
  };
  EXPECT_THAT(resized({.height = 3, .width = 2}),
              ElementsAre(7.5, 22.5, 47.5, 107.5, 87.5, 208.125));
  EXPECT_THAT(resized({.height = 6, .width = 5}),
              ElementsAre(0, 4, 10, 16, 20, 15, 19, 25, 31, 35, 35, 39, 45, 63, 75, 55, 59, 65, 131,
                          175, 75, 79, 85, 170.5, 227.5, 90, 94, 100, 193, 255));
  EXPECT_THAT(resized({.height = 3, .width = 2, .interpolation = Interpolation::kNearest}),
              ElementsAre(0, 20, 60, 200, 90, 255));
  EXPECT_THAT(resized({.height = 6, .width = 5, .interpolation = Interpolation::kNearest}),
              ElementsAre(0, 0, 10, 20, 20, 30, 30, 40, 50, 50, 30, 30, 40, 50, 50, 60, 60, 70, 200,
                          200, 90, 90, 100, 255, 255, 90, 90, 100, 255, 255));
  EXPECT_THAT(resized({.height = 3, .width = 3, .crop_to_aspect_ratio = true}),
              ElementsAre(0, 10, 20, 30, 40, 50, 60, 70, 200));
  EXPECT_THAT(resized({.height = 2, .width = 4, .crop_to_aspect_ratio = true}),
              ElementsAre(30, 36.25, 43.75, 50, 30, 36.25, 43.75, 50));
}

class FolderTest : public FileTest {
 protected:
  // Pictures of one grey: class "b" has 10, 11, …; "a" 100, 101, ….
  void SetUp() override {
    for (const std::string folder : {"all", "all/b", "all/a", "all/a/more"}) {
      std::filesystem::create_directory(path(folder));
    }
    for (uint8_t i = 0; i < 8; ++i) {
      const auto grey = [](uint8_t value) {
        return png(2, 2, 8, 0, {0, value, value, 0, value, value});
      };
      write(str_cat("all/b/", int{i}, ".png"), grey(static_cast<uint8_t>(10 + i)));
      write(str_cat(i < 6 ? "all/a/" : "all/a/more/", int{i}, ".PNG"),
            grey(static_cast<uint8_t>(100 + i)));
    }
    write("all/a/notes.txt", bytes_of("no picture"));
  }

  std::unique_ptr<Source> source(OptionTexts options = {}) const {
    Catalog<Source> catalog;
    register_core_sources(catalog);
    auto made = catalog.make("image_folder");
    options.emplace("directory", path("all"));
    options.emplace("image_size", "2 3");
    options.emplace("scale", "1");
    options.emplace("color_mode", "GRAYSCALE");
    test::with_options(*made, options);
    return made;
  }
  static std::vector<std::pair<int, int64_t>> values(const Dataset& dataset) {
    std::vector<std::pair<int, int64_t>> found;
    Iterator iterator = dataset.iterator();
    for (Element element; iterator.next(element);) {
      EXPECT_EQ(element[0].shape(), (Shape{2, 3, 1}));
      for (const float value : element[0].flat<float>()) {
        EXPECT_EQ(value, element[0].flat<float>()[0]);
      }
      found.emplace_back(static_cast<int>(element[0].flat<float>()[0]), element[1].item<int64_t>());
    }
    std::ranges::sort(found);
    return found;
  }
};

TEST_F(FolderTest, FoldersAreClassesInTheOrderOfTheirNames) {
  const SourceData data = source({{"validation_fraction", "0.25"}})->build({});
  EXPECT_EQ(data.train.cardinality(), 12);
  EXPECT_EQ(data.validation.cardinality(), 4);
  EXPECT_THAT(data.description, AllOf(HasSubstr("12 + 4 pictures of 2 classes"),
                                      HasSubstr("1 files are no pictures")));
  EXPECT_THAT(output_meaning(data.preprocessing).classes, ElementsAre("a", "b"));
  auto all = values(data.train);
  const auto validation = values(data.validation);
  all.insert(all.end(), validation.begin(), validation.end());
  std::ranges::sort(all);
  ASSERT_EQ(all.size(), 16u);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(all[i], std::pair(10 + static_cast<int>(i), int64_t{1}));
    EXPECT_EQ(all[8 + i], std::pair(100 + static_cast<int>(i), int64_t{0}));
  }
  // Of both classes, drawn by the seed.
  EXPECT_EQ(validation, values(source({{"validation_fraction", "0.25"}})->build({}).validation));
  EXPECT_NE(
      validation,
      values(source({{"validation_fraction", "0.25"}, {"split_seed", "9"}})->build({}).validation));
}

// Pictures are decoded by several threads ahead of the consumer, and come in one order.
TEST_F(FolderTest, ThreadsDoNotChangeTheOrder) {
  const auto batches = [&](const std::string& threads) {
    return source({{"decode_threads", threads}, {"validation_fraction", "0"}})
        ->build({})
        .train.shuffle(3)
        .repeat(2)
        .batch(3);
  };
  const auto labels_and_pixels = [](Iterator iterator) {
    std::vector<float> found;
    for (Element batch; iterator.next(batch);) {
      const auto pixels = batch[0].flat<float>();
      found.insert(found.end(), pixels.begin(), pixels.end());
      for (const int64_t label : batch[1].flat<int64_t>()) {
        found.push_back(static_cast<float>(label));
      }
    }
    return found;
  };
  const auto alone = labels_and_pixels(batches("1").iterator());
  EXPECT_EQ(labels_and_pixels(batches("4").iterator()), alone);
  // The rest, from the middle of the second epoch on, by other threads.
  Iterator first = batches("2").iterator();
  Element batch;
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(first.next(batch));
  Iterator resumed = batches("3").iterator();
  resumed.restore(first.state());
  EXPECT_EQ(labels_and_pixels(std::move(resumed)), labels_and_pixels(std::move(first)));
}

TEST_F(FolderTest, LabelsAreWhatTheLossTakes) {
  SourceContext context;
  context.labels = LabelUse::kUnitInterval;
  EXPECT_EQ(source()->build(context).train.element_spec()[1].shape, (Shape{1}));
  Element element;
  source({{"label_mode", "CATEGORICAL"}, {"class_names", "b"}})
      ->build({})
      .train.iterator()
      .next(element);
  EXPECT_THAT(element[1].flat<float>(), ElementsAre(1));
  EXPECT_THAT(message_of([&] {
                source({{"class_names", "b"}})->build(context);
              }),
              HasSubstr("is of two classes, found 1"));
}

TEST_F(FolderTest, ABrokenPictureIsNamedOrLeftOutAndCounted) {
  write("all/b/3.png", bytes_of("\x89PNG\r\n\x1a\n and no more"));
  EXPECT_THAT(message_of([&] {
                const SourceData data = source({{"validation_fraction", "0"}})->build({});
                values(data.train);
              }),
              StartsWith(path("all/b/3.png: the PNG is damaged: ")));
  const SourceData data = source({{"validation_fraction", "0"}, {"skip_broken", "1"}})->build({});
  EXPECT_EQ(values(data.train).size(), 15u);
  EXPECT_THAT(data.description, HasSubstr("1 broken pictures left out: " + path("all/b/3.png")));
}

TEST_F(FolderTest, WhatIsNoFolderOfClassesIsRefused) {
  const auto refused = [&](const OptionTexts& options) {
    return message_of([&] { source(options)->build({}); });
  };
  EXPECT_THAT(refused({{"directory", path("all/b")}}),
              HasSubstr("a folder of each class, found none"));
  EXPECT_THAT(refused({{"class_names", "a c"}}), HasSubstr("all/c: there is no such folder"));
  EXPECT_THAT(refused({{"image_size", "2"}}), HasSubstr("expected height and width, found 1"));
  write("all/b/x.gif", bytes_of("GIF89a"));
  EXPECT_THAT(refused({}), HasSubstr("x.gif: expected a picture in PNG or JPEG; convert it"));
}

TEST_F(FolderTest, PredictionsReadAFolderOrAPicture) {
  const auto names = source()->open_examples({}, path("all/a"));
  ExampleBatch batch;
  ASSERT_TRUE(names->read(7, batch));
  EXPECT_EQ(batch.features[0].shape(), (Shape{7, 2, 3, 1}));
  EXPECT_EQ(batch.features[0].flat<float>()[6 * 6], 106);
  ASSERT_TRUE(names->read(7, batch));
  EXPECT_EQ(batch.size, 1);
  EXPECT_FALSE(names->read(7, batch));
  EXPECT_TRUE(source()->open_examples({}, path("all/b/0.png"))->read(7, batch));
}

}  // namespace
}  // namespace trireme::data
