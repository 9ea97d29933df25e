// What is read from a request or an answer, and what is refused.
#include "ps/protocol/wire.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "tests/ps/protocol/messages.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kDim = 3;

class WireTest : public ::testing::Test {
 protected:
  // Keys of a table in the order of the wire.
  std::vector<int64_t> ordered(int table, std::vector<int64_t> keys) const {
    std::ranges::sort(keys, {},
                      [&](int64_t key) { return std::pair(shards_.shard_of(table, key), key); });
    return keys;
  }
  static RequestHeader push_header(uint32_t sections) {
    return {.kind = RequestKind::kPush,
            .section_count = sections,
            .sequence = 1,
            .step = 1,
            .learning_rate = 0.1F};
  }
  static SectionHeader section(int table, const std::vector<int64_t>& keys, int64_t dim) {
    return {.table = static_cast<uint32_t>(table),
            .has_keys = 1,
            .list_id = key_list_id(table, keys),
            .count = static_cast<int64_t>(keys.size()),
            .dim = dim};
  }
  // A push of one section with keys and rows.
  MessageBytes push(const std::function<void(RequestHeader&, SectionHeader&,
                                             std::vector<int64_t>&)>& change = nullptr) const {
    std::vector<int64_t> keys = ordered(0, {5, 77, 3, 1'000'000'007});
    RequestHeader header = push_header(1);
    SectionHeader of = section(0, keys, kDim);
    const std::vector<float> rows(keys.size() * kDim, 1.5F);
    if (change) change(header, of, keys);
    return MessageBytes().add(header).add(of).add(keys).add(rows);
  }
  Request parse(const Message& message) const { return parse_request(message, tables_, shards_); }
  std::string refusal(const MessageBytes& bytes) const {
    try {
      parse(bytes.message());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
      return error.what();
    }
    return "";
  }

  const std::vector<TableSpec> tables_ = {
      {.name = "sparse", .dim = kDim},
      {.name = "dense", .dim = 8, .rows = 100, .elements = 800},
  };
  const ShardMap shards_{tables_};
};

TEST_F(WireTest, ReadsAPushOfTwoTables) {
  const auto sparse = ordered(0, {9, 4, 1}), dense = ordered(1, {0, 99});
  std::vector<float> first(sparse.size() * kDim), second(dense.size() * 8);
  std::iota(first.begin(), first.end(), 0.0F);
  std::iota(second.begin(), second.end(), 100.0F);
  const auto message = MessageBytes()
                           .add(push_header(2))
                           .add(section(0, sparse, kDim))
                           .add(sparse)
                           .add(first)
                           .add(section(1, dense, 8))
                           .add(dense)
                           .add(second)
                           .message();
  const Request request = parse(message);
  ASSERT_EQ(request.sections.size(), 2U);
  EXPECT_EQ(request.header.learning_rate, 0.1F);
  EXPECT_THAT(request.sections[0].keys, ElementsAreArray(sparse));
  EXPECT_THAT(request.sections[1].keys, ElementsAreArray(dense));
  // 9 floats and 4 bytes of padding.
  EXPECT_EQ(request.sections[0].rows.size(), first.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(request.sections[0].rows.data(), first.data(), 36), 0);
  EXPECT_EQ(std::memcmp(request.sections[1].rows.data(), second.data(), 64), 0);
}

TEST_F(WireTest, ReadsAPullWithoutKeysAndOneOfNothing) {
  const RequestHeader header{.section_count = 2};
  const SectionHeader known{.table = 1, .list_id = 7, .count = 50, .dim = 8};
  const Request request =
      parse(MessageBytes().add(header).add(known).add(section(0, {}, kDim)).message());
  ASSERT_EQ(request.sections.size(), 2U);
  EXPECT_EQ(request.sections[0].header.list_id, 7U);
  EXPECT_THAT(request.sections[0].keys, IsEmpty());
  EXPECT_THAT(request.sections[1].keys, IsEmpty());
}

TEST_F(WireTest, KeepsTheBodyOfControlToTheLastByte) {
  const std::string body = "thirteen byte";
  MessageBytes bytes;
  bytes.add(RequestHeader{.kind = RequestKind::kControl}).add(std::as_bytes(std::span(body)));
  bytes.cut(sizeof(RequestHeader) + body.size());
  const Message message = bytes.message();
  const Request request = parse(message);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(request.body.data()), request.body.size()),
            body);
}

