// The coordinator's side of a LauncherLink: one call, which lasts as long as the launcher is there.
#pragma once

namespace grpc {
template <class Response>
class ServerWriteReactor;
}

namespace trireme {

namespace coordination {
class LauncherMessage;
class LauncherOrder;
}  // namespace coordination

class Launchers;

// Adds the launcher that `message` describes and writes its orders until it
// is gone. Lives until then.
grpc::ServerWriteReactor<coordination::LauncherOrder>* serve_launcher(
    const coordination::LauncherMessage& message, Launchers& launchers);

}  // namespace trireme
