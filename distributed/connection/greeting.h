// What both ends of a connection say before either trusts the other.
//
// Four messages of fixed size, so that a stranger can make nobody keep more than that of it:
//   1. the client: who it is (version, job) and a nonce,
//   2. the server: a nonce of its own, or why it refuses,
//   3. the client: HMAC-SHA256 of its role and all bytes before, with the secret as the key,
//   4. the server: the same with its role, or why it refuses.
// The secret never travels, a proof fits no other connection (nonces) and no other direction
// (roles), and the job's name is told to nobody who has not proved the secret. The first byte that
// no client of any version would send ends it.
//
// No I/O here: bytes in, bytes out. One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trireme {

inline constexpr uint16_t kGreetingVersion = 1;
// Of no printable text, HTTP/2 preface or TLS record.
inline constexpr unsigned char kGreetingFirstByte = 0x8E;
inline constexpr size_t kNonceBytes = 32;
using Nonce = std::array<std::byte, kNonceBytes>;
Nonce draw_nonce();  // throws Error{kFailed} when the system gives no random numbers

// How a greeting ends, on the wire.
enum class Verdict : uint16_t {
  kWelcome = 0,
  kChallenge = 1,  // not the end: the server's nonce
  kNoSecret = 2,
  kWrongSecret = 3,
  kOtherJob = 4,
  kOtherVersion = 5,
  kNotEncrypted = 6,   // in the clear, where the job's connections are encrypted
  kEncryptedHere = 7,  // encrypted, where the job's connections are not
};

// What the two sides have in common. The caller moves bytes: it sends outgoing() and fills room().
class Greeting {
 public:
  enum class State {
    kTalking,
    kWelcome,  // both sides have proved the secret, once outgoing() is sent
    kRefused,  // sentence() says why; the server's last message is still to be sent
    kForeign,  // the peer speaks something else: nothing is to be sent
  };

  virtual ~Greeting() = default;
  State state() const { return state_; }
  Verdict verdict() const { return verdict_; }
  const std::string& sentence() const { return sentence_; }  // for people, about the client

  std::span<const std::byte> outgoing() const { return std::span(out_).subspan(sent_); }
  void sent(size_t bytes);
  // Where the next bytes of the peer belong; empty while there is something to send, or at the end.
  std::span<std::byte> room();
  void received(size_t bytes);  // so many are in room() now

 protected:
  void expect(size_t bytes);
  void send(std::span<const std::byte> message);
  void refuse(Verdict verdict, const std::string& why);
  void end(State state) { state_ = state; }

  // Looks at what has come of a message; may end the greeting before the rest has.
  virtual void inspect(std::span<const std::byte> so_far) = 0;
  virtual void take(std::span<const std::byte> message) = 0;  // a whole one

 private:
  State state_ = State::kTalking;
  Verdict verdict_ = Verdict::kWelcome;
  std::string sentence_;
  std::vector<std::byte> out_, in_;
  size_t sent_ = 0, filled_ = 0;
};

class GreetingServer final : public Greeting {
 public:
  GreetingServer(std::string secret, std::string job_id);
  // Refuses whoever says the first message right. REQUIRES: nothing was received.
  void refuse_all(Verdict verdict, const std::string& why);
  // Refuses at once, whatever comes.
  void refuse_now(Verdict verdict, const std::string& why);

 private:
  void inspect(std::span<const std::byte> so_far) override;
  void take(std::span<const std::byte> message) override;
  void take_hello(std::span<const std::byte> hello);
  void take_proof(std::span<const std::byte> proof);

  const std::string secret_, job_id_;
  Verdict preset_ = Verdict::kWelcome;
  std::string preset_why_;
  std::vector<std::byte> transcript_;  // empty until the hello has come
};

class GreetingClient final : public Greeting {
 public:
  GreetingClient(std::string secret, std::string job_id);

 private:
  void inspect(std::span<const std::byte> so_far) override;
  void take(std::span<const std::byte> message) override;

  const std::string secret_;
  bool challenged_ = false;
  std::vector<std::byte> transcript_;
};

// What a server's message says that was refuse_now(); empty when it is none.
std::string refusal_in(std::span<const std::byte> server_message);

inline constexpr size_t kHelloBytes = 144;          // the client's first message
inline constexpr size_t kProofBytes = 32;           // its second
inline constexpr size_t kServerMessageBytes = 256;  // both of the server

}  // namespace trireme
