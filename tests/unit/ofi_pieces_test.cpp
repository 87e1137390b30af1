// The pieces of the transport ofi that need no endpoint.

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rdma/fi_errno.h>

#include "base/cores.hpp"
#include "support/recorder.hpp"
#include "support/scratch_folder.hpp"
#include "transports/interfaces.hpp"
#include "transports/ofi/credit.hpp"
#include "transports/ofi/frame_stream.hpp"
#include "transports/ofi/hello.hpp"
#include "transports/ofi/packet.hpp"
#include "transports/ofi/provider.hpp"
#include "transports/ofi/rails.hpp"
#include "transports/ofi/reorder.hpp"

namespace penstock::ofi {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- order ---

TEST(OfiReorder, GivesBackInTheOrderOfNumbersHoweverTheyCome) {
    std::mt19937 random{5};
    Reorder<std::uint32_t> reorder{8};
    std::uint32_t begun = 0;
    std::uint32_t expected = 0;
    std::vector<std::uint32_t> under_way;
    while (expected < 1000) {
        while (begun < expected + 8) under_way.push_back(begun++);
        std::shuffle(under_way.begin(), under_way.end(), random);
        ASSERT_TRUE(reorder.add(under_way.back(), under_way.back()));
        under_way.pop_back();
        while (const auto next = reorder.take()) ASSERT_EQ(*next, expected++);
    }
}

TEST(OfiReorder, RefusesWhatIsThereOrBeyondTheWindow) {
    Reorder<int> reorder{4};

    EXPECT_FALSE(reorder.add(4, 0));
    EXPECT_TRUE(reorder.add(3, 0));
    EXPECT_FALSE(reorder.add(3, 0));
    EXPECT_TRUE(reorder.add(0, 7));
    EXPECT_EQ(reorder.take(), 7);
    EXPECT_FALSE(reorder.add(0, 0)) << "it was taken already";
    EXPECT_TRUE(reorder.add(4, 0));
    EXPECT_EQ(reorder.take(), std::nullopt) << "1 is missing";
    EXPECT_FALSE(reorder.add(~std::uint32_t{0}, 0));
}

TEST(OfiReorder, HandsOutWhatWaitsWhenItIsGivenUp) {
    Reorder<int> reorder{4};
    ASSERT_TRUE(reorder.add(2, 2));
    ASSERT_TRUE(reorder.add(3, 3));

    EXPECT_TRUE(reorder.take_any().has_value());
    EXPECT_TRUE(reorder.take_any().has_value());
    EXPECT_FALSE(reorder.take_any().has_value());
}

// --- frames that are cut ---

[[nodiscard]] Bytes frame(std::size_t bytes, std::uint32_t seed) {
    std::mt19937 random{seed};
    Bytes made(bytes);
    for (std::byte& byte : made) byte = static_cast<std::byte>(random());
    return made;
}

[[nodiscard]] Bytes stream_of(const std::vector<Bytes>& frames) {
    Bytes stream;
    for (const Bytes& one : frames) {
        const std::uint64_t length = one.size();
        const std::size_t begin = stream.size();
        stream.resize(begin + framed_bytes(one.size()));
        std::memcpy(stream.data() + begin, &length, sizeof length);
        std::copy(one.begin(), one.end(), stream.begin() + static_cast<std::ptrdiff_t>(begin + frame_head_bytes));
    }
    return stream;
}

TEST(OfiFrameStream, PutsFramesTogetherWhereverTheyAreCut) {
    std::mt19937 random{3};
    std::vector<Bytes> frames;
    for (const std::size_t bytes : {1U, 8U, 9U, 4040U, 100U, 131'064U, 1U, 16'000U}) frames.push_back(frame(bytes, 1));
    const Bytes stream = stream_of(frames);
    for (int round = 0; round < 50; ++round) {
        FrameStream pieces;
        std::vector<Bytes> delivered;
        std::span<const std::byte> left{stream};
        const std::size_t longest = std::uniform_int_distribution<std::size_t>{1, 2000}(random);
        while (!left.empty()) {
            const std::size_t cut = 8 * std::uniform_int_distribution<std::size_t>{1, longest}(random);
            const auto piece = left.first(std::min(cut, left.size()));
            ASSERT_TRUE(pieces.add(
                piece, [&](std::span<const std::byte> one) { delivered.emplace_back(one.begin(), one.end()); }));
            left = left.subspan(piece.size());
        }
        ASSERT_TRUE(delivered == frames) << "cut at multiples of up to " << 8 * longest;
    }
}

TEST(OfiFrameStream, DeliversAFrameAsSoonAsItsLastPieceIsThere) {
    const Bytes stream = stream_of({frame(20, 1)});
    FrameStream pieces;
    int delivered = 0;
    const auto count = [&](std::span<const std::byte>) { ++delivered; };

    EXPECT_TRUE(pieces.add(std::span{stream}.first(16), count));
    EXPECT_EQ(delivered, 0);
    EXPECT_TRUE(pieces.add(std::span{stream}.subspan(16), count));
    EXPECT_EQ(delivered, 1);
}

TEST(OfiFrameStream, RefusesWhatIsNoFrame) {
    const auto refused = [](const Bytes& piece) {
        FrameStream pieces;
        return !pieces.add(piece, [](std::span<const std::byte>) {});
    };
    const auto with_length = [](std::uint64_t length) {
        Bytes bytes(16);
        std::memcpy(bytes.data(), &length, sizeof length);
        return bytes;
    };

    EXPECT_TRUE(refused({}));
    EXPECT_TRUE(refused(Bytes(12))) << "not a multiple of 8";
    EXPECT_TRUE(refused(with_length(0)));
    EXPECT_TRUE(refused(with_length(largest_frame + 1)));
    EXPECT_TRUE(refused(with_length(~std::uint64_t{0})));
    EXPECT_FALSE(refused(with_length(8)));
}

// --- what may be under way ---

TEST(OfiCredit, IsUsedUpAndComesBackWithWhatWasDealtWith) {
    Credit credit{4};
    for (int i = 0; i < 4; ++i) credit.on_sent();
    EXPECT_EQ(credit.left(), 0U);

    EXPECT_TRUE(credit.on_acknowledged(3));
    EXPECT_EQ(credit.left(), 3U);
    EXPECT_TRUE(credit.on_acknowledged(1)) << "a note that was overtaken";
    EXPECT_EQ(credit.left(), 3U);
    EXPECT_FALSE(credit.on_acknowledged(5)) << "more than was sent";
}

TEST(OfiCredit, GrowsAndNeverShrinks) {
    Credit credit{4};

    EXPECT_EQ(credit.grow_to(16), 12U);
    EXPECT_EQ(credit.grow_to(4), 0U);
    EXPECT_EQ(credit.left(), 16U);
}

TEST(OfiCredit, OfANoteTellsOfAtLeastOneMessage) {
    Debt debt{4};
    EXPECT_FALSE(debt.is_untold());
    debt.on_dealt_with();
    EXPECT_TRUE(debt.is_untold());
    debt.on_told();
    EXPECT_FALSE(debt.is_untold());
}

// --- messages and addresses ---

[[nodiscard]] Bytes bytes_of(const Head& head) {
    Bytes bytes(sizeof head);
    std::memcpy(bytes.data(), &head, sizeof head);
    return bytes;
}

TEST(OfiPacket, OfAnotherRunOrOfNobodyIsNotListenedTo) {
    constexpr std::uint64_t run = 42;
    const auto is_ours = [](const Head& head) { return head_of(bytes_of(head), run, 3).has_value(); };

    EXPECT_TRUE(is_ours({.run = run, .from = 2, .kind = Kind::note}));
    EXPECT_FALSE(is_ours({.run = run + 1, .from = 2, .kind = Kind::note}));
    EXPECT_FALSE(is_ours({.run = run, .from = 3, .kind = Kind::note}));
    EXPECT_FALSE(is_ours({.run = run, .from = 2, .kind = Kind{0}}));
    EXPECT_FALSE(is_ours({.run = run, .from = 2, .kind = Kind{7}}));
    EXPECT_FALSE(head_of(Bytes(sizeof(Head) - 1), run, 3).has_value());
}

TEST(OfiHello, IsReadBackAndNothingShorterIs) {
    const Hello hello{.message_bytes = 4,
                      .window = 5,
                      .reads = true,
                      .rails = {{.arena = {1, 2, 3}, .fabric = "net", .address = std::string{"a\0b", 3}},
                                {.arena = {4, 5, 6}, .fabric = "", .address = "c"}}};
    const std::string text = text_of(hello);

    const auto read = hello_of(text);

    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->window, 5U);
    EXPECT_TRUE(read->reads);
    ASSERT_EQ(read->rails.size(), 2U);
    EXPECT_EQ(read->rails[0].arena.bytes, 3U);
    EXPECT_EQ(read->rails[0].fabric, "net");
    EXPECT_EQ(read->rails[0].address, hello.rails[0].address);
    EXPECT_EQ(read->rails[1].arena.key, 5U);
    EXPECT_EQ(read->rails[1].address, "c");
    for (std::size_t bytes = 0; bytes < text.size(); ++bytes) {
        EXPECT_FALSE(hello_of(std::string_view{text}.substr(0, bytes)).has_value()) << bytes;
    }
    EXPECT_FALSE(hello_of(text + "x").has_value());
}

