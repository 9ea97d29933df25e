// Chains of stages drawn at random: what holds for each stage must hold for any of them together.
#include <atomic>

#include "core/base/philox.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

const ElementSpec& spec() {
  static const ElementSpec kSpec = numbers(1).element_spec();
  return kSpec;
}

int64_t id_of(const Element& element) { return element[1].flat<int64_t>()[0]; }

Dataset one_or_two(const Element& element) {
  const int64_t id = id_of(element);
  return numbers(1000).skip(id % 1000).take(id % 2 + 1);
}

// The same chain for the same seed, with `threads` and prefetch where a stage may have them.
Dataset random_chain(uint64_t seed, int threads) {
  PhiloxGenerator random(seed);
  const auto read_ahead = [&](const Dataset& data) {
    return threads == 0 ? data : data.prefetch(threads + 1);
  };
  Dataset data = random.below(3) == 0
                     ? stream_of_numbers(20 + static_cast<int64_t>(random.below(20)))
                     : numbers(20 + static_cast<int64_t>(random.below(20)));
  const uint64_t stages = 2 + random.below(5);
  for (uint64_t i = 0; i < stages; ++i) {
    const auto size = static_cast<int64_t>(2 + random.below(4));
    switch (random.below(15)) {
      case 0:
        data = data.filter([size](const Element& e) { return id_of(e) % size != 0; });
        break;
      case 1:
        data = data.flat_map(one_or_two, spec()).take(200);
        break;
      case 2:
        data = data.interleave(one_or_two, spec(),
                               {.cycle_length = size, .block_length = 2, .prefetch = threads});
        data = data.take(200);
        break;
      case 3:
        data = data.shuffle(seed, 3 * size);
        break;
      case 4:
        data = data.batch(size).unbatch();
        break;
      case 5:
        data = data.repeat(2).take(150);
        break;
      case 6:
        data = data.concatenate(numbers(size));
        break;
      case 7:
        data = sample_from_datasets({data, numbers(size).repeat(2)}, {.seed = seed});
        break;
      case 8:
        data = data.group_by_window({.key = [size](const Element& e) { return id_of(e) % size; },
                                     .window_size = [](int64_t key) { return key + 1; }})
                   .unbatch();
        break;
      case 9:
        data = data.window({.size = size, .shift = size + 1}).unbatch();
        break;
      case 10:
        data = data.shard(2, 1);
        break;
      case 11:
        data = data.skip(size).take_while([](const Element& e) { return id_of(e) < 900; });
        break;
      case 12:
        data = data.rejection_resample({.class_of = [](const Element& e) { return id_of(e) % 2; },
                                        .target = {2, 1},
                                        .seed = seed});
        break;
      default:
        data = data.map([](Element&, const MapContext&) {}, {.threads = threads});
    }
    if (random.below(4) == 0) data = read_ahead(data);
  }
  return random.below(2) == 0 ? data.batch(3) : data.padded_batch(2);
}

std::vector<std::vector<int64_t>> rest_of(Iterator& iterator) {
  std::vector<std::vector<int64_t>> all;
  for (Element e; all.size() < 1000 && iterator.next(e);) all.push_back(ids_of(e));
  return all;
}

class RandomChainTest : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomChainTest, GivesTheSameForAnyThreadsAndFromAnyPosition) {
  for (uint64_t seed = GetParam() * 12; seed < (GetParam() + 1) * 12; ++seed) {
    SCOPED_TRACE(seed);
    const Dataset plain = random_chain(seed, 0);
    Iterator first = plain.iterator();
    std::vector<std::string> states{first.state()};
    std::vector<std::vector<int64_t>> elements;
    for (Element e; elements.size() < 1000 && first.next(e);) {
      elements.push_back(ids_of(e));
      states.push_back(first.state());
    }
    // Threads take turns as they like: their elements must be those of none. Their states may say
    // the same place in other words, where a part of a chain has ended.
    const Dataset threaded = random_chain(seed, 2);
    Iterator second = threaded.iterator();
    std::vector<std::string> threaded_states;
    for (size_t step = 0; step < elements.size(); ++step) {
      threaded_states.push_back(second.state());
      Element e;
      ASSERT_TRUE(second.next(e));
      ASSERT_EQ(ids_of(e), elements[step]) << step;
    }
    threaded_states.push_back(second.state());
    for (size_t step = 0; step <= elements.size(); step += 1 + step / 8) {
      Iterator resumed = (step % 2 == 0 ? plain : threaded).iterator();
      resumed.restore(step % 4 < 2 ? states[step] : threaded_states[step]);
      const std::vector<std::vector<int64_t>> expected(
          elements.begin() + static_cast<int64_t>(step), elements.end());
      ASSERT_EQ(rest_of(resumed), expected) << "from " << step;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomChainTest, testing::Range<uint64_t>(0, 8));

}  // namespace
}  // namespace trireme::data