TEST_F(WireTest, RefusesEveryLengthButTheRightOne) {
  const MessageBytes whole = push();
  EXPECT_EQ(refusal(whole), "");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(refusal(push().cut(length)), HasSubstr("expected")) << length;
  }
  EXPECT_THAT(refusal(push().add(int64_t{0})), HasSubstr("expected the end, found 8 bytes more"));
}

TEST_F(WireTest, NamesWhatIsWrongWithAHeader) {
  using Keys = std::vector<int64_t>;
  const auto changed = [this](auto change) {
    return refusal(
        push([&](RequestHeader& request, SectionHeader& of, Keys&) { change(request, of); }));
  };
  EXPECT_THAT(changed([](auto& r, auto&) { r.magic = 1; }), HasSubstr("magic"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.version = 9; }), HasSubstr("found 9"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.kind = static_cast<RequestKind>(6); }),
              HasSubstr("kind of request"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.slot = -1; }), HasSubstr("slot"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.worker = -2; }), HasSubstr("worker"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.row_type = static_cast<RowType>(4); }),
              HasSubstr("row type"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.sequence = 0; }), HasSubstr("sequence"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.step = 0; }), HasSubstr("step"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.step = -1; }), HasSubstr("step"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.part = 1; }), HasSubstr("1 of 1"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.learning_rate = NAN; }), HasSubstr("learning rate"));
  EXPECT_THAT(changed([](auto& r, auto&) { r.section_count = 4'000'000'000; }),
              HasSubstr("4000000000"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.table = 2; }), HasSubstr("found table 2"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.dim = 4; }), HasSubstr("dimension 3, found 4"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.has_keys = 2; }), HasSubstr("has_keys"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.list_id ^= 1; }), HasSubstr("id of these keys"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.count = -1; }), HasSubstr("found -1"));
  EXPECT_THAT(changed([](auto&, auto& s) { s.count = INT64_MAX; }), HasSubstr("count"));
  // Products that would not fit.
  EXPECT_THAT(changed([](auto&, auto& s) { s.count = int64_t{1} << 40; }), HasSubstr("keys"));
  EXPECT_THAT(changed([](auto&, auto& s) {
                s.has_keys = 0;
                s.count = int64_t{1} << 39;
              }),
              HasSubstr("rows"));
}

TEST_F(WireTest, RefusesKeysThatAreNegativeOutOfOrderTwiceOrNotThere) {
  const auto with = [this](int table, const std::vector<int64_t>& keys) {
    const RequestHeader header{.section_count = 1};
    return refusal(
        MessageBytes().add(header).add(section(table, keys, table == 0 ? kDim : 8)).add(keys));
  };
  const auto good = ordered(0, {1, 2, 3, 4, 5});
  EXPECT_EQ(with(0, good), "");
  auto bad = good;
  std::swap(bad[2], bad[3]);
  EXPECT_THAT(with(0, bad), HasSubstr("in order of (virtual shard, key)"));
  // Byte 96 + 32 + 3 · 8.
  EXPECT_THAT(with(0, bad), HasSubstr("byte 152"));
  bad = good;
  bad[1] = bad[0];
  EXPECT_THAT(with(0, bad), HasSubstr("none twice"));
  EXPECT_THAT(with(0, {-1}), HasSubstr("found -1"));
  EXPECT_THAT(with(1, {100}), HasSubstr("expected a key from 0 to 99, found 100"));
  EXPECT_EQ(with(1, {99}), "");
}

