#include "runtime/credit_book.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(CreditBook, TakesFromWhoeverHasMostAsASearchWould) {
    for (const std::uint32_t receivers : {1U, 2U, 7U, 100U}) {
        std::mt19937 random{receivers};
        CreditBook book{receivers};
        std::vector<std::uint64_t> plain(receivers);
        std::uint64_t total = 0;
        for (int step = 0; step < 5'000; ++step) {
            if (total == 0 || random() % 3 == 0) {
                const auto receiver = static_cast<std::uint32_t>(random() % receivers);
                const std::uint64_t credits = random() % 5;
                book.add(receiver, credits);
                plain[receiver] += credits;
                total += credits;
            } else {
                const auto most = std::max_element(plain.begin(), plain.end());
                ASSERT_EQ(book.take(), static_cast<std::uint32_t>(most - plain.begin()));
                --*most;
                --total;
            }
            ASSERT_EQ(book.total(), total);
        }
        for (std::uint32_t receiver = 0; receiver < receivers; ++receiver) {
            EXPECT_EQ(book.of(receiver), plain[receiver]);
        }
    }
}

TEST(CreditBook, PutsTheCreditsOfAParkedReceiverAside) {
    CreditBook book{3};
    book.add(0, 1);
    book.add(1, 5);
    book.park(1);
    book.add(1, 2);

    EXPECT_EQ(book.total(), 1U);
    EXPECT_EQ(book.of(1), 7U);
    EXPECT_EQ(book.take(), 0U);
    book.add(2, 2);
    EXPECT_EQ(book.take(), 2U);

    book.unpark(1);
    EXPECT_EQ(book.total(), 8U);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(book.take(), 1U);
    EXPECT_EQ(book.take(), 1U) << "of equal ones the first";
    EXPECT_EQ(book.take(), 2U);
    EXPECT_EQ(book.total(), 0U);
}

}  // namespace
}  // namespace penstock
