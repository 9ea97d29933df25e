// The stages that tf.data has beyond shuffle and batch: what each gives.
#include <atomic>
#include <map>

#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

bool is_even(const Element& element) { return element[1].item<int64_t>() % 2 == 0; }

// [0, n) as "value".
std::vector<int64_t> values(const Dataset& dataset, int64_t limit = 1 << 20) {
  std::vector<int64_t> all;
  Iterator iterator = dataset.iterator();
  for (Element e; limit-- > 0 && iterator.next(e);) {
    const auto flat = e.back().flat<int64_t>();
    all.insert(all.end(), flat.begin(), flat.end());
  }
  return all;
}

// Element i: "words", i64 [i % 4] of i's, and "id".
Dataset ragged(int64_t n) {
  return from_function({{"words", DType::kInt64, {-1}}, {"id", DType::kInt64, {}}}, n,
                       [](int64_t i, Element& out) {
                         const std::vector<int64_t> words(static_cast<size_t>(i % 4), i);
                         out = {Tensor::from<int64_t>({i % 4}, words), Tensor::scalar(i)};
                       });
}

// 1 … n of each n that comes.
Dataset count_up(const Element& element) { return range(1, element[0].item<int64_t>() + 1); }
const ElementSpec kValue = {{"value", DType::kInt64, {}}};

TEST(FilterTest, KeepsWhatThePredicateWants) {
  EXPECT_THAT(drain(numbers(10).filter(is_even)), ElementsAre(0, 2, 4, 6, 8));
  EXPECT_EQ(numbers(10).filter(is_even).cardinality(), kUnknown);
  EXPECT_EQ(numbers(10).repeat().filter(is_even).cardinality(), kInfinite);
  EXPECT_THAT(drain(numbers(10).filter(is_even).skip(1).take(2)), ElementsAre(2, 4));
  EXPECT_THAT(drain(numbers(5).filter(is_even).repeat(2)), ElementsAre(0, 2, 4, 0, 2, 4));
  EXPECT_TRUE(drain(numbers(9).filter([](const Element&) { return false; }).repeat()).empty());
}

// What was left out must not be seen in the caller's element, not even at the end.
TEST(FilterTest, LeavesTheElementAloneAtTheEnd) {
  Iterator iterator = numbers(4).filter(is_even).iterator();
  Element element;
  while (iterator.next(element)) {
  }
  EXPECT_EQ(ids_of(element), iota(2, 3));
}

// Each epoch is shuffled anew before the filter, and none is cut short by the one before.
TEST(FilterTest, EpochsDiffer) {
  const auto all = drain(numbers(40).shuffle(3).filter(is_even).repeat(2));
  ASSERT_EQ(all.size(), 40u);
  const std::vector<int64_t> first(all.begin(), all.begin() + 20),
      second(all.begin() + 20, all.end());
  EXPECT_EQ(sorted(first), sorted(second));
  EXPECT_NE(first, second);
  EXPECT_EQ(drain(numbers(40).shuffle(3).filter(is_even)), first);
}

TEST(ZipTest, GoesAsFarAsTheShortest) {
  const Dataset both = zip({range(0, 4), numbers(3)});
  EXPECT_EQ(both.cardinality(), 3);
  EXPECT_EQ(both.element_spec().size(), 3u);
  Iterator iterator = both.batch(3).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_THAT(batch[0].flat<int64_t>(), ElementsAre(0, 1, 2));
  EXPECT_THAT(batch[2].flat<int64_t>(), ElementsAre(0, 1, 2));
  EXPECT_EQ(values(zip({range(0, 9), numbers(20).filter(is_even)}).batch(4)),
            (std::vector<int64_t>{0, 2, 4, 6, 8, 10, 12, 14, 16}));
  EXPECT_THAT(message_of([] { zip({numbers(2), numbers(2)}); }), HasSubstr("the name \"x\""));
  EXPECT_EQ(values(zip({numbers(2), numbers(2).rename({"y", "number"})})), iota(0, 2));
}

// The same chain twice is at two places at once.
TEST(ZipTest, TakesOneStreamTwice) {
  const Dataset evens = numbers(12).filter(is_even);
  const Dataset later = evens.skip(2).rename({"y", "later"});
  Iterator iterator = zip({evens, later}).iterator();
  std::vector<int64_t> pairs;
  for (Element e; iterator.next(e);) {
    pairs.push_back(e[1].item<int64_t>());
    pairs.push_back(e[3].item<int64_t>());
  }
  EXPECT_THAT(pairs, ElementsAre(0, 4, 2, 6, 4, 8, 6, 10));
}

