#include "launch/packed_texts.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(PackedTexts, ComeOutAsTheyWentIn) {
    const std::vector<std::string> texts{"one", "", std::string{"\0\n\xff", 3}, std::string(100'000, 'x')};

    EXPECT_EQ(unpack_texts(pack_texts(texts), texts.size()), texts);
    EXPECT_EQ(unpack_texts(pack_texts({}), 0), std::vector<std::string>{});
}

TEST(PackedTexts, AreAsManyAsIsSaid) {
    const std::string message = pack_texts({"one", "two"});

    EXPECT_FALSE(unpack_texts(message, 1));
    EXPECT_FALSE(unpack_texts(message, 3));
    EXPECT_FALSE(unpack_texts("", 1));
}

TEST(PackedTexts, AreWhole) {
    const std::string message = pack_texts({"one", "two"});

    for (std::size_t bytes = 0; bytes < message.size(); ++bytes) {
        EXPECT_FALSE(unpack_texts(message.substr(0, bytes), 2)) << bytes << " bytes of it";
    }
    EXPECT_FALSE(unpack_texts(message + "x", 2));
    EXPECT_FALSE(unpack_texts(std::string(8, '\xff') + "text", 1)) << "a length beyond the end";
}

}  // namespace
}  // namespace penstock
