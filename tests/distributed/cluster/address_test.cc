// Addresses of this machine and of others, with loopback as the only network.
#include "distributed/cluster/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "core/base/error.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

TEST(AddressTest, ReadsHostAndPort) {
  EXPECT_EQ(parse_host_port("n1:22", "X").host, "n1");
  EXPECT_EQ(parse_host_port("n1:22", "X").port, 22);
  EXPECT_EQ(parse_host_port("[fd00::1]:22", "X").host, "fd00::1");
  for (const char* text : {"n1:22", "[fd00::1]:22"}) {
    EXPECT_EQ(to_string(parse_host_port(text, "X")), text);
  }
  for (const char* text : {"", ":", "n1", "n1:", ":22", "n1:x", "n1:0", "n1:65536", "n1:22x",
                           "n1:+2", "fd00::1:22", "[]:22", "a b:22", "n1/x:22"}) {
    EXPECT_THROW(parse_host_port(text, "X"), Error) << text;
  }
}

std::string complaint(const std::string& text, bool with_port) {
  try {
    with_port ? parse_host_port(text, "X").host : parse_host(text, "X");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

// As MASTER_ADDR, scontrol, a headless service and TF_CONFIG give them.
TEST(AddressTest, ReadsAHostInEveryForm) {
  for (const auto& [text, host] : std::map<std::string, std::string>{
           {"n1", "n1"},
           {"n1.example.org.", "n1.example.org."},
           {"job-0.svc.ns.svc.cluster.local", "job-0.svc.ns.svc.cluster.local"},
           {"10.0.0.1", "10.0.0.1"},
           {"fd00::1", "fd00::1"},
           {"[::1]", "::1"},
           {"fe80::1%eth0", "fe80::1%eth0"},
           {"::ffff:10.0.0.1", "::ffff:10.0.0.1"}}) {
    EXPECT_EQ(parse_host(text, "X"), host);
    const std::string bare = text.starts_with('[') ? host : text;
    EXPECT_EQ(to_string({host, 7}), bare.find(':') == bare.npos ? bare + ":7" : "[" + bare + "]:7");
  }
}

TEST(AddressTest, SaysWhatIsWrongWithAnAddress) {
  using ::testing::HasSubstr;
  for (const bool with_port : {false, true}) {
    EXPECT_THAT(complaint("http://n1:80", with_port), HasSubstr("leave 'http://' out"));
    EXPECT_THAT(complaint("grpc://[::1]:80", with_port), HasSubstr("leave 'grpc://' out"));
  }
  EXPECT_THAT(complaint("n1:22", false), HasSubstr("expected a host without a port"));
  EXPECT_THAT(complaint("[::1]:22", false), HasSubstr("expected"));
  EXPECT_THAT(complaint("n1,n2", false), HasSubstr("one host name or address"));
  EXPECT_THAT(complaint(" n1", false), HasSubstr("without blanks"));
  EXPECT_THAT(complaint("", false), HasSubstr("expected a host"));
  EXPECT_THAT(complaint("[n1]", false), HasSubstr("IPv6 address in the brackets"));
  EXPECT_THAT(complaint("[[::1]]:22", true), HasSubstr("expected"));
  EXPECT_THAT(complaint("fd00::1:22", true), HasSubstr("as in [fd00::1]:2222"));
  EXPECT_THAT(complaint("[fd00::1]", true), HasSubstr("expected host:port"));
}

TEST(AddressTest, KnowsLoopbackByItsName) {
  for (const char* host : {"localhost", "127.0.0.1", "127.9.0.1", "::1"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"n1", "10.0.0.1", "127.example.org", "localhost.example.org"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(AddressTest, FindsTheOwnAddressTowardsLoopback) {
  EXPECT_EQ(local_address_towards("127.0.0.1"), "127.0.0.1");
  EXPECT_TRUE(is_loopback(local_address_towards("localhost")));
  EXPECT_EQ(numeric_address("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(numeric_address("no-such-host.invalid"), "");
  EXPECT_EQ(local_address_towards("no-such-host.invalid"), "");
}

TEST(AddressTest, AnInterfacesAddressIsReachedFromItself) {
  const std::string own = first_interface_address();
  if (own.empty()) GTEST_SKIP() << "this machine has no interface but loopback";
  EXPECT_FALSE(is_loopback(own));
  EXPECT_EQ(local_address_towards(own), own);
}

TEST(AddressTest, ReadsANodesAddressFromWhatSlurmPrints) {
  EXPECT_EQ(node_address_in("NodeName=n1 Arch=x86_64\n   NodeAddr=10.1.2.3 NodeHostName=n1\n"),
            "10.1.2.3");
  EXPECT_EQ(node_address_in("Node nope not found\n"), "");
}

// A scontrol of our own in front of the path.
TEST(AddressTest, AsksScontrol) {
  char folder[] = "/tmp/trireme-test-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string script = std::string(folder) + "/scontrol";
  std::ofstream(script) << "#!/bin/sh\n[ \"$*\" = 'show node n7' ] || exit 1\n"
                           "echo NodeAddr=10.0.0.7 Port=1\n";
  chmod(script.c_str(), 0755);
  const std::string path = getenv("PATH");
  setenv("PATH", (std::string(folder) + ":" + path).c_str(), 1);
  EXPECT_EQ(ask_scontrol("n7"), "10.0.0.7");
  EXPECT_EQ(ask_scontrol("n8"), "");
  setenv("PATH", folder, 1);
  unlink(script.c_str());
  EXPECT_EQ(ask_scontrol("n7"), "");  // no such program
  setenv("PATH", path.c_str(), 1);
  rmdir(folder);
}

}  // namespace
}  // namespace trireme::cluster
