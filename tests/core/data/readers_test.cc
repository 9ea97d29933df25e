// Readers of image files: IDX, CIFAR-10. Every way in which a file can be damaged has its sentence.
#include <sys/resource.h>

#include <cstdlib>

#include "core/data/byte_stream.h"
#include "core/data/cifar10.h"
#include "core/data/idx.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Bytes idx(uint8_t type, const std::vector<uint32_t>& sizes, const Bytes& data) {
  Bytes out{0, 0, type, static_cast<uint8_t>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(size >> shift));
  }
  return out + data;
}

using IdxTest = FileTest;

TEST_F(IdxTest, ReadsImagesAndLabels) {
  write("train-images-idx3-ubyte.gz",
        gzip(idx(8, {2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})));
  write("train-labels-idx1-ubyte", idx(8, {2}, {7, 0}));
  const LabeledImages data = mnist(directory_, Split::kTrain);
  EXPECT_EQ(data.images.shape(), (Shape{2, 2, 3, 1}));
  EXPECT_EQ(data.images.flat<uint8_t>()[11], 12);
  EXPECT_THAT(data.labels.flat<uint8_t>(), ::testing::ElementsAre(7, 0));
  Iterator iterator = data.dataset().iterator();
  Element element;
  ASSERT_TRUE(iterator.next(element));
  EXPECT_EQ(element[0].type(), (TensorType{DType::kFloat32, {2, 3, 1}}));
  EXPECT_EQ(element[1].item<int64_t>(), 7);
}

TEST_F(IdxTest, NamesTheDamage) {
  const auto parse = [](const Bytes& data, int rank) {
    return message_of([&] { parse_idx(data, rank, "f"); });
  };
  EXPECT_EQ(parse({0, 0, 8}, 1), "f: expected an IDX header of 8 bytes, the file ends at 3");
  EXPECT_EQ(parse(idx(8, {1}, {1}), 3),
            "f: expected an IDX header of 16 bytes, the file ends at 9");
  EXPECT_EQ(parse(idx(8, {1}, Bytes(20)), 3),
            "f: expected the magic number 2051 of an IDX file of bytes with 3 dimensions (images), "
            "found 2049 at byte 0");
  EXPECT_THAT(parse(idx(13, {1}, {1}), 1), HasSubstr("expected the magic number 2049"));
  EXPECT_EQ(parse(idx(8, {3, 2, 2}, Bytes(11)), 3),
            "f: expected 28 bytes after unpacking (3 images of 2×2), the file ends at 27");
  EXPECT_EQ(parse(idx(8, {3}, Bytes(5)), 1),
            "f: expected 11 bytes after unpacking (3 labels), found 2 bytes more");
  const uint32_t huge = 0xffffffff;
  EXPECT_THAT(parse(idx(8, {huge, huge, huge}, {}), 3),
              HasSubstr("the sizes in its header cannot be"));
  EXPECT_THAT(parse(idx(8, {5, 0, 3}, {}), 3), HasSubstr("cannot be: 5 images of 0×3"));
  EXPECT_THAT(parse(idx(8, {huge, 1000, 1000}, {}), 3), HasSubstr("the file ends at 16"));
}

// Neither what a header promises nor what a packed file goes on with is believed.
TEST_F(IdxTest, TakesNoMemoryForWhatIsNotThere) {
  const auto peak_kib = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const Bytes zeros = gzip(Bytes(64 << 20), 9);
  const std::string goes_on =
      write("goes_on", gzip(idx(8, {2, 2, 2}, Bytes(8))) + zeros + zeros + zeros);
  const std::string promises = write("promises", gzip(idx(8, {1 << 20, 28, 28}, Bytes(9))));
  const auto before = peak_kib();
  EXPECT_THAT(message_of([&] { read_idx_images(goes_on); }),
              EndsWith("expected 24 bytes after unpacking (2 images of 2×2), found more"));
  EXPECT_THAT(message_of([&] { read_idx_images(promises); }),
              EndsWith("(1048576 images of 28×28), the file ends at 25"));
  EXPECT_LT(peak_kib() - before, 16 << 10);
  EXPECT_THAT(message_of([&] {
                read_idx_images(write("huge", gzip(idx(8, {0xffffffff, 1000, 1000}, {}))));
              }),
              ::testing::AnyOf(HasSubstr("MiB in memory or more, this process may use"),
                               HasSubstr("the file ends at 16")));
}

TEST_F(IdxTest, NamesWhatDoesNotFit) {
  EXPECT_EQ(message_of([&] { mnist(directory_, Split::kTest); }),
            str_cat("neither ", path("t10k-images-idx3-ubyte"), " nor ",
                    path("t10k-images-idx3-ubyte.gz"), " is there"));
  const std::string images = write("t10k-images-idx3-ubyte", idx(8, {2, 1, 1}, {1, 2}));
  const std::string labels = write("t10k-labels-idx1-ubyte", idx(8, {3}, {1, 2, 3}));
  EXPECT_EQ(
      message_of([&] { mnist(directory_, Split::kTest); }),
      str_cat(labels, ": expected a label for each of the 2 images of ", images, ", found 3"));
  write("t10k-labels-idx1-ubyte", idx(8, {2}, {1, 10}));
  EXPECT_EQ(message_of([&] { mnist(directory_, Split::kTest); }),
            labels + ": expected labels below 10, found 10 at byte 9");
}

