#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <penstock/error.hpp>

namespace penstock {

/// Element type of a blob. The numbers are part of the wire format.
enum class DType : std::uint8_t {
    bytes = 0,
    text = 1,
    i8 = 2,
    u8 = 3,
    i16 = 4,
    u16 = 5,
    i32 = 6,
    u32 = 7,
    i64 = 8,
    u64 = 9,
    f32 = 10,
    f64 = 11,
};

inline constexpr std::size_t dtype_count = 12;

/// Bytes per element; 1 for `bytes` and `text`.
[[nodiscard]] std::size_t size_of(DType dtype) noexcept;
[[nodiscard]] std::string_view name_of(DType dtype) noexcept;

/// What the bytes of a blob mean to an application. The numbers are part of the wire format.
enum class Format : std::uint8_t { none = 0, csv = 1, json = 2, arrow = 3, raw = 4 };

/// Types that a typed view may have.
template <class T>
concept Wire = std::is_same_v<T, std::byte> || std::is_same_v<T, char> || std::is_same_v<T, std::int8_t> ||
    std::is_same_v<T, std::uint8_t> || std::is_same_v<T, std::int16_t> || std::is_same_v<T, std::uint16_t> ||
    std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::uint32_t> || std::is_same_v<T, std::int64_t> ||
    std::is_same_v<T, std::uint64_t> || std::is_same_v<T, float> || std::is_same_v<T, double>;

template <Wire T>
[[nodiscard]] consteval DType dtype_of() {
    if constexpr (std::is_same_v<T, std::byte>) return DType::bytes;
    if constexpr (std::is_same_v<T, char>) return DType::text;
    if constexpr (std::is_same_v<T, std::int8_t>) return DType::i8;
    if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
    if constexpr (std::is_same_v<T, std::int16_t>) return DType::i16;
    if constexpr (std::is_same_v<T, std::uint16_t>) return DType::u16;
    if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
    if constexpr (std::is_same_v<T, std::uint32_t>) return DType::u32;
    if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
    if constexpr (std::is_same_v<T, std::uint64_t>) return DType::u64;
    if constexpr (std::is_same_v<T, float>) return DType::f32;
    if constexpr (std::is_same_v<T, double>) return DType::f64;
}

/// Extents of a blob, row-major, in elements. At most 8 dimensions.
class Shape {
public:
    static constexpr std::size_t max_dims = 8;

    Shape() noexcept = default;
    /// @throws Error{invalid_input} for more than 8 extents or a product beyond 2^63.
    Shape(std::initializer_list<std::uint64_t> extents) : Shape{std::span{extents.begin(), extents.size()}} {}
    explicit Shape(std::span<const std::uint64_t> extents);

    [[nodiscard]] std::size_t dims() const noexcept { return dims_; }
    [[nodiscard]] std::uint64_t operator[](std::size_t dim) const noexcept { return extents_[dim]; }
    [[nodiscard]] std::span<const std::uint64_t> extents() const noexcept { return {extents_.data(), dims_}; }
    /// Product of the extents; 0 without dimensions.
    [[nodiscard]] std::uint64_t count() const noexcept;

    friend bool operator==(const Shape& a, const Shape& b) noexcept {
        return std::ranges::equal(a.extents(), b.extents());
    }

private:
    std::array<std::uint64_t, max_dims> extents_{};
    std::uint8_t dims_ = 0;
};

/// Identity of a payload, unique in a run. Survives 1:1 processing.
struct PayloadId {
    std::uint32_t instance = 0;  ///< Rank of the instance that made it.
    std::uint16_t channel = 0;   ///< Channel it was first emitted on, in plan order.
    std::uint64_t sequence = 0;  ///< Position in that instance's output on that channel, from 0.

    friend bool operator==(const PayloadId&, const PayloadId&) = default;
};

using MetaValue = std::variant<std::int64_t, double, bool, std::string_view, std::span<const std::byte>>;

/// Largest encoded metadata of one payload, bytes.
inline constexpr std::size_t max_metadata_bytes = 65535;

/// Read access to encoded metadata: scans for one key, builds no map.
///
/// Encoding, repeated: u8 kind, u8 key length, u32 value length (little-endian), key, value.
/// Kinds: 0 integer (i64), 1 float (f64), 2 bool (1 byte), 3 string, 4 bytes.
class MetadataView {
public:
    MetadataView() noexcept = default;
    explicit MetadataView(std::span<const std::byte> encoded) noexcept : encoded_{encoded} {}

