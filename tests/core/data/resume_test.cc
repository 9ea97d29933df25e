// Resume: state() and restore() at every step, through every kind of chain.
#include <span>

#include "core/data/dataset.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::HasSubstr;

struct Chain {
  std::string name;
  std::function<Dataset()> make;
};

void touch(Element& element, const MapContext& context) {
  // Moves x by a random number and back: the tensors go through the workers.
  const float shift = std::floor(context.random().uniform(0, 64));
  for (float& x : element[0].flat<float>()) x = x + shift - shift;
}

std::vector<Chain> chains() {
  return {
      {"plain", [] { return numbers(9); }},
      {"shuffle_repeat_batch", [] { return numbers(11).shuffle(3).repeat(3).batch(4); }},
      {"shuffle_batch_repeat", [] { return numbers(11).shuffle(3).batch(4).repeat(3); }},
      {"drop", [] { return numbers(11).shuffle(3).batch(4, true).repeat(3); }},
      {"prefetch", [] { return numbers(11).shuffle(3).repeat(3).batch(4).prefetch(5); }},
      {"map",
       [] {
         return numbers(11).shuffle(3).map(touch, {.threads = 3}).repeat(3).batch(4).prefetch(2);
       }},
      {"shards",
       [] {
         return numbers(23).shuffle(1).repeat(2).shard(3, 1).map(touch, {.threads = 2}).batch(2);
       }},
      {"shuffled_batches", [] { return numbers(23).batch(3).shuffle(1).repeat(2); }},
      {"cache", [] { return numbers(7).cache().shuffle(4).repeat(3).batch(2).prefetch(); }},
      {"take_skip",
       [] { return numbers(20).shuffle(2).skip(3).take(9).repeat(2).skip(1).batch(2); }},
      {"stream", [] { return stream_of_numbers(7).repeat(3).batch(2).prefetch(3); }},
      {"stream_mapped",
       [] { return stream_of_numbers(7).map(touch, {.threads = 3}).skip(1).batch(3).repeat(2); }},
  };
}

// Elements of "x" and "id" again, of each id % 3 + 1.
Dataset some_of_each(const Element& element) {
  const int64_t id = element[1].item<int64_t>();
  return numbers(id + 3).skip(id).take(id % 3 + 1);
}
bool odd(const Element& element) { return element[1].item<int64_t>() % 2 == 1; }

