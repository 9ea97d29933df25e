// The coordinator's side of a LauncherLink: one call, which lasts as long as the launcher is there.
#pragma once

#include <functional>

namespace grpc {
class ServerContext;
template <class Message>
class ServerWriter;
}  // namespace grpc

namespace trireme {

namespace coordination {
class LauncherMessage;
class LauncherOrder;
}  // namespace coordination

class Launchers;

// Adds the launcher that `message` describes and writes its orders until it is gone.
void serve_launcher(grpc::ServerContext& context, const coordination::LauncherMessage& message,
                    grpc::ServerWriter<coordination::LauncherOrder>& writer, Launchers& launchers);

}  // namespace trireme