// Pixel (channel, position) of image `i` has a value of its own.
uint8_t pixel(size_t image, size_t channel, size_t at) {
  return static_cast<uint8_t>(image * 7 + channel * 50 + at);
}
Bytes cifar(size_t images, uint8_t first_label = 0) {
  Bytes data;
  for (size_t i = 0; i < images; ++i) {
    data.push_back(static_cast<uint8_t>(first_label + i));
    for (size_t c = 0; c < 3; ++c) {
      for (size_t at = 0; at < 1024; ++at) data.push_back(pixel(i, c, at));
    }
  }
  return data;
}

using CifarTest = FileTest;

TEST_F(CifarTest, ReadsFilesChannelsLast) {
  write("data_batch_1.bin", cifar(3));
  write("data_batch_3.bin.gz", gzip(cifar(2, 5)));
  const LabeledImages data = cifar10(directory_, Split::kTrain);
  EXPECT_EQ(data.images.shape(), (Shape{5, 32, 32, 3}));
  EXPECT_THAT(data.labels.flat<uint8_t>(), ::testing::ElementsAre(0, 1, 2, 5, 6));
  const auto values = data.images.flat<uint8_t>();
  for (size_t i = 0; i < 5; ++i) {
    for (size_t at = 0; at < 1024; ++at) {
      for (size_t c = 0; c < 3; ++c) {
        ASSERT_EQ(values[(i * 1024 + at) * 3 + c], pixel(i < 3 ? i : i - 3, c, at));
      }
    }
  }
  write("test_batch.bin", cifar(1));
  EXPECT_EQ(cifar10(directory_, Split::kTest).images.shape(), (Shape{1, 32, 32, 3}));
}

TEST_F(CifarTest, NamesTheDamage) {
  EXPECT_THAT(
      message_of([&] { cifar10(directory_, Split::kTest); }),
      ::testing::AllOf(HasSubstr("test_batch.bin nor"), EndsWith("test_batch.bin.gz is there")));
  EXPECT_THAT(message_of([&] { read_cifar10({}); }), HasSubstr("at least one file"));
  Bytes data = cifar(2);
  data.resize(4000);
  EXPECT_EQ(message_of([&] { parse_cifar10(data, "f"); }),
            "f: expected a multiple of 3073 bytes after unpacking (a label and 32×32×3 bytes an "
            "image), found 4000: "
            "record 1 ends after 927 bytes");
  data = cifar(2, 9);
  EXPECT_EQ(message_of([&] { parse_cifar10(data, "f"); }),
            "f: expected a label below 10 at byte 3073 (image 1), found 10");
}

// The real files, where they are.
class RealDataTest : public ::testing::Test {
 protected:
  void need(const std::string& file) {
    const char* set = std::getenv("TRIREME_DATA_DIR");
    root_ = set != nullptr ? set : TRIREME_TEST_DATA_DIR;
    if (!locate_file(root_ + "/" + file)) {
      GTEST_SKIP() << root_ << "/" << file
                   << " is not there; set TRIREME_DATA_DIR to the folder of mnist/ and cifar10/";
    }
  }
  std::string root_;
};

TEST_F(RealDataTest, Mnist) {
  need("mnist/train-images-idx3-ubyte");
  if (IsSkipped()) return;
  const LabeledImages train = mnist(root_ + "/mnist", Split::kTrain),
                      test = mnist(root_ + "/mnist", Split::kTest);
  EXPECT_EQ(train.images.shape(), (Shape{60000, 28, 28, 1}));
  EXPECT_EQ(test.images.shape(), (Shape{10000, 28, 28, 1}));
  EXPECT_THAT(train.labels.rows(0, 5).flat<uint8_t>(), ::testing::ElementsAre(5, 0, 4, 1, 9));
  EXPECT_THAT(test.labels.rows(0, 5).flat<uint8_t>(), ::testing::ElementsAre(7, 2, 1, 0, 4));
  double sum = 0;
  for (const uint8_t p : train.images.flat<uint8_t>()) sum += p;
  EXPECT_NEAR(sum / 255 / static_cast<double>(train.images.elements()), 0.1307,
              0.0001);  // as published
}

TEST_F(RealDataTest, Cifar10) {
  need("cifar10/data_batch_1.bin");
  if (IsSkipped()) return;
  const LabeledImages train = cifar10(root_ + "/cifar10", Split::kTrain);
  ASSERT_EQ(train.images.shape()[0] % 10000, 0);
  EXPECT_EQ(train.images.shape().last(3), (Shape{32, 32, 3}));
  // The mean of each channel, as published for the whole set: channels are apart and in order.
  double sum[3] = {};
  const auto values = train.images.flat<uint8_t>();
  for (size_t i = 0; i < values.size(); ++i) sum[i % 3] += values[i];
  const double pixels = 255.0 * static_cast<double>(values.size()) / 3;
  EXPECT_NEAR(sum[0] / pixels, 0.4914, 0.005);
  EXPECT_NEAR(sum[1] / pixels, 0.4822, 0.005);
  EXPECT_NEAR(sum[2] / pixels, 0.4465, 0.005);
  int64_t count[10] = {};
  for (const uint8_t label : train.labels.flat<uint8_t>()) ++count[label];
  for (const int64_t n : count) EXPECT_NEAR(n, train.size() / 10, train.size() / 100);
}

}  // namespace
}  // namespace trireme::data
