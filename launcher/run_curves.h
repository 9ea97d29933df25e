// The curves of a run, from its log.csv and its event files.
#pragma once

#include <string>
#include <vector>

namespace trireme {

struct CurvePoint {
  double x, y;  // y is NaN where there is no such number: a gap
};

struct Curve {
  std::string run;            // as it was named
  std::string part;           // of an event file: the folder below the run's, "train"; else empty
  std::string metric;         // a column of log.csv or a tag
  bool counts_epochs = true;  // else steps
  std::vector<CurvePoint> points;

  std::string name() const { return part.empty() ? metric : part + "/" + metric; }
};

// All of a run: of the output folder of a job, a folder of event files or of folders with such, a
// CSV file with a column "epoch" or "step", or an event file's folder. What could not be read of it
// is told in `notes`. Throws Error{kNotFound} for a path that is not there, Error{kInvalidArgument}
// where nothing of it has curves.
std::vector<Curve> read_curves(const std::string& path, std::vector<std::string>& notes);

// TensorBoard's smoothing: means with weights that fall by `weight` with each step back. Gaps stay.
// REQUIRES: 0 ≤ weight < 1.
std::vector<CurvePoint> smoothed(const std::vector<CurvePoint>& points, double weight);

}  // namespace trireme