TEST(OfiHello, OfImpossibleLengthsIsNone) {
    std::string text = text_of({.message_bytes = 4, .window = 5, .reads = false, .rails = {{{1, 2, 3}, "net", "a"}}});
    const std::uint64_t huge = ~std::uint64_t{0};
    for (const std::size_t word : {3U, 7U, 8U}) {  // how many rails there are, and how long their names are
        std::string broken = text;
        std::memcpy(broken.data() + word * sizeof huge, &huge, sizeof huge);
        EXPECT_FALSE(hello_of(broken).has_value()) << word;
    }
}

// --- providers ---

[[nodiscard]] Offer offer(const char* provider, const char* domain = "eth0", bool is_ipv4 = true) {
    return {.provider = provider, .domain = domain, .is_ipv4 = is_ipv4, .caps = FI_MSG};
}

TEST(OfiProviders, LeadToOtherHostsTheBestFirst) {
    EXPECT_THAT(usable_providers({offer("sockets"), offer("tcp;ofi_rxm"), offer("shm"), offer("efa")}, {}),
                ElementsAre("efa", "tcp;ofi_rxm"));
    EXPECT_THAT(usable_providers({offer("sockets"), offer("shm"), offer("udp;ofi_rxd"), offer("efa-direct")}, {}),
                IsEmpty());
    EXPECT_THAT(usable_providers({offer("tcp"), offer("verbs;ofi_rxm")}, {}), ElementsAre("verbs;ofi_rxm", "tcp"));
}

