#include "transport/raw_mpi.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <mpi.h>

#include "limits/measure.hpp"

namespace penstock::bench {
namespace {

constexpr int window_messages = 64;
constexpr int data_tag = 1;
constexpr int word_tag = 2;
constexpr std::size_t most_window_bytes = 4U << 20U;

void check(int status) {
    if (status != MPI_SUCCESS) throw std::runtime_error{"an MPI call failed"};
}

[[nodiscard]] int rank() {
    int number = 0;
    check(MPI_Comm_rank(MPI_COMM_WORLD, &number));
    return number;
}

/// The first rank says whether there is another round.
[[nodiscard]] bool goes_on(bool wanted) {
    int word = wanted ? 1 : 0;
    check(MPI_Bcast(&word, 1, MPI_INT, 0, MPI_COMM_WORLD));
    return word != 0;
}

}  // namespace

double raw_mpi_bandwidth(std::size_t size_bytes, double seconds) {
    const auto messages =
        std::clamp<std::size_t>(most_window_bytes / std::max<std::size_t>(size_bytes, 1), 2, window_messages);
    std::vector<std::byte> memory(messages * size_bytes);
    std::vector<MPI_Request> requests(messages, MPI_REQUEST_NULL);
    const bool sends = rank() == 0;
    const int peer = sends ? 1 : 0;
    SteadyRate steady{seconds};
    std::uint64_t rounds = 0;
    do {
        for (std::size_t i = 0; i < messages; ++i) {
            std::byte* at = memory.data() + i * size_bytes;
            const int count = static_cast<int>(size_bytes);
            check(sends ? MPI_Isend(at, count, MPI_BYTE, peer, data_tag, MPI_COMM_WORLD, &requests[i])
                        : MPI_Irecv(at, count, MPI_BYTE, peer, data_tag, MPI_COMM_WORLD, &requests[i]));
        }
        check(MPI_Waitall(static_cast<int>(messages), requests.data(), MPI_STATUSES_IGNORE));
        char word = 0;
        check(sends ? MPI_Recv(&word, 1, MPI_CHAR, peer, word_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
                    : MPI_Send(&word, 1, MPI_CHAR, peer, word_tag, MPI_COMM_WORLD));
        ++rounds;
    } while (goes_on(!steady.is_over(rounds)));
    return steady.per_second() * static_cast<double>(messages * size_bytes) * 1e-9;
}

Latency raw_mpi_latency(std::size_t size_bytes, double seconds) {
    constexpr int trips_between_words = 16;
    std::vector<std::byte> memory(size_bytes);
    const int count = static_cast<int>(size_bytes);
    const bool asks = rank() == 0;
    const int peer = asks ? 1 : 0;
    const auto send = [&] { check(MPI_Send(memory.data(), count, MPI_BYTE, peer, data_tag, MPI_COMM_WORLD)); };
    const auto receive = [&] {
        check(MPI_Recv(memory.data(), count, MPI_BYTE, peer, data_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    };
    std::vector<double> half_us;
    const std::int64_t begin = now_ns();
    const auto duration = static_cast<std::int64_t>(seconds * 1e9);
    do {
        for (int trip = 0; trip < trips_between_words; ++trip) {
            const std::int64_t start = now_ns();
            if (asks) {
                send();
                receive();
                if (start - begin > duration / 10) half_us.push_back(static_cast<double>(now_ns() - start) * 0.5e-3);
            } else {
                receive();
                send();
            }
        }
    } while (goes_on(now_ns() - begin < duration));
    return {percentile(half_us, 50), percentile(half_us, 99)};
}

}  // namespace penstock::bench
