#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "doctor/diagnosis.hpp"
#include "doctor/machine_facts.hpp"
#include "support/scratch_folder.hpp"

namespace penstock::doctor {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t mib = 1U << 20U;
constexpr std::uint64_t gib = 1U << 30U;

/// A machine made of files. As it is born, nothing is wrong with it.
class Patient {
public:
    Patient() {
        write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64");
        write("/proc/sys/kernel/hostname", "h1");
        write("/proc/sys/kernel/numa_balancing", "0");
        write("/proc/sys/vm/overcommit_memory", "0");
        write("/proc/stat", "cpu  1000 10 100 8000 10 0 5 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10");
        write("/proc/meminfo", "MemTotal:       65536000 kB\nMemFree: 1 kB\nMemAvailable:   60000000 kB");
        write("/proc/self/cgroup", "0::/job/step");
        write("/proc/self/maps",
              "7f00-7f01 r-xp 0 08:01 1  /usr/lib/libmpi.so.40\n"
              "7f02-7f03 r-xp 0 08:01 2  /usr/lib/libuct.so.0.0.0");
        write("/usr/lib/ucx/libuct_cuda.so.0", "");
        write_status();
        write_limits();
        write_mounts();
        for (const char* file : {"cpu.max", "memory.max", "pids.max"}) write_group(file, "max");
        write("/sys/devices/system/cpu/online", "0-7");
        write("/sys/devices/system/node/online", "0");
        write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance");
        write("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
        write("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet");
        write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
        write("/sys/class/net/lo/flags", "0x9");
        write("/sys/class/net/eth0/flags", "0x1003");
        write("/etc/hosts", "127.0.0.1 localhost\n10.0.0.1 h1 # that is us");
        write("/usr/bin/orterun", "");
        fs::create_symlink("/etc/alternatives/mpirun", place("/usr/bin/mpirun"));
        fs::create_directories(place("/etc/alternatives"));
        fs::create_symlink("/usr/bin/orterun", place("/etc/alternatives/mpirun"));
        fs::create_directory_symlink("usr/bin", place("/bin"));
        for (const char* folder : {"/dev/shm", "/tmp", "/scratch/runs"}) fs::create_directories(place(folder));
    }

    void write(const std::string& path, const std::string& content) {
        fs::create_directories(fs::path{place(path)}.parent_path());
        folder_.write(path.substr(1), content + "\n");
    }
    void remove(const std::string& path) { fs::remove_all(place(path)); }
    void set(const std::string& variable, const std::string& value) { environment_.insert_or_assign(variable, value); }

    void forget(const std::string& variable) { environment_.erase(variable); }

    void write_group(const std::string& file, const std::string& value) { write("/sys/fs/cgroup/job/" + file, value); }
    void write_status(const std::string& cpus = "0-7", const std::string& more = "") {
        write("/proc/self/status", "Name:\tpenstock\nUid:\t" + user + "\t" + user + "\t" + user + "\t" + user +
                                       "\nSeccomp:\t0\nCpus_allowed_list:\t" + cpus + "\n" + more);
    }
    void write_limits(const std::string& name = "", const std::string& value = "") {
        std::string text = "Limit                     Soft Limit           Hard Limit           Units     \n";
        for (const std::string each : {"Max processes", "Max open files", "Max locked memory", "Max address space"}) {
            std::string line = each;
            line.resize(26, ' ');
            const std::string usual = each == "Max open files" ? "65536" : "unlimited";
            text += line + (each == name ? value : usual) + "      unlimited            units\n";
        }
        write("/proc/self/limits", text);
    }
    void write_mounts(const std::string& more = "", const std::string& shm = "tmpfs") {
        write("/proc/self/mountinfo",
              "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
              "23 22 0:9 / /dev/shm rw,nosuid - " +
                  shm +
                  " tmpfs rw\n"
                  "24 22 0:10 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                  "25 22 0:11 / /scratch rw shared:3 - lustre 10.0.0.9@tcp:/fsx rw\n" +
                  more);
    }
    void add_card(const std::string& slot, const std::string& vendor, const std::string& device,
                  const std::string& kind = "0x020000") {
        const std::string folder = "/sys/bus/pci/devices/" + slot;
        write(folder + "/vendor", vendor);
        write(folder + "/device", device);
        write(folder + "/class", kind);
    }
    void add_rdma(const std::string& name, const std::string& vendor) {
        write("/sys/class/infiniband/" + name + "/device/vendor", vendor);
        write("/sys/class/infiniband/" + name + "/ports/1/state", "4: ACTIVE");
        write("/dev/infiniband/uverbs0", "");
    }
    /// A c5n or, with 0xefa1, a p4d.
    void add_efa(const std::string& device = "0xefa0") {
        add_card("0000:00:06.0", "0x1d0f", device);
        add_rdma("rdmap0s6", "0x1d0f");
        write("/proc/sys/vm/nr_hugepages", "1024");
        needs.transports.emplace("ofi");
    }
    void add_gpu() {
        add_card("0000:00:1e.0", "0x10de", "0x20b0", "0x030200");
        write("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19");
        write("/dev/nvidiactl", "");
    }
    /// Root has no limit of processes.
    void be_a_user() {
        user = "1000";
        write_status();
    }
    void be_in_a_step(const std::string& tasks) {
        set("SLURM_JOB_ID", "4711");
        set("SLURM_STEP_NUM_TASKS", tasks);
    }

    [[nodiscard]] Findings examine() const {
        const Probes probes{.space = [this](const std::string& path) -> std::optional<Space> {
                                const auto found = space.find(path);
                                return found == space.end() ? Space{100 * gib, 50 * gib} : found->second;
                            },
                            .may_read_and_write = [this](const std::string& path) { return !locked.contains(path); },
                            .try_file = [this](const std::string& folder) -> std::string {
                                return locked.contains(folder) ? "Permission denied" : "";
                            },
                            .try_memory_file = [this] { return no_memory_file; },
                            .slurm_mpi_types = [this] { return mpi_types; }};
        return doctor::examine(System{folder_.path(), environment_, probes}, needs);
    }
    [[nodiscard]] std::string place(const std::string& path) const { return folder_.path() + path; }

    std::string user = std::to_string(::getuid());
    Needs needs{.ranks = 4,
                .ranks_here = 4,
                .arena_bytes = 256 * mib,
                .runs_dir = "/scratch/runs",
                .transports = {"shm", "ucx", "mpi"}};
    std::map<std::string, Space> space;
    std::set<std::string> locked;
    std::string no_memory_file;
    std::optional<std::string> mpi_types = "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\n\tpmix_v4";

private:
    test::ScratchFolder folder_;
    std::map<std::string, std::string, std::less<>> environment_{
        {"PATH", "/usr/bin:/bin"}, {"HOME", "/root"}, {"OMPI_ALLOW_RUN_AS_ROOT", "1"}};
};

[[nodiscard]] std::vector<std::string> problems_of(const Findings& findings) {
    std::vector<std::string> ids;
    for (const Finding& finding : findings.all()) {
        if (finding.severity != Severity::ok) ids.emplace_back(finding.id);
    }
    return ids;
}

struct Fault {
    std::string_view id;
    Severity severity;
    std::function<void(Patient&)> inject;
    std::set<std::string> also = {};  ///< What it brings with it.
};

void PrintTo(const Fault& fault, std::ostream* out) {
    *out << fault.id << " " << name_of(fault.severity);
}

using enum Severity;

const std::vector<Fault> faults{
    {"kernel-too-old", warning, [](Patient& p) { p.write("/proc/sys/kernel/osrelease", "4.18.0-553.el8"); }},
    {"kernel-without-huge-arenas", note, [](Patient& p) { p.write("/proc/sys/kernel/osrelease", "5.14.0-427.el9"); }},
    {"clock-slow", warning,
     [](Patient& p) { p.write("/sys/devices/system/clocksource/clocksource0/current_clocksource", "xen"); }},
    {"processor-time-stolen", note, [](Patient& p) { p.write("/proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0"); }},

    {"one-core", warning, [](Patient& p) { p.write_status("3"); }},
    {"one-core", note,
     [](Patient& p) {
         p.write_status("3");
         p.set("OMPI_COMM_WORLD_LOCAL_SIZE", "4");
     }},
    {"cores-fewer-than-ranks", warning, [](Patient& p) { p.write_status("0-1,4"); }},
    {"cores-fewer-than-ranks", warning,
     [](Patient& p) {
         p.set("OMPI_COMM_WORLD_LOCAL_SIZE", "9");
         p.needs.ranks_here = 9;
     }},
    {"cgroup-cpu-limit", warning, [](Patient& p) { p.write_group("cpu.max", "450000 100000"); }},
    {"cgroup-cpu-limit",
     warning,
     [](Patient& p) { p.write_group("cpu.max", "200000 100000"); },
     {"cores-fewer-than-ranks"}},
    {"powersave-governor", note,
     [](Patient& p) { p.write("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave"); }},
    {"turbo-off", note, [](Patient& p) { p.write("/sys/devices/system/cpu/intel_pstate/no_turbo", "1"); }},
    {"turbo-off", note, [](Patient& p) { p.write("/sys/devices/system/cpu/cpufreq/boost", "0"); }},
    {"numa-balancing", note,
     [](Patient& p) {
         p.write("/proc/sys/kernel/numa_balancing", "1");
         p.write("/sys/devices/system/node/online", "0-1");
     }},
    {"cgroup-pids-limit", warning, [](Patient& p) { p.write_group("pids.max", "40"); }},
    {"cgroup-pids-limit", error,
     [](Patient& p) {
         p.write_group("pids.max", "40");
         p.write_group("pids.current", "37");
     }},
    {"process-limit", warning,
     [](Patient& p) {
         p.be_a_user();
         p.write_limits("Max processes", "50");
     }},
    {"process-limit", error,
     [](Patient& p) {
         p.be_a_user();
         p.write_limits("Max processes", "3");
     }},
    {"open-files-limit", warning, [](Patient& p) { p.write_limits("Max open files", "256"); }},
    {"open-files-limit", error, [](Patient& p) { p.write_limits("Max open files", "40"); }},

    {"memory-low", warning,
     [](Patient& p) { p.write("/proc/meminfo", "MemTotal: 65536000 kB\nMemAvailable: 300000 kB"); }},
    {"cgroup-memory-limit", note, [](Patient& p) { p.write_group("memory.max", "8589934592"); }},
    {"cgroup-memory-limit", warning,
     [](Patient& p) {
         p.write_group("memory.max", "8589934592");
         p.write_group("memory.current", "8500000000");
     }},
    {"memlock-limit", note, [](Patient& p) { p.write_limits("Max locked memory", "8388608"); }},
    {"memlock-limit", error,
     [](Patient& p) {
         p.write_limits("Max locked memory", "65536");
         p.add_rdma("mlx5_0", "0x15b3");
     }},
    {"address-space-limit", note, [](Patient& p) { p.write_limits("Max address space", "68719476736"); }},
    {"address-space-limit", error, [](Patient& p) { p.write_limits("Max address space", "1073741824"); }},
    {"overcommit-strict", warning, [](Patient& p) { p.write("/proc/sys/vm/overcommit_memory", "2"); }},
    {"huge-pages-off", note,
     [](Patient& p) { p.write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]"); }},
    {"memfd-refused", error, [](Patient& p) { p.no_memory_file = "Operation not permitted"; }},

    {"shm-missing", warning, [](Patient& p) { p.remove("/dev/shm"); }},
    {"shm-no-memory", warning, [](Patient& p) { p.write_mounts("", "overlay"); }},
    {"shm-not-writable", warning, [](Patient& p) { p.locked.insert("/dev/shm"); }},
    {"shm-not-writable", warning,
     [](Patient& p) { p.write_mounts("26 22 0:12 / /dev/shm ro,nosuid - tmpfs tmpfs ro\n"); }},
    {"shm-small", warning,
     [](Patient& p) {
         p.space["/dev/shm"] = {64 << 10U, 64 << 10U};
     }},
    {"shm-full", warning,
     [](Patient& p) {
         p.space["/dev/shm"] = {8 * gib, 3 * mib};
     }},
    {"stale-shared-memory", note, [](Patient& p) { p.write("/dev/shm/vader_segment.h1.1000.4c200001.2", "x"); }},
    {"stale-shared-memory", note, [](Patient& p) { p.write("/dev/shm/4242:0:0", "x"); }},

    {"run-directory-not-writable", error, [](Patient& p) { p.locked.insert("/scratch/runs"); }},
    {"run-directory-full", warning,
     [](Patient& p) {
         p.space["/scratch/runs"] = {gib, 300 * mib};
     }},
    {"run-directory-full", error,
     [](Patient& p) {
         p.space["/scratch/runs"] = {gib, mib};
     }},
    {"run-directory-not-shared", warning,
     [](Patient& p) {
         p.set("SLURM_JOB_NUM_NODES", "2");
         p.needs.runs_dir = "/dev/shm/new/runs";
     }},
    {"hdf5-locks-on-nfs", note,
     [](Patient& p) {
         p.write_mounts("26 22 0:12 / /home\\040of\\040all rw - nfs4 server:/home rw\n");
         p.needs.runs_dir = "/home of all/runs";
         p.write("/home of all/file", "");
     }},
    {"tmpdir-unusable", error, [](Patient& p) { p.set("TMPDIR", "/job/tmp"); }},
    {"tmpdir-unusable", error, [](Patient& p) { p.locked.insert("/tmp"); }},
    {"tmpdir-too-long", warning,
     [](Patient& p) {
         const std::string folder = "/tmp/" + std::string(70, 'x');
         p.set("TMPDIR", folder);
         p.write(folder + "/file", "");
     }},
    {"tmpdir-on-network", warning, [](Patient& p) { p.set("TMPDIR", "/scratch"); }},

    {"loopback-down", error, [](Patient& p) { p.write("/sys/class/net/lo/flags", "0x8"); }},
    {"network-down", error,
     [](Patient& p) {
         p.write("/sys/class/net/eth0/flags", "0x1002");
         p.set("SLURM_JOB_NUM_NODES", "2");
     }},
    {"network-ambiguous", note, [](Patient& p) { p.write("/sys/class/net/eth1/flags", "0x1003"); }},
    {"network-ambiguous", warning,
     [](Patient& p) {
         p.write("/sys/class/net/eth1/flags", "0x1003");
         p.set("SLURM_JOB_NUM_NODES", "2");
     }},
    {"hostname-is-loopback", note, [](Patient& p) { p.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 h1"); }},
    {"hostname-is-loopback", warning,
     [](Patient& p) {
         p.write("/etc/hosts", "127.0.1.1 h1.cluster h1");
         p.set("OMPI_COMM_WORLD_SIZE", "8");
         p.set("OMPI_COMM_WORLD_LOCAL_SIZE", "4");
     }},
    {"rdma-device-files-missing", error,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.remove("/dev/infiniband/uverbs0");
     }},
    {"rdma-no-permission", error,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.locked.insert("/dev/infiniband/uverbs0");
     }},
    {"rdma-port-down", warning,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.write("/sys/class/infiniband/mlx5_0/ports/1/state", "1: DOWN");
     }},
    {"rdma-without-ucx", warning,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.needs.transports.erase("ucx");
     }},
    {"efa-without-driver", error, [](Patient& p) { p.add_card("0000:00:06.0", "0x1d0f", "0xefa1"); }},
    {"efa-without-libfabric", warning,
     [](Patient& p) {
         p.add_efa();
         p.needs.transports.erase("ofi");
     }},
    {"efa-fork-unsafe",
     warning,
     [](Patient& p) {
         p.add_efa();
         p.write("/proc/sys/kernel/osrelease", "5.10.0-30-cloud-amd64");
     },
     {"kernel-without-huge-arenas"}},
    {"efa-fork-safe-slow", note,
     [](Patient& p) {
         p.add_efa();
         p.set("RDMAV_FORK_SAFE", "1");
     }},
    {"efa-without-huge-pages", note,
     [](Patient& p) {
         p.add_efa();
         p.write("/proc/sys/vm/nr_hugepages", "0");
     }},
    {"efa-device-rdma-refused", error,
     [](Patient& p) {
         p.add_efa("0xefa0");
         p.set("FI_EFA_USE_DEVICE_RDMA", "1");
     }},
    {"efa-excluded", warning,
     [](Patient& p) {
         p.add_efa();
         p.set("FI_PROVIDER", "tcp");
     }},
    {"efa-excluded", warning,
     [](Patient& p) {
         p.add_efa();
         p.set("FI_PROVIDER", "^efa,shm");
     }},

