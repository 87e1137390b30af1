#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <stdexcept>

#include <mpi.h>
#include <sys/stat.h>
#include <unistd.h>

#include "limits/measure.hpp"
#include "peers/harness.hpp"

using namespace penstock::bench;

namespace {

constexpr const char* control_variable = "PENSTOCK_BENCH_CONTROL";
constexpr const char* pml_variable = "PENSTOCK_BENCH_PML";
constexpr std::size_t most_posted = 64;
constexpr double wait_s = 15;

void check(int status, const char* call) {
    if (status != MPI_SUCCESS) throw std::runtime_error{std::string{call} + " failed"};
}

/// One buffer and one request per message in flight.
class Window {
public:
    explicit Window(const Options& options)
        : size_bytes_{options.size_bytes},
          stride_{(options.size_bytes + 4095) / 4096 * 4096},
          requests_(slots(options, most_posted), MPI_REQUEST_NULL),
          memory_(requests_.size() * stride_) {}
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    ~Window() {
        for (MPI_Request& request : requests_) {
            if (request == MPI_REQUEST_NULL) continue;
            MPI_Cancel(&request);
            MPI_Wait(&request, MPI_STATUS_IGNORE);
        }
    }

    [[nodiscard]] std::span<std::byte> buffer(std::size_t slot) noexcept {
        return {memory_.data() + slot * stride_, size_bytes_};
    }
    [[nodiscard]] MPI_Request& request(std::size_t slot) noexcept { return requests_[slot]; }
    [[nodiscard]] std::vector<MPI_Request>& requests() noexcept { return requests_; }
    [[nodiscard]] int count() const noexcept { return static_cast<int>(size_bytes_); }
    [[nodiscard]] bool is_done(std::size_t slot) {
        int flag = 0;
        check(MPI_Test(&requests_[slot], &flag, MPI_STATUS_IGNORE), "MPI_Test");
        return flag != 0;
    }

private:
    std::size_t size_bytes_;
    std::size_t stride_;
    std::vector<MPI_Request> requests_;
    std::vector<std::byte> memory_;
};

class MpiSender final : public Sender {
public:
    MpiSender(const Context& context, int rank, Lane lane)
        : context_{context}, rank_{rank}, tag_{static_cast<int>(index(lane))}, window_{context.options} {}

    std::span<std::byte> loan() override {
        if (!window_.is_done(slot_)) {
            const Deadline deadline{context_, wait_s};
            for (std::uint64_t idle = 1; !window_.is_done(slot_); ++idle) {
                if (idle % 256 == 0) deadline.check("waiting for a send to complete");
                context_.relax();
            }
        }
        return window_.buffer(slot_);
    }

    void send() override {
        check(MPI_Isend(window_.buffer(slot_).data(), window_.count(), MPI_BYTE, rank_, tag_, MPI_COMM_WORLD,
                        &window_.request(slot_)),
              "MPI_Isend");
        slot_ = (slot_ + 1) % window_.requests().size();
    }

    void flush() override {
        int flag = 0;
        auto& requests = window_.requests();
        check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, MPI_STATUSES_IGNORE),
              "MPI_Testall");
    }

private:
    const Context& context_;
    int rank_;
    int tag_;
    Window window_;
    std::size_t slot_ = 0;
};

class MpiReceiver final : public Receiver {
public:
    MpiReceiver(const Context& context, int rank, Lane lane)
        : rank_{rank}, tag_{static_cast<int>(index(lane))}, window_{context.options} {
        for (std::size_t slot = 0; slot < window_.requests().size(); ++slot) post(slot);
    }

    std::span<const std::byte> receive() override {
        if (!window_.is_done(slot_)) return {};
        return window_.buffer(slot_);
    }

    void release() override {
        post(slot_);
        slot_ = (slot_ + 1) % window_.requests().size();
    }

private:
    void post(std::size_t slot) {
        check(MPI_Irecv(window_.buffer(slot).data(), window_.count(), MPI_BYTE, rank_, tag_, MPI_COMM_WORLD,
                        &window_.request(slot)),
              "MPI_Irecv");
    }