TEST(OfiProviders, AreWhatTheUserAsksForIfItIsThere) {
    const std::vector<Offer> offers{offer("sockets"), offer("tcp;ofi_rxm")};

    EXPECT_THAT(usable_providers(offers, {.provider = "sockets", .domain = {}}), ElementsAre("sockets"));
    EXPECT_THAT(usable_providers(offers, {.provider = "efa", .domain = {}}), IsEmpty());
}

TEST(OfiProviders, OfARunAreThoseOfAllRanks) {
    EXPECT_THAT(common_providers({"efa,tcp;ofi_rxm", "tcp;ofi_rxm,efa", "efa,tcp;ofi_rxm"}),
                ElementsAre("efa", "tcp;ofi_rxm"));
    EXPECT_THAT(common_providers({"efa,tcp;ofi_rxm", "tcp;ofi_rxm"}), ElementsAre("tcp;ofi_rxm"));
    EXPECT_THAT(common_providers({"efa", ""}), IsEmpty());
    EXPECT_THAT(common_providers({}), IsEmpty());
}

TEST(OfiProviders, ReadNativelyOnlyWhereADeviceMay) {
    EXPECT_TRUE(may_read_natively("verbs;ofi_rxm"));
    EXPECT_TRUE(may_read_natively("efa"));
    EXPECT_FALSE(may_read_natively("tcp;ofi_rxm"));
    EXPECT_FALSE(may_read_natively("net"));
}

/// A libfabric whose devices move memory of others in ways that a test chooses.
struct FakeLibfabric {
    static inline int answer = 0;                ///< What fi_getinfo says.
    static inline std::uint64_t caps = FI_HMEM;  ///< Of what it finds.
    static inline std::string asked;             ///< For what provider, network and device, and how.

    static int getinfo(std::uint32_t, const char*, const char*, std::uint64_t, const fi_info* hints, fi_info** found) {
        asked = std::string{hints->fabric_attr->prov_name} + " " + hints->fabric_attr->name + " " +
                hints->domain_attr->name + ((hints->caps & FI_HMEM) != 0 ? " FI_HMEM" : "") +
                ((hints->domain_attr->mr_mode & FI_MR_HMEM) != 0 ? " FI_MR_HMEM" : "");
        if (answer != 0) return answer;
        *found = library().dupinfo(nullptr);
        (*found)->next = library().dupinfo(nullptr);
        (*found)->next->caps = FI_MSG | caps;
        return 0;
    }
    [[nodiscard]] static Library table() {
        Library fake = library();
        fake.getinfo = &getinfo;
        return fake;
    }
};