TEST(ConcatenateTest, FollowsWithTheOther) {
  EXPECT_THAT(values(range(0, 3).concatenate(range(7, 9))), ElementsAre(0, 1, 2, 7, 8));
  EXPECT_EQ(range(0, 3).concatenate(range(7, 9)).cardinality(), 5);
  EXPECT_EQ(sorted(values(range(0, 3).concatenate(range(3, 9)).shuffle(1))), iota(0, 9));
  EXPECT_THAT(drain(numbers(4).filter(is_even).concatenate(numbers(2))), ElementsAre(0, 2, 0, 1));
  EXPECT_THAT(drain(numbers(2).concatenate(numbers(4).filter(is_even)).repeat(2)),
              ElementsAre(0, 1, 0, 2, 0, 1, 0, 2));
  EXPECT_THAT(message_of([] { numbers(2).concatenate(range(0, 2)); }),
              HasSubstr("concatenate: expected elements of the same names, types and ranks, found "
                        "(x f32[2], id i64[]) and (value i64[])"));
  EXPECT_THAT(message_of([] { range(0, 1).repeat().concatenate(range(0, 2)); }),
              HasSubstr("endless"));
}

// An example is one example: those of the second part draw other random numbers than the first's.
TEST(ConcatenateTest, ExamplesKeepNumbersOfTheirOwn) {
  std::vector<int64_t> seen;
  const Dataset data =
      numbers(3)
          .concatenate(numbers(2))
          .map([&](Element&, const MapContext& context) { seen.push_back(context.index); },
               {.threads = 0});
  drain(data);
  EXPECT_EQ(seen, iota(0, 5));
}

TEST(FlatMapTest, GivesTheElementsOfEach) {
  EXPECT_THAT(values(range(0, 4).flat_map(count_up, kValue)), ElementsAre(1, 1, 2, 1, 2, 3));
  EXPECT_THAT(values(range(1, 3).flat_map(count_up, kValue).repeat(2)),
              ElementsAre(1, 1, 2, 1, 1, 2));
  EXPECT_THAT(message_of([] {
                values(range(2, 3).flat_map(count_up, {{"v", DType::kInt64, {}}}));
              }),
              HasSubstr("flat_map or interleave: expected elements of the same names"));
}

// tf.data's order: its documentation's example.
TEST(InterleaveTest, TakesTurnsInBlocks) {
  const auto six_times = [](const Element& e) {
    return range(0, 6).map([x = e[0].item<int64_t>()](
                               Element& out, const MapContext&) { out[0].flat<int64_t>()[0] = x; },
                           {.threads = 0});
  };
  const std::vector<int64_t> expected = {1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 2, 2, 3, 3, 3,
                                         3, 4, 4, 4, 4, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5};
  for (const int prefetch : {0, 3}) {
    EXPECT_EQ(values(range(1, 6).interleave(
                  six_times, kValue, {.cycle_length = 2, .block_length = 4, .prefetch = prefetch})),
              expected);
  }
}

TEST(UnbatchTest, GivesTheRows) {
  EXPECT_EQ(drain(numbers(11).batch(4).unbatch()), iota(0, 11));
  EXPECT_EQ(numbers(11).batch(4).unbatch().element_spec(), numbers(1).element_spec());
  const Dataset again = numbers(11).batch(4).rebatch(3);
  EXPECT_EQ(drain(again), iota(0, 11));
  Iterator iterator = again.iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{3, 2}));
  EXPECT_THAT(message_of([] { numbers(3).unbatch(); }), HasSubstr("\"id\" is a scalar"));
}

