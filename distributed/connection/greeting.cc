#include "distributed/connection/greeting.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace trireme {
namespace {

using Bytes = std::span<const std::byte>;

// The head of every first message, which all versions share: the magic number and the version.
constexpr size_t kMagicBytes = 8, kHeadBytes = 12;
constexpr std::array<unsigned char, kMagicBytes> kMagic = {
    kGreetingFirstByte, 'T', 'R', 'I', 'R', 'E', 'M', 'E'};

// The client's hello: head (10: flags), 12: zeros, 16: nonce, 48: SHA-256 of the job's name,
// 80: the name's beginning, for messages.
constexpr size_t kFlagsAt = 10, kNonceAt = 16, kJobDigestAt = 48, kJobTextAt = 80;
constexpr size_t kJobTextBytes = kHelloBytes - kJobTextAt;
constexpr uint16_t kHasSecret = 1;

// The server's messages: head (10: verdict), 12: zeros, 16: nonce or proof, 48: sentence.
constexpr size_t kVerdictAt = 10, kPayloadAt = 16, kSentenceAt = 48;
constexpr size_t kSentenceBytes = kServerMessageBytes - kSentenceAt;

constexpr char kClientRole[] = "trireme greeting: client";
constexpr char kServerRole[] = "trireme greeting: server";

void put16(std::span<std::byte> to, size_t at, uint16_t value) {
  to[at] = static_cast<std::byte>(value & 0xFF);
  to[at + 1] = static_cast<std::byte>(value >> 8);
}

uint16_t get16(Bytes from, size_t at) {
  return static_cast<uint16_t>(static_cast<unsigned>(from[at]) |
                               (static_cast<unsigned>(from[at + 1]) << 8));
}

void put_head(std::span<std::byte> to) {
  std::memcpy(to.data(), kMagic.data(), kMagic.size());
  put16(to, kMagicBytes, kGreetingVersion);
}

bool has_magic(Bytes so_far) {
  return std::memcmp(so_far.data(), kMagic.data(), std::min(so_far.size(), kMagic.size())) == 0;
}

// What a peer sent, for people: printable ASCII, to the first zero.
std::string printable_text(Bytes from) {
  std::string text;
  for (const std::byte byte : from) {
    const char c = static_cast<char>(byte);
    if (c == '\0') break;
    text += c >= 0x20 && c < 0x7F ? c : '?';
  }
  return text;
}

std::array<std::byte, SHA256_DIGEST_LENGTH> digest(const std::string& text) {
  std::array<std::byte, SHA256_DIGEST_LENGTH> result{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(result.data()));
  return result;
}

std::array<std::byte, kProofBytes> prove(const std::string& secret, const char* role,
                                         Bytes transcript) {
  std::string text(role);
  text.append(reinterpret_cast<const char*>(transcript.data()), transcript.size());
  std::array<std::byte, kProofBytes> proof{};
  unsigned length = 0;
  const bool made = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                         reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                         reinterpret_cast<unsigned char*>(proof.data()), &length) != nullptr;
  TRIREME_CHECK(made && length == kProofBytes, "no HMAC-SHA256 in this OpenSSL");
  return proof;
}

bool equal_in_constant_time(Bytes a, Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::array<std::byte, kServerMessageBytes> server_message(Verdict verdict, Bytes payload,
                                                          const std::string& sentence) {
  std::array<std::byte, kServerMessageBytes> message{};
  put_head(message);
  put16(message, kVerdictAt, static_cast<uint16_t>(verdict));
  std::memcpy(message.data() + kPayloadAt, payload.data(), payload.size());
  std::memcpy(message.data() + kSentenceAt, sentence.data(),
              std::min(sentence.size(), kSentenceBytes - 1));
  return message;
}

std::string version_sentence(uint16_t theirs) {
  return str_cat("it speaks version ", theirs, " of the greeting, the other side version ",
                 kGreetingVersion, " (use the same version of Trireme everywhere)");
}

}  // namespace

Nonce draw_nonce() {
  Nonce nonce;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), kNonceBytes) != 1) {
    throw failed("the system gave no random numbers");
  }
  return nonce;
}

void Greeting::sent(size_t bytes) { sent_ += bytes; }

std::span<std::byte> Greeting::room() {
  if (state_ != State::kTalking || !outgoing().empty()) return {};
  return std::span(in_).subspan(filled_);
}

void Greeting::received(size_t bytes) {
  filled_ += bytes;
  inspect(std::span(in_).first(filled_));
  if (state_ != State::kTalking || filled_ < in_.size()) return;
  const std::vector<std::byte> message = std::exchange(in_, {});
  filled_ = 0;
  take(message);
}

void Greeting::expect(size_t bytes) {
  in_.assign(bytes, std::byte{0});
  filled_ = 0;
}

void Greeting::send(Bytes message) {
  out_.assign(message.begin(), message.end());
  sent_ = 0;
}

void Greeting::refuse(Verdict verdict, const std::string& why) {
  verdict_ = verdict;
  sentence_ = why;
  state_ = State::kRefused;
}

