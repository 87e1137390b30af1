#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/error.hpp>

#include "kernels/affine.hpp"

namespace penstock {
namespace {

template <class T>
class AffineKernel : public testing::Test {};

using Elements = testing::Types<float, double>;
TYPED_TEST_SUITE(AffineKernel, Elements);

TYPED_TEST(AffineKernel, AgreesWithAPlainReference) {
    for (const std::size_t size : {0U, 1U, 3U, 64U, 1000U}) {
        std::vector<TypeParam> x(size);
        std::iota(x.begin(), x.end(), TypeParam{-5});
        std::vector<TypeParam> y(size, TypeParam{99});

        affine(std::span<const TypeParam>{x}, std::span<TypeParam>{y}, TypeParam{1.1F}, TypeParam{0.3F});

        for (std::size_t i = 0; i < size; ++i) {
            const double reference =
                static_cast<double>(TypeParam{1.1F}) * static_cast<double>(x[i]) + static_cast<double>(TypeParam{0.3F});
            ASSERT_NEAR(static_cast<double>(y[i]), reference, std::abs(reference) * 1e-6) << size << " " << i;
        }
    }
}

TYPED_TEST(AffineKernel, MayWorkInPlace) {
    std::vector<TypeParam> x{1, 2, 3};

    affine(std::span<const TypeParam>{x}, std::span<TypeParam>{x}, TypeParam{10}, TypeParam{1});

    EXPECT_EQ(x, (std::vector<TypeParam>{11, 21, 31}));
}

TYPED_TEST(AffineKernel, RefusesAnotherNumberOfResults) {
    const std::vector<TypeParam> x(3);
    std::vector<TypeParam> y(2);

    EXPECT_THROW(affine(std::span<const TypeParam>{x}, std::span<TypeParam>{y}, TypeParam{1}, TypeParam{1}), Error);
}

}  // namespace
}  // namespace penstock
