// Tables on their way through a Setup message.
#include "ps/protocol/setup.h"

#include <gmock/gmock.h>

#include <functional>

#include "core/base/error.h"
#include "proto/ps.pb.h"

namespace trireme::ps {
namespace {

using ::testing::HasSubstr;

TableSpec sample() {
  return {.name = "embedding",
          .dim = 16,
          .update = {.op = "ApplyAdam",
                     .attributes = {{"beta1", 0.9},
                                    {"lazy", true},
                                    {"n", int64_t{7}},
                                    {"mode", std::string("x")}},
                     .slot_names = {"m", "v"},
                     .slot_initials = {0, 0.1}},
          .initializer = {RowInitializer::Kind::kNormal, 0.5, 0.25, 99},
          .admission = {3, 0.5},
          .eviction = {10, 2, 1000}};
}

proto::Table message_of(const TableSpec& table) {
  proto::Table message;
  to_proto(table, message);
  return message;
}

std::string refusal(const std::function<void(proto::Table&)>& change) {
  proto::Table message = message_of(sample());
  change(message);
  try {
    from_proto(message);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(SetupTest, TablesComeBackAsTheyWere) {
  const TableSpec table = from_proto(message_of(sample()));
  EXPECT_EQ(message_of(table).SerializeAsString(), message_of(sample()).SerializeAsString());
  EXPECT_EQ(table.update.attributes.to_string(), sample().update.attributes.to_string());
  EXPECT_EQ(table.initializer.kind, RowInitializer::Kind::kNormal);
  EXPECT_EQ(table.initializer.key, 99U);
  EXPECT_EQ(table.admission.after, 3);
  EXPECT_EQ(table.eviction.max_rows, 1000);
}

TEST(SetupTest, RefusesWhatNoTableCanBe) {
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_THAT(refusal([](auto& t) { t.clear_name(); }), HasSubstr("name"));
  EXPECT_THAT(refusal([](auto& t) { t.set_dim(0); }), HasSubstr("found 0"));
  EXPECT_THAT(refusal([](auto& t) { t.set_dim(int64_t{1} << 40); }), HasSubstr("dimension"));
  EXPECT_THAT(refusal([](auto& t) { t.set_rows(INT64_MAX); }), HasSubstr("rows"));
  EXPECT_THAT(refusal([](auto& t) { t.set_elements(1); }), HasSubstr("elements"));
  EXPECT_THAT(refusal([](auto& t) { t.add_slot_names("w"); }), HasSubstr("first value"));
  EXPECT_THAT(refusal([](auto& t) { t.set_initializer_kind(9); }), HasSubstr("found 9"));
  EXPECT_THAT(refusal([](auto& t) { t.set_admit_after(0); }), HasSubstr("admission"));
  EXPECT_THAT(refusal([](auto& t) { t.set_admit_probability(NAN); }), HasSubstr("probability"));
  EXPECT_THAT(refusal([](auto& t) { t.set_evict_max_rows(-1); }), HasSubstr("eviction"));
  EXPECT_THAT(refusal([](auto& t) { t.add_update_attributes()->set_name("q"); }),
              HasSubstr("\"q\""));
  TableSpec strange = sample();
  strange.update.attributes.set("shape", Shape{1, 2});
  EXPECT_THROW(message_of(strange), Error);
}

TEST(SetupTest, RefusesTwoTablesOfOneName) {
  proto::Setup setup;
  to_proto(sample(), *setup.add_tables());
  EXPECT_EQ(tables_of(setup).size(), 1U);
  to_proto(sample(), *setup.add_tables());
  EXPECT_THROW(tables_of(setup), Error);
}

TEST(SetupTest, SaysWhatASecondWorkerWantsOtherwise) {
  proto::Setup first;
  to_proto(sample(), *first.add_tables());
  proto::Setup second = first;
  EXPECT_EQ(difference(first, second), "");
  second.mutable_tables(0)->set_dim(8);
  EXPECT_THAT(difference(first, second), HasSubstr("table \"embedding\": modified: dim: 16 -> 8"));
  second = first;
  second.set_workers(3);
  EXPECT_THAT(difference(first, second), HasSubstr("workers"));
  second = first;
  second.add_tables();
  EXPECT_THAT(difference(first, second), HasSubstr("1 tables, not 2"));
}

}  // namespace
}  // namespace trireme::ps
