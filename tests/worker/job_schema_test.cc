// The language that follows from catalogs: what a component describes once is parsed, checked,
// read, written back and explained.
#include "worker/job_schema.h"

#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/nn/catalogs.h"
#include "core/nn/layers.h"
#include "worker/coming_from_keras.h"
#include "worker/describe.h"
#include "worker/job_components.h"
#include "worker/job_text.h"
#include "worker/job_values.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

enum class Color { kRed, kBlue };
constexpr EnumName<Color> kColors[] = {{Color::kRed, "RED"}, {Color::kBlue, "BLUE"}};

// A component with an option of each type.
class Everything : public nn::LossOptions {
 public:
  struct Limits {
    int64_t low = 1;
    double high = 2;
    void describe(OptionVisitor& v) {
      v.field({"low", "the lowest", at_least(0)}, low);
      v.field({"high", "the highest", above(0)}, high);
    }
  };
  void describe(OptionVisitor& v) override {
    v.field({"flag", "a flag"}, flag);
    v.negated({"no_flag", "the opposite of flag"}, flag);
    v.field({"count", "how many", at_least(1)}, count);
    v.field({"seed", "of random numbers"}, seed);
    v.field({"rate", "how much", from_below(0, 1)}, rate);
    v.field({.name = "word", .help = "a | word", .keras = "keras_word"}, word);
    v.field({.name = "maybe", .help = "perhaps", .default_text = "the count"}, maybe);
    v.field({"sizes", "several", at_least(1)}, sizes);
    v.field({"words", "several"}, words);
    v.field({"color", "of it"}, color, kColors);
    v.group({"limits", "bounds"}, limits);
    v.group({"extra", "more bounds"}, extra);
    v.component({"inner", "a loss within"}, inner);
    v.components({"layers", "some layers"}, layers);
  }
  void check() const override {
    if (count == 13) throw invalid_argument("13 brings no luck");
  }
  nn::Loss make() const override { return nn::mean_squared_error(); }

  bool flag = true;
  int64_t count = 3;
  uint64_t seed = 1;
  double rate = 0.5;
  std::string word = "w";
  std::optional<int64_t> maybe;
  std::vector<int64_t> sizes = {4, 5};
  std::vector<std::string> words;
  Color color = Color::kBlue;
  Limits limits;
  std::optional<Limits> extra;
  std::shared_ptr<nn::LossOptions> inner;
  std::vector<std::unique_ptr<nn::Layer>> layers;
};

class Plain : public nn::MetricOptions {
 public:
  nn::Metric make(const nn::Loss&) const override { return nn::mean_absolute_error(); }
};
class Other : public Plain {};

const JobSchema& schema() {
  static const auto catalogs = [] {
    auto made = std::make_shared<nn::Catalogs>();
    made->layers.add<nn::Dense>("dense", "Dense", "a dense layer");
    nn::register_core_initializers(made->initializers);  // a dense layer has some
    made->losses.add<Everything>("everything", "", "every type of option");
    made->metrics.add<Plain>("plain", "Plain", "nothing to choose");
    made->metrics.add<Other>("other", "", "another one");
    return made;
  }();
  static const JobSchema schema(catalogs);
  return schema;
}

// A job that was parsed and checked.
struct Parsed {
  std::unique_ptr<google::protobuf::Message> job;
  JobPlaces places;

  std::string where(const std::string& path) const {
    const auto found = places.find(path);
    if (found == places.end()) return "job: ";
    return str_cat("job:", found->second.first, ":", found->second.second, ": ");
  }
};
Parsed parse(const std::string& text, bool skips_unknown = false) {
  Parsed parsed{schema().new_job(), {}};
  parse_job_text(schema(), text,
                 {.name = "job", .places = &parsed.places, .skips_unknown = skips_unknown},
                 *parsed.job);
  check_values(*parsed.job, [&](const std::string& path) { return parsed.where(path); });
  return parsed;
}
std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "(no error)";
}
std::string one_line(const google::protobuf::Message& message) {
  std::string text = message.ShortDebugString();
  return text;
}

