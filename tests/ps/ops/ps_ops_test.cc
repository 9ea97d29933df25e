// The nodes that stand for tables, over tables of this process.
#include "ps/ops/ps_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/autodiff/gradients.h"
#include "core/device/kernel.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "ps/ops/local_store.h"
#include "ps/ops/training_tables.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

// "rows": sparse, of two elements that begin with 1; "w": five elements in rows of two.
std::vector<TableSpec> tables() {
  TableSpec rows{.name = "rows", .dim = 2};
  rows.initializer.a = 1;
  return {rows, {.name = "w", .dim = 2, .rows = 3, .elements = 5}};
}

class PsOpsTest : public ::testing::Test {
 protected:
  PsOpsTest() : store_(std::make_shared<LocalStore>(tables())) {
    auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
    const auto slot = std::make_shared<TableStoreSlot>();
    register_ps_kernels(*kernels, slot);
    slot->set(store_);
    auto ops = std::make_shared<OpTable>();
    register_core_ops(*ops);
    register_ps_ops(*ops);
    graph_ = std::make_unique<Graph>(ops);
    session_ = std::make_unique<Session>(*graph_, SessionOptions{.kernels = kernels});
    store_->assign(1, std::vector<float>{0, 1, 2, 3, 4});
  }

  std::shared_ptr<LocalStore> store_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Session> session_;
};

TEST_F(PsOpsTest, ALookupHasTheShapeOfItsKeysAndTakesBothIntegers) {
  for (const DType dtype : {DType::kInt32, DType::kInt64}) {
    const Value keys = ops::placeholder(*graph_, "keys", dtype, {-1, 3});
    const Value rows =
        graph_->add("PsLookup", {keys}, {{"table", std::string("rows")}, {"dim", int64_t{2}}})
            .output();
    EXPECT_EQ(rows.shape(), (Shape{-1, 3, 2}));
    const Tensor fed = dtype == DType::kInt32 ? Tensor::from<int32_t>({1, 3}, {5, 7, 5})
                                              : Tensor::from<int64_t>({1, 3}, {5, 7, 5});
    EXPECT_THAT(session_->run({{keys, fed}}, {rows})[0].flat<float>(),
                ElementsAre(1, 1, 1, 1, 1, 1));
  }
}

// What a step does: pulls a list and a dense table, and pushes the gradients of what it pulled.
TEST_F(PsOpsTest, AStepPullsAndPushes) {
  const Value step = ops::placeholder(*graph_, "step", DType::kInt64, {});
  const Value rate = ops::placeholder(*graph_, "rate", DType::kFloat32, {});
  const Value keys = ops::placeholder(*graph_, "keys", DType::kInt64, {-1});
  const Value like = ops::placeholder(*graph_, "like", DType::kFloat32, {5});
  Node& pull = graph_->add(
      "PsPull", {step, keys, like},
      {{"tables", std::string("rows\nw")}, {"dims", Ints{2}}, {"label", std::string("pull")}});
  const Value loss = ops::sum(pull.output(0)) + ops::sum(ops::square(pull.output(1)));
  const std::vector<Value> wrt = {pull.output(0), pull.output(1)};
  const std::vector<Gradient> found = gradients(loss, wrt);
  Node& push = graph_->add("PsPush", {rate, step, keys, found[0].values, found[1].values},
                           {{"tables", std::string("rows\nw")},
                            {"lookups", int64_t{1}},
                            {"part", int64_t{0}},
                            {"parts", int64_t{1}},
                            {"label", std::string("push")}});
  const std::vector<std::pair<Value, Tensor>> feeds = {
      {step, Tensor::scalar<int64_t>(1)},
      {rate, Tensor::scalar<float>(0.5F)},
      {keys, Tensor::from<int64_t>({3}, {7, 2, 7})},
      {like, Tensor::zeros(DType::kFloat32, {5})}};
  const auto values = session_->run(feeds, {pull.output(1), loss}, {&push});
  EXPECT_THAT(values[0].flat<float>(), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(values[1].item<float>(), 6 + 30);

  // AssignAdd: key 7 came twice, so it has 1 + 2; the dense table has w + 2w.
  std::vector<float> rows(4), dense(5);
  const std::vector<int64_t> asked = {7, 2};
  const std::vector<TableRows<float>> wanted = {{0, asked, rows.data()}, {1, {}, dense.data()}};
  store_->pull(2, wanted);
  EXPECT_THAT(rows, ElementsAre(3, 3, 2, 2));
  EXPECT_THAT(dense, ElementsAreArray({0, 3, 6, 9, 12}));
}

TEST_F(PsOpsTest, WhatDoesNotFitIsRefusedWhereItIsBuilt) {
  const Value numbers = ops::placeholder(*graph_, "numbers", DType::kFloat32, {3});
  EXPECT_THROW(
      graph_->add("PsLookup", {numbers}, {{"table", std::string("rows")}, {"dim", int64_t{2}}}),
      Error);
  EXPECT_THROW(graph_->add("PsPull", {numbers}, {{"dims", Ints{}}}), Error);
}

TEST(DenseTableTest, RowsAreEvenAndHaveAlmostNoPadding) {
  EXPECT_EQ(dense_table("bias", 10).rows, 1);
  EXPECT_EQ(dense_table("bias", 10).dim, 10);
  for (const int64_t elements : {16384, 16385, 784 * 300, 1'000'003, 25'000'000}) {
    const TableSpec table = dense_table("kernel", elements);
    EXPECT_LE(table.dim, 16 << 10);
    EXPECT_GE(table.rows * table.dim, elements);
    EXPECT_LT(table.rows * table.dim - elements, table.rows) << elements;
    EXPECT_EQ(table.elements, elements);
  }
}

}  // namespace
}  // namespace trireme::ps