    {"ucx-missing", warning,
     [](Patient& p) {
         p.needs.transports.erase("ucx");
         p.set("SLURM_JOB_NUM_NODES", "2");
     }},
    {"ucx-tls-unknown", warning, [](Patient& p) { p.set("UCX_TLS", "tpc,tcp,self"); }},
    {"ucx-tls-without-network", error, [](Patient& p) { p.set("UCX_TLS", "posix,cma,self"); }},
    {"ucx-tls-without-network", error, [](Patient& p) { p.set("UCX_TLS", "^tcp"); }},
    {"ucx-tls-without-network", error, [](Patient& p) { p.set("UCX_TLS", "rc,self"); }},
    {"ucx-tls-without-rdma", warning,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.set("UCX_TLS", "tcp,self");
     }},
    {"ucx-tls-without-rdma", warning,
     [](Patient& p) {
         p.add_rdma("mlx5_0", "0x15b3");
         p.set("UCX_TLS", "^ib");
     }},
    {"ucx-device-unknown", error, [](Patient& p) { p.set("UCX_NET_DEVICES", "ib0"); }},
    {"ucx-device-unknown", warning, [](Patient& p) { p.set("UCX_NET_DEVICES", "eth0,mlx5_0:1"); }},
    {"ucx-device-is-loopback", error,
     [](Patient& p) {
         p.set("UCX_NET_DEVICES", "lo");
         p.set("SLURM_JOB_NUM_NODES", "2");
     }},
    {"ucx-port-range-invalid", error, [](Patient& p) { p.set("UCX_TCP_PORT_RANGE", "30000-20000"); }},
    {"ucx-port-range-invalid", error, [](Patient& p) { p.set("UCX_TCP_PORT_RANGE", "20000-99999"); }},
    {"ucx-port-range-small", error, [](Patient& p) { p.set("UCX_TCP_PORT_RANGE", "20000-20002"); }},
    {"ucx-without-cuda", note,
     [](Patient& p) {
         p.add_gpu();
         p.remove("/usr/lib/ucx/libuct_cuda.so.0");
     }},

