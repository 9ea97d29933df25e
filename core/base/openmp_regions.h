// Runs the OpenMP regions of a library that brings them (oneDNN) on the compute pool.
//
// Debian's oneDNN is built on libgomp, whose threads would be a second pool beside ours, and spin
// for milliseconds while they wait. A program that holds this file defines the six functions of
// libgomp that oneDNN calls; the dynamic linker prefers a program's to a library's. They act only
// on threads where an OpenMpRegions lives, and inside the pool's parts: all other calls go on to
// libgomp, so OpenMP in the rest of a program is what it was.
#pragma once

namespace trireme {

// While one lives, the calling thread's OpenMP regions run on the pool, with compute_threads()
// threads unless they ask for a number. Surround each call into oneDNN with one, also those that
// prepare: they cut the work by the number of threads. Cheap; may be nested.
class OpenMpRegions {
 public:
  OpenMpRegions() : OpenMpRegions(0) {}
  // With `threads` in place of compute_threads(), unless 0.
  explicit OpenMpRegions(int threads);
  ~OpenMpRegions();
  OpenMpRegions(const OpenMpRegions&) = delete;
  OpenMpRegions& operator=(const OpenMpRegions&) = delete;

 private:
  const int outer_threads_;
};

}  // namespace trireme
