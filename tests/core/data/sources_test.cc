// What `data { … }` of a job file names: options, data sets, and the preprocessing that a model
// keeps.
#include "core/data/source.h"
#include "proto/preprocessing.pb.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"
#include "tests/support/option_texts.h"

namespace trireme::data {
namespace {

using test::OptionTexts;
using test::with_options;
using ::testing::HasSubstr;

Catalog<Source> core() {
  Catalog<Source> catalog;
  register_core_sources(catalog);
  return catalog;
}

std::unique_ptr<Source> source(std::string_view name, const OptionTexts& options = {}) {
  auto made = core().make(name);
  with_options(*made, options);
  return made;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Element first_of(const Dataset& examples) {
  Element element;
  EXPECT_TRUE(examples.iterator().next(element));
  return element;
}

// As a checkpoint keeps it.
PreprocessingPtr kept(const PreprocessingPtr& preprocessing) {
  return parse_preprocessing(Tensor::scalar<std::string>(preprocessing_text(preprocessing)),
                             "ckpt-1");
}

// Another value for an option than its default has.
std::string another(const std::string& name, const std::string& value) {
  static const OptionTexts words = {{"directory", "folder"},
                                    {"train_files", "a b"},
                                    {"test_files", "c"},
                                    {"validation_files", "d e"},
                                    {"file", "f.csv"},
                                    {"label", "price"},
                                    {"header", "ABSENT"},
                                    {"delimiter", ";"},
                                    {"missing", "VALUE"},
                                    {"missing_words", "none gone"},
                                    {"train_file", "a.tsv"},
                                    {"test_file", "b.tsv"},
                                    {"validation_fraction", "0.25"},
                                    {"compression", "GZIP"},
                                    {"label_mode", "INT"},
                                    {"image_size", "32 48"},
                                    {"color_mode", "RGBA"},
                                    {"interpolation", "NEAREST"},
                                    {"labels", "FEATURES"}};
  if (const auto at = words.find(name); at != words.end()) return at->second;
  return value == "0" ? "1" : value == "1" ? "0" : "77";
}

// An option that is described and not kept would be ignored without a word.
TEST(SourcesTest, EveryOptionIsKept) {
  const Catalog<Source> catalog = core();
  for (const CatalogEntry& entry : catalog.entries()) {
    const auto made = catalog.make(entry.name);
    OptionTexts wanted;
    for (const auto& [name, value] : test::options_of(*made)) {
      wanted[name] = name == "take" || name == "validation_take" ? "5" : another(name, value);
      // Fields that nothing refuses for themselves, whatever others say.
      if (name == "zipf" || name == "classes" || name == "stride") wanted[name] = "2";
      if (name == "no_header") wanted[name] = "0";
      if (name == "seed") wanted[name] = "0";
      // It and keep_scale exclude each other: below.
      if (name == "sample_weight") wanted[name] = "";
    }
    with_options(*made, wanted);
    EXPECT_EQ(test::options_of(*made), wanted) << entry.name;
    EXPECT_TRUE(wanted.contains("keep_order")) << entry.name;
  }
  const auto weighted = source("csv", {{"sample_weight", "w"}});
  EXPECT_EQ(test::options_of(*weighted).at("sample_weight"), "w");
}

// What a job file leaves out has meant this since the first version.
TEST(SourcesTest, DefaultsAreThoseOfJobFilesBefore) {
  const auto value = [](std::string_view name, const std::string& option) {
    return test::options_of(*core().make(name)).at(option);
  };
  EXPECT_EQ(value("digits", "seed"), "1");
  EXPECT_EQ(value("mnist", "directory"), "mnist");
  EXPECT_EQ(value("cifar10", "directory"), "cifar10");
  EXPECT_EQ(value("csv", "validation_fraction"), "0.20000000000000001");
  EXPECT_EQ(value("csv", "missing"), "REFUSE");
  EXPECT_EQ(value("reviews", "vocabulary"), "10000");
  EXPECT_EQ(value("clicks", "examples"), "100000");
  EXPECT_EQ(value("clicks", "keys"), "1000000");
  EXPECT_EQ(value("clicks", "zipf"), "1.1000000000000001");
  EXPECT_EQ(value("clicks", "seed"), "1");
  EXPECT_EQ(value("criteo", "validation_fraction"), "0.10000000000000001");
  EXPECT_EQ(value("criteo", "keys"), "1000000");
  EXPECT_EQ(value("noise", "height"), "224");
  EXPECT_EQ(value("noise", "examples"), "1024");
}

// A word that is none of the sources' once trained with nothing.
TEST(SourcesTest, AnUnknownNameListsTheNamesThereAre) {
  EXPECT_THAT(error_of([] { core().make("parquet"); }),
              HasSubstr("digits, mnist, cifar10, csv, reviews, clicks, criteo, noise"));
  EXPECT_THAT(error_of([] { core().make("cifar100"); }), HasSubstr("did you mean 'cifar10'?"));
}

// 0 that is written is 0, or refused: it is not the default.
TEST(SourcesTest, ZeroIsNotTheDefault) {
  const OptionTexts few = {{"take", "20"}, {"validation_take", "20"}};
  OptionTexts seed = few;
  seed["seed"] = "0";
  const Element one = first_of(source("digits", few)->build({}).train);
  const Element zero = first_of(source("digits", seed)->build({}).train);
  EXPECT_FALSE(std::ranges::equal(one[0].flat<float>(), zero[0].flat<float>()));

  EXPECT_THAT(error_of([] {
                source("reviews", {{"vocabulary", "0"}});
              }),
              HasSubstr("vocabulary: expected from 1 to 2"));
  EXPECT_THAT(error_of([] {
                source("clicks", {{"examples", "0"}});
              }),
              HasSubstr("examples: expected at least 1, found 0"));
  EXPECT_THAT(error_of([] {
                source("noise", {{"width", "0"}});
              }),
              HasSubstr("width: expected at least 1, found 0"));
  EXPECT_THAT(error_of([] {
                source("csv", {{"validation_fraction", "1"}});
              }),
              HasSubstr("validation_fraction: expected at least 0 and below 1, found 1"));
  EXPECT_THAT(error_of([] { source("digits", {{"take", "-1"}}); }), HasSubstr("take: expected"));
}

// All rows train then; the few that were held back unasked would be missed without a word.
TEST(SourcesTest, WithoutAValidationFractionAllRowsTrain) {
  const SourceData houses = source("csv", {{"validation_fraction", "0"}})->build({});
  EXPECT_EQ(houses.train.cardinality(), 4000);
  EXPECT_EQ(houses.validation.cardinality(), 0);
  Element none;
  EXPECT_FALSE(houses.validation.iterator().next(none));
  EXPECT_FALSE(houses.validation.batch(16).iterator().next(none));

  const SourceData fifth = source("csv")->build({});
  EXPECT_EQ(fifth.train.cardinality(), 3200);
  EXPECT_EQ(fifth.validation.cardinality(), 800);
  EXPECT_THAT(error_of([] {
                source("csv", {{"validation_fraction", "0.00001"}})->build({});
              }),
              HasSubstr("data.csv.validation_fraction 1e-05 of 4000 rows: expected at least one"));

  const SourceData clicks =
      source("clicks", {{"examples", "50"}, {"validation_examples", "0"}, {"keys", "260"}})
          ->build({});
  EXPECT_EQ(clicks.train.cardinality(), 50);
  EXPECT_EQ(clicks.validation.cardinality(), 0);
}

// Options that are right alone and wrong together.
TEST(SourcesTest, OptionsThatContradictEachOtherAreRefused) {
  EXPECT_THAT(error_of([] {
                source("csv", {{"missing_value", "3"}});
              }),
              HasSubstr("missing_value is of missing: VALUE"));
  EXPECT_THAT(error_of([] {
                source("csv", {{"no_header", "1"}, {"header", "PRESENT"}});
              }),
              HasSubstr("contradict"));
  EXPECT_THAT(error_of([] { source("csv", {{"delimiter", ";;"}}); }), HasSubstr("delimiter"));
  EXPECT_THAT(error_of([] {
                source("reviews", {{"train_file", "a"}});
              }),
              HasSubstr("both train_file and test_file"));
}

class TableSourceTest : public FileTest {
 protected:
  std::unique_ptr<Source> table(std::string_view text, OptionTexts options = {}) const {
    options["file"] = write("t.csv", bytes_of(text));
    return source("csv", options);
  }
  const SourceContext numbers_{.labels = LabelUse::kScalableNumber};
};

// A loss that cannot be shown in the label's own units leaves the label as it is.
TEST_F(TableSourceTest, LabelsAreScaledOnlyForALossThatCanBeShownInTheirUnits) {
  const auto table = this->table("a,b\n1,10\n2,20\n3,30\n4,50\n5,60\n");
  const auto label = [](const SourceData& data) {
    return first_of(data.train)[1].flat<float>()[0];
  };
  const SourceData scaled = table->build(numbers_);
  EXPECT_LT(label(scaled), 0);
  EXPECT_TRUE(output_meaning(scaled.preprocessing).scales_label);
  const SourceData plain = table->build({.labels = LabelUse::kNumber});
  EXPECT_EQ(label(plain), 10);
  EXPECT_FALSE(output_meaning(plain.preprocessing).scales_label);
  SourceContext resumed{.labels = LabelUse::kNumber, .saved = kept(scaled.preprocessing)};
  EXPECT_THAT(error_of([&] { (void)table->build(resumed); }), HasSubstr("the loss or"));
}

// Rows that came later would otherwise be scaled in another way than the model was trained with.
TEST_F(TableSourceTest, AppliesTheScaleThatAModelKeeps) {
  const SourceData trained = table("a,b\n1,10\n2,20\n3,30\n4,50\n5,60\n")->build(numbers_);
  const auto other = table("a,b\n100,10\n300,20\n1,1\n2,2\n3,3\n");
  SourceContext context = numbers_;
  context.saved = kept(trained.preprocessing);
  const SourceData resumed = other->build(context);
  EXPECT_EQ(preprocessing_text(resumed.preprocessing), preprocessing_text(trained.preprocessing));
  const double mean = output_meaning(context.saved).label.mean();
  EXPECT_EQ(mean, 27.5);
  EXPECT_GT(first_of(resumed.train)[0].flat<float>()[0], 50);

  const SourceData labeled = other->labeled_examples(context, path("t.csv"));
  EXPECT_EQ(labeled.validation.cardinality(), 5);
  const auto reader = other->open_examples(context, path("t.csv"));
  ExampleBatch batch;
  ASSERT_TRUE(reader->read(2, batch));
  EXPECT_EQ(batch.size, 2);
  EXPECT_EQ(batch.features[0].flat<float>()[0], first_of(resumed.train)[0].flat<float>()[0]);

  other->require_saved(context);
  EXPECT_THAT(error_of([&] { other->require_saved(numbers_); }), HasSubstr("train again"));
  EXPECT_THAT(error_of([&] { (void)other->open_examples(numbers_, path("t.csv")); }),
              HasSubstr("train again"));
  context.saved = kept(images_preprocessing({2, 2, 1}));
  EXPECT_THAT(error_of([&] { (void)other->build(context); }),
              HasSubstr("the model was trained with images, the job has a table (csv)"));
}

// Checkpoints of earlier versions are read, byte for byte.
TEST(PreprocessingTest, IsReadAsEarlierVersionsWroteIt) {
  const std::string images = "version: 1\nimages {\n  height: 28\n  width: 28\n  channels: 1\n}\n";
  EXPECT_EQ(preprocessing_text(images_preprocessing({28, 28, 1})), images);
  const std::string table =
      "version: 1\ncsv {\n  has_header: true\n  features {\n    name: \"a\"\n    center: 1\n"
      "    offset: 1.5\n    deviation: 2\n  }\n  label {\n    name: \"b\"\n    center: 10\n"
      "    deviation: 4\n  }\n  label_index: 1\n  scales_features: true\n  scales_label: true\n}\n";
  const PreprocessingPtr read = parse_preprocessing(Tensor::scalar<std::string>(table), "ckpt-1");
  EXPECT_EQ(preprocessing_text(read), table);
  EXPECT_TRUE(output_meaning(read).scales_label);
  EXPECT_EQ(output_meaning(read).label.deviation, 4);
  EXPECT_THAT(error_of([] {
                (void)parse_preprocessing(Tensor::scalar<std::string>("version: 2"), "ckpt-1");
              }),
              HasSubstr("ckpt-1: the checkpoint's \"preprocessing\" has version 2"));
  EXPECT_THAT(
      error_of([] { (void)parse_preprocessing(Tensor::scalar<std::string>("csv { x }"), "c"); }),
      HasSubstr("cannot be read"));
}

// A source of another program has no form of its own there; what it keeps is its own.
TEST(PreprocessingTest, HoldsTheTextOfASourceFromOutside) {
  const std::string bytes("zero \0 and \xff", 12);
  const PreprocessingPtr mine = make_preprocessing("my_reader", bytes, {"no", "yes"});
  const PreprocessingPtr read = kept(mine);
  EXPECT_EQ(preprocessing_values(*read, "my_reader"), bytes);
  EXPECT_THAT(output_meaning(read).classes, ::testing::ElementsAre("no", "yes"));
  require_same_preprocessing(*read, mine);
  EXPECT_THAT(error_of([&] { (void)preprocessing_values(*read, "other_reader"); }),
              HasSubstr("trained with my_reader, the job has other_reader"));
  EXPECT_THAT(error_of([&] { require_same_preprocessing(*read, make_preprocessing("x", "")); }),
              HasSubstr("trained with my_reader, the job has x"));
  EXPECT_THAT(
      error_of([&] { require_same_preprocessing(*read, make_preprocessing("my_reader", "")); }),
      HasSubstr("data.my_reader: the model was trained with files that were prepared"));
  EXPECT_THAT(error_of([&] { require_same_preprocessing(*read, nullptr); }),
              HasSubstr("trained with my_reader, the job has data without preprocessing"));
}

// A source as a program of somebody else writes it: build() and nothing else.
class CountingSource : public Source {
 public:
  SourceData build(const SourceContext&) const override {
    return {.train = numbers(8), .validation = numbers(0), .description = "numbers"};
  }
};

TEST(SourcesTest, ASourceNeedsNothingButToBuild) {
  Catalog<Source> catalog = core();
  catalog.add<CountingSource>("counting", "", "Counts.");
  const auto made = catalog.make("counting");
  with_options(*made, {{"take", "3"}});
  EXPECT_EQ(made->take(), 3);
  EXPECT_EQ(made->build({}).train.cardinality(), 8);
  EXPECT_TRUE(made->files({}).empty());
  EXPECT_TRUE(made->train_files({}).empty());
  EXPECT_FALSE(made->makes_examples_as_needed());
  EXPECT_THAT(error_of([&] { (void)made->open_examples({}, "f"); }), HasSubstr("--input: "));
  EXPECT_THAT(error_of([&] { (void)made->labeled_examples({}, "f"); }), HasSubstr("--input: "));
}

// A developer's folder beside the sources is no place to look in.
TEST_F(TableSourceTest, DataAreLookedForWhereTheUserSaidAndNowhereElse) {
  write("t.csv", bytes_of("a,b\n1,2\n"));
  EXPECT_EQ(find_data("t.csv", directory_), path("t.csv"));
  EXPECT_EQ(find_data(path("t.csv"), "/nowhere"), path("t.csv"));
  EXPECT_THAT(error_of([&] { (void)find_data("u.csv", directory_); }),
              HasSubstr("there is no u.csv; looked for " + path("u.csv")));
  const auto files = source("csv", {{"file", "t.csv"}})->files({.data_dir = directory_});
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].field, "data.csv.file");
  EXPECT_EQ(files[0].path, path("t.csv"));
}

}  // namespace
}  // namespace trireme::data