    {"mpi-missing", note, [](Patient& p) { p.needs.transports.erase("mpi"); }},
    {"mpi-fabric-layers-off", note,
     [](Patient& p) { p.write("/etc/openmpi/openmpi-mca-params.conf", "# Debian\nmtl = ^ofi\npml = ^ucx"); }},
    {"mpi-fabric-layers-off", warning,
     [](Patient& p) {
         p.write("/etc/openmpi/openmpi-mca-params.conf", "mtl = ^ofi\npml = ^ucx\nbtl = ^uct,openib,ofi");
         p.add_rdma("mlx5_0", "0x15b3");
     }},
    {"mpi-fabric-layers-off", note, [](Patient& p) { p.set("OMPI_MCA_pml", "^ucx,cm"); }},
    {"mpi-ucx-not-selectable", error, [](Patient& p) { p.set("OMPI_MCA_pml", "ucx"); }},
    {"mpi-ofi-not-selectable", error,
     [](Patient& p) {
         p.write("/etc/openmpi/openmpi-mca-params.conf", "mtl = ^ofi");
         p.set("OMPI_MCA_pml", "cm");
     }},
    {"mpirun-missing", note, [](Patient& p) { p.remove("/usr/bin/mpirun"); }},
    {"mpirun-ambiguous", warning,
     [](Patient& p) {
         p.write("/opt/amazon/openmpi/bin/mpirun", "");
         p.set("PATH", "/usr/bin:/opt/amazon/openmpi/bin");
     }},
    {"mpirun-of-another-mpi", error,
     [](Patient& p) {
         p.write("/opt/mpich/bin/mpiexec.hydra", "");
         fs::create_symlink("mpiexec.hydra", p.place("/opt/mpich/bin/mpirun"));
         p.set("PATH", "/opt/mpich/bin");
     }},
    {"mpirun-refuses-root", note,
     [](Patient& p) {
         p.user = "0";
         p.write_status();
         p.forget("OMPI_ALLOW_RUN_AS_ROOT");
     }},
    {"mpi-single-copy-refused", note, [](Patient& p) { p.write("/proc/sys/kernel/yama/ptrace_scope", "1"); }},

