// Resume: state() and restore() at every step, through every kind of chain.
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
