#include "launch/slurm_chain.hpp"

#include <algorithm>
#include <utility>

#include "plan/phases.hpp"

namespace penstock {

JobsOfPhases stand_ins(const Chain& chain) {
    JobsOfPhases jobs;
    for (const Plan& plan : chain.phases) jobs.emplace(plan.phase->name, "JOB" + std::to_string(plan.phase->number));
    return jobs;
}

std::string chained_script(const Chain& chain, const Plan& plan, SlurmJob job, const JobsOfPhases& jobs) {
    job.phase = plan.phase->name;
    for (const std::string& phase : earlier_phases(chain, plan)) job.earlier.emplace_back(phase, jobs.at(phase));
    if (!plan.phase->after.empty()) {
        std::string dependency = "afterok";
        for (const std::string& phase : plan.phase->after) dependency += ":" + jobs.at(phase);
        std::erase_if(job.options, [](const auto& option) { return option.first == "dependency"; });
        job.options.emplace_back("dependency", std::move(dependency));
        const auto is_end = [](const auto& option) { return option.first == "kill-on-invalid-dep"; };
        // Else the job waits for ever when one before it has failed.
        if (std::ranges::none_of(job.options, is_end)) job.options.emplace_back("kill-on-invalid-dep", "yes");
    }
    return sbatch_script(job);
}

}  // namespace penstock
