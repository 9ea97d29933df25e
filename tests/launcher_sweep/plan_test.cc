#include "launcher/sweep/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "launcher/sweep/field_paths.h"

namespace trireme::sweep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kJob = R"(
data { digits {} }
model {
  layers { flatten {} }
  layers { name: "hidden" dense { units: 16 activation: RELU } }
  layers { dropout { rate: 0.2 } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} learning_rate: 0.001 }
epochs: 9
)";

Plan plan_of(const std::vector<std::string>& varied) {
  Plan plan;
  plan.job_path = "job.textproto";
  plan.job_text = kJob;
  plan.trials = 4;
  plan.epochs = 9;
  for (const std::string& text : varied)
    plan.parameters.push_back(parse_parameter(text, "--vary "));
  return plan;
}

std::string error_of(const std::vector<std::string>& varied) {
  Plan plan = plan_of(varied);
  try {
    resolve_parameters(plan, core_job_schema());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(SweepPlanTest, AShortPathStandsForTheOneFieldThatItMatches) {
  Plan plan = plan_of({"…learning_rate=log(1e-4,1)", "model...rate=uniform(0,0.5)",
                       "model.layers[1]…units=[8,16]", "batch_*=[32,64]"});
  resolve_parameters(plan, core_job_schema());
  EXPECT_EQ(plan.parameters[0].path, "optimizer.learning_rate");
  EXPECT_EQ(plan.parameters[1].path, "model.layers[2].dropout.rate");
  EXPECT_EQ(plan.parameters[2].path, "model.layers[1].dense.units");
  EXPECT_EQ(plan.parameters[3].path, "batch_size");
}

TEST(SweepPlanTest, SeveralMatchesAreListed) {
  EXPECT_THAT(error_of({"model…units=[8,16]"}),
              HasSubstr("matches 2 fields of the job: model.layers[1].dense.units, "
                        "model.layers[3].dense.units"));
  EXPECT_THAT(error_of({"model…unit=[8,16]"}), HasSubstr("matches no field"));
}

// Before anything is trained.
TEST(SweepPlanTest, RefusesPathsAndValuesThatTheJobCannotHave) {
  EXPECT_THAT(error_of({"optimizer.learning_rat=log(1e-4,1)"}),
              HasSubstr("did you mean 'learning_rate'?"));
  EXPECT_THAT(error_of({"model.layers[1].dense.units=uniform(1,2.5)"}),
              HasSubstr("expected a whole number"));
  EXPECT_THAT(error_of({"model.layers[2].dropout.rate=uniform(0,2)"}), HasSubstr("rate"));
  EXPECT_THAT(error_of({"model.layers[1].dense.activation=[RELU,RELUX]"}),
              HasSubstr("did you mean 'RELU"));
  EXPECT_THAT(error_of({"batch_size=0..4"}), HasSubstr("batch_size"));
  EXPECT_THAT(error_of({"model.layers[9].dense.units=1..4"}), HasSubstr("'layers' has 4 elements"));
  EXPECT_THAT(error_of({"seed=1..4", "seed=1..4"}), HasSubstr("varied twice"));
}

// Without this a trial would silently train another optimizer than its setting says.
TEST(SweepPlanTest, AParameterMayNotReplaceWhatAnotherOneChose) {
  EXPECT_THAT(error_of({"optimizer=[{sgd {}},{adam {}}]", "optimizer.adam.beta1=uniform(0.8,0.9)"}),
              HasSubstr("makes adam of its value sgd"));
  EXPECT_THAT(error_of({"optimizer.learning_rate=log(1e-4,1)", "optimizer=[ADAM,SGD]"}),
              HasSubstr("which is varied before it"));
  EXPECT_EQ(error_of({"optimizer=[ADAM,SGD]", "optimizer.learning_rate=log(1e-4,1)"}), "no error");
}

TEST(SweepPlanTest, ATrialsJobHasItsSetting) {
  Plan plan = plan_of({"optimizer=[SGD]", "optimizer.learning_rate=log(1e-4,1)"});
  const JobFile job = trial_job(plan, {"SGD", "0.25"}, "out", core_job_schema());
  EXPECT_EQ(kind_at(job.message(), "optimizer"), "sgd");
  EXPECT_EQ(job.number("optimizer.learning_rate"), 0.25);
}

TEST(SweepPlanTest, TheFolderKnowsAnotherSweepByItsArguments) {
  const Plan plan = plan_of({"seed=1..9"});
  const Plan kept = Plan::from_json(plan.to_json(), "sweep.json");
  EXPECT_THAT(kept.differences_from(plan), IsEmpty());
  Plan more = plan;
  more.trials = 9;
  EXPECT_THAT(kept.differences_from(more), IsEmpty());
  EXPECT_THAT(more.differences_from(plan), ElementsAre("trials was 9 and is 4"));
  Plan other = plan;
  other.seed = 2;
  other.job_text.replace(other.job_text.find("units: 16"), 9, "units: 32");
  const std::vector<std::string> differences = kept.differences_from(other);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0], "seed was 1 and is 2");
  EXPECT_THAT(differences[1], HasSubstr("the job file: line 5 was '  layers { name: \"hidden\" "
                                        "dense { units: 16"));
  EXPECT_THROW(Plan::from_json("{\"version\":1}", "sweep.json"), Error);
  EXPECT_THROW(Plan::from_json("{", "sweep.json"), Error);
}

}  // namespace
}  // namespace trireme::sweep
