#include <algorithm>
#include <map>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

/// Open MPI's settings; where each comes from, for the message.
struct Setting {
    std::string value;
    std::string from;
};
using Settings = std::map<std::string, Setting, std::less<>>;

void read_settings(const System& system, const std::string& file, Settings& settings) {
    for (const std::string& line : system.lines(file)) {
        const auto sign = line.find('=');
        const auto name = words_of(std::string_view{line}.substr(0, sign));
        if (sign == std::string::npos || name.size() != 1 || name[0].starts_with('#')) continue;
        const auto value = words_of(std::string_view{line}.substr(sign + 1));
        settings.insert_or_assign(name[0], Setting{value.empty() ? "" : value[0], file});
    }
}

[[nodiscard]] Settings settings_of(const System& system) {
    Settings settings;
    read_settings(system, "/etc/openmpi/openmpi-mca-params.conf", settings);
    read_settings(system, system.variable("HOME") + "/.openmpi/mca-params.conf", settings);
    for (const char* name : {"pml", "mtl", "pml_ucx_tls", "pml_ucx_devices", "opal_common_ucx_tls",
                             "opal_common_ucx_devices", "mtl_ofi_provider_include"}) {
        const std::string variable = std::string{"OMPI_MCA_"} + name;
        if (system.has_variable(variable))
            settings.insert_or_assign(name, Setting{system.variable(variable), variable});
    }
    return settings;
}

[[nodiscard]] bool excludes(const Settings& settings, std::string_view name, std::string_view component) {
    const auto found = settings.find(name);
    if (found == settings.end() || !found->second.value.starts_with('^')) return false;
    const auto words = parts_of(found->second.value.substr(1), ',');
    return std::find(words.begin(), words.end(), component) != words.end();
}

[[nodiscard]] std::string value_of(const Settings& settings, std::string_view name) {
    const auto found = settings.find(name);
    return found == settings.end() ? "" : found->second.value;
}

void check_layers(const System& system, const Settings& settings, Findings& findings) {
    const std::string pml = value_of(settings, "pml");
    if (excludes(settings, "pml", "ucx") || excludes(settings, "mtl", "ofi")) {
        const std::string name = excludes(settings, "pml", "ucx") ? "pml" : "mtl";
        const Setting& setting = settings.at(name);
        const bool has_fabric = !rdma_devices(system).empty();
        // A message layer that is asked for by name is not left out.
        if (pml.starts_with('^') || pml.empty()) {
            findings.add("mpi-fabric-layers-off", name + " = " + setting.value + " in " + setting.from,
                         {.severity = has_fabric ? Severity::warning : Severity::note, .fix = {}});
        }
    }
    const bool any_device =
        value_of(settings, "pml_ucx_tls") == "any" || value_of(settings, "opal_common_ucx_tls") == "any";
    if (pml == "ucx" && !has_verbs_device(system) && !any_device) {
        findings.add("mpi-ucx-not-selectable",
                     "pml = ucx in " + settings.at("pml").from + ", and no InfiniBand or RoCE device");
    }
    if (pml == "cm" && excludes(settings, "mtl", "ofi")) {
        findings.add("mpi-ofi-not-selectable", "pml = cm in " + settings.at("pml").from + ", but mtl = " +
                                                   value_of(settings, "mtl") + " in " + settings.at("mtl").from);
    }
}

enum class Kind : std::uint8_t { none, open_mpi, mpich };

[[nodiscard]] Kind linked_library(const System& system) {
    for (const std::string& line : system.lines("/proc/self/maps")) {
        if (line.find("/libmpich.so") != std::string::npos) return Kind::mpich;
        if (line.find("/libmpi.so") != std::string::npos) return Kind::open_mpi;
    }
    return Kind::none;
}

[[nodiscard]] Kind kind_of_launcher(const std::string& path) {
    const std::string name = path.substr(path.rfind('/') + 1);
    if (name.find("hydra") != std::string::npos || name.find("mpich") != std::string::npos) return Kind::mpich;
    if (name == "orterun" || name == "prterun" || name == "prte" || name.find("openmpi") != std::string::npos) {
        return Kind::open_mpi;
    }
    return Kind::none;
}

[[nodiscard]] std::string name_of(Kind kind) {
    return kind == Kind::mpich ? "MPICH" : kind == Kind::open_mpi ? "Open MPI" : "unknown";
}

void check_launchers(const System& system, Findings& findings) {
    const auto launchers = system.programs("mpirun");
    if (launchers.empty()) {
        if (!system.has_variable("SLURM_JOB_ID")) findings.add("mpirun-missing", "no mpirun on the PATH");
        return;
    }
    if (launchers.size() > 1) findings.add("mpirun-ambiguous", joined(launchers));
    const Kind library = linked_library(system);
    const Kind launcher = kind_of_launcher(launchers.front());
    if (library != Kind::none && launcher != Kind::none && library != launcher) {
        findings.add("mpirun-of-another-mpi", launchers.front() + " is of " + name_of(launcher) +
                                                  ", this program is built with " + name_of(library));
    }
    const bool may_be_root =
        system.has_variable("OMPI_ALLOW_RUN_AS_ROOT") || system.has_variable("PRTE_ALLOW_RUN_AS_ROOT");
    if (system.user() == 0 && library == Kind::open_mpi && !may_be_root) {
        findings.add("mpirun-refuses-root", "this is root, and OMPI_ALLOW_RUN_AS_ROOT is not set");
    }
}

}  // namespace

void check_mpi(const System& system, const Needs& needs, Findings& findings) {
    if (!needs.transports.contains("mpi")) {
        findings.add("mpi-missing", "MPI is not in this build",
                     {.severity = has_several_nodes(system) ? Severity::warning : Severity::note, .fix = {}});
        return;
    }
    const auto launchers = system.programs("mpirun");
    findings.add("mpi", "in this build: " + name_of(linked_library(system)) +
                            (launchers.empty() ? "" : "; mpirun is " + launchers.front()));
    check_layers(system, settings_of(system), findings);
    check_launchers(system, findings);
    if (const auto scope = system.number("/proc/sys/kernel/yama/ptrace_scope"); scope && *scope > 0) {
        findings.add("mpi-single-copy-refused", "kernel.yama.ptrace_scope is " + std::to_string(*scope));
    }
}

}  // namespace penstock::doctor