std::vector<Chain> stream_chains() {
  const ElementSpec spec = numbers(1).element_spec();
  return {
      {"filter", [] { return numbers(11).shuffle(3).filter(odd).repeat(3).batch(2); }},
      {"filter_prefetch",
       [] { return numbers(21).shuffle(3).map(touch, {.threads = 3}).filter(odd).prefetch(3); }},
      {"filter_mapped",
       [] { return numbers(21).filter(odd).map(touch, {.threads = 3}).filter(odd).repeat(2); }},
      {"flat_map", [spec] { return numbers(7).shuffle(1).flat_map(some_of_each, spec).repeat(2); }},
      {"flat_map_of_a_stream",
       [spec] { return numbers(9).filter(odd).flat_map(some_of_each, spec).batch(2); }},
      {"interleave",
       [spec] {
         return numbers(9).repeat(2).interleave(
             some_of_each, spec, {.cycle_length = 3, .block_length = 2, .prefetch = 2});
       }},
      {"nested",
       [spec] {
         return numbers(5)
             .interleave(
                 [spec](const Element& e) {
                   return some_of_each(e).flat_map(some_of_each, spec).filter(odd);
                 },
                 spec, {.cycle_length = 2})
             .repeat(2);
       }},
      {"unbatch", [] { return numbers(11).shuffle(2).batch(4).unbatch().repeat(2); }},
      {"rebatch", [] { return numbers(11).filter(odd).batch(4).rebatch(3).repeat(3); }},
      {"concatenate", [] { return numbers(4).filter(odd).concatenate(numbers(3)).repeat(2); }},
      {"concatenate_by_index", [] { return numbers(4).concatenate(numbers(3)).shuffle(1); }},
      {"window", [] { return numbers(15).filter(odd).window({.size = 3, .shift = 1}); }},
      {"window_gaps", [] { return numbers(45).filter(odd).window({.size = 2, .shift = 4}); }},
      {"window_by_index", [] { return numbers(9).window({.size = 3, .shift = 2}).repeat(2); }},
      {"padded", [] { return numbers(15).filter(odd).padded_batch(2); }},
      {"buckets",
       [] {
         return numbers(17).group_by_window(
             {.key = [](const Element& e) { return e[1].item<int64_t>() % 3; },
              .window_size = [](int64_t key) { return key + 2; }});
       }},
      {"buckets_of_a_stream",
       [] {
         return numbers(31).shuffle(1).filter(odd).repeat(2).group_by_window(
             {.key = [](const Element& e) { return e[1].item<int64_t>() % 3; },
              .window_size = [](int64_t key) { return key + 2; }});
       }},
      {"sample",
       [] {
         return sample_from_datasets({numbers(9).filter(odd), numbers(8).shuffle(1)},
                                     {.weights = {1, 2}, .seed = 3});
       }},
      {"choose",
       [] {
         return choose_from_datasets({numbers(9).filter(odd), numbers(8)}, range(0, 2).repeat(9))
             .repeat(2);
       }},
      {"resample",
       [] {
         return numbers(40).rejection_resample(
             {.class_of = [](const Element& e) { return e[1].item<int64_t>() % 4 == 0 ? 1 : 0; },
              .target = {1, 1},
              .seed = 2});
       }},
      {"block_shuffle", [] { return numbers(25).filter(odd).shuffle(5, 4).repeat(2).batch(3); }},
      {"block_shuffle_by_index", [] { return numbers(25).shuffle(5, 4).repeat(2).batch(3); }},
      {"cached_stream", [] { return numbers(9).filter(odd).cache().repeat(3); }},
      {"take_while",
       [] {
         return numbers(9)
             .take_while([](const Element& e) { return e[1].item<int64_t>() < 4; })
             .repeat(2);
       }},
      {"unique", [] { return numbers(6).repeat(3).unique().concatenate(numbers(2)); }},
      {"ignore_errors",
       [] {
         return numbers(12)
             .map(
                 [](Element& e, const MapContext&) {
                   if (odd(e)) throw invalid_argument("odd");
                 },
                 {.threads = 2})
             .ignore_errors()
             .repeat(2);
       }},
      {"scan",
       [] {
         return numbers(9).filter(odd).scan(
             {Tensor::scalar<int64_t>(0), Tensor::from<float>({3}, {0, 0, 0})},
             [](Element& state, Element& e) {
               state[0].flat<int64_t>()[0] += e[1].item<int64_t>();
               const auto sum = state[0].item<int64_t>();
               e = {Tensor::from<float>({2},
                                        {static_cast<float>(sum), static_cast<float>(sum) + 0.5f}),
                    Tensor::scalar(sum)};
             });
       }},
  };
}

class ResumeTest : public testing::TestWithParam<Chain> {};

