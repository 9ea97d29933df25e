#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Optimizer {
  std::string op, label;
  int slots;
  bool has_step;
  Attributes attributes;
};

const std::vector<Optimizer>& optimizers() {
  static const std::vector<Optimizer> all = {
      {"ApplySgd",
       "plain",
       0,
       false,
       {{"momentum", 0.0}, {"nesterov", false}, {"weight_decay", 0.0}}},
      {"ApplySgd",
       "decay",
       0,
       false,
       {{"momentum", 0.0}, {"nesterov", false}, {"weight_decay", 0.1}}},
      {"ApplyMomentum",
       "plain",
       1,
       false,
       {{"momentum", 0.9}, {"nesterov", false}, {"weight_decay", 0.01}}},
      {"ApplyMomentum",
       "nesterov",
       1,
       false,
       {{"momentum", 0.9}, {"nesterov", true}, {"weight_decay", 0.0}}},
      {"ApplyRmsProp", "plain", 1, false, {{"rho", 0.9}, {"momentum", 0.0}, {"epsilon", 1e-7}}},
      {"ApplyRmsPropMomentum",
       "plain",
       2,
       false,
       {{"rho", 0.9}, {"momentum", 0.5}, {"epsilon", 1e-7}}},
      {"ApplyAdagrad", "plain", 1, false, {{"epsilon", 1e-7}}},
      {"ApplyAdam",
       "decay",
       2,
       true,
       {{"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-7}, {"weight_decay", 0.01}}},
  };
  return all;
}

// Slots are drawn positive: those that hold squares must be.
std::vector<OpInput> inputs_of(const Optimizer& optimizer, const Shape& shape) {
  std::vector<OpInput> inputs = {real(shape)};
  for (int i = 0; i < optimizer.slots; ++i) inputs.push_back(real(shape, 0.1, 1));
  inputs.push_back(fixed(DType::kFloat32, {}, 0.01, 0.1));
  if (optimizer.has_step) inputs.push_back(fixed(DType::kInt64, {}, 1, 50));
  return inputs;
}

}  // namespace

std::vector<OpCase> update_cases() {
  std::vector<OpCase> cases;
  for (const Shape& shape : {Shape{}, Shape{3, 5}, Shape{0, 2}, Shape{70003}}) {
    cases.push_back({"Assign", shape.to_string(), {real(shape), real(shape)}});
    cases.push_back({"AssignAdd", shape.to_string(), {real(shape), real(shape)}});
    cases.push_back({"AssignMovingAverage",
                     shape.to_string(),
                     {real(shape), real(shape)},
                     {{"momentum", 0.9}}});
    for (const Optimizer& optimizer : optimizers()) {
      std::vector<OpInput> inputs = inputs_of(optimizer, shape);
      inputs.push_back(real(shape));
      cases.push_back(
          {optimizer.op, optimizer.label + shape.to_string(), inputs, optimizer.attributes});
    }
  }
  struct Sparse {
    const char* label;
    Shape variable, indices, rows;
    DType dtype;
  };
  for (const Sparse& sparse : {Sparse{"repeats", {5, 3}, {9}, {9, 3}, DType::kInt64},
                               Sparse{"none", {5, 3}, {0}, {0, 3}, DType::kInt32},
                               Sparse{"numbers", {7}, {4}, {4}, DType::kInt32},
                               Sparse{"wide_rows", {4, 3, 211}, {6}, {6, 3, 211}, DType::kInt64},
                               Sparse{"many_rows", {70001, 5}, {901}, {901, 5}, DType::kInt64}}) {
    for (const Optimizer& optimizer : optimizers()) {
      std::vector<OpInput> inputs = inputs_of(optimizer, sparse.variable);
      inputs.push_back(
          fixed(sparse.dtype, sparse.indices, 0, static_cast<double>(sparse.variable[0])));
      inputs.push_back(real(sparse.rows));
      cases.push_back({optimizer.op + "Sparse", optimizer.label + "_" + sparse.label, inputs,
                       optimizer.attributes});
    }
  }
  // With a guard, which random_tensor() makes true or false.
  for (size_t i = 0, count = cases.size(); i < count; ++i) {
    cases.push_back(cases[i]);
    cases.back().op += "If";
    cases.back().inputs.push_back(fixed(DType::kBool, {}, 0, 1));
  }
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const OpInput a = real(ta ? Shape{17, 7} : Shape{7, 17}),
                    b = real(tb ? Shape{5, 17} : Shape{17, 5});
      cases.push_back({"FusedMatMulApplySgd",
                       std::string(ta ? "ta" : "a") + (tb ? "_tb" : "_b"),
                       {statistic({7, 5}), fixed(DType::kFloat32, {}, 0.01, 0.1), a, b},
                       {{"transpose_a", ta}, {"transpose_b", tb}}});
    }
  }
  return cases;
}

}  // namespace trireme::testing