TEST_F(WireTest, MakesTheRangesOfTheShards) {
  std::vector<int64_t> keys(500);
  std::iota(keys.begin(), keys.end(), 0);
  const auto list = make_key_list(0, ordered(0, keys), shards_);
  EXPECT_EQ(list->id, key_list_id(0, list->keys));
  int64_t at = 0;
  int last = -1;
  for (const KeyList::Range& range : list->ranges) {
    EXPECT_EQ(range.begin, at);
    EXPECT_LT(range.begin, range.end);
    EXPECT_GT(range.shard, last);
    for (; at < range.end; ++at) {
      EXPECT_EQ(shards_.shard_of(0, list->keys[static_cast<size_t>(at)]), range.shard);
    }
    last = range.shard;
  }
  EXPECT_EQ(at, 500);
  EXPECT_THAT(make_key_list(0, {}, shards_)->ranges, IsEmpty());
}

TEST_F(WireTest, TellsKeyListsApart) {
  std::vector<uint64_t> ids;
  std::vector<int64_t> keys;
  for (int64_t key = 0; key < 40; ++key) {
    ids.push_back(key_list_id(0, keys));
    ids.push_back(key_list_id(1, keys));
    keys.push_back(key);
  }
  std::swap(keys[3], keys[7]);
  ids.push_back(key_list_id(0, keys));
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

// What is left of a batch for a shard that moves is often one key, and the tables' first keys are
// the same small numbers.
TEST_F(WireTest, TellsShortListsOfDifferentTablesApart) {
  std::vector<uint64_t> ids;
  for (int table = 0; table < 8; ++table) {
    for (int64_t first = 0; first < 100; ++first) {
      ids.push_back(key_list_id(table, std::vector<int64_t>{first}));
      for (int64_t second = first + 1; second < 100; ++second) {
        ids.push_back(key_list_id(table, std::vector<int64_t>{first, second}));
      }
    }
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

TEST_F(WireTest, ReadsTheRowsOfAnAnswer) {
  const std::vector<float> first(9, 1), second(16, 2);
  const AnswerHeader header{.section_count = 2, .view = 3, .step = 4};
  const std::vector<ExpectedRows> expected = {{3, 3}, {2, 8}};
  const auto message = MessageBytes().add(header).add(first).add(second).message();
  const Answer answer = parse_answer(message, RowType::kFloat32, expected);
  EXPECT_EQ(answer.header.view, 3);
  EXPECT_EQ(answer.rows[0].size(), 36U);
  EXPECT_EQ(answer.rows[1].size(), 64U);
  const auto fails = [&](const Message& bytes, std::vector<ExpectedRows> rows, RowType type) {
    try {
      parse_answer(bytes, type, rows);
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
      return std::string(error.what());
    }
  };
  EXPECT_THAT(fails(message, {{3, 3}}, RowType::kFloat32), HasSubstr("expected 1 sections"));
  EXPECT_THAT(fails(message, {{3, 3}, {3, 8}}, RowType::kFloat32), HasSubstr("3 rows of 32 bytes"));
  EXPECT_THAT(fails(message, expected, RowType::kFloat16), HasSubstr("expected the end"));
  EXPECT_THAT(fails(own({}), expected, RowType::kFloat32), HasSubstr("answer's header"));
}

TEST_F(WireTest, RethrowsTheErrorOfAnAnswer) {
  const Message message = joined(error_answer({ErrorCode::kResourceExhausted, "no\nmemory"}, 5));
  try {
    parse_answer(message, RowType::kFloat32, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_STREQ(error.what(), "no?memory");  // one line, whoever says it
  }
}

TEST_F(WireTest, ReadsPlainAnswersAndBodies) {
  const std::vector<ExpectedRows> expected = {{3, 3}};
  for (const AnswerCode code :
       {AnswerCode::kNeedKeys, AnswerCode::kWrongView, AnswerCode::kDropped}) {
    const Message message = joined(plain_answer(code, 6, 7));
    const Answer answer = parse_answer(message, RowType::kFloat32, expected);
    EXPECT_EQ(answer.header.code, code);
    EXPECT_EQ(answer.header.view, 6);
    EXPECT_EQ(answer.header.step, 7);
    EXPECT_THAT(answer.rows, IsEmpty());
  }
  const Message message = joined(body_answer("a status", 1));
  const Answer answer = parse_answer(message, RowType::kFloat32, {});
  EXPECT_EQ(answer.body.size(), 8U);
}

}  // namespace
}  // namespace trireme::ps