GreetingServer::GreetingServer(std::string secret, std::string job_id)
    : secret_(std::move(secret)), job_id_(std::move(job_id)) {
  expect(kHelloBytes);
}

void GreetingServer::refuse_all(Verdict verdict, const std::string& why) {
  preset_ = verdict;
  preset_why_ = why;
}

void GreetingServer::inspect(Bytes so_far) {
  if (!transcript_.empty()) return;
  if (!has_magic(so_far)) return end(State::kForeign);
  // The rest of a message of another version may have another size, or meaning.
  if (so_far.size() < kHeadBytes) return;
  const uint16_t version = get16(so_far, kMagicBytes);
  if (version != kGreetingVersion) refuse_now(Verdict::kOtherVersion, version_sentence(version));
}

void GreetingServer::take(Bytes message) {
  if (transcript_.empty()) {
    take_hello(message);
  } else {
    take_proof(message);
  }
}

void GreetingServer::refuse_now(Verdict verdict, const std::string& why) {
  refuse(verdict, why);
  send(server_message(verdict, Nonce{}, why));
}

void GreetingServer::take_hello(Bytes hello) {
  if (preset_ != Verdict::kWelcome) return refuse_now(preset_, preset_why_);
  if (!secret_.empty() && (get16(hello, kFlagsAt) & kHasSecret) == 0) {
    return refuse_now(Verdict::kNoSecret,
                      "its secret is missing (set TRIREME_SECRET to the job's)");
  }
  const Nonce nonce = draw_nonce();
  transcript_.assign(hello.begin(), hello.end());
  transcript_.insert(transcript_.end(), nonce.begin(), nonce.end());
  send(server_message(Verdict::kChallenge, nonce, ""));
  expect(kProofBytes);
}

void GreetingServer::take_proof(Bytes proof) {
  if (!equal_in_constant_time(proof, prove(secret_, kClientRole, transcript_))) {
    return refuse_now(Verdict::kWrongSecret,
                      "its secret is not the job's (set TRIREME_SECRET to the job's)");
  }
  const Bytes hello = Bytes(transcript_).first(kHelloBytes);
  if (!equal_in_constant_time(hello.subspan(kJobDigestAt, SHA256_DIGEST_LENGTH), digest(job_id_))) {
    const std::string theirs = printable_text(hello.subspan(kJobTextAt, kJobTextBytes));
    const std::string ours = printable_text(
        std::as_bytes(std::span(job_id_)).first(std::min<size_t>(job_id_.size(), kJobTextBytes)));
    return refuse_now(Verdict::kOtherJob,
                      str_cat("it belongs to the job \"", theirs, "\", this is the job \"", ours,
                              "\" (TRIREME_JOB_ID says which)"));
  }
  transcript_.insert(transcript_.end(), proof.begin(), proof.end());
  send(server_message(Verdict::kWelcome, prove(secret_, kServerRole, transcript_), ""));
  end(State::kWelcome);
}

std::string refusal_in(Bytes server_message) {
  if (server_message.size() != kServerMessageBytes || !has_magic(server_message)) return "";
  return printable_text(server_message.subspan(kSentenceAt, kSentenceBytes));
}

GreetingClient::GreetingClient(std::string secret, std::string job_id)
    : secret_(std::move(secret)), transcript_(kHelloBytes) {
  const std::span hello(transcript_);
  put_head(hello);
  put16(hello, kFlagsAt, secret_.empty() ? 0 : kHasSecret);
  const Nonce nonce = draw_nonce();
  std::memcpy(hello.data() + kNonceAt, nonce.data(), nonce.size());
  const auto job = digest(job_id);
  std::memcpy(hello.data() + kJobDigestAt, job.data(), job.size());
  std::memcpy(hello.data() + kJobTextAt, job_id.data(), std::min(job_id.size(), kJobTextBytes));
  send(hello);
  expect(kServerMessageBytes);
}

void GreetingClient::inspect(Bytes so_far) {
  if (!has_magic(so_far)) end(State::kForeign);
}

void GreetingClient::take(Bytes message) {
  const auto verdict = static_cast<Verdict>(get16(message, kVerdictAt));
  const Bytes payload = message.subspan(kPayloadAt, kProofBytes);
  const bool is_welcome = verdict == Verdict::kWelcome && challenged_;
  const bool is_challenge = verdict == Verdict::kChallenge && !challenged_;
  if (!is_welcome && !is_challenge) {
    const std::string why = printable_text(message.subspan(kSentenceAt, kSentenceBytes));
    return refuse(verdict, why.empty() ? "it gave no reason" : why);
  }
  if (is_welcome) {
    if (equal_in_constant_time(payload, prove(secret_, kServerRole, transcript_))) {
      return end(State::kWelcome);
    }
    return refuse(Verdict::kWrongSecret, "");  // nobody of the job says so
  }
  challenged_ = true;
  transcript_.insert(transcript_.end(), payload.begin(), payload.end());
  const auto proof = prove(secret_, kClientRole, transcript_);
  transcript_.insert(transcript_.end(), proof.begin(), proof.end());
  send(proof);
  expect(kServerMessageBytes);
}

}  // namespace trireme