    {"allocation-too-small", error,
     [](Patient& p) {
         p.set("SLURM_JOB_ID", "4711");
         p.set("SLURM_NTASKS", "3");
     }},
    {"allocation-overcommitted", warning,
     [](Patient& p) {
         p.set("SLURM_JOB_ID", "4711");
         p.set("SLURM_TASKS_PER_NODE", "2(x3),8");
         p.set("SLURM_CPUS_PER_TASK", "2");
         p.set("SLURM_CPUS_ON_NODE", "8");
     }},
    {"pmix-not-offered", error, [](Patient& p) { p.be_in_a_step("4"); }},
    {"pmi2-instead-of-pmix", error,
     [](Patient& p) {
         p.be_in_a_step("4");
         p.set("PMI_RANK", "0");
     }},
    {"slurm-without-pmix", warning,
     [](Patient& p) {
         p.write("/usr/bin/srun", "");
         p.mpi_types = "MPI plugin types are...\n\tnone\n\tpmi2\n\tcray_shasta";
     }},

    {"gpu-without-driver", warning, [](Patient& p) { p.add_card("0000:00:1e.0", "0x10de", "0x20b0", "0x030200"); }},
    {"gpu-device-files-missing", warning,
     [](Patient& p) {
         p.add_gpu();
         p.remove("/dev/nvidiactl");
     }},
    {"gpu-no-permission", warning,
     [](Patient& p) {
         p.add_gpu();
         p.locked.insert("/dev/nvidiactl");
     }},
    {"gpu-hidden", note,
     [](Patient& p) {
         p.add_gpu();
         p.set("CUDA_VISIBLE_DEVICES", "");
     }},
    {"gpu-without-rdma", note,
     [](Patient& p) {
         p.add_gpu();
         p.add_rdma("mlx5_0", "0x15b3");
         p.write("/proc/modules", "nvidia_uvm 1 0 - Live 0x0\nnvidia 1 0 - Live 0x0");
     }},
    {"ofi-without-hmem", note,
     [](Patient& p) {
         p.add_gpu();
         p.needs.without_device_memory.emplace("ofi");
     }},
};

