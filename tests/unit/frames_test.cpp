#include "runtime/frames.hpp"

#include <cstring>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/control.hpp"

namespace penstock {
namespace {

/// A frame decoded from memory of exactly its size, so that a sanitizer sees the first byte read beyond it.
struct Decoded {
    static constexpr std::uint32_t sender = 77;

    explicit Decoded(std::span<const std::byte> frame) : bytes(frame.begin(), frame.end()) {
        bytes.shrink_to_fit();
        wrong = decode_ticket(bytes, sender, body, sequence, inline_blob);
    }
    std::vector<std::byte> bytes;
    PayloadBody body;
    std::uint64_t sequence = 0;
    std::span<const std::byte> inline_blob;
    std::optional<std::string> wrong;
};

constexpr std::uint64_t edge_sequence = 0x0102030405060700U;

struct TicketCase {
    DType dtype = DType::bytes;
    Format format = Format::none;
    std::vector<std::uint64_t> extents = {};
    std::optional<std::uint64_t> user_id = std::nullopt;
    std::size_t metadata_bytes = 0;
    bool is_inline = false;
    std::uint32_t made_by = 0xA1B2C3D4U;  ///< The sender hands on somebody else's.
};

/// The body that a sender would have for it; `blob` outlives it.
void fill(PayloadBody& body, const TicketCase& ticket, std::vector<std::byte>& blob) {
    body.dtype = ticket.dtype;
    body.format = ticket.format;
    body.shape = Shape{std::span<const std::uint64_t>{ticket.extents}};
    body.size_bytes = body.shape.count() * size_of(ticket.dtype);
    body.id = {.instance = ticket.made_by, .channel = 0xE5F6, .sequence = edge_sequence + 8};
    body.owner = Decoded::sender;
    body.blob_offset = ticket.is_inline ? 0 : 0x1111222233334444U;
    body.source_time_ns = 0x5555666677778888U;
    body.has_user_id = ticket.user_id.has_value();
    body.user_id = ticket.user_id.value_or(0);
    std::byte* metadata = body.metadata.assign(ticket.metadata_bytes);
    for (std::size_t i = 0; i < ticket.metadata_bytes; ++i) metadata[i] = static_cast<std::byte>(i * 7);
    blob.resize(body.size_bytes);
    for (std::size_t i = 0; i < blob.size(); ++i) blob[i] = static_cast<std::byte>(i * 13 + 1);
    body.data = blob.data();
}

[[nodiscard]] std::vector<std::byte> encoded(const TicketCase& ticket) {
    PayloadBody body;
    std::vector<std::byte> blob;
    fill(body, ticket, blob);
    std::vector<std::byte> frame(ticket_frame_bytes(body, edge_sequence, TicketForm::of(body, ticket.is_inline)));
    encode_ticket(body, 0x4321, edge_sequence, TicketForm::of(body, ticket.is_inline), frame);
    return frame;
}

void expect_same(const Decoded& got, const PayloadBody& sent, std::uint64_t sequence,
                 std::span<const std::byte> inline_blob) {
    ASSERT_EQ(got.wrong, std::nullopt);
    EXPECT_EQ(got.sequence, sequence);
    EXPECT_EQ(got.body.channel, 0x4321);
    EXPECT_EQ(got.body.dtype, sent.dtype);
    EXPECT_EQ(got.body.format, sent.format);
    EXPECT_EQ(got.body.shape, sent.shape);
    EXPECT_EQ(got.body.size_bytes, sent.size_bytes);
    EXPECT_EQ(got.body.id, sent.id);
    EXPECT_EQ(got.body.owner, sent.owner);
    EXPECT_EQ(got.body.blob_offset, sent.blob_offset);
    EXPECT_EQ(got.body.source_time_ns, sent.source_time_ns);
    EXPECT_EQ(got.body.has_user_id, sent.has_user_id);
    if (sent.has_user_id) {
        EXPECT_EQ(got.body.user_id, sent.user_id);
    }
    EXPECT_TRUE(std::ranges::equal(got.body.metadata.view(), sent.metadata.view()));
    EXPECT_TRUE(std::ranges::equal(got.inline_blob, inline_blob));
}

void expect_round_trip(const TicketCase& ticket) {
    PayloadBody sent;
    std::vector<std::byte> blob;
    fill(sent, ticket, blob);

    const Decoded got{encoded(ticket)};

    expect_same(got, sent, edge_sequence,
                ticket.is_inline ? std::span<const std::byte>{blob} : std::span<const std::byte>{});
    const bool held = ticket.is_inline && blob.size() <= inline_blob_bytes;
    EXPECT_EQ(got.body.data, held ? got.body.inline_blob.data() : nullptr);
    if (held) {
        EXPECT_TRUE(std::equal(blob.begin(), blob.end(), got.body.data));
    }
}

/// That many extents whose product is small.
[[nodiscard]] std::vector<std::uint64_t> extents_of(std::size_t dims) {
    std::vector<std::uint64_t> extents(dims, 1);
    if (dims > 0) extents.front() = 3;
    if (dims > 1) extents.back() = 4;
    return extents;
}

TEST(TicketFrame, CarriesEveryDtypeFormatAndNumberOfDimensions) {
    for (std::size_t dtype = 0; dtype < dtype_count; ++dtype) {
        for (const Format format : {Format::none, Format::csv, Format::json, Format::arrow, Format::raw}) {
            for (std::size_t dims = 0; dims <= Shape::max_dims; ++dims) {
                for (const bool is_inline : {false, true}) {
                    expect_round_trip({.dtype = static_cast<DType>(dtype),
                                       .format = format,
                                       .extents = extents_of(dims),
                                       .is_inline = is_inline});
                }
            }
        }
    }
}

TEST(TicketFrame, CarriesUserIdAndMetadataInEveryCombination) {
    for (const std::optional<std::uint64_t> user_id : {std::optional<std::uint64_t>{}, std::optional<std::uint64_t>{0},
                                                       std::optional<std::uint64_t>{0xFFFFFFFFFFFFFFFFU}}) {
        for (const std::size_t metadata_bytes : {0U, 1U, 96U, 97U, 65535U}) {
            for (const std::size_t dims : {0U, 1U, 3U}) {
                for (const bool is_inline : {false, true}) {
                    expect_round_trip({.dtype = DType::f32,
                                       .extents = extents_of(dims),
                                       .user_id = user_id,
                                       .metadata_bytes = metadata_bytes,
                                       .is_inline = is_inline});
                }
            }
        }
    }
}

TEST(TicketFrame, CarriesInlineBlobsBeyondTheBodysOwnRoom) {
    for (const std::uint64_t bytes : {0U, 255U, 256U, 257U, 60'000U}) {
        expect_round_trip({.extents = {bytes}, .is_inline = true});
    }
}

TEST(TicketFrame, IsBriefForWhatTheSenderMadeItselfAndSendsWhole) {
    PayloadBody body;
    std::vector<std::byte> blob;
    const TicketCase own{.dtype = DType::f64, .extents = {8}, .is_inline = true, .made_by = Decoded::sender};
    fill(body, own, blob);
    body.id.sequence = edge_sequence + 1;
    const auto bytes = [&] { return ticket_frame_bytes(body, edge_sequence, {.is_inline = true}); };
    ASSERT_EQ(bytes(), sizeof(BriefTicket) + 64);

    EXPECT_EQ(ticket_frame_bytes(body, edge_sequence, {}), sizeof(Ticket));
    EXPECT_EQ(ticket_frame_bytes(body, edge_sequence + 2, {.is_inline = true}), sizeof(Ticket) + 64)
        << "an id behind the edge";
    body.id.sequence = edge_sequence + (std::uint64_t{1} << 32U);
    EXPECT_EQ(bytes(), sizeof(Ticket) + 64) << "an id far ahead of the edge";
    body.id.sequence = edge_sequence + 1;
    body.received = true;
    EXPECT_EQ(bytes(), sizeof(Ticket) + 64) << "what another one sent";
    body.received = false;
    body.id.instance = 3;
    EXPECT_EQ(bytes(), sizeof(Ticket) + 64) << "the identity of an input";
}

TEST(TicketFrame, CarriesCodecAndChecksumInEveryCombination) {
    for (const Codec codec : {Codec::none, Codec::lz4, Codec::zstd, Codec::zlib}) {
        for (const bool has_checksum : {false, true}) {
            for (const std::size_t metadata_bytes : {0U, 300U}) {
                PayloadBody sent;
                std::vector<std::byte> blob;
                fill(sent, {.dtype = DType::f64, .extents = {3, 100}, .user_id = 7, .metadata_bytes = metadata_bytes},
                     blob);
                sent.checksum = 0xA1B2C3D4U;
                const TicketForm form{
                    .has_checksum = has_checksum, .codec = codec, .packed_bytes = 2399, .offset = sent.blob_offset};
                std::vector<std::byte> frame(ticket_frame_bytes(sent, edge_sequence, form));
                encode_ticket(sent, 0x4321, edge_sequence, form, frame);

                const Decoded got{frame};

                expect_same(got, sent, edge_sequence, {});
                EXPECT_EQ(got.body.codec, codec);
                EXPECT_EQ(stored_bytes(got.body), codec == Codec::none ? 2400U : 2399U);
                EXPECT_EQ(got.body.has_checksum, has_checksum);
                if (has_checksum) {
                    EXPECT_EQ(got.body.checksum, 0xA1B2C3D4U);
                }
            }
        }
    }
}

TEST(TicketFrame, CarriesTheChecksumOfABlobInTheFrame) {
    PayloadBody sent;
    std::vector<std::byte> blob;
    fill(sent, {.extents = {64}, .is_inline = true, .made_by = Decoded::sender}, blob);
    sent.checksum = 5;
    const TicketForm form{.is_inline = true, .has_checksum = true};
    std::vector<std::byte> frame(ticket_frame_bytes(sent, edge_sequence, form));
    encode_ticket(sent, 0x4321, edge_sequence, form, frame);

    const Decoded got{frame};

    expect_same(got, sent, edge_sequence, blob);
    EXPECT_TRUE(got.body.has_checksum);
    EXPECT_EQ(got.body.checksum, 5U);
}

TEST(TicketFrame, RefusesACompressedBlobOfImpossibleSize) {
    PayloadBody body;
    std::vector<std::byte> blob;
    fill(body, {.extents = {1000}}, blob);
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1000}, std::uint64_t{1001}, ~std::uint64_t{0}}) {
        const TicketForm form{.codec = Codec::lz4, .packed_bytes = bytes};
        std::vector<std::byte> frame(ticket_frame_bytes(body, 0, form));
        encode_ticket(body, 0, 0, form, frame);
        EXPECT_EQ(Decoded{frame}.wrong, "a ticket with a compressed blob of impossible size") << bytes;
    }
}

