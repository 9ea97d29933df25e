// What `trireme inspect` prints of event files: the tags of a file, or all values of one.
#pragma once

#include <iosfwd>
#include <string>

#include "core/io/inspect.h"

namespace trireme::io {

// A table with a line a tag: plugin, how many values, first and last step, the last value. A
// folder: each of its event files.
Inspector event_inspector();

// "step,wall_time,value" and a line for each value of `tag` in the file, or in the files of the
// folder. Of a histogram "step,wall_time,left,right,count" and a line a bucket, of texts
// "step,wall_time,text", of images "step,wall_time,width,height,image,bytes". Throws
// Error{kInvalidArgument} listing the tags when there is no such one.
void print_tag(const std::string& path, const std::string& tag, std::ostream& out);

}  // namespace trireme::io