class DoctorFaults : public testing::TestWithParam<Fault> {};

TEST_P(DoctorFaults, IsNamedAndNothingElseIs) {
    const Fault& fault = GetParam();
    Patient patient;
    fault.inject(patient);
    const Findings findings = patient.examine();

    std::set<std::string> expected = fault.also;
    expected.emplace(fault.id);
    EXPECT_THAT(problems_of(findings), testing::UnorderedElementsAreArray(expected));
    for (const Finding& finding : findings.all()) {
        if (finding.id != fault.id) continue;
        EXPECT_EQ(name_of(finding.severity), name_of(fault.severity));
        EXPECT_NE(finding.seen, "");
        EXPECT_NE(finding.means, "");
        EXPECT_NE(finding.fix, "");
    }
}

INSTANTIATE_TEST_SUITE_P(Injected, DoctorFaults, testing::ValuesIn(faults));

TEST(Doctor, FindsNothingWrongWithAHealthyMachine) {
    EXPECT_THAT(problems_of(Patient{}.examine()), IsEmpty());
}

TEST(Doctor, FindsNothingWrongWithHealthyDevices) {
    Patient patient;
    patient.add_efa("0xefa1");
    patient.set("FI_EFA_USE_DEVICE_RDMA", "1");
    patient.set("FI_PROVIDER", "efa");
    patient.add_gpu();
    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());

    Patient other;
    other.add_rdma("mlx5_0", "0x15b3");
    other.add_gpu();
    other.write("/proc/modules", "nvidia_peermem 1 0 - Live 0x0\nnvidia 1 0 - Live 0x0");
    other.set("UCX_NET_DEVICES", "mlx5_0:1,eth0");
    other.set("UCX_TLS", "rc,ud:aux,self");
    EXPECT_THAT(problems_of(other.examine()), IsEmpty());
}

