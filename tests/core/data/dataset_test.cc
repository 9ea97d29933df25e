#include "core/data/dataset.h"

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "core/data/permutation.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PermutationTest, HitsEveryNumberOnce) {
  for (const int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000, 4097}) {
    for (const uint64_t epoch : {0, 1, 77}) {
      const Permutation permutation(n, 42, epoch);
      std::set<int64_t> seen;
      for (int64_t i = 0; i < n; ++i) seen.insert(permutation(i));
      EXPECT_EQ(seen.size(), static_cast<size_t>(n));
      EXPECT_EQ(*seen.begin(), 0);
      EXPECT_EQ(*seen.rbegin(), n - 1);
    }
  }
}

// Constant memory: a data set larger than any memory shuffles at once.
TEST(PermutationTest, ReachesFarInHugeDomains) {
  const int64_t n = (int64_t{1} << 61) + 12345;
  const Permutation permutation(n, 1, 0);
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_GE(permutation(i), 0);
    EXPECT_LT(permutation(i), n);
  }
}

// A shuffle that favours some places would bias training: over many epochs each example is as often
// at each place.
TEST(PermutationTest, IsUniformOverEpochs) {
  for (const int64_t n : {2, 3, 6, 10, 16}) {
    constexpr int kEpochs = 20000;
    std::map<std::pair<int64_t, int64_t>, int> count;
    for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      const Permutation permutation(n, 9, epoch);
      for (int64_t i = 0; i < n; ++i) ++count[{i, permutation(i)}];
    }
    const double expected = static_cast<double>(kEpochs) / static_cast<double>(n);
    EXPECT_EQ(count.size(), static_cast<size_t>(n * n));
    for (const auto& [place, times] : count) {
      EXPECT_NEAR(times, expected, 5 * std::sqrt(expected))
          << "n " << n << ", place " << place.first;
    }
  }
}

// Neighbours in the file must not stay neighbours: the mean jump of a random order is n / 3.
TEST(PermutationTest, TearsNeighboursApart) {
  const int64_t n = 60000;
  const Permutation permutation(n, 3, 0);
  double jump = 0;
  for (int64_t i = 1; i < n; ++i)
    jump += static_cast<double>(std::abs(permutation(i) - permutation(i - 1)));
  EXPECT_NEAR(jump / static_cast<double>(n), static_cast<double>(n) / 3, 400);
}

TEST(DatasetTest, ReadsTensorsInOrder) {
  const Dataset data = numbers(5);
  EXPECT_EQ(data.cardinality(), 5);
  EXPECT_EQ(data.element_spec(),
            (ElementSpec{{"x", DType::kFloat32, {2}}, {"id", DType::kInt64, {}}}));
  EXPECT_EQ(drain(data), iota(0, 5));
}

TEST(DatasetTest, ShufflesAllAnewInEachEpoch) {
  const Dataset data = numbers(1000).shuffle(7);
  const auto two = drain(data.repeat(2));
  const std::vector<int64_t> first(two.begin(), two.begin() + 1000),
      second(two.begin() + 1000, two.end());
  EXPECT_EQ(sorted(first), iota(0, 1000));
  EXPECT_EQ(sorted(second), iota(0, 1000));
  EXPECT_NE(first, second);
  EXPECT_EQ(drain(data), first);
  EXPECT_NE(drain(numbers(1000).shuffle(8)), first);
}

TEST(DatasetTest, BatchesAndKeepsOrDropsTheRemainder) {
  const Dataset kept = numbers(10).batch(4), dropped = numbers(10).batch(4, true);
  EXPECT_EQ(kept.cardinality(), 3);
  EXPECT_EQ(dropped.cardinality(), 2);
  EXPECT_EQ(kept.element_spec()[0].shape, (Shape{-1, 2}));
  EXPECT_EQ(dropped.element_spec()[0].shape, (Shape{4, 2}));
  EXPECT_EQ(numbers(8).batch(4).element_spec()[0].shape, (Shape{4, 2}));
  EXPECT_EQ(numbers(10).repeat().batch(4).element_spec()[0].shape, (Shape{4, 2}));
  EXPECT_EQ(drain(kept), iota(0, 10));
  EXPECT_EQ(drain(dropped), iota(0, 8));
  Iterator iterator = kept.iterator();
  Element batch;
  iterator.next(batch);
  iterator.next(batch);
  iterator.next(batch);
  EXPECT_EQ(batch[0].shape(), (Shape{2, 2}));
  EXPECT_FALSE(iterator.next(batch));
  EXPECT_EQ(ids_of(batch), iota(8, 10)) << "the end must leave the element alone";
}

