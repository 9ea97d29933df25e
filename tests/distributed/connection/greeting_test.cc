// The greeting: who may pass, who may not, and what each is told.
#include "distributed/connection/greeting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using State = Greeting::State;
using Bytes = std::vector<std::byte>;

constexpr char kSecret[] = "0123456789abcdef";

Bytes sent_by(Greeting& from) {
  const auto out = from.outgoing();
  Bytes bytes(out.begin(), out.end());
  from.sent(out.size());
  return bytes;
}

// Gives it the bytes in pieces of `cut`; returns how many it took.
size_t give(Greeting& to, const Bytes& bytes, size_t cut = 1000) {
  size_t given = 0;
  while (given < bytes.size()) {
    const auto room = to.room();
    if (room.empty()) break;
    const size_t part = std::min({cut, room.size(), bytes.size() - given});
    std::memcpy(room.data(), bytes.data() + given, part);
    to.received(part);
    given += part;
  }
  return given;
}

// Lets them talk until neither has anything to say.
void talk(Greeting& client, Greeting& server, size_t cut = 1000) {
  while (!client.outgoing().empty() || !server.outgoing().empty()) {
    give(server, sent_by(client), cut);
    give(client, sent_by(server), cut);
  }
}

TEST(GreetingTest, BothPassWhoKnowTheSecretHoweverTheirBytesAreCut) {
  for (const char* secret : {kSecret, ""}) {
    for (const size_t cut : {1, 7, 1000}) {
      GreetingClient client(secret, "job");
      GreetingServer server(secret, "job");
      talk(client, server, cut);
      EXPECT_EQ(client.state(), State::kWelcome) << cut;
      EXPECT_EQ(server.state(), State::kWelcome) << cut;
    }
  }
}

TEST(GreetingTest, TheSecretDoesNotTravel) {
  GreetingClient client(kSecret, "job");
  GreetingServer server(kSecret, "job");
  std::string all;
  while (!client.outgoing().empty() || !server.outgoing().empty()) {
    for (auto [from, to] :
         {std::pair<Greeting*, Greeting*>{&client, &server}, {&server, &client}}) {
      const Bytes bytes = sent_by(*from);
      all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      give(*to, bytes);
    }
  }
  EXPECT_EQ(server.state(), State::kWelcome);
  EXPECT_THAT(all, Not(HasSubstr(kSecret)));
}

struct Case {
  const char* name;
  std::string client_secret, client_job;
  Verdict verdict;
  const char* sentence;
};

class GreetingRefusalTest : public ::testing::TestWithParam<Case> {};

// Both sides say the same of it.
TEST_P(GreetingRefusalTest, SaysWhyOnBothSides) {
  GreetingClient client(GetParam().client_secret, GetParam().client_job);
  GreetingServer server(kSecret, "the job");
  talk(client, server);
  ASSERT_EQ(client.state(), State::kRefused);
  ASSERT_EQ(server.state(), State::kRefused);
  EXPECT_EQ(server.verdict(), GetParam().verdict);
  EXPECT_EQ(client.verdict(), GetParam().verdict);
  EXPECT_THAT(server.sentence(), HasSubstr(GetParam().sentence));
  EXPECT_EQ(server.sentence(), client.sentence());
}

INSTANTIATE_TEST_SUITE_P(
    Clients, GreetingRefusalTest,
    ::testing::Values(
        Case{"NoSecret", "", "the job", Verdict::kNoSecret, "its secret is missing"},
        Case{"WrongSecret", "0123456789abcdeg", "the job", Verdict::kWrongSecret,
             "its secret is not the job's"},
        Case{"Prefix", "0123456789abcde", "the job", Verdict::kWrongSecret, "not the job's"},
        // The job's name is not for those who do not know the secret.
        Case{"Stranger", "0123456789abcdeg", "other", Verdict::kWrongSecret, "not the job's"},
        Case{"OtherJob", kSecret, "other", Verdict::kOtherJob,
             "it belongs to the job \"other\", this is the job \"the job\""},
        Case{"LongName", kSecret, std::string(900, 'x'), Verdict::kOtherJob,
             "\", this is the job \"the job\" (TRIREME_JOB_ID says which)"},
        Case{"ControlCharacters", kSecret, "a\x1b[2Jb\n", Verdict::kOtherJob, "\"a?[2Jb?\""}),
    [](const auto& info) { return info.param.name; });

// Two names that are equal as far as messages show them are two jobs.
TEST(GreetingTest, LongNamesThatDifferAtTheEndDiffer) {
  GreetingClient client(kSecret, std::string(100, 'x') + "1");
  GreetingServer server(kSecret, std::string(100, 'x') + "2");
  talk(client, server);
  EXPECT_EQ(server.verdict(), Verdict::kOtherJob);
}

TEST(GreetingTest, AProofOfAnotherConnectionIsWorthNothing) {
  GreetingClient client(kSecret, "job");
  GreetingServer server(kSecret, "job");
  const Bytes hello = sent_by(client);
  give(server, hello);
  give(client, sent_by(server));
  const Bytes proof = sent_by(client);
  GreetingServer later(kSecret, "job");
  give(later, hello);
  sent_by(later);
  give(later, proof);
  EXPECT_EQ(later.state(), State::kRefused);
  EXPECT_EQ(later.verdict(), Verdict::kWrongSecret);
}