TEST(WindowTest, SlidesOverElements) {
  for (const bool stream : {false, true}) {
    Dataset data = range(0, 7);
    if (stream) data = data.filter([](const Element&) { return true; });
    EXPECT_THAT(values(data.window({.size = 3})), ElementsAre(0, 1, 2, 3, 4, 5, 6));
    EXPECT_THAT(values(data.window({.size = 3, .drop_remainder = true})),
                ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_THAT(values(data.window({.size = 3, .shift = 2, .drop_remainder = true})),
                ElementsAre(0, 1, 2, 2, 3, 4, 4, 5, 6));
    EXPECT_THAT(values(data.window({.size = 3, .shift = 1, .stride = 2, .drop_remainder = true})),
                ElementsAre(0, 2, 4, 1, 3, 5, 2, 4, 6));
    EXPECT_THAT(values(data.window({.size = 2, .shift = 5})), ElementsAre(0, 1, 5, 6));
    EXPECT_THAT(values(data.window({.size = 2, .shift = 3, .stride = 3})),
                ElementsAre(0, 3, 3, 6, 6));
  }
  EXPECT_EQ(range(0, 7).window({.size = 3, .shift = 2, .drop_remainder = true}).cardinality(), 3);
  EXPECT_EQ(range(0, 7).window({.size = 3, .shift = 2}).cardinality(), 4);
  EXPECT_EQ(range(0, 2).window({.size = 3, .drop_remainder = true}).cardinality(), 0);
}

TEST(PaddedBatchTest, FillsUpToTheLongest) {
  const Dataset data = ragged(7).padded_batch(4, {.values = {-1, 0}, .lengths = {"words"}});
  EXPECT_EQ(data.cardinality(), 2);
  EXPECT_EQ(data.element_spec(), (ElementSpec{{"words", DType::kInt64, {-1, -1}},
                                              {"words_length", DType::kInt64, {-1}},
                                              {"id", DType::kInt64, {-1}}}));
  Iterator iterator = data.iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{4, 3}));
  EXPECT_THAT(batch[0].flat<int64_t>(), ElementsAre(-1, -1, -1, 1, -1, -1, 2, 2, -1, 3, 3, 3));
  EXPECT_THAT(batch[1].flat<int64_t>(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(batch[2].flat<int64_t>(), ElementsAre(0, 1, 2, 3));
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_THAT(batch[0].flat<int64_t>(), ElementsAre(-1, -1, 5, -1, 6, 6));
  EXPECT_FALSE(iterator.next(batch));
}

TEST(PaddedBatchTest, FillsUpToAShape) {
  Iterator iterator =
      ragged(8).padded_batch(4, {.shapes = {{5}, {}}, .drop_remainder = true}).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{4, 5}));
  EXPECT_EQ(batch[0].flat<int64_t>()[5 * 3 + 2], 3);
  EXPECT_EQ(batch[0].flat<int64_t>()[5 * 3 + 3], 0);
  EXPECT_THAT(message_of([] {
                values(ragged(8).padded_batch(4, {.shapes = {{2}, {}}}));
              }),
              HasSubstr("example 3 has \"words\" i64[3], more than the padded shape [2]"));
  EXPECT_THAT(message_of([] { ragged(8).padded_batch(4, {.shapes = {{2}}}); }),
              HasSubstr("for each of 2 components, found 1 and 2"));
  EXPECT_THAT(message_of([] {
                ragged(8).padded_batch(4, {.values = {0.5, 0}});
              }),
              HasSubstr("\"words\", i64, cannot be filled up with 0.5"));
  EXPECT_THAT(message_of([] { ragged(8).padded_batch(4, {.lengths = {"id"}}); }),
              HasSubstr("lengths of \"id\""));
}

// Two axes that differ, in the order of memory.
TEST(PaddedBatchTest, PadsInnerAxesToo) {
  const Dataset data =
      from_function({{"x", DType::kFloat32, {-1, -1}}}, 2, [](int64_t i, Element& out) {
        out = {i == 0 ? Tensor::from<float>({1, 2}, {1, 2}) : Tensor::from<float>({2, 1}, {3, 4})};
      });
  Iterator iterator = data.padded_batch(2, {.values = {9}}).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 2, 2}));
  EXPECT_THAT(batch[0].flat<float>(), ElementsAre(1, 2, 9, 9, 3, 9, 4, 9));
}

TEST(BucketTest, BatchesLikeLengths) {
  const Dataset data = ragged(16).bucket_by_sequence_length(
      {.component = "words", .boundaries = {2}, .batch_sizes = {3, 4}});
  Iterator iterator = data.iterator();
  std::vector<std::vector<int64_t>> batches;
  for (Element e; iterator.next(e);) {
    batches.push_back(ids_of(e));
    for (const int64_t id : batches.back()) EXPECT_EQ(id % 4 < 2, batches.back()[0] % 4 < 2);
  }
  EXPECT_EQ(batches, (std::vector<std::vector<int64_t>>{
                         {0, 1, 4}, {2, 3, 6, 7}, {5, 8, 9}, {10, 11, 14, 15}, {12, 13}}));
}