TEST(DatasetTest, BatchesOfBatches) {
  const Dataset data = numbers(12).batch(2).batch(3);
  EXPECT_EQ(data.element_spec()[0].shape, (Shape{3, 2, 2}));
  EXPECT_EQ(drain(data), iota(0, 12));
  const Dataset ragged = numbers(11).batch(2).batch(3);  // 3 batches, then 2 of 2 and 1 of 1
  EXPECT_THAT(message_of([&] { drain(ragged); }),
              HasSubstr("make them alike with map() before batch()"));
}

TEST(DatasetTest, TakesSkipsRepeats) {
  EXPECT_EQ(drain(numbers(10).skip(2).take(3)), iota(2, 5));
  EXPECT_EQ(drain(numbers(10).take(30)), iota(0, 10));
  EXPECT_EQ(numbers(10).skip(30).cardinality(), 0);
  EXPECT_TRUE(drain(numbers(10).skip(30)).empty());
  EXPECT_THAT(drain(numbers(2).repeat(2).skip(1)), ElementsAre(1, 0, 1));
  EXPECT_EQ(numbers(2).repeat().cardinality(), kInfinite);
  EXPECT_EQ(numbers(0).repeat().cardinality(), 0);
  EXPECT_TRUE(drain(numbers(0).repeat()).empty());
  EXPECT_EQ(numbers(2).repeat().take(5).cardinality(), 5);
  EXPECT_THAT(drain(numbers(2).repeat().skip(1), 4), ElementsAre(1, 0, 1, 0));
}

TEST(DatasetTest, EpochsOfNestedRepeatsDiffer) {
  const auto all = drain(numbers(50).shuffle(1).repeat(2).repeat(2));
  ASSERT_EQ(all.size(), 200u);
  std::set<std::vector<int64_t>> epochs;
  for (int e = 0; e < 4; ++e) epochs.insert({all.begin() + e * 50, all.begin() + (e + 1) * 50});
  EXPECT_EQ(epochs.size(), 4u);
}

// The contract of data parallel training: workers together see what one worker would, each example
// once.
TEST(DatasetTest, ShardsCoverExactlyOnce) {
  for (const int64_t n : {0, 1, 7, 64, 101}) {
    for (const int64_t shards : {1, 2, 3, 8}) {
      const Dataset whole = numbers(n).shuffle(5);
      const auto expected = drain(whole);
      std::vector<int64_t> merged(static_cast<size_t>(n), -1);
      int64_t total = 0;
      for (int64_t s = 0; s < shards; ++s) {
        const auto part = drain(whole.shard(shards, s));
        EXPECT_EQ(static_cast<int64_t>(part.size()), whole.shard(shards, s).cardinality());
        total += static_cast<int64_t>(part.size());
        for (size_t i = 0; i < part.size(); ++i) merged[i * shards + s] = part[i];
      }
      EXPECT_EQ(total, n);
      EXPECT_EQ(merged, expected);
    }
  }
}

TEST(DatasetTest, ScalesPixelsIntoTheBatch) {
  const Tensor pixels = Tensor::from<uint8_t>({3, 2}, {0, 255, 51, 102, 153, 204});
  const Tensor labels = Tensor::from<uint8_t>({3}, {3, 1, 2});
  const Dataset data = from_columns({{"image", pixels, DType::kFloat32, 1 / 255.f},
                                     {"label", labels, DType::kInt64}})
                           .batch(3);
  Iterator iterator = data.iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_THAT(batch[0].flat<float>(),
              testing::Pointwise(testing::FloatEq(), {0.f, 1.f, 0.2f, 0.4f, 0.6f, 0.8f}));
  EXPECT_THAT(batch[1].flat<int64_t>(), ElementsAre(3, 1, 2));
}