TEST_P(ResumeTest, ContinuesWithTheVeryNextElement) {
  const Dataset data = GetParam().make();
  // The ids of each element, and the state and epoch after it.
  std::vector<std::vector<int64_t>> elements;
  Iterator whole = data.iterator();
  std::vector<std::string> states{whole.state()};
  std::vector<uint64_t> epochs{0};
  for (Element e; whole.next(e);) {
    elements.push_back(ids_of(e));
    states.push_back(whole.state());
    epochs.push_back(whole.epoch());
  }
  ASSERT_GT(elements.size(), 3u);
  Iterator reused = data.iterator();
  for (size_t step = 0; step <= elements.size(); ++step) {
    Iterator fresh = GetParam().make().iterator();  // as after a restart of the process
    for (Iterator* iterator : {&fresh, &reused}) {
      iterator->restore(states[step]);
      EXPECT_EQ(iterator->position(), static_cast<int64_t>(step));
      EXPECT_EQ(iterator->epoch(), epochs[step]);
      EXPECT_EQ(iterator->state(), states[step]);
      Element e;
      for (size_t next = step; next < elements.size(); ++next) {
        ASSERT_TRUE(iterator->next(e));
        ASSERT_EQ(ids_of(e), elements[next]) << "restored at " << step << ", element " << next;
        EXPECT_EQ(iterator->state(), states[next + 1]);
      }
      EXPECT_FALSE(iterator->next(e));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Chains, ResumeTest, testing::ValuesIn(chains()),
                         [](const auto& info) { return info.param.name; });

TEST(StateTest, IsTheSameForAnyNumberOfThreads) {
  Iterator one = numbers(9).shuffle(1).map(touch, {.threads = 0}).batch(2).iterator();
  Element e;
  one.next(e);
  one.next(e);
  Iterator many = numbers(9).shuffle(1).map(touch, {.threads = 4}).batch(2).prefetch(3).iterator();
  many.restore(one.state());
  ASSERT_TRUE(many.next(e));
  EXPECT_EQ(many.position(), 3);
}

TEST(StateTest, BelongsToItsChain) {
  const std::string state = numbers(9).shuffle(1).batch(2).iterator().state();
  for (const Dataset& other :
       {numbers(9).shuffle(2).batch(2), numbers(9).shuffle(1).batch(3),
        numbers(10).shuffle(1).batch(2), numbers(9).batch(2), numbers(9).shuffle(1)}) {
    Iterator iterator = other.iterator();
    EXPECT_THAT(message_of([&] { iterator.restore(state); }),
                HasSubstr("it was taken from another data set"));
  }
}

INSTANTIATE_TEST_SUITE_P(Streams, ResumeTest, testing::ValuesIn(stream_chains()),
                         [](const auto& info) { return info.param.name; });

// A step that failed is repeated with the batch that it had, and a batch that was read ahead is
// read again.
TEST_P(ResumeTest, GoesBackByOneAndTwo) {
  const Dataset data = GetParam().make();
  Iterator iterator = data.iterator();
  std::vector<std::vector<int64_t>> elements;
  for (Element e; iterator.next(e);) elements.push_back(ids_of(e));
  iterator.seek(0);
  Element e;
  for (int64_t step = 0; step < static_cast<int64_t>(elements.size()); ++step) {
    ASSERT_TRUE(iterator.next(e));
    const int64_t back = std::max<int64_t>(step - 1, 0);
    iterator.seek(back);
    for (int64_t again = back; again <= step; ++again) {
      ASSERT_TRUE(iterator.next(e));
      ASSERT_EQ(ids_of(e), elements[static_cast<size_t>(again)]);
    }
  }
}

// A stream that can say where it is, and counts what it made.
class CountingStream final : public ExampleStream {
 public:
  explicit CountingStream(int* made) : made_(made) {}
  bool next(Element& out) override {
    if (at_ == 100) return false;
    const auto x = static_cast<float>(at_);
    out = {Tensor::from<float>({2}, {x, x + 0.5f}), Tensor::scalar(at_)};
    ++at_;
    ++*made_;
    return true;
  }
  std::vector<int64_t> place() const override { return {at_}; }
  void go_to(std::span<const int64_t> place) override { at_ = place[0]; }

 private:
  int* made_;
  int64_t at_ = 0;
};

// That resuming costs the same after one element and after a million rests on this.
TEST(StateTest, ReadsNothingAgainThatWasBeforeIt) {
  int made = 0;
  const Dataset data =
      from_stream(numbers(1).element_spec(),
                  [&](uint64_t) { return std::make_unique<CountingStream>(&made); })
          .filter(odd)
          .batch(3);
  Iterator iterator = data.iterator();
  Element e;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(iterator.next(e));
  EXPECT_EQ(made, 60);
  Iterator resumed = data.iterator();
  resumed.restore(iterator.state());
  ASSERT_TRUE(resumed.next(e));
  EXPECT_THAT(ids_of(e), testing::ElementsAre(61, 63, 65));
  EXPECT_EQ(made, 66);
}

// A checkpoint carries it: it must stay small, with many elements waiting in buckets too.
TEST(StateTest, StaysAFewKilobytes) {
  const Dataset data =
      numbers(100000)
          .shuffle(1)
          .filter(odd)
          .interleave(
              [](const Element& e) {
                return from_element(e, {"x", "id"}).repeat(2);
              },
              numbers(1).element_spec(), {.cycle_length = 8, .block_length = 2})
          .group_by_window({.key = [](const Element& e) { return e[1].item<int64_t>() % 10; },
                            .window_size = [](int64_t) { return 64; }})
          .prefetch(4);
  Iterator iterator = data.iterator();
  Element e;
  size_t longest = 0;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(iterator.next(e));
    longest = std::max(longest, iterator.state().size());
  }
  EXPECT_LT(longest, 4096u);
}

// The second pass of a data set of unknown length is begun by seek(0, 1).
TEST(StateTest, PassesAreEpochs) {
  const Dataset data = numbers(30).shuffle(1).filter(odd);
  const auto both = drain(data.repeat(2));
  Iterator iterator = data.iterator();
  iterator.seek(0, 1);
  EXPECT_EQ(drain(iterator), std::vector(both.begin() + 15, both.end()));
  EXPECT_EQ(iterator.epoch(), 1u);
  iterator.seek(0, 1);
  drain(iterator, 4);
  Iterator resumed = data.iterator();
  resumed.restore(iterator.state());
  EXPECT_EQ(drain(resumed), std::vector(both.begin() + 19, both.end()));
}

// A checkpoint may be damaged; any changed byte must be noticed, and the iterator must stay as it
// was.
TEST(StateTest, NoticesEveryDamage) {
  Iterator iterator = numbers(9).shuffle(1).repeat().batch(2).iterator();
  Element e;
  iterator.next(e);
  const std::string state = iterator.state();
  for (size_t i = 0; i < state.size(); ++i) {
    std::string damaged = state;
    damaged[i] = damaged[i] == '1' ? '2' : '1';
    EXPECT_THAT(message_of([&] { iterator.restore(damaged); }), HasSubstr("iterator state: "))
        << damaged;
    EXPECT_THAT(message_of([&] { iterator.restore(state.substr(0, i)); }),
                HasSubstr("iterator state: "));
  }
  EXPECT_THAT(message_of([&] { iterator.restore(state + " "); }), HasSubstr("damaged"));
  EXPECT_THAT(message_of([&] { iterator.restore("nonsense"); }),
              HasSubstr("expected it to begin with \"trireme-iterator-1\", found \"nonsense\""));
  EXPECT_EQ(iterator.state(), state);
}

TEST(StateTest, SeekStaysInside) {
  Iterator iterator = numbers(9).batch(2).iterator();
  iterator.seek(5);
  Element e;
  EXPECT_FALSE(iterator.next(e));
  iterator.seek(4);
  EXPECT_TRUE(iterator.next(e));
  EXPECT_EQ(message_of([&] { iterator.seek(6); }),
            "seek: expected a position from 0 to 5, found 6");
  EXPECT_THAT(message_of([&] { iterator.seek(-1); }), HasSubstr("found -1"));
  Iterator endless = numbers(9).repeat().shard(1000, 3).batch(1 << 20).iterator();
  endless.seek(INT64_MAX / 2);
  EXPECT_THAT(message_of([&] { endless.next(e); }), HasSubstr("out of range"));
}

}  // namespace
}  // namespace trireme::data
