// What the loop of Model::fit asks of its group, and when; and the group of one.
#include "core/nn/training_group.h"

#include "core/base/error.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<Model> make_model() {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = 3});
  model->compile(classifier(std::make_shared<Sgd>(constant_rate(0.1))));
  return model;
}

// A training that names no group has the one of one: nothing of its steps differs.
TEST(TrainingGroupTest, TheGroupOfOneChangesNothing) {
  const auto alone = make_model(), grouped = make_model();
  FitOptions options = quiet(2);
  options.validation = clusters(30, 3, 7).batch(8);
  const History first = alone->fit(clusters(64).batch(8), options);
  TrainingGroup group;
  options.group = &group;
  const History second = grouped->fit(clusters(64).batch(8), options);
  EXPECT_EQ(first.values, second.values);
  for (const auto& [name, value] : alone->weights()) {
    EXPECT_TRUE(std::ranges::equal(value.flat<float>(), grouped->weights().at(name).flat<float>()))
        << name;
  }
}

TEST(TrainingGroupTest, TheGroupOfOneHasNobodyToLose) {
  TrainingGroup& group = TrainingGroup::local();
  for (const ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kDeadlineExceeded,
                               ErrorCode::kCancelled, ErrorCode::kFailed}) {
    EXPECT_FALSE(group.can_recover_from(Error(code, "lost")));
  }
  EXPECT_FALSE(group.reads_ahead());
  EXPECT_EQ(group.steps_after_vote(), 0);
  RunningMeans means(1);
  EXPECT_FALSE(group.reduce_validation(means, false));
  EXPECT_TRUE(group.reduce_validation(means, true));
}

// Writes down what it is asked.
class Recorder : public TrainingGroup {
 public:
  std::vector<std::string> calls;
  bool ahead = false;

  void fill_share(int64_t batch, StepShare&) override { add("share ", batch); }
  bool reads_ahead() const override { return ahead; }
  void peek(int64_t step, const data::Element&) override { add("peek ", step); }
  void refresh_variables() override { add("refresh"); }
  bool leave_epoch(Training& training, bool stopping, RunningMeans&) override {
    add("leave ", training.epoch(), stopping ? " early" : "");
    return stops;
  }
  bool interrupts_validation(int64_t batch) override {
    add("validate ", batch);
    return false;
  }
  bool reduce_validation(RunningMeans&, bool interrupted) override {
    add("reduce");
    return interrupted;
  }
  bool stops = false;

 private:
  template <typename... Parts>
  void add(const Parts&... parts) {
    calls.push_back(str_cat(parts...));
  }
};

// Others wait for this process at each of these points: a call left out or out of order is a hang.
TEST(TrainingGroupTest, IsAskedBeforeBetweenAndAfterSteps) {
  Recorder group;
  FitOptions options = quiet(1);
  options.validation = clusters(16, 3, 7).batch(8);
  options.group = &group;
  make_model()->fit(clusters(16).batch(8), options);
  EXPECT_THAT(group.calls, ElementsAre("share 0", "share 1", "leave 0", "refresh", "validate 0",
                                       "validate 1", "reduce", "refresh"));
}

// The step that is peeked at is the one after the next.
TEST(TrainingGroupTest, SeesBatchesAheadWhereItAsksForThem) {
  Recorder group;
  group.ahead = true;
  FitOptions options = quiet(1);
  options.group = &group;
  make_model()->fit(clusters(24).batch(8), options);
  EXPECT_THAT(group.calls, ElementsAre("peek 2", "share 0", "peek 3", "share 1", "share 2",
                                       "leave 0", "refresh", "refresh"));
}

// Another process was told to stop: this one ends with it, before the validation.
TEST(TrainingGroupTest, EndsTheTrainingWhenAnyProcessStops) {
  Recorder group;
  group.stops = true;
  FitOptions options = quiet(5);
  options.validation = clusters(16, 3, 7).batch(8);
  options.group = &group;
  const History history = make_model()->fit(clusters(16).batch(8), options);
  EXPECT_EQ(history.stop_reason, kStoppedBySignal);
  EXPECT_EQ(history.steps, 2);
  EXPECT_THAT(group.calls, ElementsAre("share 0", "share 1", "leave 0", "refresh"));
}

// Fails once, as a lost peer makes a step fail.
class LosesAPeer : public TrainingGroup {
 public:
  explicit LosesAPeer(data::Dataset train) : train_(std::move(train)) {}
  int recovered = 0;

  void fill_share(int64_t batch, StepShare&) override {
    if (batch == 2 && recovered == 0) throw Error(ErrorCode::kUnavailable, "peer lost");
  }
  bool can_recover_from(const Error& error) const override {
    return error.code() == ErrorCode::kUnavailable;
  }
  FitData recover(Training& training, const Error&) override {
    ++recovered;
    EXPECT_EQ(training.step(), 2);
    return {train_};
  }

 private:
  data::Dataset train_;
};

// The step that failed is repeated with its own batch: the losses are those of no failure at all.
TEST(TrainingGroupTest, RepeatsTheStepThatItRecoversFrom) {
  const data::Dataset train = clusters(32).batch(8);
  const History undisturbed = make_model()->fit(train, quiet(2));
  LosesAPeer group(train);
  FitOptions options = quiet(2);
  options.group = &group;
  const History disturbed = make_model()->fit(train, options);
  EXPECT_EQ(group.recovered, 1);
  EXPECT_EQ(disturbed.steps, 8);
  EXPECT_EQ(disturbed.values.at("loss"), undisturbed.values.at("loss"));
}

}  // namespace
}  // namespace trireme::nn