TEST(DatasetTest, CarriesStrings) {
  const Tensor words = Tensor::from<std::string>({3}, {"one", std::string(100, 'x'), ""});
  Iterator iterator =
      from_tensors({words}, {"word"}).shuffle(1).repeat(2).batch(2).prefetch().iterator();
  std::multiset<std::string> seen;
  for (Element batch; iterator.next(batch);) {
    for (const std::string& word : batch[0].flat<std::string>()) seen.insert(word);
  }
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen.count(std::string(100, 'x')), 2u);
}

// What the consumer holds on to must not change under it.
TEST(IteratorTest, NeverWritesToWhatIsStillHeld) {
  for (const int prefetch : {0, 1, 3}) {
    Dataset data = numbers(40).batch(4);
    if (prefetch > 0) data = data.prefetch(prefetch);
    Iterator iterator = data.iterator();
    std::vector<Tensor> held;
    for (Element batch; iterator.next(batch);) held.push_back(batch[1]);
    ASSERT_EQ(held.size(), 10u);
    for (size_t i = 0; i < held.size(); ++i) {
      EXPECT_EQ(held[i].flat<int64_t>()[0], static_cast<int64_t>(4 * i));
    }
  }
}

TEST(IteratorTest, WritesOverTensorsThatArePassedBack) {
  Iterator iterator = numbers(10).repeat(2).batch(4).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  const void* memory = batch[0].raw();
  while (iterator.next(batch)) EXPECT_EQ(batch[0].raw(), memory);
}

TEST(MapTest, KeepsOrderOnManyThreads) {
  std::atomic<int> calls = 0;
  const Dataset data = numbers(200).map(
      [&](Element& element, const MapContext& context) {
        if (context.index % 7 == 0) std::this_thread::yield();
        ++calls;
        EXPECT_EQ(element[1].item<int64_t>(), context.index);
      },
      {.threads = 4});
  EXPECT_EQ(drain(data), iota(0, 200));
  EXPECT_EQ(calls, 200);
}

// The same job sees the same augmentation on 1, 2 or 4 workers, and another in each epoch.
TEST(MapTest, RandomNumbersBelongToTheExampleAndTheEpoch) {
  const auto draw = [](Element& element, const MapContext& context) {
    element = {Tensor::scalar(context.random().uniform()), Tensor::scalar(context.index),
               Tensor::scalar(static_cast<int64_t>(context.epoch))};
  };
  const MapOptions options{
      .threads = 2,
      .seed = 5,
      .output = ElementSpec{
          {"u", DType::kFloat32, {}}, {"id", DType::kInt64, {}}, {"epoch", DType::kInt64, {}}}};
  std::map<std::pair<int64_t, int64_t>, float> single, sharded;
  const auto collect = [](const Dataset& data, auto& into) {
    Iterator iterator = data.iterator();
    for (Element e; iterator.next(e);)
      into[{e[2].item<int64_t>(), e[1].item<int64_t>()}] = e[0].item<float>();
  };
  collect(numbers(20).shuffle(3).map(draw, options).repeat(2), single);
  for (int s = 0; s < 4; ++s)
    collect(numbers(20).shuffle(3).repeat(2).shard(4, s).map(draw, options), sharded);
  EXPECT_EQ(single.size(), 40u);
  EXPECT_EQ(single, sharded);
  EXPECT_NE((single[{0, 4}]), (single[{1, 4}]));
  EXPECT_NE((single[{0, 4}]), (single[{0, 5}]));
}

TEST(MapTest, ChecksWhatTheFunctionMakes) {
  const Dataset data =
      numbers(3).map([](Element& e, const MapContext&) { e[1] = Tensor::scalar(1.f); });
  EXPECT_THAT(message_of([&] { drain(data); }),
              HasSubstr("map: expected component \"id\" to be i64[], found f32[]"));
  const Dataset fewer = numbers(3).map([](Element& e, const MapContext&) { e.pop_back(); });
  EXPECT_THAT(message_of([&] { drain(fewer); }),
              HasSubstr("expected an element of 2 components, found 1"));
}

