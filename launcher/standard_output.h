// The program's standard output: what cannot be written there is an error of the command, whichever
// command it is.
//
// One object, made by main() before anything is printed; std::cout writes to it from then on.
#pragma once

#include <array>
#include <ostream>
#include <streambuf>

#include "core/base/error.h"

namespace trireme {

// Gives each of the descriptors 0, 1 and 2 that the caller closed a place, so that no file that is
// opened later gets its number and is printed into. Writing to a closed standard output stays an
// error.
void keep_standard_descriptors();

// For a command whose work is worth more than what it prints on the way: from now on a reader of
// its standard error that goes away does not end it.
void outlive_readers();

// For standard output that failed with this errno.
Error standard_output_error(int error_number);

class StandardOutput : public std::streambuf {
 public:
  StandardOutput();
  ~StandardOutput() override;
  StandardOutput(const StandardOutput&) = delete;

  // Writes what std::cout has collected. Throws standard_output_error() when that or anything
  // before it could not be written. A reader that has closed the pipe ends the process as SIGPIPE
  // would, without a word, as other programs end then.
  void finish();

 private:
  int sync() override;
  int_type overflow(int_type byte) override;
  bool write_out();

  std::array<char, 64 * 1024> buffer_;
  int error_number_ = 0;
  std::streambuf* previous_;
};

}  // namespace trireme
