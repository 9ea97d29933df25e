// What an interrupted command leaves behind: nothing.
#pragma once

namespace trireme {

// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT remove unfinished output files (io::AtomicFile)
// before they end the process as they would. Those that the caller ignores stay ignored; a command
// that handles some itself (take_stop_signals()) does so afterwards.
void remove_temporaries_when_interrupted();

}  // namespace trireme
