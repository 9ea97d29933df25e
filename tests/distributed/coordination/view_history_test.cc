// Views as wholes and as changes, without a network.
#include "distributed/coordination/view_history.h"

#include <gmock/gmock.h>

#include <random>

#include "core/base/error.h"
#include "proto/directory_service.pb.h"
#include "tests/distributed/coordination/members.h"

namespace trireme::testing {
namespace {

ServerView view_of(int servers) {
  ServerView view{.number = 1};
  for (int i = 0; i < servers; ++i) {
    view.servers.push_back({.index = i, .incarnation = 1, .alive = true, .address = "n:1"});
    view.slots.push_back({.primary = i, .backup = (i + 1) % servers, .epoch = 1});
    view.slot_of_shard.push_back(i);
  }
  return view;
}

directory::View parsed(const ViewHistory::Bytes& bytes) {
  directory::View message;
  EXPECT_TRUE(message.ParseFromString(*bytes));
  return message;
}

// One random thing that a directory does.
void change(ServerView& view, std::mt19937& random) {
  const auto any = [&] { return static_cast<size_t>(random() % view.servers.size()); };
  const auto i = any(), j = any();
  switch (random() % 5) {
    case 0:
      view.servers[i].alive = !view.servers[i].alive;
      break;
    case 1:
      ++view.servers[i].incarnation;
      view.servers[i].address = str_cat("n:", random() % 1000);
      break;
    case 2:
      view.slots[i] = {.primary = static_cast<int>(j) - 1,
                       .backup = -1,
                       .backup_in_sync = random() % 2 == 0,
                       .epoch = view.slots[i].epoch + 1,
                       .restore = random() % 2 == 0};
      break;
    case 3:
      view.slot_of_shard[i] = static_cast<int>(j);
      break;
    default:
      view.move = {static_cast<int>(i), 0, static_cast<int>(j), view.number};
      if (random() % 2 == 0) view.move.reset();
  }
  ++view.number;
}

// Whoever follows changes has what the directory has, however many were put together.
TEST(ViewHistoryTest, ChangesLeadToTheSameViewAsTheWhole) {
  std::mt19937 random(1);
  ViewHistory history;
  ServerView view = view_of(7);
  std::vector<ViewReplica> replicas(3);
  std::vector<int64_t> told(replicas.size());
  for (int round = 0; round < 2000; ++round) {
    EXPECT_TRUE(history.update(view, "s", 2));
    EXPECT_FALSE(history.update(view, "s", 2)) << "nothing has changed";
    ServerView expected = view;
    expected.session = "s";
    for (size_t i = 0; i < replicas.size(); ++i) {
      if (random() % (i + 1) != 0) continue;  // this one is told later
      const auto message = parsed(history.message_since(told[i]));
      ASSERT_TRUE(replicas[i].apply(message));
      ASSERT_EQ(replicas[i].view(), expected);
      told[i] = history.revision();
    }
    change(view, random);
  }
}

// A change is as long as what has changed, whatever the number of servers.
TEST(ViewHistoryTest, ChangeOfOneServerIsShortAndSharedByAll) {
  ViewHistory history;
  ServerView view = view_of(1024);
  history.update(view, "", 0);
  const int64_t base = history.revision();
  EXPECT_GT(history.message_since(0)->size(), 20'000u);
  view.servers[700].alive = false;
  view.slots[700].primary = -1;
  ++view.number;
  history.update(view, "", 0);
  EXPECT_LT(history.message_since(base)->size(), 100u);
  EXPECT_EQ(history.message_since(base), history.message_since(base)) << "the same bytes";
}

// A wrong view without a word would send rows to servers that do not hold them: each of these ends
// in a refusal, and the whole view mends it.
TEST(ViewHistoryTest, ChangeThatDoesNotFitIsRefusedUntilTheWholeComes) {
  ViewHistory history;
  ServerView view = view_of(4);
  history.update(view, "", 0);
  const auto first = parsed(history.message_since(0));
  const int64_t base = history.revision();
  std::mt19937 random(3);
  for (int i = 0; i < 3; ++i) change(view, random);
  view.servers[2].alive = false;
  history.update(view, "", 0);
  const int64_t second = history.revision();
  const auto fits = parsed(history.message_since(base));
  view.servers[1].alive = false;
  ++view.number;
  history.update(view, "", 0);

  const std::vector<std::function<void(directory::View&)>> mutations = {
      [&](directory::View& m) { m = parsed(history.message_since(second)); },  // one was missed
      [](directory::View& m) { m.set_base(m.base() + 7); },
      [](directory::View& m) { m.set_revision(m.base()); },
      [](directory::View& m) { m.set_digest(m.digest() + 1); },
      [](directory::View& m) { m.set_number(m.number() + 1); },
      [](directory::View& m) { m.mutable_servers()->RemoveLast(); },
      [](directory::View& m) { m.mutable_servers(0)->set_index(4); },
      [](directory::View& m) { m.mutable_servers(0)->set_index(-1); },
      [](directory::View& m) { m.mutable_servers(0)->set_address("n:2"); },
      [](directory::View& m) { m.add_slots()->set_index(1 << 30); },
      [](directory::View& m) { m.add_places()->set_shard(-5); },
      [](directory::View& m) { m.add_places()->set_slot(4); },
      [](directory::View& m) { m.mutable_move()->set_to(9); },
  };
  for (size_t i = 0; i < mutations.size(); ++i) {
    ViewReplica replica;
    ASSERT_TRUE(replica.apply(first));
    directory::View message = fits;
    mutations[i](message);
    EXPECT_FALSE(replica.apply(message)) << "mutation " << i;
    EXPECT_FALSE(replica.apply(fits)) << "after a refusal only the whole counts: " << i;
    ASSERT_TRUE(replica.apply(parsed(history.message_since(0))));
    EXPECT_EQ(replica.view(), view);
  }
  directory::View whole = first;
  whole.set_digest(first.digest() + 1);
  EXPECT_EQ(error_of([&] { ViewReplica().apply(whole); }).code(), ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace trireme::testing
