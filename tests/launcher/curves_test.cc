// Curves of runs: what is read, what is drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/io/event_file.h"
#include "launcher/curve_plot.h"
#include "launcher/run_curves.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::trireme_run;

std::vector<std::string> points_of(const std::vector<Curve>& curves, const std::string& name) {
  std::vector<std::string> points;
  for (const Curve& curve : curves) {
    if (curve.name() != name) continue;
    for (const CurvePoint& point : curve.points) points.push_back(str_cat(point.x, ":", point.y));
  }
  return points;
}

// A cell that is empty is no 0.
TEST(CurvesTest, EmptyCellsAndNanAreGaps) {
  const TemporaryDirectory folder;
  const std::string log =
      folder.write("log.csv", "epoch,loss,auc,val_loss\n0,1.5,,2\n1,nan,0.5,1e-3\n2,0.5,0.75,1\n");
  std::vector<std::string> notes;
  const auto curves = read_curves(log, notes);
  EXPECT_THAT(points_of(curves, "loss"), ElementsAre("0:1.5", "1:nan", "2:0.5"));
  EXPECT_THAT(points_of(curves, "auc"), ElementsAre("0:nan", "1:0.5", "2:0.75"));
  EXPECT_EQ(curves.size(), 3u);
}

TEST(CurvesTest, SaysWhereALogIsNoTable) {
  const TemporaryDirectory folder;
  std::vector<std::string> notes;
  const auto message_of = [&](const std::string& text) -> std::string {
    try {
      read_curves(folder.write("log.csv", text), notes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message_of("a,b\n1,2\n"), HasSubstr("log.csv:1: expected a column \"epoch\""));
  EXPECT_THAT(message_of("epoch,loss\n0,1\n1,2,3\n"), HasSubstr("log.csv:3: expected 2 cells"));
  EXPECT_THAT(message_of("epoch,loss\nx,1\n"), HasSubstr("log.csv:2: "));
  EXPECT_THAT(message_of(""), HasSubstr("found none"));
}

// As TensorBoard's slider: the first points are not pulled to 0.
TEST(CurvesTest, SmoothingIsTensorBoards) {
  std::vector<std::string> values;
  for (const CurvePoint& point : smoothed({{0, 1}, {1, NAN}, {2, 2}, {3, 4}}, 0.5)) {
    values.push_back(str_cat(point.y));
  }
  EXPECT_THAT(values, ElementsAre("1", "nan", "1.66667", "3"));
}

TEST(CurvesTest, TicksAreRoundNumbersInTheirRange) {
  EXPECT_THAT(axis_ticks(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(str_cat(axis_ticks(0.13, 0.52, 4)[0], " ", axis_ticks(0.13, 0.52, 4).size()),
              "0.2 4");
  EXPECT_TRUE(axis_ticks(1, 1, 5).empty());
}

Plot falling() {
  Plot plot{.title = "loss", .x_label = "epoch", .lines = {{"train", {}}}};
  for (int i = 0; i <= 10; ++i) {
    plot.lines[0].points.push_back({static_cast<double>(i), i == 5 ? NAN : 10.0 - i});
  }
  return plot;
}

// A line from the upper left to the lower right, with nothing where the number is missing.
TEST(CurvesTest, DrawsInPlainCharactersWithGaps) {
  const std::string text =
      draw_in_terminal(falling(), {.width = 26, .height = 11, .unicode = false, .color = false});
  EXPECT_EQ(text,
            "  loss\n"
            " 10+**\n"
            "   |  **\n"
            "   |    *\n"
            "   |     ***\n"
            "   |       **\n"
            "  5+\n"
            "   |            *\n"
            "   |             ***\n"
            "   |               **\n"
            "   |                 **\n"
            "  0+                   **\n"
            "   ++---------+---------+\n"
            "    0         5        10  epoch\n"
            "  * train\n")
      << text;
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 0x7f));
}

TEST(CurvesTest, DrawsBrailleDotsOfOneLineAndMarksOfSeveral) {
  Plot plot = falling();
  const TerminalOptions options{.width = 40, .height = 8, .unicode = true, .color = false};
  EXPECT_THAT(draw_in_terminal(plot, options), AllOf(HasSubstr("⠉"), HasSubstr("│")));
  plot.lines.push_back({"validation", {{0, 3}, {10, 3}}});
  EXPECT_THAT(draw_in_terminal(plot, options),
              AllOf(HasSubstr("● train"), HasSubstr("○ validation"), HasSubstr("○○○○○")));
}

// Numbers that are not above 0 have no place on a logarithmic axis.
TEST(CurvesTest, DrawsSvgWithGapsLegendAndALogarithmicAxis) {
  Plot plot = falling();
  plot.title = "a < b & c";
  std::string svg = draw_svg(plot);
  EXPECT_THAT(svg, AllOf(HasSubstr("<svg xmlns=\"http://www.w3.org/2000/svg\""),
                         HasSubstr("a &lt; b &amp; c"), HasSubstr(">train</text>"),
                         HasSubstr(">epoch</text>"), HasSubstr("</svg>\n"), Not(HasSubstr("nan"))));
  const size_t first = svg.find("<path d=\"M");
  ASSERT_NE(first, std::string::npos);
  const std::string path = svg.substr(first, svg.find("\" fill", first) - first);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2) << path;  // before and behind the gap
  EXPECT_EQ(std::count(path.begin(), path.end(), 'L'), 8) << path;
  plot.log_y = true;
  svg = draw_svg(plot);
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf")), HasSubstr(">10</text>")));
}

// What a job leaves can be looked at without any other tool.
TEST(CurvesTest, TheCommandDrawsRunsFromLogsAndEventFiles) {
  const TemporaryDirectory folder;
  for (const char* const run : {"a", "b"}) {
    std::filesystem::create_directories(folder / run);
    std::ofstream(folder / run + "/log.csv") << "epoch,loss,val_loss\n0,2,3\n1,1,2\n";
    io::EventWriter writer(folder / run + "/tensorboard/train");
    for (int step = 1; step <= 4; ++step) writer.scalar("batch_loss", step, 1.0 / step);
  }
  auto result = trireme_run({"curves", folder / "a", folder / "b", "--list"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("/a  loss  2 epochs, last 1\n"),
                                HasSubstr("/b  train/batch_loss  4 steps, last 0.25\n")));
  result = trireme_run({"curves", folder / "a", folder / "b", "--ascii", "--width", "60"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("/b: val_loss\n"), HasSubstr("epoch\n")));
  result = trireme_run(
      {"curves", folder / "a", "--metric", "batch_loss", "--svg", folder / "loss.svg", "--log"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(read_text(folder / "loss.svg"), HasSubstr(">step</text>"));
  result = trireme_run({"curves", folder / "a", "--metric", "los"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--metric los: there is no such figure; there are loss, "
                                    "train/batch_loss, val_loss"));
}

}  // namespace
}  // namespace trireme