TEST(MapTest, AnErrorComesWhereItsElementWouldHaveComeAndStays) {
  for (const int threads : {0, 1, 4}) {
    const Dataset data = numbers(50).map(
        [](Element&, const MapContext& c) {
          if (c.index >= 10) throw invalid_argument("example ", c.index, " is bad");
        },
        {.threads = threads});
    Iterator iterator = data.prefetch(8).iterator();
    EXPECT_EQ(drain(iterator, 10), iota(0, 10));
    Element element;
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(message_of([&] { iterator.next(element); }), "example 10 is bad");
    }
    EXPECT_EQ(iterator.position(), 10);
    iterator.seek(5);
    EXPECT_EQ(drain(iterator, 5), iota(5, 10));
  }
}

// An iterator may be dropped at any moment, with workers blocked on a full queue or in the middle
// of an element.
TEST(IteratorTest, ShutsDownAtAnyMoment) {
  for (int taken = 0; taken < 12; ++taken) {
    Iterator iterator = numbers(30)
                            .shuffle(1)
                            .repeat()
                            .map([](Element&, const MapContext&) {}, {.threads = 3})
                            .batch(2)
                            .prefetch(4)
                            .iterator();
    EXPECT_EQ(drain(iterator, taken).size(), static_cast<size_t>(2 * taken));
  }
}

TEST(IteratorTest, TellsTheEpoch) {
  for (const int prefetch : {0, 2}) {
    Dataset data = numbers(5).repeat(3).batch(2);
    if (prefetch > 0) data = data.prefetch(prefetch);
    Iterator iterator = data.iterator();
    std::vector<uint64_t> epochs;
    for (Element batch; iterator.next(batch);) epochs.push_back(iterator.epoch());
    EXPECT_THAT(epochs,
                ElementsAre(0, 0, 0, 1, 1, 2, 2, 2));  // of the first row: 0 2 4 | 6 8 | 10 12 14
  }
}

TEST(CacheTest, ReadsEachElementOnce) {
  std::atomic<int> calls = 0;
  const Dataset data =
      numbers(20).map([&](Element&, const MapContext&) { ++calls; }, {.threads = 0}).cache();
  EXPECT_EQ(sorted(drain(data.shuffle(1).repeat(3).batch(7))),
            sorted(drain(numbers(20).repeat(3))));
  EXPECT_EQ(calls, 20);
}

TEST(CacheTest, IsNotChangedByItsReaders) {
  const Dataset data =
      numbers(5).cache().map([](Element& e, const MapContext&) { e[1].flat<int64_t>()[0] += 1; });
  Iterator iterator = data.repeat(2).iterator();
  std::vector<int64_t> all;
  for (Element e; iterator.next(e);) all.push_back(e[1].item<int64_t>());
  EXPECT_THAT(all, ElementsAre(1, 2, 3, 4, 5, 1, 2, 3, 4, 5));
}

TEST(GeneratorTest, StreamsThroughTheWholeChain) {
  const Dataset data = stream_of_numbers(10);
  EXPECT_EQ(data.cardinality(), kUnknown);
  EXPECT_EQ(drain(data), iota(0, 10));
  EXPECT_EQ(drain(data.batch(4)), iota(0, 10));
  EXPECT_EQ(drain(data.batch(4, true)), iota(0, 8));
  EXPECT_EQ(drain(data.skip(3).take(4)), iota(3, 7));
  EXPECT_THAT(drain(data.shard(4, 1)), ElementsAre(1, 5, 9));
  EXPECT_EQ(drain(data.repeat(2)), drain(numbers(10).repeat(2)));
  EXPECT_EQ(drain(data.repeat().batch(3).prefetch(3), 9), drain(numbers(10).repeat().batch(3), 9));
  EXPECT_EQ(drain(data.take(3).repeat(2)), drain(numbers(3).repeat(2)));
  EXPECT_TRUE(drain(stream_of_numbers(0).repeat()).empty());
  EXPECT_EQ(drain(data.map([](Element&, const MapContext&) {}, {.threads = 4})), iota(0, 10));
}