TEST(Doctor, FindsNothingWrongWithAHealthyStepOfSlurm) {
    Patient patient;
    patient.be_in_a_step("4");
    patient.set("PMIX_RANK", "1");
    patient.set("SLURM_NTASKS", "4");
    patient.set("SLURM_TASKS_PER_NODE", "4");
    patient.set("SLURM_CPUS_ON_NODE", "8");
    patient.write("/usr/bin/srun", "");

    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());
}

TEST(Doctor, RanksThatAreBoundToCoresOfTheirOwnAreNotTooMany) {
    Patient patient;
    patient.write_status("2-3");
    patient.set("OMPI_COMM_WORLD_LOCAL_SIZE", "4");

    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());
}

TEST(Doctor, SettingsThatAskForALayerOverrideTheFile) {
    Patient patient;
    patient.write("/etc/openmpi/openmpi-mca-params.conf", "mtl = ^ofi\npml = ^ucx");
    patient.set("OMPI_MCA_pml", "ucx");
    patient.set("OMPI_MCA_pml_ucx_tls", "any");

    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());
}

TEST(Doctor, SegmentsThatAreMappedAreNotStale) {
    Patient patient;
    patient.write("/dev/shm/vader_segment.h1.1000.4c200001.2", "x");
    patient.write("/proc/77/maps", "7f00-7f01 rw-s 0 0:9 5  /dev/shm/vader_segment.h1.1000.4c200001.2");
    patient.write("/dev/shm/77:0:0", "x");
    patient.write("/dev/shm/sem.of-somebody", "x");

    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());
}