const google::protobuf::Message& loss_of(const Parsed& parsed) {
  const auto* const field = schema().job().FindFieldByName("loss");
  return parsed.job->GetReflection()->GetMessage(*parsed.job, field);
}
std::unique_ptr<Everything> read(const Parsed& parsed) {
  auto component = read_component(schema(), loss_of(parsed), "loss",
                                  [&](const std::string& path) { return parsed.where(path); });
  return std::unique_ptr<Everything>(dynamic_cast<Everything*>(component.release()));
}
std::unique_ptr<Everything> read(const std::string& options) {
  return read(parse("loss { everything { " + options + " } }"));
}

constexpr char kAll[] =
    "no_flag: true count: 1 seed: 0 rate: 0 word: 'x' \"y\" maybe: 0 sizes: [7, 0x10, 010] "
    "words: 'a', words: \"b\"; color: red limits { low: 0 } extra <high: 1.5f> "
    "inner: EVERYTHING layers: { dense { units: 3 } } layers { name: \"n\" dense {} } # the end\n";

TEST(JobSchemaTest, WhatIsAbsentHasItsDefault) {
  const auto read_back = read("");
  EXPECT_TRUE(read_back->flag);
  EXPECT_EQ(read_back->count, 3);
  EXPECT_EQ(read_back->seed, 1u);
  EXPECT_EQ(read_back->rate, 0.5);
  EXPECT_FALSE(read_back->maybe.has_value());
  EXPECT_THAT(read_back->sizes, ElementsAre(4, 5));
  EXPECT_EQ(read_back->color, Color::kBlue);
  EXPECT_FALSE(read_back->extra.has_value());
  EXPECT_EQ(read_back->inner, nullptr);
}

TEST(JobSchemaTest, EveryTypeOfOptionIsReadAndZeroIsZero) {
  const auto read_back = read(kAll);
  EXPECT_FALSE(read_back->flag);
  EXPECT_EQ(read_back->count, 1);
  EXPECT_EQ(read_back->seed, 0u);
  EXPECT_EQ(read_back->rate, 0);
  EXPECT_EQ(read_back->word, "xy");
  EXPECT_EQ(read_back->maybe, 0);
  EXPECT_THAT(read_back->sizes, ElementsAre(7, 16, 8));
  EXPECT_THAT(read_back->words, ElementsAre("a", "b"));
  EXPECT_EQ(read_back->color, Color::kRed);
  EXPECT_EQ(read_back->limits.low, 0);
  EXPECT_EQ(read_back->limits.high, 2);
  ASSERT_TRUE(read_back->extra.has_value());
  EXPECT_EQ(read_back->extra->high, 1.5);
  EXPECT_NE(dynamic_cast<Everything*>(read_back->inner.get()), nullptr);
  ASSERT_EQ(read_back->layers.size(), 2u);
  EXPECT_EQ(read_back->layers[1]->name(), "n");
}

// What is written back means the same, and says no more than it must.
TEST(JobSchemaTest, AComponentIsWrittenBackAsAJobFile) {
  const auto read_back = read(kAll);
  const auto message =
      write_component(schema(), schema().catalogs().losses, *read_back, WrittenFields::kChanged);
  std::string text;
  google::protobuf::TextFormat::PrintToString(*message, &text);
  EXPECT_THAT(text, HasSubstr("flag: false"));
  EXPECT_THAT(text, Not(HasSubstr("high: 2")));
  const Parsed again = parse("loss { " + text + " }");
  EXPECT_EQ(one_line(*write_component(schema(), schema().catalogs().losses, *read(again),
                                      WrittenFields::kAll)),
            one_line(*write_component(schema(), schema().catalogs().losses, *read_back,
                                      WrittenFields::kAll)));
  Everything fresh;
  EXPECT_EQ(one_line(*write_component(schema(), schema().catalogs().losses, fresh,
                                      WrittenFields::kChanged)),
            "everything { }");
  fresh.sizes.clear();
  EXPECT_THROW(
      write_component(schema(), schema().catalogs().losses, fresh, WrittenFields::kChanged), Error);
}

