// A 0 that is written in a job file is 0, or it is refused with its place: for every field.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/catalogs.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"
#include "proto/job.pb.h"
#include "worker/build_data.h"
#include "worker/build_model.h"
#include "worker/job_components.h"
#include "worker/job_file.h"
#include "worker/job_text.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

bool is_number(const pb::FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
    case pb::FieldDescriptor::CPPTYPE_INT64:
    case pb::FieldDescriptor::CPPTYPE_UINT64:
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return true;
    default:
      return false;
  }
}

double number_in(const pb::Message& message, const pb::FieldDescriptor& field) {
  const pb::Reflection& r = *message.GetReflection();
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
      return r.GetInt32(message, &field);
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(list ? r.GetRepeatedInt64(message, &field, 0)
                                      : r.GetInt64(message, &field));
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(r.GetUInt64(message, &field));
    default:
      return list ? r.GetRepeatedDouble(message, &field, 0) : r.GetDouble(message, &field);
  }
}

using Fields = std::vector<const pb::FieldDescriptor*>;

// All numbers below `type`, each by the fields on the way to it; not those of other components.
void collect(const JobSchema& schema, const pb::Descriptor& type, const Fields& way,
             std::vector<Fields>& found) {
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    Fields path = way;
    path.push_back(&field);
    if (is_number(field)) found.push_back(path);
    const bool nests = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE &&
                       schema.family_of(*field.message_type()) == nullptr;
    if (nests) collect(schema, *field.message_type(), path, found);
  }
}

std::string text_of(const Fields& path) {
  std::string text, end;
  for (const pb::FieldDescriptor* const field : path) {
    const bool last = field == path.back();
    text += field->name() + (last ? ": 0" : " { ");
    if (!last) end += " }";
  }
  return text + end;
}
std::string path_of(const Fields& path) {
  std::string text;
  for (const pb::FieldDescriptor* const field : path) {
    text += (text.empty() ? "" : ".") + field->name();
  }
  return text;
}
const pb::Message& parent_of(const pb::Message& message, const Fields& path) {
  const pb::Message* parent = &message;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const pb::Reflection& reflection = *parent->GetReflection();
    parent = path[i]->is_repeated() ? &reflection.GetRepeatedMessage(*parent, path[i], 0)
                                    : &reflection.GetMessage(*parent, path[i]);
  }
  return *parent;
}

// What a component's options are when the job file writes a 0.
TEST(ZeroTest, IsZeroOrRefusedInEveryOptionOfEveryComponent) {
  const auto schema = core_job_schema();
  int zeros = 0, refused = 0;
  for (const CatalogBase* const family : schema->catalogs().all()) {
    const pb::Descriptor& type = schema->family(*family);
    std::vector<Fields> numbers;
    collect(*schema, type, {}, numbers);
    for (const Fields& path : numbers) {
      const std::string name = family->family() + "." + path_of(path);
      // An option of the whole family needs a kind beside it.
      const bool common = path[0]->real_containing_oneof() == nullptr;
      const std::string text =
          (common ? family->entries().front().name + " {} " : "") + text_of(path);
      const auto message = schema->new_message(type);
      JobPlaces places;
      parse_job_text(*schema, text, {.name = "job", .places = &places}, *message);
      const auto where = [&](const std::string& at) {
        return str_cat("job:", places.at(at).first, ":", places.at(at).second, ": ");
      };
      try {
        check_values(*message, where);
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), StartsWith("job:1:")) << name;
        EXPECT_THAT(error.what(), HasSubstr(path_of(path))) << name;
        EXPECT_THAT(error.what(), HasSubstr("found 0")) << name;
        ++refused;
        continue;
      }
      std::unique_ptr<Component> component;
      try {
        component = read_component(*schema, *message, family->family(),
                                   [](const std::string&) { return std::string("job:1:1: "); });
      } catch (const Error& error) {
        // Of options that go together: it says so where they stand.
        EXPECT_THAT(error.what(), StartsWith("job:1:1: ")) << name;
        ++refused;
        continue;
      }
      const auto written = write_component(*schema, *family, *component, WrittenFields::kAll);
      const pb::Message& parent = parent_of(*written, path);
      EXPECT_EQ(number_in(parent, *path.back()), 0) << name;
      ++zeros;
    }
  }
  EXPECT_GT(zeros, 30);
  EXPECT_GT(refused, 20);
}

constexpr char kJob[] = "data { digits {} }\nmodel { layers { flatten {} } }\n";

