#include "core/catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace trireme {
namespace {

using testing::HasSubstr;

struct Shape : Component {
  static constexpr std::string_view kFamily = "shape";
  int64_t sides = 3;
  void describe_common(OptionVisitor& v) override {
    v.field({"sides", "corners", at_least(3)}, sides);
  }
};

struct Circle : Shape {
  double radius = 1;
  std::shared_ptr<Shape> inner;
  void describe(OptionVisitor& v) override {
    v.field({.name = "radius", .help = "size", .range = above(0)}, radius);
    v.component({.name = "inner", .help = "what is in it"}, inner);
  }
};
struct Square : Shape {};

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// A number that is none must not pass as one within the range.
TEST(RangeTest, HoldsItsEndsAsItSaysAndNeverNan) {
  EXPECT_TRUE(at_least(0).contains(0));
  EXPECT_FALSE(above(0).contains(0));
  EXPECT_TRUE(from_below(0, 1).contains(0));
  EXPECT_FALSE(from_below(0, 1).contains(1));
  EXPECT_FALSE(above_to(0, 1).contains(0));
  EXPECT_TRUE(above_to(0, 1).contains(1));
  EXPECT_FALSE(between(0, 1).contains(1));
  EXPECT_FALSE(Range().contains(std::nan("")));
  EXPECT_EQ(from_to(0, 1).to_string(), "from 0 to 1");
  EXPECT_EQ(from_below(0, 1).to_string(), "at least 0 and below 1");
  EXPECT_EQ(above(0).to_string(), "above 0");
  EXPECT_EQ(from_to(1, 2147483647).to_string(), "from 1 to 2147483647");
  EXPECT_EQ(above(1e-7).to_string(), "above 1e-07");
  EXPECT_EQ(Range().to_string(), "");
}

// Names come from users: what they may have meant is said.
TEST(CatalogTest, FindsByNameInAnyCaseAndSuggestsTheNearest) {
  Catalog<Shape> catalog;
  catalog.add<Circle>("circle", "Circle", "A round one.");
  catalog.add<Square>("square", "", "Four equal sides.");
  EXPECT_EQ(catalog.find("CIRCLE").name, "circle");
  EXPECT_THAT(message_of([&] { (void)catalog.find("cirkle"); }),
              HasSubstr("there is no shape 'cirkle'; did you mean 'circle'?"));
  EXPECT_THAT(message_of([&] { (void)catalog.find("x"); }), HasSubstr("circle, square"));
  const auto made = catalog.make("square");
  EXPECT_EQ(catalog.entry_of(*made)->name, "square");
  EXPECT_EQ(Catalog<Shape>().entry_of(*made), nullptr);
}

// Two of one name would make a job file mean one or the other.
TEST(CatalogTest, RefusesNamesThatAreTakenOrNone) {
  Catalog<Shape> catalog;
  catalog.add<Circle>("circle", "", "");
  EXPECT_THAT(message_of([&] { catalog.add<Square>("circle", "", ""); }), HasSubstr("already"));
  EXPECT_THAT(message_of([&] { catalog.add<Square>("Big-one", "", ""); }), HasSubstr("lower-case"));
}

// Options that a C++ program gives pass by no job file.
TEST(CheckOptionsTest, NamesTheOptionThatIsOutOfItsRange) {
  Circle circle;
  check_options(circle, "circle");
  circle.radius = 0;
  EXPECT_EQ(message_of([&] { check_options(circle, "circle"); }),
            "circle: radius: expected above 0, found 0");
  circle.radius = std::nan("");
  EXPECT_THAT(message_of([&] { check_options(circle, "circle"); }), HasSubstr("expected above 0"));
  circle.radius = 1;
  circle.sides = 2;
  EXPECT_EQ(message_of([&] { check_options(circle, "circle"); }),
            "circle: sides: expected at least 3, found 2");
}

}  // namespace
}  // namespace trireme