TEST(OfiDeviceMemory, IsOfferedWhereTheProviderSaysSoForThatDevice) {
    const Info device{library().dupinfo(nullptr)};
    device.get()->fabric_attr->prov_name = strdup("efa");
    device.get()->fabric_attr->name = strdup("net7");
    device.get()->domain_attr->name = strdup("rdmap0s6-rdm");

    EXPECT_TRUE(offers_device_memory(*device.get(), FakeLibfabric::table()));
    EXPECT_EQ(FakeLibfabric::asked, "efa net7 rdmap0s6-rdm FI_HMEM FI_MR_HMEM");
    FakeLibfabric::caps = 0;
    EXPECT_FALSE(offers_device_memory(*device.get(), FakeLibfabric::table())) << "it gave something else";
    FakeLibfabric::answer = -FI_ENODATA;
    EXPECT_FALSE(offers_device_memory(*device.get(), FakeLibfabric::table()));
}

TEST(OfiDeviceMemory, IsNotAPropertyOfSockets) {
    const Info all = discover({.provider = "sockets"});
    for (const fi_info* info = all.get(); info != nullptr; info = info->next) {
        if (std::string_view{info->fabric_attr->prov_name} != "sockets") continue;
        EXPECT_FALSE(offers_device_memory(*info));
    }
}

class OfiDevices : public ::testing::Test {
protected:
    [[nodiscard]] std::string best(const std::vector<Offer>& offers, const Wishes& wishes = {}) {
        const std::size_t index = best_offer(offers, "tcp;ofi_rxm", wishes, folder.path());
        return index == offers.size() ? "none" : offers[index].domain + (offers[index].is_ipv4 ? "" : " IPv6");
    }
    void write(const std::filesystem::path& path, const std::string& text) {
        std::filesystem::create_directories((folder.path() / path).parent_path());
        std::ofstream{folder.path() / path} << text;
    }

    test::ScratchFolder folder;
};

TEST_F(OfiDevices, LeadOutOfTheHostWhereOneDoes) {
    std::filesystem::create_directories(folder.path() / std::filesystem::path{"net/br0/bridge"});
    const Offer bridge = offer("tcp;ofi_rxm", "br0");
    const Offer loopback = offer("tcp;ofi_rxm", "lo");
    const Offer six = offer("tcp;ofi_rxm", "eth0", false);
    const Offer four = offer("tcp;ofi_rxm", "eth1");
    const Offer other = offer("verbs;ofi_rxm", "mlx5_0");

    EXPECT_EQ(best({bridge, loopback, other, six, four}), "eth1");
    EXPECT_EQ(best({bridge, six, loopback}), "eth0 IPv6");
    EXPECT_EQ(best({bridge, loopback}), "lo");
    EXPECT_EQ(best({bridge}), "br0");
    EXPECT_EQ(best({other}), "none");
}

TEST_F(OfiDevices, AreWhatTheUserAsksFor) {
    EXPECT_EQ(best({offer("tcp;ofi_rxm", "eth0"), offer("tcp;ofi_rxm", "lo")}, {.provider = {}, .domain = "lo"}), "lo");
    EXPECT_EQ(best({offer("tcp;ofi_rxm", "eth0")}, {.provider = {}, .domain = "eth7"}), "none");
}

// --- rails ---

class OfiRails : public OfiDevices {
protected:
    /// An EFA on a NUMA node; the bus has that number, too.
    [[nodiscard]] Offer efa(const char* domain, int node, const char* fabric = "efa") {
        const std::string pci = "0000:" + std::to_string(10 + devices) + ":1b.0";
        ++devices;
        write("bus/pci/devices/" + pci + "/numa_node", std::to_string(node) + "\n");
        return {.provider = "efa", .domain = domain, .is_ipv4 = false, .caps = FI_MSG, .fabric = fabric, .pci = pci};
    }
    [[nodiscard]] std::string rails(const std::vector<Offer>& offers, const std::vector<int>& near,
                                    const Wishes& wishes = {}) {
        std::string text;
        for (const std::size_t offer : choose_rails(offers, offers.at(0).provider, wishes, folder.path(), near)) {
            text.append(text.empty() ? "" : " ").append(offers[offer].domain);
        }
        return text;
    }

    int devices = 0;
};

TEST_F(OfiRails, GoOverTheNearDevicesTwiceWhereOneEndpointDoesNotFillTheLine) {
    const std::vector<Offer> p4d{efa("a", 0), efa("b", 0), efa("c", 1), efa("d", 1)};

    EXPECT_EQ(rails(p4d, {1}), "c d c d");
    EXPECT_EQ(rails(p4d, {0, 1}), "a b c d a b c d");
    EXPECT_EQ(rails({efa("a", 1)}, {0}), "a a") << "a far one is better than none";
    EXPECT_EQ(rails({efa("a", -1)}, {0}), "a a") << "where the system does not know";
    EXPECT_EQ(rails(p4d, {}), "a b c d a b c d");
}