TEST(ZeroTest, IsZeroOrRefusedInEveryFieldOfTheFrame) {
  std::vector<Fields> numbers;
  collect(*core_job_schema(), *job::Job::descriptor(), {}, numbers);
  int zeros = 0, refused = 0;
  for (const Fields& path : numbers) {
    const std::string name = path_of(path);
    try {
      const JobFile file = JobFile::parse(kJob + text_of(path), "job");
      const pb::Message& parent = parent_of(file.job(), path);
      EXPECT_TRUE(parent.GetReflection()->HasField(parent, path.back())) << name;
      EXPECT_EQ(number_in(parent, *path.back()), 0) << name;
      ++zeros;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith("job:3:")) << name;
      EXPECT_THAT(error.what(), HasSubstr(name + ": expected ")) << name;
      ++refused;
    }
  }
  EXPECT_EQ(zeros + refused, static_cast<int>(numbers.size()));
  EXPECT_GT(zeros, 8);
  EXPECT_GT(refused, 8);
}

// --- the numbers that follow

constexpr char kTable[] =
    "data { csv {} take: 32 keep_order: true }\nloss: MEAN_SQUARED_ERROR\n"
    "model { layers { batch_norm { momentum: 0 } } layers { dense { units: 1 } } }\n";

struct Trained {
  nn::StateMap before, after;
  data::Dataset batches;
};

// Two steps. `optimizer` null: the job's.
Trained train(const std::string& more, std::shared_ptr<const nn::Optimizer> optimizer = nullptr) {
  const JobFile file = JobFile::parse(kTable + more, "job");
  const data::Dataset batches = build_data(file, "").train.batch(16);
  nn::Model model({.seed = file.job().seed()});
  build_layers(model, file, nn::batch_types(batches).features);
  nn::CompileOptions options = compile_options(file, 2);
  if (optimizer) options.optimizer = std::move(optimizer);
  model.compile(std::move(options));
  Trained result{.before = model.weights(), .after = {}, .batches = batches};
  model.fit(batches, {.progress = std::nullopt});
  result.after = model.weights();
  return result;
}
std::vector<float> values(const nn::StateMap& state, const std::string& name) {
  const auto flat = state.at(name).flat<float>();
  return {flat.begin(), flat.end()};
}

TEST(ZeroTest, ALearningRateOfZeroLearnsNothing) {
  const Trained zero = train("optimizer { sgd {} learning_rate: 0 }");
  EXPECT_EQ(values(zero.before, "dense/kernel"), values(zero.after, "dense/kernel"));
  const Trained standard = train("optimizer { sgd {} }");
  EXPECT_NE(values(standard.before, "dense/kernel"), values(standard.after, "dense/kernel"));
}

TEST(ZeroTest, ABeta1OfZeroIsThatOfTheOptimizer) {
  const auto kernel = [](const std::string& job,
                         std::shared_ptr<const nn::Optimizer> optimizer = nullptr) {
    return values(train(job, std::move(optimizer)).after, "dense/kernel");
  };
  const auto rate = nn::constant_rate(0.001);
  const auto zero = kernel("optimizer { adam { beta1: 0 } }");
  EXPECT_EQ(zero, kernel("", std::make_shared<nn::Adam>(rate, rules::Adam{.beta1 = 0})));
  EXPECT_NE(zero, kernel("optimizer { adam {} }"));
  EXPECT_EQ(kernel("optimizer { adam {} }"), kernel("", std::make_shared<nn::Adam>(rate)));
}

// The moving average is the mean of the last batch.
TEST(ZeroTest, AMomentumOfZeroRemembersNothing) {
  const Trained trained = train("");
  data::Iterator iterator = trained.batches.skip(1).iterator();
  data::Element batch;
  ASSERT_TRUE(iterator.next(batch));
  const Tensor& x = batch[0];
  const int64_t rows = x.shape()[0], columns = x.shape()[1];
  const std::vector<float> mean = values(trained.after, "batch_norm/moving_mean");
  ASSERT_EQ(static_cast<int64_t>(mean.size()), columns);
  for (int64_t c = 0; c < columns; ++c) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += x.as_double(r * columns + c);
    EXPECT_NEAR(mean[static_cast<size_t>(c)], sum / static_cast<double>(rows), 1e-5) << c;
  }
}

TEST(ZeroTest, ASeedOfZeroIsAnotherThanOne) {
  const auto kernel = [](const std::string& job) {
    return values(train(job).before, "dense/kernel");
  };
  EXPECT_NE(kernel("seed: 0"), kernel("seed: 1"));
  EXPECT_EQ(kernel(""), kernel("seed: 1"));
}

TEST(ZeroTest, AValidationFractionOfZeroTrainsWithAllRows) {
  const auto sizes = [](const std::string& csv) {
    const JobData data =
        build_data(JobFile::parse("data { csv { " + csv +
                                      " } } loss: MEAN_SQUARED_ERROR model { layers { "
                                      "dense { units: 1 } } }",
                                  "job"),
                   "");
    return std::pair(data.train.cardinality(), data.validation.cardinality());
  };
  const auto standard = sizes(""), zero = sizes("validation_fraction: 0");
  EXPECT_GT(standard.second, 0);
  EXPECT_EQ(zero, std::pair(standard.first + standard.second, int64_t{0}));
}

}  // namespace
}  // namespace trireme
