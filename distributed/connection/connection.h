// A second handle on a connection that gRPC owns.
#pragma once

namespace trireme {

class Connection {
 public:
  explicit Connection(int fd);  // duplicates it
  ~Connection();
  Connection(const Connection&) = delete;

  // At once, whatever gRPC still holds for a peer that has stopped reading.
  void break_off() const;
  bool is_over() const;  // both directions are shut
  int handle() const { return handle_; }

 private:
  int handle_ = -1;
};

}  // namespace trireme