TEST_F(OfiRails, AreAsManyAsTheUserAsksForTheNearOnesFirst) {
    const std::vector<Offer> p4d{efa("a", 0), efa("b", 0), efa("c", 1), efa("d", 1)};

    EXPECT_EQ(rails(p4d, {1}, {.rails = "1"}), "c");
    EXPECT_EQ(rails(p4d, {1}, {.rails = "3"}), "c d a");
    EXPECT_EQ(rails(p4d, {1}, {.domain = "d,a"}), "d a d a");
    EXPECT_EQ(rails(p4d, {1}, {.domain = "d,a", .rails = "3"}), "d a d");
    for (const char* wrong : {"0", "17", "two", "-1", "2x", "99999999999999999999999"}) {
        EXPECT_THROW((void)rails(p4d, {1}, {.rails = wrong}), Error) << wrong;
    }
    EXPECT_THROW((void)rails(p4d, {1}, {.domain = "a,x"}), Error);
}

TEST_F(OfiRails, StayOnOneNetworkAndOneInterfaceUnlessAskedFor) {
    EXPECT_EQ(rails({efa("a", 0), efa("b", 0, "other")}, {0}), "a a");
    const std::vector<Offer> ethernet{offer("tcp;ofi_rxm", "eth0"), offer("tcp;ofi_rxm", "eth1"),
                                      offer("tcp;ofi_rxm", "eth0", false), offer("tcp;ofi_rxm", "lo")};

    EXPECT_EQ(rails(ethernet, {0}), "eth0");
    EXPECT_EQ(rails(ethernet, {0}, {.rails = "3"}), "eth0 eth1 eth0");
}

[[nodiscard]] Hello on(const std::vector<std::string>& fabrics) {
    Hello hello;
    for (const std::string& fabric : fabrics) hello.rails.push_back({.arena = {}, .fabric = fabric, .address = {}});
    return hello;
}

TEST(OfiCommonRails, JoinWhatIsOnOneNetworkEverywhere) {
    using Indices = std::vector<std::size_t>;
    EXPECT_THAT(common_rails({on({"x", "x", "x"}), on({"x", "x"})}), ElementsAre(Indices{0, 1}, Indices{0, 1}));
    EXPECT_THAT(common_rails({on({"x", "y", "x"}), on({"x", "x", "y"})}),
                ElementsAre(Indices{0, 1, 2}, Indices{0, 2, 1}));
    EXPECT_THAT(common_rails({on({"x", "y"}), on({"z", "y"}), on({"x", "z"})}),
                ElementsAre(Indices{0}, Indices{0}, Indices{0}));
    EXPECT_THAT(common_rails({on({"x", "y", "z"}), on({"w", "z"})}), ElementsAre(Indices{0, 2}, Indices{0, 1}));
}

TEST(OfiNearNodes, AreThoseOfTheProcessorsThatThisProcessMayUse) {
    test::ScratchFolder folder;
    const auto add = [&](int node, int cpu) {
        std::filesystem::create_directories(std::filesystem::path{folder.path()} / "devices/system/node" /
                                            ("node" + std::to_string(node)) / ("cpu" + std::to_string(cpu)));
    };
    add(0, usable_cpus().back() + 1);
    EXPECT_THAT(own_numa_nodes(folder.path()), IsEmpty());
    add(1, usable_cpus().front());
    EXPECT_THAT(own_numa_nodes(folder.path()), ElementsAre(1));
}

TEST_F(OfiDevices, OfWhichAmazonMakesAreEfa) {
    EXPECT_FALSE(has_efa_device(folder.path()));
    write("infiniband/mlx5_0/device/vendor", "0x15b3\n");
    EXPECT_FALSE(has_efa_device(folder.path()));
    write("infiniband/rdmap0s6/device/vendor", "0x1d0f\n");
    EXPECT_TRUE(has_efa_device(folder.path()));
}

// Two of Debian's providers would have every process end with exit code 1 at a signal, a crash included.
TEST(OfiLibrary, LeavesTheSignalsOfItsProcessAlone) {
    for (const int number : {SIGINT, SIGTERM, SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGFPE}) {
        struct sigaction before {};
        sigaction(number, nullptr, &before);
        static_cast<void>(discover({}));
        struct sigaction after {};
        sigaction(number, nullptr, &after);
        EXPECT_EQ(before.sa_handler, after.sa_handler) << number;
    }
}

}  // namespace
}  // namespace penstock::ofi
