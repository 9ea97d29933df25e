// Records and pictures beside TensorFlow's: it reads what we write, we read what it writes, and
// pictures have the same pixels. Skipped, which it says, where no Python with TensorFlow is named
// by TRIREME_PEER_PYTHON.
#include <cstdlib>

#include "core/data/example_parser.h"
#include "core/data/example_writer.h"
#include "core/data/image_decoder.h"
#include "core/data/record_set.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using testing::ProcessResult;

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

class RecordsPeerTest : public FileTest {
 protected:
  // False: there is no TensorFlow.
  static bool tensorflow(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", python(),
                      std::string(TRIREME_SOURCE_DIR) + "/tests/core/data/tensorflow_records.py"});
    const ProcessResult result = testing::run(arguments);
    if (result.exit_code == 77 || result.exit_code == 127) return false;
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return true;
  }
};

template <typename F>
std::shared_ptr<F> feature(const std::string& name, FeatureType type) {
  auto made = std::make_shared<F>();
  made->name = name;
  made->dtype = type;
  return made;
}

std::vector<std::shared_ptr<const Feature>> features() {
  auto x = feature<FixedFeature>("x", FeatureType::kFloat32);
  x->shape = {3};
  x->default_value = {7};
  auto v = feature<SequenceFeature>("v", FeatureType::kFloat32);
  v->shape = {2};
  v->allow_missing = true;
  return {x, feature<VariableFeature>("n", FeatureType::kInt64),
          feature<VariableFeature>("s", FeatureType::kString), v};
}

std::string text_of(const Element& element) {
  std::string text;
  for (const Tensor& tensor : element) {
    text += tensor.dtype() == DType::kString ? str_cat(tensor.type()) : tensor.to_string(100);
    if (tensor.dtype() != DType::kString) continue;
    for (const std::string& value : tensor.flat<std::string>()) text += "\"" + value + "\"";
  }
  return text;
}

TEST_F(RecordsPeerTest, TensorFlowReadsOurRecordsAndWeReadItsOwn) {
  for (const auto& [packing, name] :
       {std::pair(Packing::kNone, ""), std::pair(Packing::kGzip, "GZIP"),
        std::pair(Packing::kZlib, "ZLIB")}) {
    RecordWriter writer(path("ours"), packing);
    for (int64_t i = 0; i < 12; ++i) {
      ExampleWriter example;
      const auto f = static_cast<float>(i);
      if (i % 4 != 3) example.add("x", Tensor::from<float>({3}, {f / 3, -f, 1e-30f * f}));
      if (i % 3 != 2) {
        std::vector<int64_t> n;
        for (int64_t k = 0; k < i; ++k) n.push_back(k % 2 == 0 ? i << (5 * k) : -k);
        example.add("n", Tensor::from<int64_t>({i}, n));
      }
      example.add("s", Tensor::from<std::string>({2}, {std::string(20 * i, 'a'), "ü"}));
      if (i % 2 == 0) example.add_steps("v", Tensor::zeros(DType::kFloat32, {i, 2}));
      writer.write(example.finish());
    }
    writer.close();
    if (!tensorflow({"copy", name, path("ours"), path("theirs")})) {
      GTEST_SKIP() << "no TensorFlow in " << python() << "; name a Python that has it in "
                   << "TRIREME_PEER_PYTHON";
    }
    const Dataset ours = tfrecord_examples({path("ours")}, features(), {.packing = packing});
    const Dataset theirs = tfrecord_examples({path("theirs")}, features());
    ASSERT_EQ(theirs.cardinality(), 12);
    Iterator a = ours.iterator(), b = theirs.iterator();
    for (Element one, other; a.next(one);) {
      ASSERT_TRUE(b.next(other));
      EXPECT_EQ(text_of(one), text_of(other));
    }
  }
}

TEST_F(RecordsPeerTest, PicturesHaveTensorFlowsPixels) {
  if (!tensorflow({"pictures", path("pictures")})) {
    GTEST_SKIP() << "no TensorFlow in " << python() << "; name a Python that has it in "
                 << "TRIREME_PEER_PYTHON";
  }
  auto channels = feature<FixedFeature>("channels", FeatureType::kInt64);
  const auto strings = [](const char* name) {
    return feature<FixedFeature>(name, FeatureType::kString);
  };
  Iterator iterator =
      tfrecord_examples({path("pictures")},
                        {strings("picture"), channels, strings("pixels"), strings("gray"),
                         feature<VariableFeature>("resized", FeatureType::kFloat32),
                         feature<VariableFeature>("nearest", FeatureType::kFloat32)})
          .iterator();
  int count = 0;
  for (Element element; iterator.next(element); ++count) {
    const auto bytes = [&](size_t i) {
      const std::string& text = element[i].flat<std::string>()[0];
      return Bytes(text.begin(), text.end());
    };
    Image image, gray;
    decode_image(bytes(0), element[1].item<int64_t>(), image);
    EXPECT_EQ(image.pixels, bytes(2)) << "picture " << count;
    decode_image(bytes(0), 1, gray);
    const Bytes expected_gray = bytes(3);
    ASSERT_EQ(gray.pixels.size(), expected_gray.size());
    for (size_t i = 0; i < expected_gray.size(); ++i) {
      ASSERT_NEAR(gray.pixels[i], expected_gray[i], 1) << "picture " << count;
    }
    for (const bool nearest : {false, true}) {
      std::vector<float> resized(static_cast<size_t>(24 * 19 * image.channels));
      resize_image(image,
                   {.height = 24,
                    .width = 19,
                    .interpolation = nearest ? Interpolation::kNearest : Interpolation::kBilinear},
                   resized);
      const auto expected = element[nearest ? 5 : 4].flat<float>();
      ASSERT_EQ(resized.size(), expected.size());
      for (size_t i = 0; i < resized.size(); ++i) {
        ASSERT_NEAR(resized[i], expected[i], 1e-3) << "picture " << count << ", place " << i;
      }
    }
  }
  EXPECT_EQ(count, 12);
}

}  // namespace
}  // namespace trireme::data