TEST(TicketFrame, RefusesAnUnknownCodecAndOneOfABlobInTheFrame) {
    auto frame = encoded({.extents = {1000}});
    frame[offsetof(Ticket, codec)] = std::byte{4};
    EXPECT_EQ(Decoded{frame}.wrong, "a ticket with an unknown codec");

    frame = encoded({.extents = {1000}, .is_inline = true});
    frame[offsetof(Ticket, codec)] = std::byte{1};
    EXPECT_EQ(Decoded{frame}.wrong, "a ticket with a compressed blob that is none");

    frame = encoded({.extents = {1000}});
    frame[offsetof(Ticket, codec)] = std::byte{1};
    EXPECT_EQ(Decoded{frame}.wrong, "a ticket of impossible length") << "without its size";
}

TEST(TicketFrame, CarriesEverythingWhenItIsBrief) {
    for (const std::uint64_t ahead : {0U, 1U, 0xFFFFFFFFU}) {
        for (std::size_t dtype = 0; dtype < dtype_count; ++dtype) {
            for (const std::uint64_t elements : {0U, 1U, 32U, 5'000U}) {
                PayloadBody sent;
                std::vector<std::byte> blob;
                fill(sent,
                     {.dtype = static_cast<DType>(dtype),
                      .format = Format::raw,
                      .extents = {elements},
                      .is_inline = true,
                      .made_by = Decoded::sender},
                     blob);
                sent.id.sequence = edge_sequence + ahead;
                std::vector<std::byte> frame(ticket_frame_bytes(sent, edge_sequence, {.is_inline = true}));
                encode_ticket(sent, 0x4321, edge_sequence, {.is_inline = true}, frame);

                ASSERT_EQ(frame.size(), sizeof(BriefTicket) + blob.size());
                expect_same(Decoded{frame}, sent, edge_sequence, blob);
            }
        }
    }
}

TEST(TicketFrame, CarriesShapesWithoutElements) {
    expect_round_trip({.dtype = DType::i64, .extents = {0}});
    expect_round_trip({.dtype = DType::i64, .extents = {3, 0, 5}});
}

/// What a decoder may say about any bytes at all: they are wrong, or a payload that cannot mislead those who use it.
void expect_consistent(const Decoded& got) {
    if (got.wrong) {
        EXPECT_FALSE(got.wrong->empty());
        return;
    }
    const PayloadBody& body = got.body;
    EXPECT_LT(static_cast<std::size_t>(body.dtype), dtype_count);
    EXPECT_LE(body.format, Format::raw);
    EXPECT_LE(body.shape.dims(), Shape::max_dims);
    EXPECT_EQ(body.shape.count() * size_of(body.dtype), body.size_bytes);
    EXPECT_LE(body.metadata.view().size() + got.inline_blob.size() + sizeof(BriefTicket), got.bytes.size());
    if (body.data != nullptr) {
        EXPECT_EQ(body.data, body.inline_blob.data());
        EXPECT_LE(body.size_bytes, inline_blob_bytes);
        EXPECT_EQ(got.inline_blob.size(), body.size_bytes);
    }
    static_cast<void>(MetadataView{body.metadata.view()}.find("key"));
}

[[nodiscard]] std::vector<TicketCase> samples() {
    return {{.dtype = DType::text, .format = Format::csv, .extents = {40}, .is_inline = true},
            {.dtype = DType::f64, .extents = {1000}},
            {.dtype = DType::u16, .extents = {2, 3, 4}, .user_id = 5, .metadata_bytes = 30, .is_inline = true},
            {.dtype = DType::i32, .extents = {1, 2, 1, 2, 1, 2, 1, 2}, .user_id = 1, .metadata_bytes = 5},
            {.dtype = DType::bytes, .extents = {}, .metadata_bytes = 1}};
}

TEST(TicketFrame, IsRefusedWhenItIsCutAnywhere) {
    for (const TicketCase& sample : samples()) {
        const auto frame = encoded(sample);
        for (std::size_t length = 0; length < frame.size(); ++length) {
            auto cut = std::vector<std::byte>(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
            EXPECT_TRUE(Decoded{cut}.wrong) << length;
            // A sender that cut it would write its length too.
            if (length < sizeof(FrameHead)) continue;
            const auto length_field = static_cast<std::uint32_t>(length);
            std::memcpy(cut.data(), &length_field, sizeof length_field);
            EXPECT_TRUE(Decoded{cut}.wrong) << length;
        }
    }
}

TEST(TicketFrame, IsRefusedWhenSomethingFollows) {
    for (const TicketCase& sample : samples()) {
        auto frame = encoded(sample);
        frame.resize(frame.size() + 8);
        const auto length = static_cast<std::uint32_t>(frame.size());
        std::memcpy(frame.data(), &length, sizeof length);
        EXPECT_TRUE(Decoded{frame}.wrong);
    }
}

TEST(TicketFrame, WithOneChangedByteIsRefusedOrConsistent) {
    for (const TicketCase& sample : samples()) {
        auto frame = encoded(sample);
        for (std::size_t at = 0; at < frame.size(); ++at) {
            const std::byte before = frame[at];
            for (unsigned value = 0; value < 256; ++value) {
                frame[at] = static_cast<std::byte>(value);
                expect_consistent(Decoded{frame});
            }
            frame[at] = before;
            if (HasFailure()) FAIL() << "byte " << at;
        }
    }
}

TEST(TicketFrame, WithManyChangedBytesIsRefusedOrConsistent) {
    std::mt19937_64 random{5};
    const auto all = samples();
    for (int round = 0; round < 20'000; ++round) {
        auto frame = encoded(all[random() % all.size()]);
        for (auto changes = random() % 8; changes > 0; --changes) {
            const std::size_t at = random() % (frame.size() - 8);
            // Extreme values in places where a whole number stands.
            const std::uint64_t value = random() % 2 == 0 ? ~std::uint64_t{0} >> (random() % 64) : random();
            std::memcpy(frame.data() + at, &value, 1 + random() % 8);
        }
        const auto length = static_cast<std::uint32_t>(frame.size());
        std::memcpy(frame.data(), &length, sizeof length);
        expect_consistent(Decoded{frame});
    }
}

TEST(TicketFrame, WhenItIsBriefIsRefusedOrConsistent) {
    auto frame = encoded({.dtype = DType::f64, .extents = {4}, .is_inline = true, .made_by = Decoded::sender});
    ASSERT_EQ(frame.size(), sizeof(BriefTicket) + 32);
    for (std::size_t length = 0; length <= frame.size(); ++length) {
        auto cut = std::vector<std::byte>(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
        EXPECT_EQ(Decoded{cut}.wrong.has_value(), length != frame.size()) << length;
        if (length < sizeof(FrameHead)) continue;
        const auto length_field = static_cast<std::uint32_t>(length);
        std::memcpy(cut.data(), &length_field, sizeof length_field);
        // Cut between two elements it is what a sender of fewer would write.
        const bool is_whole = length >= sizeof(BriefTicket) && (length - sizeof(BriefTicket)) % sizeof(double) == 0;
        EXPECT_EQ(Decoded{cut}.wrong.has_value(), !is_whole) << length;
    }
    for (std::size_t at = 0; at < frame.size(); ++at) {
        const std::byte before = frame[at];
        for (unsigned value = 0; value < 256; ++value) {
            frame[at] = static_cast<std::byte>(value);
            expect_consistent(Decoded{frame});
        }
        frame[at] = before;
    }
}

/// A ticket whose fields are set by hand, with its extents behind it.
[[nodiscard]] std::optional<std::string> verdict(DType dtype, const std::vector<std::uint64_t>& extents,
                                                 std::uint64_t blob_bytes) {
    const std::size_t written = extents.size() == 1 ? 0 : extents.size();
    std::vector<std::byte> frame(sizeof(Ticket) + written * sizeof(std::uint64_t));
    Ticket ticket{};
    ticket.head = {static_cast<std::uint32_t>(frame.size()), 0, FrameKind::ticket, 0};
    ticket.dtype = dtype;
    ticket.dims = static_cast<std::uint8_t>(extents.size());
    ticket.blob_bytes = blob_bytes;
    std::memcpy(frame.data(), &ticket, sizeof ticket);
    if (written != 0) std::memcpy(frame.data() + sizeof ticket, extents.data(), written * sizeof(std::uint64_t));
    return Decoded{frame}.wrong;
}

TEST(TicketFrame, IsRefusedWhenShapeAndBlobDisagree) {
    constexpr std::uint64_t huge = std::uint64_t{1} << 63U;

    EXPECT_EQ(verdict(DType::f64, {2, 3}, 48), std::nullopt);
    EXPECT_TRUE(verdict(DType::f64, {2, 3}, 47));
    EXPECT_TRUE(verdict(DType::f64, {3}, 23)) << "a broken last element";
    EXPECT_TRUE(verdict(DType::f64, {}, 8)) << "bytes without a shape";
    EXPECT_TRUE(verdict(DType::f64, {huge, 2}, 0)) << "a product that wraps to nothing";
    EXPECT_TRUE(verdict(DType::f64, {huge / 4, 1}, 0)) << "a size that wraps to nothing";
    EXPECT_TRUE(verdict(DType::bytes, {~std::uint64_t{0}}, ~std::uint64_t{0})) << "more elements than a shape may have";
    EXPECT_TRUE(verdict(DType::bytes, {~std::uint64_t{0}, 0}, 0))
        << "more elements than a shape may have, times nothing";
}

TEST(ControlFrame, IsReadAsItWasWritten) {
    const std::string text = "why";
    const ControlHead head{.head = {sizeof(ControlHead) + 3, 0, FrameKind::control, 0},
                           .code = ControlCode::abort,
                           .reserved = {},
                           .number = 6};
    std::vector<std::byte> frame(sizeof head + text.size());
    std::memcpy(frame.data(), &head, sizeof head);
    std::memcpy(frame.data() + sizeof head, text.data(), text.size());

    const auto message = read_control(frame);

    ASSERT_TRUE(message);
    EXPECT_EQ(message->code, ControlCode::abort);
    EXPECT_EQ(message->number, 6U);
    EXPECT_EQ(message->text, "why");
}

TEST(ControlFrame, IsRefusedWhenItIsShortOrUnknown) {
    std::vector<std::byte> frame(sizeof(ControlHead));
    for (const int code : {0, 10, 255}) {
        frame[offsetof(ControlHead, code)] = static_cast<std::byte>(code);
        EXPECT_FALSE(read_control(frame)) << code;
    }
    for (int code = 1; code <= 9; ++code) {
        frame[offsetof(ControlHead, code)] = static_cast<std::byte>(code);
        EXPECT_TRUE(read_control(frame)) << code;
    }
    frame.pop_back();
    EXPECT_FALSE(read_control(frame));
    EXPECT_FALSE(read_control({}));
}

}  // namespace
}  // namespace penstock
