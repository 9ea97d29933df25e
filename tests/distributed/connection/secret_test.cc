// One rule for secrets, wherever they come from.
#include "distributed/connection/secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;

std::string problem(const std::string& secret) {
  try {
    check_secret(secret, "TRIREME_SECRET");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
}

TEST(SecretTest, HasFrom16To1024PrintableCharacters) {
  EXPECT_EQ(problem(std::string(16, 'x')), "");
  EXPECT_EQ(problem(std::string(1024, '~')), "");
  for (const std::string& wrong :
       {std::string(), std::string(15, 'x'), std::string(1025, 'x'), std::string(20, ' '),
        std::string("0123456789abcdef\n"), std::string(20, '\0'), std::string(20, '\xfc')}) {
    EXPECT_THAT(problem(wrong), HasSubstr("TRIREME_SECRET: a job's secret is one line of 16 to "
                                          "1024 printable ASCII characters without spaces"));
    EXPECT_THAT(problem(wrong), HasSubstr("openssl rand -hex 32"));
  }
}

}  // namespace
}  // namespace trireme::testing