TEST(GeneratorTest, TellsTheEpochAfterItsFirstEnd) {
  Iterator iterator = stream_of_numbers(3).repeat(2).prefetch().iterator();
  std::vector<uint64_t> epochs;
  for (Element e; iterator.next(e);) epochs.push_back(iterator.epoch());
  EXPECT_THAT(epochs, ElementsAre(0, 0, 0, 1, 1, 1));
}

TEST(FunctionTest, MayDifferInShape) {
  const Dataset data = from_function({{"x", DType::kInt64, {-1}}}, 4, [](int64_t i, Element& out) {
    out = {Tensor::from<int64_t>({i / 2 + 1}, iota(0, i / 2 + 1))};
  });
  Iterator iterator = data.batch(2).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 1}));
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 2}));
  EXPECT_EQ(message_of([&] { drain(data.batch(4)); }),
            "batch: example 2 has \"x\" i64[2], example 0 of the same batch has i64[1]; make them "
            "alike with map() "
            "before batch(), or use padded_batch()");
}

TEST(DatasetTest, RefusesWhatMakesNoSense) {
  const Dataset data = numbers(4);
  EXPECT_THAT(message_of([&] { data.batch(0); }),
              HasSubstr("batch: expected a size of at least 1, found 0"));
  EXPECT_THAT(message_of([&] { data.take(-1); }),
              HasSubstr("take: expected a count of at least 0"));
  EXPECT_THAT(message_of([&] { data.skip(-1); }),
              HasSubstr("skip: expected a count of at least 0"));
  EXPECT_THAT(message_of([&] { data.repeat(-2); }),
              HasSubstr("repeat: expected a count or kForever"));
  EXPECT_THAT(message_of([&] { data.shard(2, 2); }), HasSubstr("found index 2 of 2"));
  EXPECT_THAT(message_of([&] { data.prefetch(0); }), HasSubstr("prefetch: expected a depth"));
  EXPECT_THAT(message_of([&] { data.map(nullptr); }), HasSubstr("map: expected a function"));
  EXPECT_THAT(message_of([&] { data.map([](Element&, const MapContext&) {}, {.threads = -2}); }),
              HasSubstr("map: expected 0 to 1024 threads"));
  EXPECT_THAT(message_of([&] { data.repeat().shuffle(1); }), HasSubstr("shuffle before repeat()"));
  EXPECT_THAT(message_of([&] { stream_of_numbers(3).shuffle(1); }),
              HasSubstr("found a stream; use shuffle(seed, block_size)"));
  EXPECT_THAT(message_of([&] { data.repeat().cache(); }), HasSubstr("cache before repeat()"));
  EXPECT_THAT(message_of([&] { from_tensors({Tensor::zeros(DType::kFloat32, {2})}, {}); }),
              HasSubstr("found 1 tensors and 0 names"));
  EXPECT_THAT(message_of([&] { from_tensors({}, {}); }), HasSubstr("at least one column"));
  const Tensor two = Tensor::zeros(DType::kFloat32, {2}),
               three = Tensor::zeros(DType::kFloat32, {3});
  EXPECT_THAT(message_of([&] {
                from_tensors({two, three}, {"a", "b"});
              }),
              HasSubstr("column \"b\" has 3 rows, \"a\" has 2"));
  EXPECT_THAT(message_of([&] {
                from_tensors({two, two}, {"a", "a"});
              }),
              HasSubstr("have the name \"a\""));
  EXPECT_THAT(message_of([&] { from_tensors({Tensor::scalar(1.f)}, {"a"}); }),
              HasSubstr("with a row an example"));
  EXPECT_THAT(message_of([&] {
                from_columns({{"a", two, DType::kUInt8}});
              }),
              HasSubstr("cannot turn f32 into u8"));
  const Tensor deep = Tensor::zeros(DType::kFloat32, {1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_THAT(message_of([&] { from_tensors({deep}, {"a"}).batch(1).batch(1); }),
              HasSubstr("more than 8 dimensions"));
}

}  // namespace
}  // namespace trireme::data