    int rank_;
    int tag_;
    Window window_;
    std::size_t slot_ = 0;
};

/// For the shared memory files of the transport.
[[nodiscard]] std::string shared_directory(const Context& context) {
    return "/dev/shm/" + std::filesystem::path{context.directory}.filename().string();
}

class OpenMpi final : public Peer {
public:
    explicit OpenMpi(std::string pml) : pml_{std::move(pml)} {}

    [[nodiscard]] std::string name() const override { return pml_ == "ucx" ? "openmpi-ucx" : "openmpi"; }

    /// mpiexec starts this program again, once per role.
    std::vector<Child> launch(const Context& context) override {
        if (mkdir(shared_directory(context).c_str(), 0700) != 0) throw std::runtime_error{"cannot write to /dev/shm"};
        std::vector<Child> children;
        children.emplace_back([&] {
            detach_from_terminal();  // mpiexec ends the ranks
            dup2(STDERR_FILENO, STDOUT_FILENO);
            set_environment(context);
            const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
            const std::string ranks = std::to_string(context.options.consumers() + 1);
            execlp("mpiexec", "mpiexec", "-n", ranks.c_str(), "--bind-to", "none", self.c_str(), nullptr);
            throw std::runtime_error{std::string{"cannot start mpiexec: "} + std::strerror(errno)};
        });
        return children;
    }

    void clean_up(const Context& context) noexcept override {
        std::error_code ignored;
        std::filesystem::remove_all(shared_directory(context), ignored);
    }

    std::unique_ptr<Sender> make_sender(const Context& context, Lane lane) override {
        return std::make_unique<MpiSender>(context, receiver_rank(lane), lane);
    }
    std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane) override {
        return std::make_unique<MpiReceiver>(context, lane == Lane::back ? 1 : 0, lane);
    }

private:
    [[nodiscard]] static int receiver_rank(Lane lane) noexcept {
        if (lane == Lane::back) return 0;
        return lane == Lane::second ? 2 : 1;
    }

    void set_environment(const Context& context) const {
        const auto set = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
        // The ranks reach the control block through the supervising process, which is the parent of mpiexec's process.
        set(control_variable, "/proc/" + std::to_string(getppid()) + control_suffix(context));
        set(pml_variable, pml_);
        set("TMPDIR", context.directory);
        set("OMPI_MCA_btl_vader_backing_directory", shared_directory(context));
        set("OMPI_MCA_rmaps_base_oversubscribe", "1");
        if (context.is_crowded) set("OMPI_MCA_mpi_yield_when_idle", "1");
        if (geteuid() == 0) {
            set("OMPI_ALLOW_RUN_AS_ROOT", "1");
            set("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        if (pml_ == "ucx") {
            set("OMPI_MCA_pml", "ucx");
            set("OMPI_MCA_pml_ucx_tls", "any");
            set("OMPI_MCA_pml_ucx_devices", "any");
            set("UCX_TLS", "posix,cma,self");
            set("UCX_WARN_UNUSED_ENV_VARS", "n");
        } else {
            set("OMPI_MCA_pml", "ob1");
            set("OMPI_MCA_btl", "self,vader");
        }
    }

    /// "/fd/N" of the supervising process.
    [[nodiscard]] static std::string control_suffix(const Context& context) {
        const std::string path = control_path(context);
        return path.substr(path.find("/fd/"));
    }

    std::string pml_;
};

[[nodiscard]] int run_rank(const char* path) {
    int rank = 0;
    check(MPI_Init(nullptr, nullptr), "MPI_Init");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const char* pml = std::getenv(pml_variable);
    try {
        const Context context = open_control(path);
        OpenMpi peer{pml == nullptr ? "ob1" : pml};
        run_role(peer, context, rank);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (const char* path = std::getenv(control_variable)) return run_rank(path);
        const std::string pml = take_option(argc, argv, "--pml", "ob1");
        if (pml != "ob1" && pml != "ucx") throw std::runtime_error{"--pml is ob1 or ucx"};
        OpenMpi peer{pml};
        return run_peer(argc, argv, peer);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "peer_openmpi: %s\n", error.what());
        return 1;
    }
}
