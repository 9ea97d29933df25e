// The text of job files: protobuf's text format, with two liberties. A NAME stands for a component
// with its defaults, `loss: MEAN_SQUARED_ERROR` for `loss { mean_squared_error {} }` and
// `metrics: [ACCURACY, AUC]` for two messages; and names of values are read in any case of letters.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace google::protobuf {
class Message;
}

namespace trireme {

class JobSchema;

// Where each field of a text stands, by the path that an override would name it with: line and
// column of its name, or of an element of a list in brackets; from 1.
using JobPlaces = std::map<std::string, std::pair<int, int>>;

struct JobTextOptions {
  // Of the text, for messages: "FILE:LINE:COLUMN: …"; empty: it is one line, "character COLUMN: …".
  std::string name = {};
  JobPlaces* places = nullptr;  // null: nobody asks
  // Fields, entries and values that are not known are left out: the text is of another version of
  // the program.
  bool skips_unknown = false;
};

// Adds what `text` says to `message`, one of `schema` that is empty. Throws Error{kInvalidArgument}
// with line and column.
void parse_job_text(const JobSchema& schema, std::string_view text, const JobTextOptions& options,
                    google::protobuf::Message& message);

}  // namespace trireme