TEST(BucketTest, PadsToItsBoundary) {
  const Dataset data = ragged(8).bucket_by_sequence_length(
      {.boundaries = {2, 6}, .batch_sizes = {2, 2, 1}, .pad_to_boundary = true});
  Iterator iterator = data.iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 1}));
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 5}));
  EXPECT_THAT(message_of([] {
                values(ragged(8).bucket_by_sequence_length(
                    {.boundaries = {2, 3}, .batch_sizes = {2, 2, 1}, .pad_to_boundary = true}));
              }),
              HasSubstr("an element has the length 3, with pad_to_boundary it must be below"));
  EXPECT_THAT(message_of([] {
                ragged(8).bucket_by_sequence_length({.boundaries = {2, 2}});
              }),
              HasSubstr("boundaries in ascending order"));
}

TEST(SampleTest, FollowsWeights) {
  const Dataset zeros = range(0, 1).repeat(), ones = range(1, 2).repeat();
  const auto drawn =
      values(sample_from_datasets({zeros, ones}, {.weights = {1, 3}, .seed = 4}), 4000);
  const auto of_ones = std::ranges::count(drawn, 1);
  EXPECT_NEAR(static_cast<double>(of_ones), 3000, 140);  // five deviations
  EXPECT_NE(drawn,
            values(sample_from_datasets({zeros, ones}, {.weights = {1, 3}, .seed = 5}), 4000));
  EXPECT_EQ(sorted(values(sample_from_datasets({range(0, 5), range(5, 25)}))), iota(0, 25));
  EXPECT_LT(
      values(sample_from_datasets({range(0, 5), range(5, 2000)}, {.stop_on_empty = true})).size(),
      100u);
  EXPECT_EQ(values(sample_from_datasets({range(0, 5), range(5, 25)}, {.weights = {1, 0}})),
            iota(0, 5));
  EXPECT_THAT(message_of([&] {
                sample_from_datasets({zeros, ones}, {.weights = {0, 0}});
              }),
              HasSubstr("all weights are 0"));
}

TEST(ChooseTest, TakesTheOneThatIsNamed) {
  const Dataset turns = range(0, 2).repeat(4);
  EXPECT_THAT(values(choose_from_datasets({range(0, 3), range(10, 15)}, turns)),
              ElementsAre(0, 10, 1, 11, 2, 12, 13));
  EXPECT_THAT(values(choose_from_datasets({range(0, 3), range(10, 15)}, turns, true)),
              ElementsAre(0, 10, 1, 11, 2, 12));
  EXPECT_THAT(values(choose_from_datasets({range(0, 2), range(10, 11)}, range(0, 2).repeat())),
              ElementsAre(0, 10, 1));
  EXPECT_THAT(message_of([&] { values(choose_from_datasets({range(0, 3)}, turns)); }),
              HasSubstr("choice 1 is 1, expected one from 0 to 0"));
}

// A rare class comes as often as the common one, whether its share is known or counted.
TEST(ResampleTest, MakesClassesAsFrequentAsAsked) {
  const Dataset data = range(0, 20000);  // one in ten is of class 1
  const auto class_of = [](const Element& e) { return e[0].item<int64_t>() % 10 == 0 ? 1 : 0; };
  for (const std::vector<double>& initial :
       {std::vector<double>{}, std::vector<double>{0.9, 0.1}}) {
    const auto kept = values(data.rejection_resample(
        {.class_of = class_of, .target = {0.5, 0.5}, .initial = initial, .seed = 1}));
    const auto rare = std::ranges::count_if(kept, [](int64_t v) { return v % 10 == 0; });
    EXPECT_NEAR(static_cast<double>(rare) / static_cast<double>(kept.size()), 0.5, 0.04);
    EXPECT_GT(rare, 1900);
  }
  EXPECT_THAT(
      message_of([&] { values(data.rejection_resample({.class_of = class_of, .target = {1}})); }),
      HasSubstr("expected a class from 0 to 0"));
}