    [[nodiscard]] std::optional<MetaValue> find(std::string_view key) const noexcept;
    [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const noexcept;
    [[nodiscard]] std::optional<double> number(std::string_view key) const noexcept;
    [[nodiscard]] std::optional<std::string_view> string(std::string_view key) const noexcept;
    [[nodiscard]] std::span<const std::byte> encoded() const noexcept { return encoded_; }
    /// Checks the whole encoding; a view of hostile bytes is safe to scan but may find nothing.
    [[nodiscard]] bool well_formed() const noexcept;

private:
    std::span<const std::byte> encoded_;
};

struct PayloadBody;

/// An immutable piece of data on its way: id, metadata and a blob. A counted handle, cheap to copy.
///
/// Who holds a handle has custody: the sender keeps the bytes, and the payload is settled only when the last
/// handle is gone and everything emitted from it is settled. Handles may be moved to and dropped by any thread.
class Payload {
public:
    Payload() noexcept = default;
    Payload(const Payload& other) noexcept;
    Payload(Payload&& other) noexcept : body_{std::exchange(other.body_, nullptr)} {}
    Payload& operator=(Payload other) noexcept {
        std::swap(body_, other.body_);
        return *this;
    }
    ~Payload();

    [[nodiscard]] explicit operator bool() const noexcept { return body_ != nullptr; }
    [[nodiscard]] PayloadId id() const noexcept;
    [[nodiscard]] std::optional<std::uint64_t> user_id() const noexcept;
    [[nodiscard]] DType dtype() const noexcept;
    [[nodiscard]] Format format() const noexcept;
    [[nodiscard]] Shape shape() const noexcept;
    [[nodiscard]] std::size_t size_bytes() const noexcept;
    [[nodiscard]] MetadataView metadata() const noexcept;
    /// Wall-clock time at which the source emitted it, ns since the epoch.
    [[nodiscard]] std::uint64_t source_time_ns() const noexcept;
    /// Channel it arrived on, in plan order.
    [[nodiscard]] std::uint16_t channel() const noexcept;

    /// The blob. Maps or fetches it on first use; may block for as long as the fabric needs.
    /// @throws Error{disconnected} if its owner is gone, Error{timed_out} if the fetch has no answer.
    [[nodiscard]] std::span<const std::byte> bytes() const;

    /// The blob as text. @throws Error{invalid_input} unless it is text or bytes.
    [[nodiscard]] std::string_view text() const;

    /// The blob as elements of type T, row-major.
    /// @throws Error{invalid_input} if its dtype is another one.
    template <Wire T>
    [[nodiscard]] std::span<const T> view() const {
        check_dtype(dtype_of<T>());
        const auto blob = bytes();
        return {reinterpret_cast<const T*>(blob.data()), blob.size() / sizeof(T)};
    }

    /// For the runtime: takes over one reference.
    explicit Payload(PayloadBody* body) noexcept : body_{body} {}
    [[nodiscard]] PayloadBody* body() const noexcept { return body_; }

private:
    void check_dtype(DType asked) const;
    PayloadBody* body_ = nullptr;
};

/// A payload that is still being written. Move-only; `Output::emit` seals it. Dropping it frees its memory.
/// Used by the one thread that runs the operator.
class RawDraft {
public:
    RawDraft(RawDraft&& other) noexcept : body_{std::exchange(other.body_, nullptr)} {}
    RawDraft& operator=(RawDraft&& other) noexcept {
        std::swap(body_, other.body_);
        return *this;
    }
    ~RawDraft();

    [[nodiscard]] std::span<std::byte> bytes() noexcept;
    [[nodiscard]] std::size_t size_bytes() const noexcept;

    /// Cuts the blob to its first `size_bytes`; a draft may be asked for larger than it turns out to be.
    /// The shape becomes one-dimensional. @throws Error{invalid_input} for more than it has or a broken element.
    void shrink(std::size_t size_bytes);
    void set_format(Format format) noexcept;
    void set_user_id(std::uint64_t id) noexcept;
    /// Appends to the metadata. @throws Error{invalid_input} beyond 64 KiB or for a key longer than 255 bytes.
    void set(std::string_view key, MetaValue value);
    /// Any integer but bool, so that `set("n", 3)` means what it says.
    template <class Integer>
    requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>) void set(std::string_view key,
                                                                                     Integer value) {
        set(key, MetaValue{static_cast<std::int64_t>(value)});
    }
    void set(std::string_view key, const char* value) { set(key, MetaValue{std::string_view{value}}); }

    /// Counts `source` among what it is made from: that payload stays in custody until this one is settled. The input
    /// that an operator is at when it emits is counted anyway.
    void keep(const Payload& source);

    /// For the runtime: takes over the body.
    explicit RawDraft(PayloadBody* body) noexcept : body_{body} {}
    [[nodiscard]] PayloadBody* release() noexcept { return std::exchange(body_, nullptr); }
    [[nodiscard]] PayloadBody* body() const noexcept { return body_; }

private:
    PayloadBody* body_;
};

/// A draft of elements of type T. The elements start uninitialised.
template <Wire T>
class Draft : public RawDraft {
public:
    explicit Draft(RawDraft&& raw) noexcept : RawDraft{std::move(raw)} {}

    [[nodiscard]] std::size_t size() const noexcept { return size_bytes() / sizeof(T); }
    [[nodiscard]] T* data() noexcept { return reinterpret_cast<T*>(bytes().data()); }
    [[nodiscard]] T* begin() noexcept { return data(); }
    [[nodiscard]] T* end() noexcept { return data() + size(); }
    [[nodiscard]] T& operator[](std::size_t index) noexcept { return data()[index]; }
};

}  // namespace penstock
