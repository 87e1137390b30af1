#pragma once

#include <penstock/compression.hpp>
#include <penstock/error.hpp>
#include <penstock/executor.hpp>
#include <penstock/graph.hpp>
#include <penstock/jobs.hpp>
#include <penstock/log.hpp>
#include <penstock/memory.hpp>
#include <penstock/operator.hpp>
#include <penstock/params.hpp>
#include <penstock/plan.hpp>
#include <penstock/runner.hpp>
#include <penstock/runtime.hpp>
#include <penstock/spec.hpp>
#include <penstock/version.hpp>