TEST(JobSchemaTest, NamesStandForComponentsWithTheirDefaults) {
  const Parsed names = parse("loss: Everything metrics: PLAIN metrics: [other, Plain]");
  EXPECT_EQ(one_line(*names.job),
            one_line(*parse("loss { everything {} } metrics { plain {} } metrics { other {} } "
                            "metrics { plain {} }")
                          .job));
}

TEST(JobSchemaTest, WhatIsWrongIsNamedWithLineColumnAndPath) {
  const auto options = [](const std::string& text) {
    return error_of("loss {\n  everything {\n    " + text + "\n  }\n}");
  };
  EXPECT_EQ(options("count: 0"), "job:3:5: loss.everything.count: expected at least 1, found 0");
  EXPECT_EQ(options("rate: 1"),
            "job:3:5: loss.everything.rate: expected at least 0 and below 1, found 1");
  EXPECT_EQ(options("limits { high: 0 }"),
            "job:3:14: loss.everything.limits.high: expected above 0, found 0");
  EXPECT_EQ(options("sizes: [1, 0]"),
            "job:3:16: loss.everything.sizes[1]: expected at least 1, found 0");
  EXPECT_EQ(options("counts: 1"),
            "job:3:5: Everything has no field 'counts'; did you mean 'count'?");
  EXPECT_EQ(options("color: BLU"),
            "job:3:12: loss.everything.color: expected one of RED, BLUE, found 'BLU'; did you mean "
            "'BLUE'?");
  EXPECT_THAT(options("count: 'x'"),
              StartsWith("job:3:12: loss.everything.count: expected a whole number from "));
  EXPECT_THAT(options("word: 3"), HasSubstr("job:3:11: loss.everything.word: expected a text in"));
  EXPECT_THAT(options("rate: inf"), HasSubstr("expected a finite number, found 'inf'"));
  EXPECT_THAT(options("count 3"), HasSubstr("job:3:11: expected ':', found '3'"));
  EXPECT_THAT(options("count: 1 count: 2"), HasSubstr("job:3:14: loss.everything.count: stands"));
  EXPECT_EQ(error_of("metrics { plain {} other {} }"),
            "job:1:20: metrics[0].other: there is 'plain' already, and Metric has one of them");
  EXPECT_THAT(options("limits { low: 1"), HasSubstr("expected '}', found the end"));
  EXPECT_THAT(options("word: \"\\q\""), HasSubstr("Invalid escape sequence"));
  EXPECT_EQ(error_of("metrics: [PLAIN, OTHR]"),
            "job:1:18: metrics[1]: expected one of PLAIN, OTHER, found 'OTHR'; did you mean "
            "'OTHER'?");
}

// Options that do not go together are found when the component is made.
TEST(JobSchemaTest, WhatDoesNotGoTogetherIsNamedWithItsPlace) {
  try {
    read("count: 13");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "job:1:8: loss.everything: 13 brings no luck");
  }
}

TEST(JobSchemaTest, HostileTextIsAnError) {
  std::string deep = "loss { ";
  for (int i = 0; i < 100000; ++i) deep += "everything { inner { ";
  EXPECT_THAT(error_of(deep), HasSubstr("messages in another"));
  for (const char* text : {"{", "}", "[", "loss", "loss:", "loss {", "loss: [", "loss <}", ":", "-",
                           "loss { everything { sizes: [1,", "\x01", "loss: \"", "1", "[a.b]: 1"}) {
    EXPECT_THAT(error_of(text), StartsWith("job:1:")) << text;
  }
}