TEST(ScanTest, CarriesItsState) {
  const Dataset sums =
      range(1, 6).scan({Tensor::scalar<int64_t>(0)}, [](Element& state, Element& e) {
        state[0].flat<int64_t>()[0] += e[0].item<int64_t>();
        e[0].flat<int64_t>()[0] = state[0].item<int64_t>();
      });
  EXPECT_EQ(sums.cardinality(), 5);
  EXPECT_THAT(values(sums), ElementsAre(1, 3, 6, 10, 15));
  EXPECT_THAT(values(sums.repeat(2).skip(4)), ElementsAre(15, 1, 3, 6, 10, 15));
}

TEST(StagesTest, TakeWhileUniqueEnumerateReduce) {
  const auto below_three = [](const Element& e) { return e[0].item<int64_t>() < 3; };
  EXPECT_EQ(values(range(0, 9).take_while(below_three)), iota(0, 3));
  EXPECT_THAT(values(range(0, 9).take_while(below_three).repeat(2)), ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(values(range(0, 4).repeat(3).unique()), iota(0, 4));
  const Dataset numbered = range(5, 8).enumerate(2);
  EXPECT_EQ(numbered.element_spec()[0].name, "index");
  EXPECT_EQ(numbered.cardinality(), 3);
  Iterator iterator = numbered.batch(3).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_THAT(batch[0].flat<int64_t>(), ElementsAre(2, 3, 4));
  EXPECT_THAT(batch[1].flat<int64_t>(), ElementsAre(5, 6, 7));
  Element sum = {Tensor::scalar<int64_t>(0)};
  range(0, 5).reduce(sum, [](Element& total, const Element& e) {
    total[0].flat<int64_t>()[0] += e[0].item<int64_t>();
  });
  EXPECT_EQ(sum[0].item<int64_t>(), 10);
  EXPECT_EQ(range(3, 4).get_single_element()[0].item<int64_t>(), 3);
  EXPECT_THAT(message_of([] { range(0, 2).get_single_element(); }), HasSubstr("more than one"));
  EXPECT_THAT(values(range(10, 0, -3)), ElementsAre(10, 7, 4, 1));
  EXPECT_THAT(values(counter(2, 5), 3), ElementsAre(2, 7, 12));
  EXPECT_NE(values(random(1), 3), values(random(2), 3));
  EXPECT_EQ(from_element({Tensor::scalar(2.f)}, {"x"}).cardinality(), 1);
}

TEST(StagesTest, IgnoresErrors) {
  const Dataset data = numbers(9).map(
      [](Element& e, const MapContext&) {
        if (e[1].item<int64_t>() % 3 == 0) throw invalid_argument("bad");
      },
      {.threads = 2});
  EXPECT_THAT(drain(data.ignore_errors()), ElementsAre(1, 2, 4, 5, 7, 8));
  EXPECT_THAT(message_of([] { numbers(3).filter(is_even).ignore_errors(); }),
              HasSubstr("after an error a stream cannot go on"));
}

// Blocks stay where they are, each is permuted, each epoch anew; a stream gives the same order.
TEST(BlockShuffleTest, PermutesWithinBlocks) {
  const auto all = drain(numbers(25).shuffle(7, 10).repeat(2));
  ASSERT_EQ(all.size(), 50u);
  for (const int64_t epoch : {0, 25}) {
    for (const auto& [begin, end] : {std::pair(0, 10), {10, 20}, {20, 25}}) {
      const std::vector<int64_t> block(all.begin() + epoch + begin, all.begin() + epoch + end);
      EXPECT_EQ(sorted(block), iota(begin, end));
      if (end - begin == 10) {
        EXPECT_NE(block, iota(begin, end));
      }
    }
  }
  EXPECT_NE(std::vector(all.begin(), all.begin() + 25), std::vector(all.begin() + 25, all.end()));
  EXPECT_EQ(drain(stream_of_numbers(25).shuffle(7, 10).repeat(2)), all);
  EXPECT_EQ(sorted(drain(stream_of_numbers(30).shuffle(7, 10))), iota(0, 30));
  EXPECT_TRUE(drain(stream_of_numbers(0).shuffle(7, 10)).empty());
}

TEST(StreamTest, MapsOnManyThreadsInOrder) {
  std::atomic<int> calls = 0;
  for (const int threads : {0, 1, 4, kAuto}) {
    calls = 0;
    const Dataset data = numbers(400).filter(is_even).map(
        [&](Element&, const MapContext& context) {
          EXPECT_EQ(context.index % 2, 0);
          ++calls;
        },
        {.threads = threads});
    EXPECT_EQ(drain(data.batch(3).prefetch(2)), drain(numbers(400).filter(is_even)));
    EXPECT_EQ(calls, 200);
  }
}

TEST(StreamTest, CachesWhatItReadOnce) {
  std::atomic<int> calls = 0;
  const Dataset data = numbers(20)
                           .filter([&](const Element& e) {
                             ++calls;
                             return is_even(e);
                           })
                           .cache();
  EXPECT_EQ(drain(data.repeat(3)), drain(numbers(20).filter(is_even).repeat(3)));
  EXPECT_EQ(calls, 20);
}

// The workers of a job share each batch of a stream, too.
TEST(StreamTest, PartsOfABatchMakeTheBatch) {
  const Dataset data = numbers(23).filter(is_even);
  std::vector<int64_t> whole, parts;
  Iterator all = data.batch(4).iterator();
  std::vector<Iterator> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(data.batch_part(4, i, 3).iterator());
  for (Element batch; all.next(batch);) {
    EXPECT_EQ(batch[0].shape()[0], 4);
    for (Iterator& worker : workers) {
      Element part;
      ASSERT_TRUE(worker.next(part));
      const auto ids = ids_of(part);
      parts.insert(parts.end(), ids.begin(), ids.end());
    }
    const auto ids = ids_of(batch);
    whole.insert(whole.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(parts, whole);
}

// Errors of a stage come where its element would have come, and stay.
TEST(StreamTest, AnErrorComesWhereItsElementWouldHaveComeAndStays) {
  for (const int threads : {0, 3}) {
    const Dataset data = numbers(50)
                             .filter([](const Element& e) {
                               if (e[1].item<int64_t>() >= 21) throw invalid_argument("bad");
                               return is_even(e);
                             })
                             .map([](Element&, const MapContext&) {}, {.threads = threads});
    for (const Dataset& chain : {data, data.prefetch(4)}) {
      Iterator iterator = chain.iterator();
      EXPECT_EQ(drain(iterator, 11).size(), 11u);
      Element element;
      for (int again = 0; again < 3; ++again) {
        EXPECT_EQ(message_of([&] { iterator.next(element); }), "bad");
      }
      EXPECT_EQ(iterator.position(), 11);
      Iterator resumed = chain.iterator();
      resumed.restore(iterator.state());
      EXPECT_EQ(message_of([&] { resumed.next(element); }), "bad");
      iterator.seek(10);
      ASSERT_TRUE(iterator.next(element));
      EXPECT_EQ(ids_of(element), iota(20, 21));
    }
  }
}

TEST(StagesTest, RefuseWhatMakesNoSense) {
  EXPECT_THAT(message_of([] { numbers(2).filter(nullptr); }),
              HasSubstr("filter: expected a function"));
  EXPECT_THAT(message_of([] { numbers(2).filter(is_even).shuffle(1); }),
              HasSubstr("found a stream"));
  EXPECT_THAT(message_of([] { numbers(2).shuffle(1, 0); }), HasSubstr("blocks of at least 1"));
  EXPECT_THAT(message_of([] { numbers(2).window({.size = 0}); }),
              HasSubstr("window: expected a size"));
  EXPECT_THAT(message_of([] { numbers(2).padded_batch(0); }),
              HasSubstr("padded_batch: expected a size"));
  EXPECT_THAT(message_of([] { numbers(2).rename({"a"}); }), HasSubstr("rename: expected 2 names"));
  EXPECT_THAT(message_of([] { range(0, 3, 0); }), HasSubstr("range: expected a step"));
  EXPECT_THAT(message_of([] { zip({}); }), HasSubstr("zip: expected at least one"));
  EXPECT_THAT(message_of([] { list_files("/no/such/*.file"); }), HasSubstr("no file matches"));
  EXPECT_THAT(message_of([] { numbers(2).interleave(count_up, kValue, {.cycle_length = 0}); }),
              HasSubstr("cycle_length from 1"));
}

}  // namespace
}  // namespace trireme::data