TEST(Doctor, FilesOfOthersAreNotStale) {
    if (::getuid() != 0) GTEST_SKIP() << "only root can give a file away";
    Patient patient;
    patient.write("/dev/shm/vader_segment.h1.0.4c200001.2", "x");
    ASSERT_EQ(::chown(patient.place("/dev/shm/vader_segment.h1.0.4c200001.2").c_str(), 4242, 4242), 0);

    EXPECT_THAT(problems_of(patient.examine()), IsEmpty());
}

TEST(Doctor, SaysWhyMemoryFilesAreRefused) {
    Patient patient;
    patient.no_memory_file = "Permission denied";
    patient.write("/proc/sys/vm/memfd_noexec", "2");
    const Findings findings = patient.examine();

    const auto found = std::find_if(findings.all().begin(), findings.all().end(),
                                    [](const Finding& each) { return each.id == "memfd-refused"; });
    ASSERT_NE(found, findings.all().end());
    EXPECT_THAT(found->seen, HasSubstr("vm.memfd_noexec is 2"));
    EXPECT_THAT(found->fix, HasSubstr("sysctl vm.memfd_noexec=1"));
}

TEST(Doctor, AnEmptyMachineIsNoReasonToFail) {
    const test::ScratchFolder folder;
    const Probes probes{.space = [](const std::string&) { return std::nullopt; },
                        .may_read_and_write = [](const std::string&) { return false; },
                        .try_file = [](const std::string&) { return "No such file or directory"; },
                        .try_memory_file = [] { return ""; },
                        .slurm_mpi_types = [] { return std::nullopt; }};
    const Findings findings = examine(System{folder.path(), {}, probes}, {.runs_dir = "/no/where"});

    EXPECT_THAT(problems_of(findings), Contains("shm-missing"));
    EXPECT_THAT(problems_of(findings), Contains("run-directory-not-writable"));
}

TEST(Doctor, ThisMachineIsExaminedWithoutFailing) {
    const System system = System::here();
    const Findings findings = examine(system, needs_of(system, 4, "."));

    EXPECT_GT(findings.count(Severity::ok), 5U);
}

TEST(DoctorCatalogue, HasEveryNameOnceAndAFaultForEach) {
    std::set<std::string_view> names;
    std::set<std::string_view> injected;
    for (const Fault& fault : faults) injected.insert(fault.id);
    for (const CatalogueEntry& entry : catalogue()) {
        EXPECT_TRUE(names.insert(entry.id).second) << entry.id;
        EXPECT_EQ(entry.id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string_view::npos);
        EXPECT_EQ(entry.severity == Severity::ok, entry.means.empty()) << entry.id;
        EXPECT_EQ(entry.severity == Severity::ok, entry.fix.empty()) << entry.id;
        if (entry.severity != Severity::ok) {
            EXPECT_TRUE(injected.contains(entry.id)) << entry.id << " is injected nowhere";
        }
    }
}

TEST(DoctorCatalogue, AnUnknownNameIsABug) {
    Findings findings;

    EXPECT_THROW(findings.add("no-such-finding", ""), Error);
}

TEST(DoctorFacts, CountsLists) {
    EXPECT_EQ(count_list("0-3,8"), 5U);
    EXPECT_EQ(count_list("7"), 1U);
    EXPECT_EQ(count_list(""), 0U);
    EXPECT_EQ(count_list("x-,3-1"), 0U);
}

}  // namespace
}  // namespace penstock::doctor