// An attacker that gets a challenge, has it answered by asking the server as another client, and
// sends that back; and one that sends back whatever it was sent.
TEST(GreetingTest, WhatTheServerSaysProvesNothingOfTheClient) {
  GreetingServer server(kSecret, "job"), other(kSecret, "job");
  GreetingClient client(kSecret, "job");
  give(server, sent_by(client));
  const Bytes challenge = sent_by(server);
  give(server, {challenge.begin() + 16, challenge.begin() + 48});  // the server's own nonce
  EXPECT_EQ(server.verdict(), Verdict::kWrongSecret);

  GreetingClient honest(kSecret, "job");
  GreetingServer first(kSecret, "job");
  const Bytes hello = sent_by(honest);
  give(first, hello);
  give(honest, sent_by(first));
  give(first, sent_by(honest));
  const Bytes welcome = sent_by(first);  // has the server's proof
  ASSERT_EQ(first.state(), State::kWelcome);
  give(other, hello);
  sent_by(other);
  give(other, {welcome.begin() + 16, welcome.begin() + 48});
  EXPECT_EQ(other.verdict(), Verdict::kWrongSecret);
}

// A server that does not know the secret may send the client's own nonce or proof back.
TEST(GreetingTest, AServerWithoutTheSecretIsFoundOut) {
  for (const bool proof_comes_back : {true, false}) {
    GreetingClient client(kSecret, "job");
    GreetingServer imposter("another secret...", "job");
    const Bytes hello = sent_by(client);
    give(imposter, hello);
    Bytes challenge = sent_by(imposter);
    std::copy(hello.begin() + 16, hello.begin() + 48, challenge.begin() + 16);  // its own nonce
    give(client, challenge);
    const Bytes proof = sent_by(client);
    ASSERT_EQ(proof.size(), kProofBytes);
    Bytes welcome = challenge;
    welcome[10] = std::byte{0};  // the verdict
    if (proof_comes_back) std::copy(proof.begin(), proof.end(), welcome.begin() + 16);
    give(client, welcome);
    EXPECT_EQ(client.state(), State::kRefused);
    EXPECT_EQ(client.sentence(), "");
  }
}

TEST(GreetingTest, AWelcomeWithoutAChallengeIsNone) {
  GreetingClient client(kSecret, "job");
  sent_by(client);
  Bytes welcome(kServerMessageBytes);
  GreetingServer server(kSecret, "job");
  server.refuse_now(Verdict::kNotEncrypted, "x");
  Bytes head = sent_by(server);
  std::copy(head.begin(), head.begin() + 10, welcome.begin());
  give(client, welcome);
  EXPECT_EQ(client.state(), State::kRefused);
}

// The first byte that differs ends it: HTTP/2's preface, a TLS record, text, another magic number.
TEST(GreetingTest, WhoSpeaksSomethingElseIsRefusedAtItsFirstOtherByte) {
  for (const std::string& start :
       {std::string("PRI * HTTP/2.0\r\n"), std::string("\x16\x03\x01", 3), std::string("GET /"),
        std::string(1, '\0'), std::string("\xff"), std::string("\x8eTRIREMX")}) {
    GreetingServer server(kSecret, "job");
    Bytes bytes(start.size() + 100);
    std::memcpy(bytes.data(), start.data(), start.size());
    const size_t taken = give(server, bytes, 1);
    EXPECT_EQ(server.state(), State::kForeign);
    EXPECT_EQ(taken, start.starts_with("\x8e") ? 8u : 1u);
    EXPECT_TRUE(server.outgoing().empty());
    GreetingClient client(kSecret, "job");
    sent_by(client);
    give(client, bytes, 1);
    EXPECT_EQ(client.state(), State::kForeign);
  }
}

// Another version may have a shorter message: its number is enough.
TEST(GreetingTest, AnotherVersionIsToldAsSoonAsItsNumberHasCome) {
  GreetingClient client(kSecret, "job");
  Bytes hello = sent_by(client);
  hello[8] = std::byte{9};
  GreetingServer server(kSecret, "job");
  hello.resize(12);
  give(server, hello);
  ASSERT_EQ(server.state(), State::kRefused);
  EXPECT_THAT(server.sentence(), AllOf(HasSubstr("it speaks version 9 "), HasSubstr("version 1 ")));
  give(client, sent_by(server));
  EXPECT_EQ(client.sentence(), server.sentence());
}

// What was decided before the first byte is said to whoever says who it is.
TEST(GreetingTest, APresetRefusalIsTold) {
  GreetingServer server(kSecret, "job");
  server.refuse_all(Verdict::kNotEncrypted, "this job's connections are encrypted");
  GreetingClient client(kSecret, "job");
  talk(client, server);
  EXPECT_EQ(client.verdict(), Verdict::kNotEncrypted);
  EXPECT_EQ(client.sentence(), "this job's connections are encrypted");
}

TEST(GreetingTest, NoncesDiffer) { EXPECT_NE(draw_nonce(), draw_nonce()); }

}  // namespace
}  // namespace trireme::testing
