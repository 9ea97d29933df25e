// How this process's heap treats memory that is freed.
#pragma once

namespace trireme {

// From now on, what is freed stays with the process, tens of megabytes of it, and large pieces are
// no mappings of their own. By default glibc returns such memory to the kernel at once and gets it
// back page by page, which takes a quarter of the time of moving large messages. Any thread; again
// is as good as once.
void keep_freed_memory();

}  // namespace trireme