// The record in a checkpoint may be of a version with other names.
TEST(JobSchemaTest, UnknownNamesAreLeftOutWhereThatIsWanted) {
  const Parsed parsed = parse(
      "gone { a: 1 b { c: [1, -2], d: 'x' 'y' } } metrics: [PLAIN, GONE] loss { everything { "
      "count: 5 was: 7 color: GREEN } }",
      true);
  EXPECT_EQ(read(parsed)->count, 5);
  EXPECT_EQ(read(parsed)->color, Color::kBlue);
}

TEST(JobSchemaTest, EqualJobsAreEqualWithDefaults) {
  EXPECT_EQ(one_line(*with_defaults(schema(), *parse("loss { everything { count: 3 } }").job)),
            one_line(*with_defaults(schema(), *parse("loss: EVERYTHING").job)));
}

TEST(JobSchemaTest, DescriptionsSayTypeDefaultRangeAndMeaning) {
  const auto parts = describe(schema(), {"losses"});
  ASSERT_EQ(parts.size(), 2u);
  const auto& options = parts[1].options;
  const auto option = [&](const std::string& name) {
    const auto found = std::ranges::find(options, name, &DescribedOption::name);
    EXPECT_NE(found, options.end()) << name;
    return found == options.end() ? DescribedOption{} : *found;
  };
  EXPECT_EQ(option("count").type, "whole number");
  EXPECT_EQ(option("count").fallback, "3");
  EXPECT_EQ(option("count").range, "at least 1");
  EXPECT_EQ(option("maybe").fallback, "the count");
  EXPECT_EQ(option("sizes").fallback, "4, 5");
  EXPECT_EQ(option("color").type, "one of RED, BLUE");
  EXPECT_EQ(option("limits.high").help, "the highest");
  EXPECT_EQ(option("inner").type, "component of the family loss");
  EXPECT_THAT(option("word").help, HasSubstr("Keras: keras_word"));
  EXPECT_THAT(to_text(describe(schema(), {"metric", "plain"})), HasSubstr("nothing to choose"));
  EXPECT_THAT(to_text(describe(schema(), {"job"})), HasSubstr("epochs: whole number, at least 1"));
  EXPECT_THROW(describe(schema(), {"los"}), Error);
  EXPECT_THROW(describe(schema(), {"loss", "everyting"}), Error);
}

// The page is made from the catalogs: whoever adds to them writes it again.
TEST(JobSchemaTest, TheReferencePageIsThatOfTheCatalogs) {
  EXPECT_EQ(read_whole(TRIREME_SOURCE_DIR "/docs/reference.md", 1 << 20, "the reference"),
            reference_page(*core_job_schema()))
      << "write it again: trireme describe --markdown > docs/reference.md";
}

TEST(JobSchemaTest, ThePageForThoseWhoComeFromKerasIsThatOfTheCatalogs) {
  EXPECT_EQ(read_whole(TRIREME_SOURCE_DIR "/docs/coming-from-keras.md", 1 << 20, "the page"),
            coming_from_keras_page(*core_job_schema()))
      << "write it again: trireme describe --keras > docs/coming-from-keras.md";
}

// Help is a sentence's part: every field of every component has one.
TEST(JobSchemaTest, EverythingIsExplained) {
  for (const DescribedPart& part : describe(*core_job_schema(), {})) {
    for (const DescribedOption& option : part.options) {
      EXPECT_FALSE(option.help.empty() || option.help.ends_with('.'))
          << part.name << "." << option.name;
    }
  }
}

// Two options of one name would be one field of the job file.
TEST(JobSchemaTest, OptionsThatMakeNoMessageAreAnError) {
  class Twice : public Plain {
    void describe(OptionVisitor& v) override {
      bool flag = false;
      v.field({"flag", "one"}, flag);
      v.field({"flag", "two"}, flag);
    }
  };
  auto catalogs = std::make_shared<nn::Catalogs>();
  catalogs->metrics.add<Twice>("twice", "", "two options of one name");
  try {
    const JobSchema broken(catalogs);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Twice.flag"));
  }
}

}  // namespace
}  // namespace trireme
